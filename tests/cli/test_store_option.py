"""``--store`` and ``--workers`` of every command, and data that stay on disk."""

from __future__ import annotations

import json

import numpy as np
import pytest

from mdgeomfeat.commands import featurized
from mdgeomfeat.commands.featurized import Featurized
from mdgeomfeat.featurizer import FeatureResults
from mdgeomfeat.store import RowArray

FEW = ["--stop", 1000, "--step", 10]


def numbers(folder):
    return json.loads((folder / "summary.json").read_text())["study"]


@pytest.fixture(scope="module")
def stored(run_cli, gly2, common, tmp_path_factory):
    """Return the folder of a ``tica`` whose store stands beside it."""
    folder = tmp_path_factory.mktemp("stored")
    result = run_cli(
        "tica", *gly2, *common, *FEW, "--store", folder / "f.zarr", "--workers", 2,
        "--out", folder / "first",
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    return folder


def test_the_store_is_not_part_of_the_results(stored):
    assert (stored / "f.zarr" / "zarr.json").is_file()
    assert not (stored / "first" / "features.zarr").exists()
    assert "features.zarr" not in (stored / "first" / "report.html").read_text()
    assert not list(stored.glob(".*"))


def test_another_command_computes_nothing_again(stored, run_cli, gly2, common):
    before = {p: p.stat().st_mtime_ns for p in (stored / "f.zarr").rglob("c.*")}
    result = run_cli(
        "compare", *gly2, *common, *FEW, "--store", stored / "f.zarr",
        "--out", stored / "second",
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    assert "holds these features already" in result.stderr
    assert {p: p.stat().st_mtime_ns for p in (stored / "f.zarr").rglob("c.*")} == before


@pytest.mark.parametrize("dtype", [None, "float16", "float32"])
def test_features_are_there_for_a_study(run_cli, gly2, common, tmp_path, dtype):
    asked = [] if dtype is None else ["--store-dtype", dtype]
    few = ["--stop", 400, "--step", 10, "--store", tmp_path / "f.zarr"]
    result = run_cli("features", *gly2, *common, *few, *asked, "--out", tmp_path / "f")
    assert result.exit_code == 0, result.stderr
    result = run_cli("features", *gly2, *common, *few, "--out", tmp_path / "g")
    assert result.exit_code == 0, result.stderr
    assert "holds these features already" in result.stderr


def test_a_store_of_other_frames_is_refused(stored, run_cli, gly2, common):
    result = run_cli(
        "tica", *gly2, *common, "--store", stored / "f.zarr", "--out", stored / "no",
        "--stop", 500,
    )  # fmt: skip
    assert result.exit_code == 2
    assert "was made with" in result.stderr
    assert not (stored / "no").exists()


@pytest.mark.parametrize("place", ["r/f.zarr", "r"])
def test_a_store_inside_the_results_is_refused(run_cli, gly2, common, tmp_path, place):
    result = run_cli(
        "vamp", *gly2, *common, "--out", tmp_path / "r", "--store", tmp_path / place
    )
    assert result.exit_code == 2
    assert "lies in the folder of results" in result.stderr
    assert not list(tmp_path.iterdir())


def test_features_go_where_they_are_wanted(run_cli, gly2, common, tmp_path):
    command = ["features", *gly2, *common, *FEW, "--store", tmp_path / "a.zarr",
               "--out", tmp_path / "out"]  # fmt: skip
    for _ in range(2):
        assert run_cli(*command).exit_code == 0
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["summary.json"]
    assert (tmp_path / "a.zarr").is_dir()


def test_a_store_elsewhere_does_not_make_other_files_ours(
    run_cli, gly2, common, tmp_path
):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "run.xtc").touch()
    result = run_cli(
        "features", *gly2, *common, *FEW, "--store", tmp_path / "run",
        "--out", tmp_path / "out",
    )  # fmt: skip
    assert result.exit_code == 2
    assert "holds something other than features" in result.stderr
    assert not (tmp_path / "run").exists()


def test_positions_of_all_frames_are_read_once(
    stored, run_cli, gly2, common, tmp_path, monkeypatch
):
    shapes = []
    held = Featurized.held

    def spied(self, rows):
        shapes.append(rows.shape)
        return held(self, rows)

    monkeypatch.setattr(Featurized, "held", spied)
    result = run_cli(
        "tica", *gly2, *common, *FEW, "--store", stored / "f.zarr",
        "--out", tmp_path / "r",
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    n_atoms = FeatureResults.load(stored / "f.zarr").structure.n_atoms
    assert [shape[1:] for shape in shapes].count((n_atoms, 3)) == 1


def test_frames_that_do_not_fit_stay_on_disk(
    stored, run_cli, gly2, common, tmp_path, monkeypatch
):
    kinds = set()
    held = Featurized.held

    def spied(self, rows):
        rows = held(self, rows)
        kinds.add(type(rows))
        return rows

    monkeypatch.setattr(Featurized, "held", spied)
    monkeypatch.setattr(featurized, "available_memory", lambda: 10_000)
    result = run_cli(
        "tica", *gly2, *common, *FEW, "--store", stored / "f.zarr",
        "--out", tmp_path / "r",
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    assert all(issubclass(kind, RowArray) for kind in kinds)
    assert not list(tmp_path.glob(".*"))
    got, want = numbers(tmp_path / "r"), numbers(stored / "first")
    assert got["lag"] == want["lag"]
    for a, b in zip(got["scores"], want["scores"], strict=True):
        assert a["input"] == b["input"]
        np.testing.assert_allclose(a["score"], b["score"], rtol=1e-5)
