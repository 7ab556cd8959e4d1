"""Distances and superposed positions: choice, values, symmetry, bad input."""

from __future__ import annotations

import warnings

import MDAnalysis as mda
import numpy as np
import pytest
from MDAnalysis.analysis import align
from MDAnalysis.lib.distances import distance_array
from MDAnalysis.lib.mdamath import triclinic_vectors
from scipy.spatial.transform import Rotation

from mdgeomfeat.descriptors import (
    KINDS,
    applicable,
    compute_descriptors,
    descriptor_width,
    superpose,
)
from mdgeomfeat.errors import InputError, MDGeomFeatWarning
from mdgeomfeat.structure import Structure

BOXES = [
    [31.0, 29.0, 30.0, 90.0, 90.0, 90.0],
    [31.0, 31.0, 31.0, 60.0, 60.0, 90.0],
    [30.0, 30.0, 30.0, 109.4712, 109.4712, 109.4712],
    [30.0, 33.0, 35.0, 80.0, 95.0, 103.0],
]


def gly2(data, n_frames=12):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        universe = mda.Universe(
            str(data / "gly2/gly2.pdb"), str(data / "gly2/gly2-0.xtc")
        )
        atoms = universe.select_atoms("not name H*")
        structure = Structure.from_atomgroup(atoms)
        x = np.array([atoms.positions.copy() for _ in universe.trajectory[:n_frames]])
    return structure, x


def peptide(n=20, n_chains=1, seed=0):
    """A made-up chain of n residues of five atoms, as (structure, 3 frames)."""
    rng = np.random.default_rng(seed)
    numbers = np.tile([7, 6, 6, 6, 8], n)
    names = ["N", "CA", "C", "CB", "O"] * n
    centres = np.cumsum(rng.normal(size=(3, n, 3)), axis=1) * 2.5
    residue = [[0, 0, 0], [1.5, 0, 0], [2, 1.4, 0], [2, -0.7, 1.2], [1.5, 2.5, 0.5]]
    x = np.repeat(centres, 5, axis=1) + np.tile(residue, (n, 1))
    x += 0.1 * rng.normal(size=x.shape)
    chain = np.arange(n) * n_chains // n
    structure = Structure.from_arrays(
        numbers, np.repeat(np.arange(n), 5), names=names, chain=chain
    )
    return structure, x.astype(np.float32)


def test_small_system_all_pairs_against_mdanalysis(data):
    structure, x = gly2(data)
    table = compute_descriptors("distances", structure, x)
    i, j = np.triu_indices(structure.n_atoms, 1)
    assert table.values.shape == (12, len(i))
    for row, frame in zip(table.values, x, strict=True):
        np.testing.assert_allclose(row, distance_array(frame, frame)[i, j], rtol=1e-5)
    first, second = table.names[5].removesuffix(":d").split("-")
    assert first.endswith(f":{structure.names[i[5]]}")
    assert second.endswith(f":{structure.names[j[5]]}")


@pytest.mark.parametrize("box", [None, *BOXES])
def test_closest_distances_against_a_full_table(box):
    structure, x = peptide(n_chains=2)
    box = None if box is None else np.array(box)
    table = compute_descriptors("distances", structure, x, box)
    assert "at least 3 apart" in table.note
    i, j = np.triu_indices(20, 1)
    keep = (j - i >= 3) | ((i < 10) & (j >= 10))
    i, j = i[keep], j[keep]
    assert table.names == [
        f"TOK{a + 1}-TOK{b + 1}:min" for a, b in zip(i, j, strict=True)
    ]
    moved = False
    across = (np.arange(20)[:, None] < 10) != (np.arange(20) < 10)
    for row, frame in zip(table.values, x, strict=True):
        full = distance_array(frame, frame, box=box).reshape(20, 5, 20, 5)
        plain = distance_array(frame, frame).reshape(20, 5, 20, 5)
        full, plain = full.min(axis=(1, 3)), plain.min(axis=(1, 3))
        expected = np.where(across, full, plain)
        np.testing.assert_allclose(row, expected[i, j], atol=3e-5)
        moved |= not np.allclose(expected, plain)
    assert moved == (box is not None)


@pytest.mark.parametrize("kind", ["distances", "ca_distances"])
@pytest.mark.parametrize("box", BOXES)
def test_a_molecule_is_not_measured_to_its_own_images(kind, box):
    # Stretched to more than half the box, whole or torn.
    structure, x = peptide()
    x[:] *= 24 / np.ptp(x, axis=1).max()
    rng = np.random.default_rng(4)
    torn = x + rng.integers(-1, 2, size=x.shape) @ triclinic_vectors(box)
    expected = compute_descriptors(kind, structure, x).values
    assert expected.max() > min(box[:3]) / 2
    for frames in (x, torn):
        found = compute_descriptors(kind, structure, frames, np.array(box))
        np.testing.assert_allclose(found.values, expected, atol=5e-5)


