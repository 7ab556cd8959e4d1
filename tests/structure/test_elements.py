"""Atomic numbers from elements, types, names and masses."""

from __future__ import annotations

import warnings

import MDAnalysis as mda
import numpy as np
import pytest
from systems import entry
from topologies import parm7

from mdgeomfeat.errors import InputError, MDGeomFeatWarning
from mdgeomfeat.structure.elements import resolve_elements


def make(residues, **attributes):
    """Universe of (resname, "NAME NAME …") residues without elements."""
    names = [n for _, text in residues for n in text.split()]
    index = [i for i, (_, text) in enumerate(residues) for _ in text.split()]
    u = mda.Universe.empty(
        len(names), n_residues=len(residues), atom_resindex=index, trajectory=True
    )
    u.add_TopologyAttr("names", names)
    u.add_TopologyAttr("resnames", [r for r, _ in residues])
    u.add_TopologyAttr("resids", range(1, len(residues) + 1))
    for key, values in attributes.items():
        u.add_TopologyAttr(key, values)
    return u


def numbers(residues, **attributes):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MDGeomFeatWarning)
        return resolve_elements(make(residues, **attributes).atoms).tolist()


@pytest.mark.parametrize(
    ("resname", "names", "expected"),
    [
        ("ALA", "N CA CB C O HA 1HB", [7, 6, 6, 6, 8, 1, 1]),
        ("CA", "CA", [20]),
        ("CAL", "CAL", [20]),
        ("Ca2", "Ca2", [20]),
        ("CA2+", "CA", [20]),
        ("ALA", "CA", [6]),
        ("ACE", "1HH3 CH3 2HH3 C O", [1, 6, 1, 6, 8]),
        ("SOD", "SOD", [11]),
        ("NA+", "NA+", [11]),
        ("Cl-", "Cl-", [17]),
        ("CLA", "CLA", [17]),
        ("POT", "POT", [19]),
        ("HEM", "FE NA NB CHA CMC HHA O1A", [26, 7, 7, 6, 6, 1, 8]),
        ("TCS", "C1 CL2 O1 H18", [6, 17, 8, 1]),
        ("LIG", "Br1 BR2 F1 I1 CD CO HG SI1 SE", [35, 35, 9, 53, 6, 6, 1, 14, 34]),
        ("LIG", "CAA CLAC CLA BRAB BRA BR1A CLAX", [6, 17, 17, 35, 35, 35, 17]),
        ("LIP", "CKA CLA CMA CL1 CHA", [6, 6, 6, 17, 6]),
        ("LIG", "Ca13 Ch1 Hc2 Na4 Cl5", [6, 6, 1, 7, 17]),
        ("LIG", "Co1 Cu2 Hg3 C4", [27, 29, 80, 6]),
        ("Ca13", "Ca13", [20]),
        ("MSE", "N CA SE CE", [7, 6, 34, 6]),
        ("CYS", "SG HG", [16, 1]),
        ("CAS", "N CA SG AS CE1", [7, 6, 16, 33, 6]),
        ("DG", "P OP1 O5' H5'' N9", [15, 8, 8, 1, 7]),
        ("ZNM", "ZND DM1 DM6", [30, 0, 0]),
        ("SOL", "OW HW1 HW2 MW", [8, 1, 1, 0]),
        ("TP4E", "OH2 H1 H2 OM", [8, 1, 1, 0]),
        ("HOH", "O", [8]),
        ("DOD", "O D1 D2", [8, 1, 1]),
        ("TYR", "N CA DG2 D", [7, 6, 1, 1]),
        ("NDP", "P1 N1 H51", [15, 7, 1]),
        ("LYS", "NZ MNZ1 MCB", [7, 0, 0]),
    ],
)
def test_names_in_their_residues(resname, names, expected):
    assert numbers([(resname, names)]) == expected


def test_drude_particles_and_lone_pairs_are_no_atoms():
    residues = [("SWM4", "OH2 DOH2 LP1 H1 H2"), ("ALA", "N DN CA DCA C DC O DO LPOA")]
    masses = [15.6, 0.4, 0, 1, 1, 13.6, 0.4, 11.6, 0.4, 11.6, 0.4, 15.6, 0.4, 0]
    found = numbers(residues, masses=masses)
    assert found == [8, 0, 0, 1, 1, 7, 0, 6, 0, 6, 0, 8, 0, 0]


def test_mass_decides_only_between_what_the_name_allows():
    # HG in a ligand: a hydrogen by default, mercury by its mass.
    residues = [("LIG", "C1 HG CD")]
    assert numbers(residues) == [6, 1, 6]
    assert numbers(residues, masses=[12.011, 200.59, 112.41]) == [6, 80, 48]
    # No mass turns a carbon's name into oxygen.
    assert numbers(residues, masses=[15.999, 1.008, 15.999]) == [6, 1, 6]


