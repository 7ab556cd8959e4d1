"""Molecules torn by the box are put together, and nothing else is touched."""

from __future__ import annotations

import numpy as np
import pytest
from MDAnalysis.lib.mdamath import triclinic_vectors
from systems import entry, solvated, wrap

from mdgeomfeat.boxes import lattice_vectors
from mdgeomfeat.errors import InputError
from mdgeomfeat.structure import Structure, make_whole
from mdgeomfeat.structure.selection import select_atoms
from mdgeomfeat.testing import random_rotation

pytestmark = [
    pytest.mark.filterwarnings("ignore::UserWarning:MDAnalysis"),
    pytest.mark.filterwarnings("ignore::mdgeomfeat.errors.MDGeomFeatWarning"),
]

BOXES = {
    "cube": [40, 40, 40, 90, 90, 90],
    "orthorhombic": [30, 45, 60, 90, 90, 90],
    "hexagonal": [40, 40, 50, 90, 90, 120],
    "dodecahedron": [50, 50, 50, 60, 60, 90],
    "octahedron": [45, 45, 45, 109.4712, 109.4712, 109.4712],
    "skewed": [30, 70, 90, 50, 55, 40],
}


def frames(ag, stop=None):
    read = [(ag.positions, ts.dimensions) for ts in ag.universe.trajectory[:stop]]
    return np.array([p for p, _ in read]), np.array([b for _, b in read])


def peptide(bonds):
    u = entry("2juy")
    u.del_TopologyAttr("bonds")
    if bonds:
        u.atoms.guess_bonds()
    return u, Structure.from_atomgroup(select_atoms(u))


def test_solvated_protein_is_put_together():
    ag = select_atoms(solvated())
    s = Structure.from_atomgroup(ag)
    positions, boxes = frames(ag)

    def longest(x):
        vectors = x[:, s.bonds[:, 0]] - x[:, s.bonds[:, 1]]
        return np.linalg.norm(vectors, axis=2).max(axis=1)

    assert (longest(positions) > 30).all()
    whole = make_whole(s, positions, boxes)
    assert (longest(whole) < 3).all()
    assert whole.dtype == positions.dtype
    # Every atom is where it was, up to whole lattice vectors.
    for x, y, box in zip(positions, whole, boxes, strict=True):
        steps = (y - x).astype(float) @ np.linalg.inv(triclinic_vectors(box))
        np.testing.assert_allclose(steps, np.round(steps), atol=1e-5)
    # The first atom stays.
    np.testing.assert_array_equal(whole[:, 0], positions[:, 0])


def test_without_bonds_the_result_is_the_same():
    u = solvated()
    ag = select_atoms(u)
    positions, boxes = frames(ag)
    by_bonds = make_whole(Structure.from_atomgroup(ag), positions, boxes)
    u.del_TopologyAttr("bonds")
    by_images = make_whole(Structure.from_atomgroup(ag), positions, boxes)
    np.testing.assert_array_equal(by_images, by_bonds)


@pytest.mark.parametrize("bonds", [True, False])
@pytest.mark.parametrize("box", BOXES.values(), ids=BOXES.keys())
def test_any_box_and_any_cut(box, bonds):
    u, s = peptide(bonds)
    x = u.atoms[s.indices].positions.astype(float)
    rng = np.random.default_rng(7)
    shifts = rng.uniform(-100, 100, size=(20, 1, 3))
    wrapped = np.array([wrap(x + d, box) for d in shifts])
    whole = make_whole(s, wrapped, np.tile(box, (20, 1)).astype(float))
    first = whole[:, :1] - x[:1]
    np.testing.assert_allclose(whole - first, np.tile(x, (20, 1, 1)), atol=1e-3)


def test_what_is_whole_is_returned_bit_by_bit():
    u, s = peptide(bonds=False)
    positions, _ = frames(u.atoms[s.indices])
    boxes = np.tile(np.float32(BOXES["cube"]), (len(positions), 1))
    for dtype in (np.float32, np.float64):
        x = positions.astype(dtype)
        whole = make_whole(s, x, boxes)
        assert whole.dtype == dtype
        np.testing.assert_array_equal(whole, x)
        assert not np.shares_memory(whole, x)
    # Also far outside the box, and without one.
    far = positions + np.float32(1000.0)
    np.testing.assert_array_equal(make_whole(s, far, boxes), far)
    np.testing.assert_array_equal(make_whole(s, positions, None), positions)
    np.testing.assert_array_equal(make_whole(s, positions, 0 * boxes), positions)


def test_a_detour_through_an_image_leaves_no_trace():
    # A ring of atoms where the tree crosses the boundary and comes back.
    s = Structure.from_arrays([6] * 4, [0, 0, 0, 0], bonds=[[0, 1], [1, 2], [2, 3]])
    x = np.array([[[0.1, 5, 5], [9.9, 5, 5], [0.3, 5, 5], [1.5, 5, 5]]])
    whole = make_whole(s, x, np.array([[10.0, 10, 10, 90, 90, 90]]))
    np.testing.assert_allclose(whole[0, 1], [-0.1, 5, 5])
    np.testing.assert_array_equal(whole[0, [0, 2, 3]], x[0, [0, 2, 3]])


def test_molecules_that_drifted_apart_come_together():
    u = entry("1hvr")
    s = Structure.from_atomgroup(select_atoms(u))
    x = u.atoms[s.indices].positions[None]
    second = s.chain[s.token_of_atom] == 1
    box = np.array([[200.0, 200, 200, 90, 90, 90]], dtype=np.float32)
    apart = x.copy()
    apart[:, second] += 200
    whole = make_whole(s, apart, box)
    np.testing.assert_allclose(whole, x, atol=1e-4)
    np.testing.assert_array_equal(whole[:, ~second], x[:, ~second])
    np.testing.assert_array_equal(make_whole(s, x, box), x)