def test_free_molecules_are_measured_to_the_nearest_image():
    # One of two diffuses across the box: their distance rises and falls, no jumps.
    structure = Structure.from_arrays([6, 6, 6, 6], [0, 0, 1, 1], chain=[0, 1])
    x = np.zeros((61, 4, 3))
    x[:, [1, 3], 2] = 1.5
    x[:, 2:, 0] = np.linspace(3, 27, 61)[:, None]
    box = np.array([30.0, 30, 30, 90, 90, 90])
    values = compute_descriptors("distances", structure, x, box).values
    assert values.max() < 15.1
    assert np.abs(np.diff(values, axis=0)).max() < 0.41


@pytest.mark.parametrize("kind", ["distances", "ca_distances"])
@pytest.mark.parametrize("box", BOXES)
def test_lattice_shifts_of_single_atoms_change_no_distance(kind, box):
    structure, x = peptide()
    rng = np.random.default_rng(1)
    shifts = rng.integers(-1, 2, size=(structure.n_atoms, 3)) @ triclinic_vectors(box)
    one = compute_descriptors(kind, structure, x, np.array(box))
    other = compute_descriptors(kind, structure, x + shifts, np.tile(box, (3, 1)))
    np.testing.assert_allclose(other.values, one.values, atol=5e-5)


@pytest.mark.parametrize("kind", ["distances", "ca_distances", "positions"])
def test_rotation_and_translation_do_not_matter(kind):
    structure, x = peptide()
    turned = x @ Rotation.random(rng=2).as_matrix().T + [10.0, -20.0, 30.0]
    one = compute_descriptors(kind, structure, x)
    reference = x[0] if kind == "positions" else None
    other = compute_descriptors(kind, structure, turned, reference=reference)
    np.testing.assert_allclose(other.values, one.values, atol=2e-4)
    assert one.values.dtype == np.float32


def test_far_from_the_origin_float64_loses_nothing():
    structure, x = peptide()
    x = x.astype(np.float64)
    for kind in ("distances", "ca_distances", "positions"):
        one = compute_descriptors(kind, structure, x)
        other = compute_descriptors(kind, structure, x + 5e4, reference=x[0])
        np.testing.assert_allclose(other.values, one.values, atol=1e-5)


def test_mirror_images_have_the_same_distances_but_other_positions(data):
    structure, x = gly2(data)
    mirror = x * np.array([1, 1, -1])
    one = compute_descriptors("distances", structure, x)
    other = compute_descriptors("distances", structure, mirror)
    np.testing.assert_allclose(one.values, other.values, atol=1e-5)
    one = compute_descriptors("positions", structure, x)
    other = compute_descriptors("positions", structure, mirror, reference=x[0])
    assert np.abs(one.values - other.values).max() > 0.5


