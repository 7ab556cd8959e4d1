"""The grid of sizes on tiny networks: it stops, goes on, and tells from its JSON."""

from __future__ import annotations

import json
import sys

import pytest

pytest.importorskip("rdkit")

import numpy as np
import scaling
import scaling_fits
import scaling_judge
from scaling_tables import best_rates, results, tables, tuned

from mdgeomfeat.gnn import build_model
from mdgeomfeat.pretraining.conformers import ConformerSettings, conformers
from mdgeomfeat.pretraining.denoiser import Denoiser
from mdgeomfeat.pretraining.evaluate import denoising_error, predictor
from mdgeomfeat.pretraining.packed import Source, load_packed, pack
from mdgeomfeat.pretraining.task import Batch

ENDS = ["", "O", "N", "Cl", "C=O", "C#N", "S"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("packed") / "data.npz"
    settings = ConformerSettings(n_conformers=1, max_heavy=8)
    smiles = [f"{'C' * n}{end}" for n in range(1, 7) for end in ENDS]
    pack(
        [Source("small", conformers(smiles, settings).molecules)],
        path,
        exclude=frozenset(),
    )
    return path


def run(monkeypatch, data, out, *more):
    words = [
        "scaling.py", "--data", data, "--out", out, "--atoms", "240", "--batch", "60",
        "--widths", "8", "16", "--depths", "1", "2", "--sweep-depth", "1",
        "--rates", "1e-3", "3e-3", "--compute-shape", "8x1", "--limit", "5", *more,
    ]  # fmt: skip
    monkeypatch.setattr(sys, "argv", [str(word) for word in words])
    scaling.main()


def snapshot(out):
    return {
        path.parent.name: json.loads(path.read_text())
        for path in out.glob("runs/*/result.json")
    }


@pytest.fixture(scope="module")
def finished(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("grid")
    with pytest.MonkeyPatch.context() as patch:
        more = ["--series", "8x1", "--series-atoms", "60", "120", "360", "480"]
        run(patch, data, out, *more, "--compute-depths", "1", "--seeds", "0", "1")
    return out


def test_the_grid_trains_every_shape_at_a_tuned_rate(finished):
    rows = results(finished)
    best = best_rates(rows)
    shapes = {
        (row["shape"]["width"], row["shape"]["depth"], row["seed"])
        for row in tuned(rows)
        if row["atoms"] == 240
    }
    assert shapes == {(w, d, s) for w in (8, 16) for d in (1, 2) for s in (0, 1)}
    for width in (8, 16):
        swept = {
            row["rate"]: sum(row["errors"]["tune"][s]["mse"] for s in ("all", "heavy"))
            for row in rows
            if (row["shape"]["width"], row["shape"]["depth"]) == (width, 1)
            and row["seed"] == 0
            and row["atoms"] == 240
        }
        assert set(swept) == {1e-3, 3e-3}
        assert best["et", width] == min(swept, key=swept.get)


def test_errors_are_above_the_floor_and_of_molecules_kept_apart(finished, data):
    packed = load_packed(data)
    parts = scaling.held_out(packed, 5)
    keys = {n: set(packed.keys[packed.mol_of[i]]) for n, i in parts.items()}
    assert not keys["tune"] & keys["test"]
    assert not keys["train"] & (keys["tune"] | keys["test"])
    for row in results(finished):
        for part in ("tune", "test", "train"):
            for error in row["errors"][part].values():
                assert error["mse"] > error["floor"] > 0


def test_conformations_with_atoms_in_one_place_are_not_judged(data, monkeypatch):
    packed = load_packed(data)
    network = Denoiser(build_model(scaling.Shape("et", 8, 1).spec, seed=0)).eval()
    everything = np.arange(len(packed))
    plain = denoising_error(predictor(network, fast=True), packed, everything)
    monkeypatch.setattr(scaling_judge, "apart", lambda b: np.ones(len(b.graph_ptr) - 1))
    found = scaling_judge.judge(network, packed, everything)["all"]
    np.testing.assert_allclose(found["mse"], plain.mse, rtol=1e-6)
    np.testing.assert_allclose(found["floor"], plain.floor)
    monkeypatch.undo()
    assert scaling_judge.judge(network, packed, everything)["all"]["graphs"] > 0
    # Two molecules of three atoms; in the second, the last two are 0.3 Å apart.
    places = np.array([[0, 0, 0], [0, 0, 1], [0, 0, 2]] * 2, np.float32)
    places[5, 2] = 1.3
    batch = Batch(np.full(6, 6), places, np.zeros_like(places), np.array([0, 3, 6]))
    assert scaling_judge.apart(batch).tolist() == [True, False]
    assert scaling_judge.apart(batch, 0.2).tolist() == [True, True]


def test_equal_compute_gives_cheap_networks_more_atoms(finished):
    costs = json.loads((finished / "costs.json").read_text())
    planned = json.loads((finished / "compute.json").read_text())
    assert set(planned) == {"et-8x1", "et-16x1"}
    assert planned["et-8x1"] == 240
    expected = max(60, int(240 * costs["et-8x1"] / costs["et-16x1"]))
    assert planned["et-16x1"] == expected


def test_what_was_stopped_goes_on_to_the_same_result(
    finished, data, tmp_path, monkeypatch
):
    # Time is over after two steps of every other run, and once before any.
    original = scaling.Trainer.run
    calls = []

    def stops(self, *, minutes=None, progress=None):
        calls.append(self.step)
        if len(calls) % 2 == 1 and self.step == 0:
            for _ in range(2):
                self._one_step()
                self.step += 1
            self.save()
            return []
        return original(self, minutes=minutes, progress=progress)

    monkeypatch.setattr(scaling.Trainer, "run", stops)
    run(monkeypatch, data, tmp_path, "--minutes", "0")
    assert snapshot(tmp_path) == {}
    for _ in range(30):
        run(monkeypatch, data, tmp_path)
        if len(snapshot(tmp_path)) == 6:
            break
    resumed, straight = snapshot(tmp_path), snapshot(finished)
    assert len(resumed) == 6
    assert 2 in calls
    for name, row in resumed.items():
        assert row["errors"] == straight[name]["errors"]


def test_finished_runs_are_not_repeated(finished, data, monkeypatch):
    def fails(*args, **options):
        raise AssertionError("trained again")

    before = snapshot(finished)
    monkeypatch.setattr(scaling.Trainer, "run", fails)
    run(monkeypatch, data, finished)
    assert snapshot(finished) == before


@pytest.mark.parametrize("how", ["gradient", "errors"])
def test_a_rate_that_blows_up_is_left_out_for_its_width(
    data, finished, tmp_path, monkeypatch, how
):
    train, judge = scaling.Trainer.run, scaling.judge
    usual = best_rates(results(finished))
    blown = []

    def fast(spec, rate):
        return (spec.n_channels, spec.n_layers, rate) == (8, 2, usual["et", 8])

    def trains(self, **options):
        if fast(self.config.model, self.schedule.learning_rate):
            if how == "gradient":
                raise FloatingPointError
            blown.append(self.ema)
        return train(self, **options)

    def judges(network, *more):
        found = judge(network, *more)
        if network in blown:
            found["heavy"]["mse"] = 1e6
        return found

    monkeypatch.setattr(scaling.Trainer, "run", trains)
    monkeypatch.setattr(scaling, "judge", judges)
    run(monkeypatch, data, tmp_path)
    rows = results(tmp_path)
    best = best_rates(rows)
    assert best["et", 8] != usual["et", 8]
    assert best["et", 16] == usual["et", 16]
    deep = [r for r in tuned(rows) if r["shape"]["depth"] == 2]
    assert {r["shape"]["width"] for r in deep} == {8, 16}
    assert "blows up" in tables(rows, tmp_path)


def test_tables_and_fits_come_from_the_json_alone(finished, tmp_path, monkeypatch):
    for path in finished.glob("runs/*/result.json"):
        copy = tmp_path / "runs" / path.parent.name
        copy.mkdir(parents=True)
        (copy / "result.json").write_text(path.read_text())
    text = tables(results(tmp_path), tmp_path)
    for row in results(finished):
        if row["atoms"] == 240:
            assert f"{row['parameters']:,}" in text
    monkeypatch.setattr(sys, "argv", ["", "--out", str(tmp_path), "--bootstraps", "4"])
    choices = scaling_fits.choices(results(tmp_path))
    assert [title for title, *_ in choices] == ["parameters"]
    # Four shapes are too few for laws of three parameters, and that is said.
    with pytest.raises(ValueError, match="4 sizes are too few"):
        scaling_fits.main()
