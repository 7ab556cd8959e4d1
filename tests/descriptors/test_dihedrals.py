"""Torsions: found by name, equal to those of other programs, right under symmetry."""

from __future__ import annotations

import warnings
from pathlib import Path

import MDAnalysis as mda
import mdtraj
import numpy as np
import pytest
from MDAnalysis.analysis import nuclinfo
from MDAnalysis.analysis.dihedrals import Dihedral
from scipy.spatial.transform import Rotation
from systems import COORDINATES, make

from mdgeomfeat.descriptors import angles, applicable, compute_descriptors
from mdgeomfeat.descriptors.plan import measure_torsions
from mdgeomfeat.descriptors.torsions import find_torsions
from mdgeomfeat.errors import InputError
from mdgeomfeat.structure import Structure

DATA = Path(__file__).parents[2] / "data"


def read(*files, select="protein or resname ACE NME", stop=20):
    """Return structure, positions and boxes of a selection's heavy atoms."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        universe = mda.Universe(*map(str, files))
        universe.guess_TopologyAttrs(force_guess=["elements"])
        atoms = universe.select_atoms(f"({select}) and not name H* 1H* 2H* 3H*")
        structure = Structure.from_atomgroup(atoms)
        positions, boxes = [], []
        for ts in universe.trajectory[:stop]:
            positions.append(atoms.positions.copy())
            boxes.append(np.zeros(6) if ts.dimensions is None else ts.dimensions)
    return structure, np.array(positions), np.array(boxes), atoms


def same_angle(a, b, tolerance=2e-3):
    difference = np.angle(np.exp(1j * (np.asarray(a) - np.asarray(b))))
    np.testing.assert_allclose(difference, 0, atol=tolerance)


def columns(table, ending):
    return table.values[:, [n.endswith(ending) for n in table.names]]


def test_glycine_dipeptide_against_mdanalysis(data):
    structure, x, _, atoms = read(data / "gly2/gly2.pdb", data / "gly2/gly2-0.xtc")
    table = angles(structure, x)
    gly = atoms.select_atoms("resname GLY").residues[0]
    quadruples = [gly.phi_selection(), gly.psi_selection()]
    found = Dihedral(quadruples).run(stop=20).results.angles
    assert [n.split(":")[-1] for n in table.names] == ["phi", "psi"]
    same_angle(table.values, np.deg2rad(found))
    values = compute_descriptors("dihedrals", structure, x)
    assert values.names == [f"{n}:{f}" for n in table.names for f in ("sin", "cos")]
    np.testing.assert_allclose(values.values[:, 0], np.sin(table.values[:, 0]), 1e-4)
    np.testing.assert_allclose(values.values[:, 3], np.cos(table.values[:, 1]), 1e-4)


@pytest.mark.parametrize(
    "files",
    [
        (DATA / "aagaa/aagaa.pdb", DATA / "aagaa/aagaa-0.xtc"),
        (DATA / "wlall/wlall.pdb", DATA / "wlall/wlall-0.xtc"),
        (COORDINATES / "1lmb.pdb",),
        (COORDINATES / "1t2y.pdb",),
    ],
    ids=lambda files: files[0].stem,
)
def test_proteins_against_mdtraj(files):
    structure, x, _, _ = read(*files)
    if len(files) == 1:
        theirs = mdtraj.load(str(files[0]))
    else:
        theirs = mdtraj.load(str(files[1]), top=str(files[0]))[:20]
    table = angles(structure, x, side_chains=True)
    calls = {
        "phi": mdtraj.compute_phi,
        "psi": mdtraj.compute_psi,
        **{f"chi{i}": getattr(mdtraj, f"compute_chi{i}") for i in range(1, 6)},
    }
    total = 0
    for kind, compute in calls.items():
        quadruples, expected = compute(theirs, periodic=False)
        residues = theirs.topology.select("protein or resname ACE NME")
        keep = np.isin(quadruples, residues).all(axis=1)
        found = columns(table, f":{kind}")
        assert found.shape[1] == keep.sum(), kind
        if keep.any():
            same_angle(np.sort(found), np.sort(expected[:, keep]), 5e-3)
        total += int(keep.sum())
    assert total == len(table.names)
    assert len(set(table.names)) == len(table.names)


def test_nucleic_acids_against_mdanalysis():
    file = COORDINATES / "nucleic.pdb"
    structure, x, _, _ = read(file, select="nucleic")
    table = angles(structure, x, side_chains=True)
    universe = mda.Universe(str(file))
    row = dict(zip(table.names, table.values[0], strict=True))
    residue = universe.residues[5]
    label = structure.token_labels()[5]
    calls = {
        "alpha": nuclinfo.tors_alpha,
        "beta": nuclinfo.tors_beta,
        "gamma": nuclinfo.tors_gamma,
        "delta": nuclinfo.tors_delta,
        "epsilon": nuclinfo.tors_eps,
        "zeta": nuclinfo.tors_zeta,
    }
    segid = residue.segment.segid
    for kind, compute in calls.items():
        expected = compute(universe, seg=segid, i=int(residue.resid))
        same_angle(row[f"{label}:{kind}"], np.deg2rad(expected))
    # Both strands start without a phosphate and end without a successor.
    n = {k: len([1 for name in row if name.endswith(f":{k}")]) for k in calls}
    assert n == {
        "alpha": 6,
        "beta": 6,
        "gamma": 8,
        "delta": 8,
        "epsilon": 6,
        "zeta": 6,
    }
    assert sum(name.endswith(":chi") for name in row) == 8


def test_caps_lend_atoms_and_have_no_torsions():
    residues = [
        ("ACE", "CH3 C O", "C C O"),
        ("TPO", "N CA C O CB OG1 CG2 P", "N C C O C O C P"),
        ("NME", "N C", "N C"),
    ]
    capped = make(residues)
    bonds = [(0, 1), (1, 2), (1, 3), (3, 4), (4, 5), (5, 6), (4, 7), (7, 8), (7, 9)]
    capped.add_TopologyAttr("bonds", [*bonds, (8, 10), (5, 11), (11, 12)])
    structure = Structure.from_atomgroup(capped.atoms)
    names = find_torsions(structure).names
    assert [n.split(":")[-1] for n in names] == ["phi", "psi", "chi1"]
    assert all("TPO2" in n for n in names)


def test_torsions_do_not_cross_a_chain_break():
    structure, x, _, _ = read(
        COORDINATES / "2juy.pdb", select="protein and not resid 20"
    )
    names = set(find_torsions(structure, x[0]).names)
    label = {
        t["resid"]: n
        for t, n in zip(structure.tokens, structure.token_labels(), strict=True)
    }
    assert f"{label[19]}:phi" in names
    assert f"{label[19]}:psi" not in names
    assert f"{label[21]}:phi" not in names
    assert f"{label[21]}:psi" in names


def test_beta_residues_run_through_cb():
    # Two β-alanines in a zigzag chain of single bonds.
    names = ["N", "CB", "CA", "C"] * 2
    structure = Structure.from_arrays(
        np.array([7, 6, 6, 6] * 2), np.repeat([0, 1], 4), names=names
    )
    x = np.stack([1.3 * np.arange(8), 0.75 * (np.arange(8) % 2), np.zeros(8)], axis=1)
    x[:, 2] = 0.1 * np.arange(8) ** 2
    found = find_torsions(structure, x)
    assert found.names == ("TOK1:theta", "TOK1:psi", "TOK2:phi", "TOK2:theta")
    expected = [[0, 1, 2, 3], [1, 2, 3, 4], [3, 4, 5, 6], [4, 5, 6, 7]]
    np.testing.assert_array_equal(found.atoms, expected)
    bonds = np.stack([np.arange(7), np.arange(1, 8)], axis=1)
    bonded = Structure.from_arrays(
        np.array([7, 6, 6, 6] * 2), np.repeat([0, 1], 4), names=names, bonds=bonds
    )
    assert find_torsions(bonded).names == found.names


def test_a_token_of_several_residues_has_no_named_torsions():
    names = ["N", "CA", "C", "O"] * 3
    numbers = np.array([7, 6, 6, 8] * 3)
    split = Structure.from_arrays(numbers, np.repeat(range(3), 4), names=names)
    assert len(find_torsions(split)) == 4
    whole = Structure.from_arrays(numbers, np.zeros(12, dtype=int), names=names)
    assert not len(find_torsions(whole))


@pytest.fixture
def mirrored(data):
    structure, x, _, _ = read(data / "gly2/gly2.pdb", data / "gly2/gly2-0.xtc")
    return structure, x, x * np.array([1, 1, -1])


def test_mirror_images_flip_the_sines(mirrored):
    structure, x, mirror = mirrored
    one, other = (compute_descriptors("dihedrals", structure, p) for p in (x, mirror))
    sign = np.tile([-1, 1], 2)
    np.testing.assert_allclose(other.values, one.values * sign, atol=1e-5)
    assert np.abs(one.values[:, ::2]).max() > 0.5


@pytest.mark.parametrize("shift", [0.0, 40.0])
def test_rotation_and_translation_leave_torsions(mirrored, shift):
    structure, x, _ = mirrored
    turned = x.astype(np.float64) @ Rotation.random(rng=1).as_matrix().T + shift
    one, other = (compute_descriptors("dihedrals", structure, p) for p in (x, turned))
    np.testing.assert_allclose(other.values, one.values, atol=2e-5)


def test_a_broken_molecule_in_its_box_has_the_same_torsions(mirrored):
    structure, x, _ = mirrored
    box = np.array([20.0, 22.0, 21.0, 60.0, 60.0, 90.0])
    vectors = mda.lib.mdamath.triclinic_vectors(box).astype(np.float64)
    rng = np.random.default_rng(0)
    shifts = rng.integers(-1, 2, size=(structure.n_atoms, 3)) @ vectors
    one = compute_descriptors("dihedrals", structure, x)
    other = compute_descriptors("dihedrals", structure, x + shifts, box)
    np.testing.assert_allclose(other.values, one.values, atol=1e-4)


def test_torsions_themselves_are_measured_between_nearest_images(mirrored):
    # without the step that makes molecules whole before
    structure, x, _ = mirrored
    box = np.array([20.0, 22.0, 21.0, 60.0, 60.0, 90.0])
    vectors = mda.lib.mdamath.triclinic_vectors(box).astype(np.float64)
    rng = np.random.default_rng(1)
    shifts = rng.integers(-1, 2, size=(structure.n_atoms, 3)) @ vectors
    torsions = find_torsions(structure)
    one = measure_torsions(torsions, x, None)
    other = measure_torsions(torsions, x + shifts, np.tile(box, (len(x), 1)))
    same_angle(other, one, tolerance=1e-4)


def test_structures_without_torsions_say_so():
    water = Structure.from_arrays(np.array([8, 8]))
    assert "dihedrals" not in applicable(water)
    with pytest.raises(InputError, match="no named backbone or side-chain torsion"):
        compute_descriptors("dihedrals", water, np.zeros((1, 2, 3)))
    with pytest.raises(InputError, match="no named backbone"):
        angles(water, np.zeros((1, 2, 3)))


def test_atoms_on_a_line_do_not_make_a_torsion_nan(data):
    """N, CA and CB of Gln324 lie on a line in one rounded frame of the pocket."""
    files = (data / "pocket/pocket.pdb", data / "pocket/pocket-3.xtc")
    structure, x, _, atoms = read(*files, stop=252)
    own = (atoms.resids == 324) & np.isin(atoms.names, ["N", "CA", "CB"])
    line = x[251, own].astype(float)
    assert np.linalg.norm(np.cross(line[1] - line[0], line[2] - line[1])) < 1e-4
    table = angles(structure, x, side_chains=True)
    assert table.values[251, table.names.index("A:GLN324:chi1")] == 0
    assert np.isfinite(compute_descriptors("dihedrals", structure, x).values).all()
