"""Which atoms two molecules have in common."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from systems import entry

from mdgeomfeat.errors import InputError
from mdgeomfeat.explain import pair_atoms
from mdgeomfeat.structure import Structure

PROTEIN = "protein and not name H*"


def atoms_of(name="1hvr", select=PROTEIN):
    return entry(name).select_atoms(select)


def structure(atoms) -> Structure:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Structure.from_atomgroup(atoms)


def pair(one, other, tokens="residue"):
    first, second = structure(one), structure(other)
    return first, second, pair_atoms(first, second, tokens=tokens)


def mutant(resid, resname, keep, select=PROTEIN, name="1hvr"):
    """Return atoms in which a residue of chain A is another one."""
    atoms = atoms_of(name, select)
    own = atoms.select_atoms(f"chainID A and resid {resid}")
    gone = own[~np.isin(own.names, keep.split())]
    own.residues.resnames = resname
    return atoms - gone


def names(found: Structure, chosen) -> list[tuple[str, str]]:
    labels = found.token_labels()
    return [(labels[found.token_of_atom[a]], str(found.names[a])) for a in chosen]


def test_the_same_molecule_has_all_atoms():
    first, _, found = pair(atoms_of(), atoms_of())
    assert found.first.tolist() == found.second.tolist() == list(range(first.n_atoms))
    assert found.partial == found.missing == found.extra == found.changed == ()


def test_a_mutation_leaves_the_main_chain_and_the_first_atom():
    other = mutant(47, "VAL", "N CA C O CB CG1 CG2")
    first, second, found = pair(atoms_of(), other)
    (token,) = found.partial
    assert (token.first, token.second, token.changed) == (
        "A:ILE47", "A:VAL47", True
    )  # fmt: skip
    # CG1 and CG2 have the same names and stand for something else
    assert set(token.atoms) == {"N", "CA", "C", "O", "CB"}
    assert found.changed == ("A:ILE47",)
    assert len(found.first) == first.n_atoms - 3
    mine = [n for n in names(first, found.first) if n[0] != "A:ILE47"]
    its = [n for n in names(second, found.second) if n[0] != "A:VAL47"]
    assert mine == its
    back = pair_atoms(second, first, tokens="residue")
    assert sorted(back.first.tolist()) == sorted(found.second.tolist())


def test_glycine_has_no_first_side_chain_atom():
    _, _, found = pair(atoms_of(), mutant(47, "GLY", "N CA C O"))
    assert set(found.partial[0].atoms) == {"N", "CA", "C", "O"}


def test_another_base_leaves_sugar_and_phosphate():
    nucleic = "nucleic and not name H*"
    one, other = atoms_of("nucleic", nucleic), atoms_of("nucleic", nucleic)
    names_of = {"DA": "DG", "DG": "DA", "DC": "DT", "DT": "DC"}
    names_of |= {"A": "G", "G": "A", "C": "U", "U": "C"}
    residue = other.residues[3]
    residue.resname = names_of[residue.resname]
    first, _, found = pair(one, other)
    (token,) = found.partial
    assert token.changed
    assert {"P", "C1'", "C3'", "O4'"} <= set(token.atoms)
    assert all(n.endswith("'") or n in ("P", "OP1", "OP2") for n in token.atoms)
    assert len(token.atoms) < (first.token_of_atom == 3).sum()


def test_residues_that_one_molecule_lacks_are_left_out():
    other = atoms_of(select=f"{PROTEIN} and not (chainID A and resid 30:33)")
    first, _, found = pair(atoms_of(), other)
    assert found.missing == ("A:ASP30", "A:THR31", "A:VAL32", "A:LEU33")
    assert found.extra == found.partial == ()
    kept = {label for label, _ in names(first, found.first)}
    assert kept.isdisjoint(found.missing)
    back = pair(other, atoms_of())[2]
    assert (back.missing, back.extra) == ((), found.missing)


def test_a_ligand_of_one_molecule_is_left_out():
    ligand = "(protein or resname XK2) and not name H*"
    _, _, found = pair(atoms_of(select=ligand), atoms_of())
    assert [label.rpartition(":")[2] for label in found.missing] == ["XK2263"]
    assert pair(atoms_of(), atoms_of(select=ligand))[2].extra == found.missing


def test_atoms_in_another_order_and_with_other_names():
    other = atoms_of()
    for residue in other.residues:
        if residue.resname == "ILE":
            residue.atoms.select_atoms("name CD1").names = "CD"
        if residue.resname == "HIS":
            residue.resname = "HIE"
    order = np.concatenate([r.atoms.ix[::-1] for r in other.residues])
    order = order[np.isin(order, other.ix)]
    first, second, found = pair(atoms_of(), other.universe.atoms[order])
    assert found.partial == ()
    assert len(found.first) == first.n_atoms
    same = [
        (a[1], b[1])
        for a, b in zip(
            names(first, found.first), names(second, found.second), strict=True
        )
        if a[1] != b[1]
    ]
    assert set(same) == {("CD1", "CD")}


def test_unlike_molecules_and_tokens_are_refused():
    with pytest.raises(InputError, match="at least half are needed"):
        pair(atoms_of(), atoms_of("1t2y"))
    with pytest.raises(InputError, match="only residues can be matched"):
        pair(atoms_of(), mutant(47, "VAL", "N CA C O CB CG1 CG2"), tokens="atom")