def test_mass_decides_whether_a_label_is_a_halogens():
    residues = [("LIG", "C1 CLA BRA")]
    assert numbers(residues) == [6, 17, 35]
    assert numbers(residues, masses=[12.011, 12.011, 79.904]) == [6, 6, 35]
    assert numbers(residues, masses=[12.011, 35.45, 79.904]) == [6, 17, 35]


def test_repartitioned_hydrogen_masses_are_not_believed():
    # With an H of 4 u, the carbon of 6.94 u that carries it is not lithium, and
    # "CA" of 40 u (a heavy label) stays what its name says.
    residues = [("LIG", "CA HA CL")]
    assert numbers(residues, masses=[40.08, 3.024, 35.45]) == [6, 1, 17]
    assert numbers(residues, masses=[40.08, 1.008, 35.45]) == [20, 1, 17]


def test_labels_in_small_letters_are_decided_by_mass():
    residues = [("LIG", "Ca13 Na4")]
    assert numbers(residues, masses=[40.078, 22.99]) == [20, 11]
    assert numbers(residues, masses=[12.011, 14.007]) == [6, 7]


def test_element_column_goes_before_the_name():
    assert numbers([("LIG", "CA XX1 H1")], elements=["Ca", "N", "D"]) == [20, 7, 1]


def test_blank_elements_are_filled_one_by_one():
    assert numbers([("ALA", "N CA C")], elements=["N", "", ""]) == [7, 6, 6]


def test_element_column_of_a_lone_ion_is_not_believed():
    # A writer that fills the column with the first letter of the name.
    assert numbers([("Ca2", "Ca2")], elements=["C"]) == [20]
    with pytest.raises(InputError, match="residue CXY: CXY"):
        numbers([("CXY", "CXY")], elements=["C"])


def test_types_count_only_if_all_are_symbols():
    residues = [("LIG", "CA C1 O1")]
    assert numbers(residues, types=["Ca", "C", "O"]) == [20, 6, 8]
    # Amber: CA is an aromatic carbon, NA a nitrogen.
    assert numbers(residues, types=["CA", "CT", "O"]) == [6, 6, 8]


@pytest.mark.parametrize(
    ("resname", "names", "named"),
    [
        ("ALA", "BB SC1", "residue ALA: BB"),
        ("POPC", "NC3 PO4 GL1 GL2", "residue POPC: GL1 GL2"),
        ("W", "W", "residue W: W"),
        ("XXX", "R1 R2", "residue XXX: R1 R2"),
    ],
)
def test_beads_are_refused_with_their_residue_names(resname, names, named):
    with pytest.raises(InputError, match=named):
        resolve_elements(make([(resname, names)]).atoms)


def test_one_warning_lists_the_guesses():
    u = make([("ALA", "N CA C O"), ("TCS", "CL1")])
    with pytest.warns(MDGeomFeatWarning) as caught:
        resolve_elements(u.atoms)
    assert len(caught) == 1
    text = str(caught[0].message)
    assert "no element for 5 of the selected atoms" in text
    assert "C from CA C" in text
    assert "Cl from CL1" in text


def test_nothing_is_said_where_elements_are_stated():
    u = make([("ALA", "N CA")], elements=["N", "C"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        resolve_elements(u.atoms)


def test_guessed_masses_and_types_do_not_count():
    # MDAnalysis guesses N and 14.007 u for ZND, and nothing of it may be used.
    u = make([("ZNM", "ZND DM1")])
    u.guess_TopologyAttrs(to_guess=["types", "masses"])
    with pytest.warns(MDGeomFeatWarning):
        assert resolve_elements(u.atoms).tolist() == [30, 0]


def amber(tmp_path, **options):
    """Read the Amber topology of 2JUY with all its hydrogens."""
    u = entry("2juy")
    u.atoms.guess_bonds()
    return mda.Universe(parm7(tmp_path / "a.parm7", u, **options))


def test_amber_without_elements_agrees_with_masses(tmp_path):
    u = amber(tmp_path)
    with pytest.warns(MDGeomFeatWarning):
        found = resolve_elements(u.atoms)
    mass = {1: 1.008, 6: 12.01, 7: 14.01, 8: 16.0, 16: 32.06}
    expected = np.array([mass[z] for z in found])
    np.testing.assert_allclose(u.atoms.masses, expected, atol=0.02)


def test_topology_with_elements_is_reproduced_from_names(tmp_path):
    u = amber(tmp_path, elements=True)
    stated = resolve_elements(u.atoms)
    u.del_TopologyAttr("elements")
    with pytest.warns(MDGeomFeatWarning):
        guessed = resolve_elements(u.atoms)
    np.testing.assert_array_equal(guessed, stated)


@pytest.mark.parametrize(
    "name",
    ["2src", "1hvr", "19hc", "1lmb", "nucleic", "1t2y", "2juy"],
)
def test_element_columns_are_reproduced_from_names(name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        u = entry(name)
        stated = resolve_elements(u.atoms)
        u.del_TopologyAttr("elements")
        u.del_TopologyAttr("types")
        guessed = resolve_elements(u.atoms)
    np.testing.assert_array_equal(guessed, stated)
