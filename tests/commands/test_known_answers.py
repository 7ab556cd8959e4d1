"""Systems that move in a known way, from files to the sentences of the report."""

from __future__ import annotations

import json

import numpy as np
import pytest
from flip import write_flips
from known_motions import (
    bent,
    chain_of_states,
    first_passage_times,
    protein,
    rotamers,
    write_runs,
)

from mdgeomfeat import analyze
from mdgeomfeat.explain import Difference, Kind, StateComparison
from mdgeomfeat.report.wording.differences import told_differences

pytestmark = pytest.mark.slow

#: Frames, and ps between them.
LAG, DT = 5, 10.0


def study(files, out, **options):
    """Return what ``tica`` finds, from its summary."""
    analyze(
        files, out, method="tica", maps=False, lag=LAG, allow_implausible=True,
        allow_unseen=True, **options,
    )  # fmt: skip
    return json.loads((out / "summary.json").read_text())["study"]


def told(found) -> list[str]:
    """Return what is told of the only other state."""
    (one,) = found["states"]["differences"]["compared"]
    differences = [
        Difference(
            **{
                **d,
                "kind": Kind(d["kind"]),
                "tokens": tuple(t - 1 for t in d["tokens"]),
                "before": _plain(d["before"]),
                "after": _plain(d["after"]),
            }
        )
        for d in one["ranked"]
    ]
    return told_differences(
        StateComparison(state=1, checked=True, differences=tuple(differences))
    )


def _plain(value):
    return tuple(value) if isinstance(value, list) else value


def leading(found, method, n=1) -> list[list[str]]:
    """Return the n tokens that matter most for the variables and boundaries."""
    importance = found["importance"]
    rows = np.array(importance[method]["values"], float)[1:]
    return [[importance["tokens"][k] for k in np.argsort(-row)[:n]] for row in rows]


def jumps(leave, back) -> np.ndarray:
    return np.array([[1 - leave, leave], [back, 1 - back]])


def test_one_side_chain_of_fifty_residues(tmp_path):
    files = write_flips(tmp_path, 10, sigma=0.2, n_runs=4, length=400)
    found = study(files, tmp_path / "out", dim=1, states=2)
    label = found["importance"]["tokens"][10]
    for method in ("permutation", "gradient"):
        assert leading(found, method) == [[label]] * 2
    assert min(found["importance"]["agreement"][1:]) > 0.5
    sentences = told(found)
    assert any(f"χ1 of {label} turns" in text for text in sentences)
    assert all(label in text for text in sentences)


def test_a_hinge_between_two_rigid_domains(tmp_path):
    atoms = protein("1lmb", "chainID 4")
    hinge = 24
    structures = [atoms.positions.astype(float), bent(atoms, hinge, 60.0)]
    rng = np.random.default_rng(0)
    runs = [chain_of_states(rng, jumps(0.02, 0.02), 300) for _ in range(4)]
    files = write_runs(tmp_path, atoms, structures, runs, sigma=0.15, seed=1)
    found = study(files, tmp_path / "out", dim=1, states=2)
    tokens = found["importance"]["tokens"]
    sentences = told(found)
    # nothing but phi of the hinge turns, and contacts are between the domains
    assert any(f"φ of {tokens[hinge]} turns" in text for text in sentences)
    (one,) = found["states"]["differences"]["compared"]
    sure = [d for d in one["ranked"] if d["held_out"] > 0.3]
    torsions = {d["name"] for d in sure if d["kind"] == "torsion"}
    assert torsions == {f"{tokens[hinge]}:phi"}
    contacts = [d["tokens"] for d in sure if d["kind"] == "contact"]
    assert contacts
    assert all(min(pair) - 1 <= hinge <= max(pair) - 1 for pair in contacts)
    touching = {tokens[t - 1] for pair in contacts for t in pair}
    near = set(tokens[hinge - 3 : hinge + 4])
    for method in ("permutation", "gradient"):
        for first in leading(found, method, 3):
            assert set(first) <= touching | near


def test_a_ligand_that_leaves(tmp_path):
    atoms = protein("1hvr", "protein or resname XK2")
    ligand = np.flatnonzero(atoms.resnames == "XK2")
    bound = atoms.positions.astype(float)
    rest = np.delete(bound, ligand, axis=0)
    rng = np.random.default_rng(0)
    ways = rng.normal(size=(200, 3))
    ways *= 20 / np.linalg.norm(ways, axis=1, keepdims=True)
    room = [
        np.linalg.norm((bound[ligand] + way)[:, None] - rest, axis=2).min()
        for way in ways
    ]
    free = bound.copy()
    free[ligand] += ways[int(np.argmax(room))]
    runs = [chain_of_states(rng, jumps(0.02, 0.03), 300) for _ in range(4)]
    files = write_runs(tmp_path, atoms, [bound, free], runs, sigma=0.15, seed=1)
    found = study(
        files, tmp_path / "out", dim=1, states=2, select="protein or resname XK2"
    )
    label = next(t for t in found["importance"]["tokens"] if "XK2" in t)
    first, second, *_ = told(found)
    assert first.startswith(f"ligand {label} ")
    assert label in second
    for method in ("permutation", "gradient"):
        assert leading(found, method) == [[label]] * 2
    # bound and unbound are the states
    away = np.concatenate(runs) == 1
    states = [
        int(line.rpartition(",")[2])
        for line in (tmp_path / "out" / "cvs.csv").read_text().splitlines()[1:]
    ]
    same = (np.array(states) == 2) == away
    assert max(same.mean(), 1 - same.mean()) > 0.99


def test_first_passage_times_of_a_chain_with_known_rates(tmp_path):
    """Three rotamers of one side chain, between which a Markov chain jumps."""
    transition = np.array([[0.97, 0.02, 0.01], [0.03, 0.96, 0.01], [0.01, 0.02, 0.97]])
    atoms = protein("2juy", "protein and resid 8:14")  # seven residues of a chain
    rng = np.random.default_rng(0)
    runs = [chain_of_states(rng, transition, 900) for _ in range(4)]
    structures = rotamers(atoms, 3, (0.0, 120.0, 240.0))
    files = write_runs(tmp_path, atoms, structures, runs, sigma=0.12, seed=1)
    found = study(files, tmp_path / "out", states=3)
    rates = found["rates"]
    assert rates["refused"] is None
    hidden = np.concatenate(runs)
    states = [
        int(line.rpartition(",")[2]) - 1
        for line in (tmp_path / "out" / "cvs.csv").read_text().splitlines()[1:]
    ]
    table = np.zeros((3, 3))
    np.add.at(table, (np.array(states), hidden), 1)
    meant = table.argmax(axis=1)
    assert sorted(meant) == [0, 1, 2]
    assert table.max(axis=1).sum() / table.sum() > 0.98
    want = DT * first_passage_times(transition, LAG)[np.ix_(meant, meant)]
    low, high = (
        np.array(rates[f"passage_times_{end}"], float) for end in ("lower", "upper")
    )
    times = np.array(rates["passage_times"], float)
    off = ~np.eye(3, dtype=bool)
    np.testing.assert_allclose(times[off], want[off], rtol=0.35)
    # intervals of 90 %, of six numbers that go together
    inside = (low[off] <= want[off]) & (want[off] <= high[off])
    assert inside.sum() >= 4