@pytest.mark.parametrize("box", BOXES.values(), ids=BOXES.keys())
def test_a_complex_is_the_same_however_it_was_wrapped(box):
    # Two chains and their inhibitor, turned and moved through boxes with room for it.
    u = entry("1hvr")
    s = Structure.from_atomgroup(select_atoms(u, "group default or resname XK2"))
    assert (s.parent < 0).sum() == 3
    x = u.atoms[s.indices].positions.astype(float)
    box = np.array(box, dtype=float) * [4, 4, 4, 1, 1, 1]
    rng = np.random.default_rng(8)
    frames = np.array(
        [x @ random_rotation(i).T + rng.uniform(-200, 200, 3) for i in range(12)]
    )
    moves = rng.integers(-2, 3, (12, 3, 3)) @ lattice_vectors(box)
    boxes = np.tile(box, (12, 1))
    atomwise = np.array([wrap(frame, box) for frame in frames])
    for wrapped in (frames, frames + moves[:, s.component], atomwise):
        whole = make_whole(s, wrapped, boxes)
        expected = frames - frames[:, :1] + wrapped[:, :1]
        np.testing.assert_allclose(whole, expected, atol=1e-3)
        backwards = make_whole(s, wrapped[::-1], boxes)[::-1]
        np.testing.assert_array_equal(whole, backwards)
        np.testing.assert_array_equal(
            make_whole(s, wrapped[3:4], boxes[:1]), whole[3:4]
        )


def test_a_chain_with_a_gap_stays_together():
    u = entry("1t2y")
    s = Structure.from_atomgroup(select_atoms(u, "not resid 12 and not element H"))
    assert (s.parent < 0).sum() == 2
    x = u.atoms[s.indices].positions.astype(float)
    rng = np.random.default_rng(9)
    box = [50, 50, 50, 90, 90, 90]
    wrapped = np.array([wrap(x + d, box) for d in rng.uniform(0, 50, (40, 1, 3))])
    whole = make_whole(s, wrapped, np.tile(box, (40, 1)))
    np.testing.assert_allclose(
        whole - whole[:, :1], np.tile(x - x[0], (40, 1, 1)), atol=1e-3
    )


@pytest.mark.parametrize("box", BOXES.values(), ids=BOXES.keys())
def test_places_of_parts_against_all_images(box):
    # Long parts of 40 atoms, so that they have several blocks, in boxes much too small.
    n, size = 5, 40
    token = np.repeat(np.arange(n), size)
    bonds = [[i, i + 1] for i in range(n * size - 1) if token[i] == token[i + 1]]
    s = Structure.from_arrays([6] * n * size, token, chain=range(n), bonds=bonds)
    vectors = lattice_vectors(np.array(box, dtype=float))
    images = np.stack(np.meshgrid(*[np.arange(-4, 5)] * 3), axis=-1).reshape(-1, 3)
    rng = np.random.default_rng(10)
    x = np.cumsum(rng.normal(size=(n, size, 3)) / 2, axis=1)
    x += rng.uniform(-60, 60, (n, 1, 3))
    placed, waiting = x[:1].copy(), list(x[1:])
    expected = {0: x[0]}
    left = list(range(1, n))
    while left:
        best = (np.inf, 0, np.zeros(3))
        for number, part in zip(left, waiting, strict=True):
            apart = part[:, None, None] - placed.reshape(-1, 3)[:, None]
            steps = -np.round(apart @ np.linalg.inv(vectors)) @ vectors
            near = np.linalg.norm(apart + steps + (images @ vectors), axis=-1)
            a, b, k = np.unravel_index(np.argmin(near), near.shape)
            found = near[a, b, k]
            if found < best[0]:
                best = (found, number, steps[a, b, 0] + images[k] @ vectors)
        _, number, move = best
        place = left.index(number)
        left.pop(place)
        expected[number] = waiting.pop(place) + move
        placed = np.concatenate([placed, expected[number][None]])
    whole = make_whole(s, x.reshape(1, -1, 3), np.array([box], dtype=float))
    expected = np.concatenate([expected[i] for i in range(n)])
    np.testing.assert_allclose(whole[0], expected, atol=1e-9)


def test_calpha_model_holds_together():
    u = solvated()
    for bonds in (True, False):
        if not bonds:
            u.del_TopologyAttr("bonds")
        ag = select_atoms(u, "name CA")
        s = Structure.from_atomgroup(ag)
        assert (s.chain == 0).all()
        whole = make_whole(s, *frames(ag))
        steps = np.linalg.norm(np.diff(whole, axis=1), axis=2)
        assert steps.max() < 4.1


def test_selection_with_holes_holds_together():
    # N and O of a residue are joined through atoms that are not selected.
    ag = select_atoms(solvated(), "name N O")
    s = Structure.from_atomgroup(ag)
    assert (s.parent < 0).sum() == 1
    whole = make_whole(s, *frames(ag))
    hung = np.flatnonzero(s.parent >= 0)
    steps = np.linalg.norm(whole[:, hung] - whole[:, s.parent[hung]], axis=2)
    assert steps.max() < 5


def test_shapes_are_checked():
    _, s = peptide(bonds=False)
    with pytest.raises(InputError, match=r"needs \(frames, 210, 3\)"):
        make_whole(s, np.zeros((2, 5, 3)), None)
    with pytest.raises(InputError, match="3 boxes for 2 frames"):
        make_whole(s, np.zeros((2, 210, 3)), np.ones((3, 6)) * 90)
