"""``mdgeomfeat tica --smooth``: variables for biased simulations."""

from __future__ import annotations

from pathlib import Path

import MDAnalysis as mda
import numpy as np
import pytest
from scipy.stats import spearmanr

from mdgeomfeat import GeomGNNFeaturizer, Structure
from mdgeomfeat.bias import propose_ranges
from mdgeomfeat.commands import smooth
from mdgeomfeat.kinetics import ScoreError
from mdgeomfeat.structure import select_atoms
from mdgeomfeat.variables import CollectiveVariables, read_training

PDB = Path(__file__).parents[2] / "data" / "ala2" / "ala2.pdb"
XTC = PDB.with_name("ala2-0.xtc")


@pytest.fixture(scope="module")
def report(run_cli, tmp_path_factory):
    out = tmp_path_factory.mktemp("learnt") / "report"
    done = run_cli(
        "tica", PDB, XTC, "--step", 10, "--lag", 2, "--dim", 1, "--no-maps",
        "--smooth", "--out", out,
    )  # fmt: skip
    assert done.exit_code == 0, done.stderr
    assert "allow for displacements of" in done.stderr + done.stdout
    return out


def test_the_smooth_variable_is_less_steep_in_both_states(report):
    universe = mda.Universe(str(PDB), str(XTC))
    atoms = select_atoms(universe)
    structure = Structure.from_atomgroup(atoms)
    values = np.loadtxt(report / "cvs.csv", delimiter=",", skiprows=1, usecols=4)
    high = np.argsort(values)[-60:]
    usual = np.linspace(0, len(values) - 1, 60).astype(int)
    positions = {"usual": [], "high": []}
    for name, rows in (("usual", usual), ("high", high)):
        for row in rows:
            universe.trajectory[10 * row]
            positions[name].append(atoms.positions.astype(np.float64))
    steepness, found = {}, {}
    for folder in ("model", "smooth"):
        cvs = CollectiveVariables.load(report / folder, structure, dtype="float64")
        there = {n: cvs.differentiate(np.array(p)) for n, p in positions.items()}
        gap = there["high"][0].mean() - np.median(there["usual"][0])
        found[folder] = np.concatenate([there[n][0][:, 0] for n in there])
        steepness[folder] = {
            n: np.sqrt((g**2).sum(axis=(1, 2, 3)).mean()) / gap
            for n, (_, g) in there.items()
        }
    for name in positions:
        assert steepness["smooth"][name] < 0.8 * steepness["model"][name]
    # and it is the same motion
    assert abs(spearmanr(found["model"], found["smooth"]).statistic) > 0.7


def test_a_bias_knows_its_range(report):
    (smooth,) = propose_ranges(read_training(report / "smooth"), [0])
    (plain,) = propose_ranges(read_training(report / "model"), [0])
    assert smooth.grid[0] < smooth.lower < smooth.upper < smooth.grid[1]
    assert smooth != plain


def test_features_are_moved_as_much_in_every_state(run_cli, tmp_path, monkeypatch):
    seen = {}

    def per_state(states, n_states, most):
        seen["states"] = states
        seen["chosen"] = whole(states, n_states, most)
        return seen["chosen"]

    def slopes(data, frames):
        seen["frames"], seen["slopes"] = frames, own(data, frames)
        return seen["slopes"]

    whole, own = smooth._per_state, smooth._slopes
    monkeypatch.setattr(smooth, "_per_state", per_state)
    monkeypatch.setattr(smooth, "_slopes", slopes)
    done = run_cli(
        "tica", PDB, XTC, "--step", 40, "--lag", 1, "--dim", 1, "--no-maps",
        "--smooth", "--out", tmp_path / "report",
    )  # fmt: skip
    assert done.exit_code == 0, done.stderr

    rows, factors = seen["chosen"]
    states = seen["states"][rows]
    shares = [np.sum(factors[states == s] ** 2) for s in np.unique(states)]
    assert len(shares) > 1
    np.testing.assert_allclose(shares, len(rows) / len(shares))

    universe = mda.Universe(str(PDB), str(XTC))
    coordinates = np.array([ts.positions.copy() for ts in universe.trajectory[::40]])
    heavy = select_atoms(universe).ix
    chosen = coordinates[seen["frames"]].astype(np.float64)
    moves = np.zeros_like(chosen)
    moves[:, heavy] = np.random.default_rng(smooth._SEED).normal(
        size=(len(chosen), len(heavy), 3)
    )
    step = 0.008
    there, back = (
        GeomGNNFeaturizer(mda.Universe(str(PDB), (chosen + s * moves)))
        .run()
        .results.features.reshape(len(chosen), -1)
        for s in (step, -step)
    )
    expected = (there - back).astype(np.float64) / (2 * step)
    error = np.linalg.norm(seen["slopes"] - expected) / np.linalg.norm(expected)
    assert error < 0.03


def test_where_nothing_is_slow_the_report_is_written_without_it(
    run_cli, tmp_path, monkeypatch
):
    def nothing(*_, **__):
        raise ScoreError("TICA finds no slow motion.")

    monkeypatch.setattr("mdgeomfeat.kinetics.fit_smooth_tica", nothing)
    out = tmp_path / "report"
    done = run_cli(
        "tica", PDB, XTC, "--step", 40, "--lag", 1, "--dim", 1, "--no-maps",
        "--smooth", "--out", out,
    )  # fmt: skip
    assert done.exit_code == 0, done.stderr
    assert "TICA finds no slow motion." in done.stderr + done.stdout
    assert (out / "report.html").exists()
    assert not (out / "smooth").exists()


def test_the_page_names_the_folder_only_where_there_is_one(report, run_cli, tmp_path):
    assert "variables for biased simulations" in (report / "report.html").read_text()
    done = run_cli(
        "tica", PDB, XTC, "--step", 40, "--lag", 1, "--dim", 1, "--no-maps",
        "--out", tmp_path / "plain",
    )  # fmt: skip
    assert done.exit_code == 0, done.stderr
    assert not (tmp_path / "plain" / "smooth").exists()
    page = (tmp_path / "plain" / "report.html").read_text()
    assert "variables for biased simulations" not in page


def test_surroundings_move_with_the_atoms(run_cli, tmp_path):
    folder = PDB.parents[1] / "aagaa"
    done = run_cli(
        "tica", folder / "aagaa.pdb", folder / "aagaa-0.xtc", "--step", 4, "--lag", 2,
        "--dim", 1, "--no-maps", "--invariants", "spatial", "--smooth",
        "--out", tmp_path / "report",
    )  # fmt: skip
    assert done.exit_code == 0, done.stderr
    universe = mda.Universe(folder / "aagaa.pdb", folder / "aagaa-0.xtc")
    atoms = select_atoms(universe)
    cvs = CollectiveVariables.load(
        tmp_path / "report" / "smooth", Structure.from_atomgroup(atoms)
    )
    assert cvs.surroundings is not None
    values = np.loadtxt(
        tmp_path / "report" / "cvs.csv", delimiter=",", skiprows=1, usecols=4
    )
    assert np.isfinite(values).all()