def test_chains_count_their_own_separations():
    structure, x = peptide(20, n_chains=2)
    table = compute_descriptors("ca_distances", structure, x)
    assert "TOK10-TOK11:CA" in table.names
    assert "TOK9-TOK10:CA" not in table.names
    assert "TOK1-TOK3:CA" in table.names
    assert len(table.names) == 100 + 2 * (10 * 9 // 2 - 9)
    column = table.names.index("TOK10-TOK11:CA")
    expected = np.linalg.norm(x[:, 46] - x[:, 51], axis=1)
    np.testing.assert_allclose(table.values[:, column], expected, rtol=1e-5)


def test_short_chains_use_nearer_tokens():
    structure, x = peptide(12)
    assert "at least 3" in compute_descriptors("distances", structure, x).note
    numbers, token = np.full(60, 6), np.repeat(np.arange(4), 15)
    few = Structure.from_arrays(numbers, token)
    table = compute_descriptors("distances", few, x[:, :60])
    assert "at least 1" in table.note
    assert len(table.names) == 6


def test_hydrogens_are_left_out():
    numbers = np.array([6, 1, 8, 1])
    structure = Structure.from_arrays(numbers, np.array([0, 0, 1, 1]))
    x = np.arange(12.0).reshape(1, 4, 3)
    assert compute_descriptors("distances", structure, x).values.shape == (1, 1)
    assert compute_descriptors("positions", structure, x).values.shape == (1, 6)


@pytest.mark.parametrize("kind", ["distances", "ca_distances"])
def test_a_limit_on_pairs_thins_evenly_and_says_so(kind):
    structure, x = peptide()
    with pytest.warns(MDGeomFeatWarning, match="of 20 .*, evenly spaced"):
        table = compute_descriptors(kind, structure, x, max_pairs=45)
    assert len(table.names) <= 45
    assert "10 of 20" in table.note
    assert table.names[-1].split("-")[1].startswith("TOK20:")
    full = compute_descriptors(kind, structure, x)
    for name, column in zip(table.names, table.values.T, strict=True):
        np.testing.assert_array_equal(column, full.values[:, full.names.index(name)])


def test_positions_against_mdanalysis_align(data):
    structure, x = gly2(data)
    table = compute_descriptors("positions", structure, x)
    reference = x[0] - x[0].mean(axis=0)
    for row, frame in zip(table.values, x, strict=True):
        mobile = frame - frame.mean(axis=0)
        matrix, _ = align.rotation_matrix(mobile, reference)
        expected = mobile @ np.asarray(matrix).T
        np.testing.assert_allclose(row.reshape(-1, 3), expected, atol=1e-4)
    assert table.names[:3] == [f"{table.names[0][:-2]}:{axis}" for axis in "xyz"]


@pytest.mark.parametrize("shape", ["point", "line", "plane", "mirror"])
def test_superposition_is_proper_for_flat_and_mirrored_molecules(shape):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(5, 3))
    x *= {"point": [0, 0, 0], "line": [1, 0, 0], "plane": [1, 1, 0]}.get(shape, 1)
    turned = x @ Rotation.random(rng=1).as_matrix().T + 3.0
    moving = -turned if shape == "mirror" else turned
    found = superpose(moving[None], x)[0]
    centred = x - x.mean(axis=0)
    if shape == "mirror":
        best, _ = Rotation.align_vectors(centred, moving - moving.mean(axis=0))
        expected = best.apply(moving - moving.mean(axis=0))
        np.testing.assert_allclose(found, expected, atol=1e-6)
        assert np.abs(found - centred).max() > 0.1
    else:
        np.testing.assert_allclose(found, centred, atol=1e-10)


def test_superposition_weights_follow_the_heavy_part():
    rng = np.random.default_rng(3)
    x = rng.normal(size=(6, 3))
    other = x.copy()
    other[3:] += rng.normal(size=(3, 3))
    weights = np.array([1.0, 1, 1, 0, 0, 0])
    found = superpose(other[None], x, weights)[0]
    np.testing.assert_allclose(found[:3], x[:3] - x[:3].mean(axis=0), atol=1e-10)


def test_widths_names_and_values_agree(data):
    for structure, x in (gly2(data), peptide()):
        assert applicable(structure) == [k for k in KINDS if k in applicable(structure)]
        for kind in applicable(structure):
            table = compute_descriptors(kind, structure, x)
            assert table.values.shape == (len(x), len(table.names))
            assert len(set(table.names)) == len(table.names)
            assert descriptor_width(kind, structure) == len(table.names)
            assert np.isfinite(table.values).all()
            empty = compute_descriptors(kind, structure, x[:0], reference=x[0])
            assert empty.values.shape == (0, len(table.names))


def test_large_proteins_are_their_alpha_carbons():
    structure, x = peptide(120)
    table = compute_descriptors("positions", structure, x)
    assert table.values.shape == (3, 360)
    assert table.note.startswith("alpha carbons")


@pytest.mark.parametrize(
    ("kind", "match"),
    [
        ("rmsd", "'rmsd' is unknown; choose one of distances, dihedrals"),
        ("ca_distances", "needs at least two alpha carbons"),
        ("dihedrals", "no named backbone or side-chain torsion"),
    ],
)
def test_kinds_that_do_not_apply(kind, match):
    structure = Structure.from_arrays(np.array([8, 6, 20]), names=["O", "C", "CA"])
    assert applicable(structure) == ["distances", "positions"]
    with pytest.raises(InputError, match=match):
        compute_descriptors(kind, structure, np.zeros((2, 3, 3)))
    with pytest.raises(InputError, match=match):
        descriptor_width(kind, structure)


def test_arrays_that_do_not_fit():
    structure, x = peptide()
    with pytest.raises(InputError, match=r"asks for \(frames, 100, 3\)"):
        compute_descriptors("distances", structure, x[:, :50])
    with pytest.raises(InputError, match=r"3 frames ask for \(3, 6\)"):
        compute_descriptors("distances", structure, x, np.ones((2, 6)))
    with pytest.raises(InputError, match="no frame to superpose on"):
        compute_descriptors("positions", structure, x[:0])
    with pytest.raises(InputError, match="the same atoms for both"):
        superpose(x, x[0, :4])
