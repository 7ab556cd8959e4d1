"""The benchmarks of forces: hot trajectories, split in time, and constant energy."""

import csv
import json
from itertools import pairwise

import numpy as np
import pytest

pytest.importorskip("ase")
pytest.importorskip("rdkit")

from ase import Atoms, units
from ase.calculators.calculator import Calculator, all_changes
from ase.io import read, write

HARTREE = units.Hartree


class Springs(Calculator):
    """Springs between all atoms, as long as they are in the first frame seen."""

    implemented_properties = ("energy", "forces")

    def __init__(self, strength=2.0):
        super().__init__()
        self.strength, self.rest = strength, None

    def calculate(self, atoms=None, properties=None, system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        x = self.atoms.positions
        gap = x[:, None] - x[None]
        length = np.linalg.norm(gap, axis=2) + np.eye(len(x))
        if self.rest is None:
            self.rest = length.copy()
        stretch = length - self.rest
        self.results["energy"] = 0.25 * self.strength * (stretch**2).sum()
        pull = self.strength * (stretch / length)[..., None] * gap
        self.results["forces"] = -pull.sum(axis=1)


# --- QM9


def run_hot(scripts, out, frames, **settings):
    return scripts.hot_molecules.simulate(
        "malonaldehyde", out, frames=frames, spacing=2,
        calculator=settings.pop("calculator", None) or Springs(), **settings,
    )  # fmt: skip


def test_a_hot_run_goes_on_and_stores_energies_and_forces(scripts, tmp_path):
    assert run_hot(scripts, tmp_path, 3) == 3
    path = tmp_path / "malonaldehyde.xyz"
    before = path.read_text()
    with path.open("a") as file:
        file.write("9\nProperties=species:S:1:pos:R:3 energy=0.0\nO 0.0 0.")
    assert run_hot(scripts, tmp_path, 5) == 5
    assert path.read_text().startswith(before)
    frames = read(path, index=":")
    assert len(frames) == 5
    assert run_hot(scripts, tmp_path, 5) == 5
    assert len(read(path, index=":")) == 5
    for frame in frames:
        assert np.isfinite(frame.get_potential_energy())
        assert np.abs(frame.get_forces().sum(axis=0)).max() < 1e-6
        assert len(frame.get_momenta()) == 9
    steps = [np.abs(a.positions - b.positions).max() for a, b in pairwise(frames)]
    assert min(steps) > 1e-4


def test_a_stopped_run_has_the_frames_of_a_whole_one(scripts, tmp_path):
    """To the digits that the file holds: the springs are those of the first frame."""
    springs = Springs()
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    for folder in (whole, halves):
        folder.mkdir()
    run_hot(scripts, whole, 4, calculator=springs)
    run_hot(scripts, halves, 2, calculator=springs)
    run_hot(scripts, halves, 4, calculator=springs)
    one, other = (read(f / "malonaldehyde.xyz", index=":") for f in (whole, halves))
    for a, b in zip(one, other, strict=True):
        np.testing.assert_allclose(a.positions, b.positions, atol=1e-6)
        np.testing.assert_allclose(a.get_forces(), b.get_forces(), atol=1e-5)


def test_a_hot_run_is_hot(scripts, tmp_path):
    run_hot(scripts, tmp_path, 250, temperature=900.0)
    frames = read(tmp_path / "malonaldehyde.xyz", index=":")[50:]
    temperature = np.mean([frame.get_temperature() for frame in frames])
    assert 600 < temperature < 1200


def test_a_molecule_that_comes_apart_ends_the_run(scripts, tmp_path, capsys):
    done = run_hot(scripts, tmp_path, 400, calculator=Springs(-4.0))
    assert done < 400
    assert "came apart" in capsys.readouterr().out
    for frame in read(tmp_path / "malonaldehyde.xyz", index=":"):
        assert scripts.hot_molecules.in_one_piece(frame.positions)


def test_pieces_are_told_apart(scripts):
    chain = np.array([[2.0 * i, 0.0, 0.0] for i in range(4)])
    assert scripts.hot_molecules.in_one_piece(chain)
    chain[2:] += 1.0
    assert not scripts.hot_molecules.in_one_piece(chain)


def test_gfn2_forces_are_the_slope_of_its_energy(scripts):
    # torch 2.6 brings a libgomp that is too old for it, and comes first here
    pytest.importorskip("tblite.library", exc_type=ImportError)
    atoms = scripts.hot_molecules.build("C=O", seed=0)
    atoms.calc = scripts.hot_molecules.gfn2()
    force = atoms.get_forces()[0, 0]
    energies = []
    for shift in (1e-3, -1e-3):
        moved = atoms.copy()
        moved.positions[0, 0] += shift
        moved.calc = scripts.hot_molecules.gfn2()
        energies.append(moved.get_potential_energy())
    assert force == pytest.approx((energies[1] - energies[0]) / 2e-3, abs=2e-3)


@pytest.fixture(scope="module")
def trajectory(scripts, tmp_path_factory):
    """Return a folder with 160 frames of malonaldehyde on springs."""
    folder = tmp_path_factory.mktemp("hot")
    run_hot(scripts, folder, 160, temperature=300.0)
    return folder


def test_forces_of_a_trajectory_are_tested_on_what_comes_later(
    scripts, trajectory, tmp_path, capsys
):
    scripts.forces.main(
        ["--data", str(trajectory), "--out", str(tmp_path), "--cases", "malonaldehyde",
         "--frames", "40", "--steps", "2", "--seeds", "0", "1"]
    )  # fmt: skip
    told = capsys.readouterr().out
    for path in tmp_path.glob("*/metrics.json"):
        found = json.loads(path.read_text())
        assert found["split"] == {
            "method": "time", "train": 40, "validation": 0, "test": 20,
            "left_out": {"gap": 100},
        }  # fmt: skip
        rows = csv.DictReader((path.parent / "predictions.csv").open())
        asked = {int(row["index"]) for row in rows if row["set"] == "test"}
        assert asked == set(range(140, 160))
    assert len(list(tmp_path.glob("*/metrics.json"))) == 4
    assert "| malonaldehyde | test | rmse |" in told


def test_what_a_random_split_hides_can_be_measured(scripts, trajectory, tmp_path):
    scripts.forces.main(
        ["--data", str(trajectory), "--out", str(tmp_path), "--cases", "malonaldehyde",
         "--frames", "40", "--steps", "1", "--seeds", "0", "--starts", "scratch",
         "--random"]
    )  # fmt: skip
    (path,) = tmp_path.glob("malonaldehyde-*-random/metrics.json")
    found = json.loads(path.read_text())["split"]
    assert (found["method"], found["train"], found["test"]) == ("random", 40, 120)


def test_files_in_the_layout_of_xxmd_are_learnt_from(scripts, trajectory, tmp_path):
    """Extended XYZ per molecule and level, frames in the order of time."""
    from typer.testing import CliRunner

    from mdgeomfeat.cli import app

    frames = read(trajectory / "malonaldehyde.xyz", index=":")[:60]
    plain = []
    for frame in frames:
        one = Atoms(numbers=frame.numbers, positions=frame.positions)
        one.info["energy_s0"] = frame.get_potential_energy()
        one.arrays["forces_s0"] = frame.get_forces()
        plain.append(one)
    path = tmp_path / "malonaldehyde-s0.xyz"
    write(path, plain, format="extxyz")
    out = tmp_path / "run"
    words = [
        *("finetune", str(path), "--kind", "conservative", "--unit", "eV"),
        *("--target", "energy_s0", "--forces", "forces_s0"),
        *("--split", "time", "--train", "0.5", "--validation", "0.2", "--gap", "5"),
        *("--steps", "1", "--out", str(out)),
    ]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    found = json.loads((out / "metrics.json").read_text())
    # A file that is a part already is taken whole, but for what must be tested on.
    early, late = tmp_path / "early.xyz", tmp_path / "late.xyz"
    write(early, plain[:50], format="extxyz")
    write(late, plain[50:], format="extxyz")
    words[1] = str(early)
    words[words.index("0.5")], words[words.index("5")] = "0.98", "0"
    words[words.index("0.2")] = "0"
    words[-1] = str(tmp_path / "parts")
    result = CliRunner().invoke(app, [*words, "--tests", str(late)])
    assert result.exit_code == 0, result.output
    parts = json.loads((tmp_path / "parts/metrics.json").read_text())
    assert (parts["split"]["train"], parts["sets"]["late"]["n"]) == (49, 10)
    assert found["split"]["method"] == "time"
    assert (found["split"]["train"], found["split"]["validation"]) == (30, 12)
    assert found["split"]["left_out"] == {"gap": 10}
    assert set(found["sets"]["test"]) == {"n", "energy_s0", "forces"}


def test_forces_that_do_work_heat_and_others_do_not(scripts):
    """Springs keep their energy; springs with a push along the velocity do not."""

    class Pushed(Springs):
        def calculate(self, atoms=None, properties=None, system_changes=all_changes):
            super().calculate(atoms, properties, system_changes)
            self.results["forces"] += 0.02 * self.atoms.get_momenta()
            del self.results["energy"]

    atoms = scripts.hot_molecules.build("O=C/C=C\\O", seed=0)

    def moved(forces):
        judge = Springs()
        for one in (forces, judge):
            copy = atoms.copy()
            copy.calc = one
            copy.get_forces()
        return scripts.constant_energy.at_constant_energy(
            atoms, forces, judge, steps=400
        )

    kept, heated = moved(Springs()), moved(Pushed())
    assert abs(kept["judged_drift"]) < 1.0
    assert kept["own_drift"] == pytest.approx(kept["judged_drift"], abs=1e-6)
    assert heated["judged_drift"] > 30.0
    assert "own_drift" not in heated
    assert heated["last_temperature"] > 1.3 * heated["first_temperature"]
