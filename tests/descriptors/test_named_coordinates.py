"""Coordinates by name: what is understood, and values beside those of others."""

from __future__ import annotations

import warnings

import MDAnalysis as mda
import numpy as np
import pytest
from MDAnalysis.analysis import rms
from MDAnalysis.analysis.dihedrals import Dihedral
from MDAnalysis.lib.mdamath import triclinic_vectors
from systems import complex_with_ligands, make, wrap

from mdgeomfeat.descriptors import plan_coordinates, read_coordinates
from mdgeomfeat.errors import InputError
from mdgeomfeat.structure import Structure, make_whole

BOXES = [
    (31.0, 29.0, 30.0, 90.0, 90.0, 90.0),
    (31.0, 31.0, 31.0, 60.0, 60.0, 90.0),
    (30.0, 33.0, 35.0, 80.0, 95.0, 103.0),
]


@pytest.fixture(scope="module")
def ala2(data):
    """Return structure, atoms and frames (50, A, 3) of alanine dipeptide."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        universe = mda.Universe(data / "ala2/ala2.pdb", data / "ala2/ala2-0.xtc")
    atoms = universe.select_atoms("not element H")
    frames = universe.trajectory.timeseries(atoms, stop=500, step=10, order="fac")
    universe.trajectory[0]
    return Structure.from_atomgroup(atoms), atoms, frames


def measured(text, system, boxes=None):
    structure, atoms, frames = system
    found = plan_coordinates(text, structure, atoms)
    return np.stack([c.measure(frames, boxes, frames[0]) for c in found], axis=1)


def test_torsions_are_those_of_mdanalysis(ala2):
    _, atoms, _ = ala2
    residue = atoms.select_atoms("resname ALA").residues[0]
    pairs = [residue.phi_selection(), residue.psi_selection()]
    expected = Dihedral(pairs).run(stop=500, step=10).results.angles
    found = measured("phi A:ALA2, psi ALA2", ala2)
    turned = (found - expected + 180) % 360 - 180
    np.testing.assert_allclose(turned, 0, atol=0.02)
    assert np.abs(found).max() <= 180
    assert np.ptp(found, axis=0).min() > 90


def test_a_distance_is_between_the_centres(ala2):
    _, atoms, frames = ala2
    names = list(atoms.names)
    ends = [
        [i for i, a in enumerate(atoms) if a.resname == resname and a.name in chosen]
        for resname, chosen in (("ACE", "C O"), ("NME", "N"))
    ]
    assert [names[i] for i in ends[0]] == ["C", "O"]
    expected = np.linalg.norm(
        frames[:, ends[0]].mean(axis=1) - frames[:, ends[1]].mean(axis=1), axis=1
    )
    text = "distance resname ACE and name C O to resname NME and name N"
    np.testing.assert_allclose(measured(text, ala2)[:, 0], expected, rtol=1e-5)


@pytest.mark.parametrize("box", BOXES)
def test_a_distance_across_the_box_is_the_nearest(box):
    rng = np.random.default_rng(1)
    points = rng.uniform(-40, 40, size=(30, 2, 3))
    u = make([("AAA", "A1", "C"), ("BBB", "B1", "C")])
    structure = Structure.from_arrays([6, 6], [0, 1], names=["A1", "B1"], chain=[0, 1])
    found = measured(
        "distance name A1 to name B1", (structure, u.atoms, points), np.array(box)
    )
    steps = np.stack(np.meshgrid(*[np.arange(-4, 5)] * 3), axis=-1).reshape(-1, 3)
    shifts = steps @ triclinic_vectors(np.asarray(box, np.float32)).astype(float)
    between = points[:, 1] - points[:, 0]
    expected = np.linalg.norm(between[:, None] + shifts, axis=2).min(axis=1)
    np.testing.assert_allclose(found[:, 0], expected, atol=1e-3)
    assert (np.linalg.norm(between, axis=1) > expected + 1).any()


def test_a_distance_within_a_molecule_is_longer_than_half_the_box():
    # a chain of ten atoms 1.5 Å apart in a box of 20 Å
    x = np.zeros((1, 10, 3))
    x[0, :, 0] = 1.5 * np.arange(10)
    u = make([("AAA", " ".join(f"C{i}" for i in range(10)), " ".join("C" * 10))], x[0])
    bonds = [(i, i + 1) for i in range(9)]
    structure = Structure.from_arrays(
        [6] * 10, [0] * 10, names=list(u.atoms.names), bonds=bonds
    )
    box = np.array([20.0, 20.0, 20.0, 90.0, 90.0, 90.0])
    found = measured("distance name C0 to name C9", (structure, u.atoms, x), box)
    np.testing.assert_allclose(found, 13.5)


def test_a_ligand_is_as_far_as_the_nearest_image_says():
    u = complex_with_ligands()
    atoms = u.select_atoms("not element H")
    names = sorted({*atoms.resnames})
    ligand = next(
        n for n in names if n not in mda.core.selection.ProteinSelection.prot_res
    )
    structure = Structure.from_atomgroup(atoms)
    found = plan_coordinates(f"distance protein to resname {ligand}", structure, atoms)
    value = found[0].measure(atoms.positions[None], None, atoms.positions)[0]
    centres = [
        atoms.select_atoms(s).positions.mean(axis=0)
        for s in ("protein", f"resname {ligand}")
    ]
    np.testing.assert_allclose(
        value, np.linalg.norm(centres[0] - centres[1]), rtol=1e-4
    )


def test_rmsds_are_those_of_mdanalysis(ala2, data):
    _, atoms, frames = ala2
    found = measured("rmsd all", ala2)[:, 0]
    expected = [rms.rmsd(x, frames[0], superposition=True, center=True) for x in frames]
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert found[0] < 1e-5 < found[1:].min()

    path = data / "ala2/ala2.pdb"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        target = mda.Universe(path).select_atoms("name N CA C and not resname ACE")
    mine = [list(atoms.ix).index(ix) for ix in target.ix]
    expected = [
        rms.rmsd(x[mine], target.positions, superposition=True, center=True)
        for x in frames
    ]
    text = f"rmsd name N CA C and not resname ACE to {path}"
    np.testing.assert_allclose(measured(text, ala2)[:, 0], expected, atol=1e-4)


def test_a_reference_may_be_in_another_order_broken_and_larger(ala2, data, tmp_path):
    # the file of the same molecule, cut by its box, atoms shuffled within residues
    plain = f"rmsd all to {data / 'ala2/ala2.pdb'}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        universe = mda.Universe(data / "ala2/ala2.pdb")
        box = [24.0, 24.0, 24.0, 90.0, 90.0, 90.0]
        universe.dimensions = box
        middle = universe.atoms.positions.mean(axis=0)
        universe.atoms.positions = wrap(universe.atoms.positions - middle, box)
        assert np.ptp(universe.atoms.positions, axis=0).max() > 20
        rng = np.random.default_rng(0)
        order = np.concatenate([rng.permutation(r.atoms.ix) for r in universe.residues])
        universe.atoms[order].write(tmp_path / "native.pdb")
    changed = f"rmsd all to {tmp_path / 'native.pdb'}"
    np.testing.assert_allclose(
        measured(changed, ala2), measured(plain, ala2), atol=2e-3
    )


def test_names_are_read():
    first, second = read_coordinates("  phi   A:ALA2 ,  rmsd name CA to a b.pdb ")
    assert (first.kind, first.words) == ("torsion", ("phi", "A:ALA2"))
    assert (second.kind, second.words) == ("rmsd", ("name CA", "a b.pdb"))
    (only,) = read_coordinates("distance smarts [C,N] to resid 2")
    assert only.words == ("smarts [C,N]", "resid 2")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "a coordinate is empty"),
        ("phi A:ALA2,", "a coordinate is empty"),
        ("phi 1, psi 1, chi1 1", "names 3 coordinates"),
        ("phi A:ALA2, phi  A:ALA2", "names one coordinate twice"),
        ("phi", "has to name one residue after 'phi'"),
        ("phi A:ALA2 A:ALA3", "has to name one residue"),
        ("phy A:ALA2", r"not a coordinate \(did you mean phi\?\)"),
        ("A:ALA2", "is not a coordinate; write 'phi A:ALA2'"),
        ("distance name CA", "two selections with 'to' between them"),
        ("distance name CA to", "two selections with 'to' between them"),
        ("distance a to b to c", "two selections with 'to' between them"),
        ("rmsd", "has to name a selection"),
        ("rmsd to a.pdb", "has to name a selection"),
    ],
)
def test_what_cannot_be_read_is_refused(text, message):
    with pytest.raises(InputError, match=message):
        read_coordinates(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("phi A:ALA3", "residue that is not analysed; what comes nearest is A:ALA2"),
        ("chi1 A:ALA2", "A:ALA2 has phi and psi"),
        ("phi A:ACE1", r"A:ACE1 has no torsion with a name \(phi is in A:ALA2\)"),
        ("distance name CA to name H", "2 atoms, none of which is analysed"),
        ("distance name CA to name XX", "'name XX' in .* matches no atom"),
        ("distance name CA to foo", "'foo' is not a selection that MDAnalysis"),
        ("distance name CA to name CA", "are the same atoms"),
        ("rmsd name CA CB", "chooses 2 atoms, .* needs at least 3"),
        ("rmsd all to nothing.pdb", "nothing.pdb does not exist"),
    ],
)
def test_what_is_not_there_is_refused(text, message, ala2):
    structure, atoms, _ = ala2
    with pytest.raises(InputError, match=message):
        plan_coordinates(text, structure, atoms)


def test_a_reference_of_another_molecule_is_refused(ala2, data):
    structure, atoms, _ = ala2
    path = data / "gly2/gly2.pdb"
    with pytest.raises(InputError, match=r"lacks 1 of the 10 .* CB of residue 2;"):
        plan_coordinates(f"rmsd all to {path}", structure, atoms)


def test_a_residue_that_two_chains_have_needs_its_chain():
    n = [("ALA", "N CA C", "N C C")] * 4
    u = make(n, np.arange(36).reshape(12, 3), chainIDs=["A"] * 6 + ["B"] * 6)
    u.residues.resids = [1, 2, 1, 2]
    structure = Structure.from_atomgroup(u.atoms)
    with pytest.raises(InputError, match="'phi ALA2' may mean A:ALA2 and B:ALA2"):
        plan_coordinates("phi ALA2", structure, u.atoms)


def test_whole_molecules_make_torsions_of_a_broken_first_frame(ala2):
    # the loaded frame only tells which atoms a torsion has, however it is wrapped
    structure, atoms, frames = ala2
    box = np.array([24.0, 24.0, 24.0, 90.0, 90.0, 90.0])
    broken = wrap(frames[0] - frames[0].mean(axis=0), box)
    whole = make_whole(structure, broken[None], box[None])
    found = plan_coordinates("phi ALA2", structure, atoms)[0]
    value = found.measure(whole, box, whole[0])
    expected = found.measure(frames[:1], None, frames[0])
    np.testing.assert_allclose(value, expected, atol=0.02)
