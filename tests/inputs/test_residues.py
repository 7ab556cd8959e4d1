"""Where one residue ends and the next begins, and where a chain is broken."""

from __future__ import annotations

import warnings

import built
import MDAnalysis as mda
import numpy as np
import pytest
from systems import entry

from mdgeomfeat.structure import Structure
from mdgeomfeat.structure.selection import select_atoms


def structure(path) -> Structure:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Structure.from_atomgroup(select_atoms(mda.Universe(str(path))))


def test_insertion_codes(inform, featurize, tmp_path):
    """Residues 2, 2A and 2B are three tokens, whatever their names."""
    atoms = [
        a._replace(resid=2 if 2 <= a.resid <= 4 else a.resid, icode=icode)
        for a in built.residues(["ALA", "GLY", "GLY", "GLY", "ALA"])
        for icode in [{3: "A", 4: "B"}.get(a.resid, "")]
    ]
    path = built.pdb(tmp_path / "icodes.pdb", atoms)
    facts = inform(path)
    assert facts["tokens"] == (
        "5 residues in 1 unbroken chain: A:ALA1, A:GLY2, A:GLY2A, A:GLY2B, A:ALA5"
    )
    tokens = featurize(path).results.tokens
    assert tokens["icode"].tolist() == ["", "", "A", "B", ""]
    assert tokens["resid"].tolist() == [1, 2, 2, 2, 5]


def test_insertion_codes_that_come_first(tmp_path):
    """Some numbering schemes put 2A before 2."""
    atoms = [
        a._replace(resid=2 if a.resid == 3 else a.resid, icode=icode)
        for a in built.residues(["ALA", "SER", "SER", "ALA"])
        for icode in ["A" if a.resid == 2 else ""]
    ]
    tokens = structure(built.pdb(tmp_path / "a.pdb", atoms)).token_labels()
    assert tokens == ["A:ALA1", "A:SER2A", "A:SER2", "A:ALA4"]


@pytest.mark.parametrize(
    ("kind", "chains"), [("pdb", "AB"), ("pdb", "AA"), ("gro", "AB")]
)
def test_equal_numbers_next_to_each_other(tmp_path, kind, chains):
    """The last residue of a chain and the first of the next are two tokens."""
    first, second = chains
    atoms = built.residues(["GLY", "ALA"], chain=first, first=4)
    atoms += built.residues(["ALA", "GLY"], chain=second, first=5, shift=(0, 9, 0))
    s = structure(getattr(built, kind)(tmp_path / f"two.{kind}", atoms))
    assert s.n_tokens == 4
    assert s.tokens["resid"].tolist() == [4, 5, 5, 6]
    assert s.chain.tolist() == [0, 0, 1, 1]
    assert s.next_token.tolist() == [1, -1, 3, -1]


@pytest.mark.parametrize("kind", ["pdb", "gro"])
@pytest.mark.parametrize("renumbered", [False, True])
def test_windows_do_not_bridge_a_gap(tmp_path, kind, renumbered):
    """Residues 3 and 4 are missing, whether or not the numbers show it."""
    atoms = [a for a in built.residues(["ALA"] * 6) if a.resid not in (3, 4)]
    if renumbered:
        atoms = [a._replace(resid=a.resid - 2 * (a.resid > 4)) for a in atoms]
    s = structure(getattr(built, kind)(tmp_path / f"gap.{kind}", atoms))
    assert s.chain.tolist() == [0, 0, 1, 1]
    assert s.next_token.tolist() == [1, -1, 3, -1]
    windows = s.windows(5)
    for token in range(4):
        atoms_of = windows.atoms[windows.ptr[token] : windows.ptr[token + 1]]
        assert set(s.token_of_atom[atoms_of]) == ({0, 1} if token < 2 else {2, 3})


def test_a_gap_shows_in_the_features(featurize, tmp_path):
    """With windows, what lies beyond a gap changes nothing."""
    here = built.residues(["ALA", "ALA"])
    there = built.residues(["ALA", "ALA"], first=5, shift=(10.0, 0, 0))
    moved = [a._replace(xyz=(a.xyz[0], a.xyz[1] + 0.5, a.xyz[2])) for a in there]
    one = featurize(built.pdb(tmp_path / "a.pdb", here + there), "--window", 2).results
    two = featurize(built.pdb(tmp_path / "b.pdb", here + moved), "--window", 2).results
    np.testing.assert_array_equal(one.scalars[:, :2], two.scalars[:, :2])
    free = featurize(tmp_path / "a.pdb").results
    free_moved = featurize(tmp_path / "b.pdb").results
    assert np.abs(free.scalars[:, 1] - free_moved.scalars[:, 1]).max() > 1e-6


def test_one_of_the_alternate_locations_is_kept(inform, featurize, tmp_path):
    atoms = built.residues(["ALA", "SER", "ALA"])
    double = []
    for a in atoms:
        if a.resid == 2 and a.name in ("CB", "O"):
            x, y, z = a.xyz
            double.append(a._replace(altloc="A", occupancy=0.4))
            double.append(a._replace(altloc="B", occupancy=0.6, xyz=(x, y, z + 0.7)))
        else:
            double.append(a)
    path = built.pdb(tmp_path / "alt.pdb", double)
    facts = inform(path)
    assert facts["selected"] == "15 atoms by default"
    (note,) = facts["notes"]
    assert "Alternate locations" in note
    assert "(A:2)" in note
    kept = built.pdb(tmp_path / "b.pdb", [a for a in double if a.altloc != "A"])
    got, expected = featurize(path).results, featurize(kept).results
    np.testing.assert_array_equal(got.scalars[:], expected.scalars[:])


def test_alternate_residues_in_one_place(inform, tmp_path):
    """A point mutation in part of a crystal: one residue is kept, not both."""
    atoms = built.residues(["ALA", "SER", "ALA"])
    other = [
        a._replace(resname="CYS", altloc="B", occupancy=0.3)
        for a in atoms
        if a.resid == 2
    ]
    atoms = [
        a._replace(altloc="A", occupancy=0.7) if a.resid == 2 else a for a in atoms
    ]
    path = built.pdb(tmp_path / "a.pdb", [*atoms[:10], *other, *atoms[10:]])
    assert inform(path)["tokens"].endswith("A:ALA1, A:SER2, A:ALA3")


def test_more_residues_than_four_digits(tmp_path):
    """PDB numbers start again after 9999; GRO's after 99999."""
    atoms = built.residues(["GLY"] * 2, first=9998) + built.residues(
        ["GLY"] * 2, first=0, shift=(7.6, 0, 0)
    )
    s = structure(built.pdb(tmp_path / "long.pdb", atoms))
    assert s.n_tokens == 4
    assert s.chain.tolist() == [0, 0, 0, 0]


def test_chain_is_broken_by_a_segment_only():
    u = entry("1hvr")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        s = Structure.from_atomgroup(select_atoms(u))
    assert np.flatnonzero(s.next_token < 0).tolist() == [47, 95]
