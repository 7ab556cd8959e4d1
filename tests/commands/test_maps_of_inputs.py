"""Maps and agreement of inputs that come in pieces or in very unequal runs."""

from __future__ import annotations

import numpy as np
import pytest

from mdgeomfeat.commands.mapping import (
    NEIGHBOURS,
    Torsion,
    choose_torsions,
    compare_inputs,
)
from mdgeomfeat.projection import knn_r2


@pytest.fixture(scope="module")
def walk():
    """Return 400 frames of a walk whose first column tells an angle."""
    x = np.cumsum(np.random.default_rng(0).normal(size=(400, 4)), axis=0)
    angle = np.arctan2(np.sin(x[:, 0] / 9), np.cos(x[:, 0] / 9))
    return x, Torsion(name="A:ALA1:phi", values=angle)


def compare(walk, cuts, groups=None):
    x, torsion = walk
    return compare_inputs(
        {"walk": np.split(x, cuts)},
        torsions=[torsion],
        distances=(["d"], x[:, 1:2]),
        groups=groups,
        max_points=200,
    )


def test_pieces_of_one_run_are_not_held_out_from_each_other(walk):
    pieces, whole = compare(walk, [250], groups=[3, 3]), compare(walk, [])
    for found in (pieces, whole):
        assert "not independent" in found.split
        assert not found.neighbours_elsewhere
    np.testing.assert_array_equal(pieces.rows[0].torsion_r2, whole.rows[0].torsion_r2)
    np.testing.assert_array_equal(pieces.rows[0].map_r2, whole.rows[0].map_r2)


def test_two_runs_are(walk):
    found = compare(walk, [250])
    assert "tested on the last 1" in found.split
    assert found.neighbours_elsewhere


def test_neighbours_in_a_map_are_of_other_trajectories(walk):
    _, torsion = walk
    found, whole = compare(walk, [130, 260]), compare(walk, [])
    (layout,) = found.maps
    run = np.digitize(layout.frames, [130, 260])
    angles = torsion.values[layout.frames][:, None]
    elsewhere, anywhere = (
        knn_r2(layout.embedding, angles, k=NEIGHBOURS, groups=groups)[0]
        for groups in (run, None)
    )
    assert found.rows[0].map_r2 == pytest.approx([elsewhere])
    assert whole.rows[0].map_r2 == pytest.approx([anywhere], abs=0.05)
    assert anywhere > elsewhere + 0.1


def test_a_target_is_not_scored_on_itself(walk):
    x, torsion = walk
    circle = np.stack([np.sin(torsion.values), np.cos(torsion.values)], axis=1)
    found = compare_inputs(
        {"walk": [x], "dihedrals": [circle], "distances": [x[:, 1:2]]},
        torsions=[torsion],
        distances=(["d"], x[:, 1:2]),
        same_as={"dihedrals": "dihedrals", "distances": "distances"},
        max_points=60,
    )
    rows = {row.name: row for row in found.rows}
    assert rows["dihedrals"].torsion_r2 is None
    assert rows["distances"].distance_r2 is None
    assert rows["walk"].torsion_r2.shape == (1,)
    assert rows["dihedrals"].distance_r2 is not None
    assert rows["walk"].distance_r2 > 0.99


@pytest.mark.parametrize("cut", [3, 394])
def test_a_fragment_beside_a_run_stops_nothing(walk, cut):
    found = compare(walk, [cut])
    assert "not independent" in found.split
    assert not found.neighbours_elsewhere
    assert np.isfinite(found.rows[0].map_r2).all()


def torsions(*columns):
    return [Torsion(name=f"A:ALA{i}:phi", values=c) for i, c in enumerate(columns)]


def named(chosen):
    return [int(t.name[5]) for t in chosen]


def test_angles_that_explain_the_variables_are_chosen():
    """Also where others are spread more widely; the slowest variable counts most."""
    rng = np.random.default_rng(1)
    wide = rng.uniform(-np.pi, np.pi, size=(3, 500))
    slow, second = rng.normal(0, 0.3, size=(2, 500))
    listed = torsions(wide[0], second, wide[1], slow, wide[2])
    cvs = np.stack([np.sin(slow), np.cos(slow) + 3 * second], axis=1)
    assert named(choose_torsions(listed, cvs, n=1)) == [3]
    # in the order of the chain
    assert named(choose_torsions(listed, cvs, n=2)) == [1, 3]
    assert named(choose_torsions(listed, cvs[:, ::-1], n=1)) == [1]


def test_the_slowest_variable_counts_most():
    rng = np.random.default_rng(3)
    first, half, second = rng.normal(0, 0.3, size=(3, 4000))
    listed = torsions(second, half, first)
    # shares of the first variable: 0, 0.37 and 0.63; of the second: 0.6, 0 and 0
    cvs = np.stack([first + 0.77 * half, second + 0.24 * rng.normal(size=4000)], axis=1)
    assert named(choose_torsions(listed, cvs, n=2)) == [1, 2]


def test_without_variables_the_angles_that_move_most_are_chosen():
    rng = np.random.default_rng(2)
    # across the edge at 180 degrees, where a plain spread would be large
    still = np.angle(np.exp(1j * (np.pi + 0.1 * rng.normal(size=500))))
    moving = rng.uniform(-np.pi, np.pi, size=500)
    some = rng.normal(0, 1, size=500)
    assert named(choose_torsions(torsions(still, moving, some), None, n=1)) == [1]
    assert named(choose_torsions(torsions(still, moving, some), None)) == [1, 2]
    # no more than there are
    assert named(choose_torsions(torsions(still, moving), None, n=3)) == [0, 1]
