"""What is analysed by default, and what a user's choice means."""

from __future__ import annotations

import warnings

import MDAnalysis as mda
import numpy as np
import pytest
from systems import complex_with_ligands, entry, make, membrane, solvated, with_waters

from mdgeomfeat.errors import InputError, MDGeomFeatWarning
from mdgeomfeat.structure.selection import select_atoms

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:MDAnalysis")


@pytest.fixture
def dipeptide(data):
    """Alanine dipeptide among water molecules of 26 chain letters."""
    return with_waters(mda.Universe(data / "ala2" / "ala2.pdb"))


def said(action):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", MDGeomFeatWarning)
        result = action()
    texts = [str(w.message) for w in caught if w.category is MDGeomFeatWarning]
    return result, texts


def test_water_hydrogens_and_sites_are_left_out():
    u = solvated()
    ag, texts = said(lambda: select_atoms(u))
    assert len(ag) == 210
    peptide = u.select_atoms("not resname SOL NA CL and not element H")
    np.testing.assert_array_equal(ag.ix, peptide.ix)
    assert texts == []


@pytest.mark.parametrize("bonds", [True, False])
def test_caps_belong_to_the_protein(dipeptide, bonds):
    if not bonds:
        dipeptide.del_TopologyAttr("bonds")
    ag, _ = said(lambda: select_atoms(dipeptide))
    assert ag.residues.resnames.tolist() == ["ACE", "ALA", "NME"]
    # NHE, the cap of an amidated end, is one nitrogen and its hydrogens.
    dipeptide.select_atoms("resname NME").residues.resnames = "NHE"
    amide = mda.Merge(dipeptide.select_atoms("not (resname NHE and not name N H)"))
    ag, _ = said(lambda: select_atoms(amide))
    assert ag.residues.resnames.tolist() == ["ACE", "ALA", "NHE"]
    assert ag.names[-1] == "N"


@pytest.mark.parametrize("bonds", [True, False])
def test_a_cap_that_is_free_is_no_protein(dipeptide, bonds):
    if not bonds:
        dipeptide.del_TopologyAttr("bonds")
    # An ammonia-like residue of a cap's name, far from the peptide.
    water = dipeptide.select_atoms("resname HOH").residues[-1]
    water.resname = "NH2"
    ag, _ = said(lambda: select_atoms(dipeptide))
    assert "NH2" not in ag.residues.resnames


@pytest.mark.parametrize(
    ("name", "modified"),
    [("2src", "PTR"), ("1hvr", "CSO"), ("2juy", "SME")],
)
def test_modified_residues_are_protein(name, modified):
    ag, _ = said(lambda: select_atoms(entry(name)))
    assert modified in ag.residues.resnames
    assert not set(ag.residues.resnames) & {"HOH", "ANP", "XK2"}


@pytest.mark.parametrize("bonds", [True, False])
def test_a_sugar_on_an_asparagine_is_no_protein(bonds):
    u = entry("2juy")
    asparagine = u.select_atoms("resname ASN").residues[0]
    sugar = make([("0GB", "C1 C2 C3 C4 C5 O5", "C C C C C O")])
    ring = [[1.4, 0, 0], [2.1, 1.2, 0], [3.5, 1.2, 0], [4.2, 0, 0],
            [3.5, -1.2, 0], [2.1, -1.2, 0]]  # fmt: skip
    (nitrogen,) = asparagine.atoms.select_atoms("name ND2")
    sugar.atoms.positions = np.array(ring) + nitrogen.position
    asparagine.resname = "NLN"
    merged = mda.Merge(u.atoms, sugar.atoms)
    size = len(u.atoms)
    if bonds:
        chain = [(size + i, size + i + 1) for i in range(5)]
        merged.atoms[:size].guess_bonds()
        known = [*map(tuple, merged.bonds.indices), (nitrogen.ix, size), *chain]
        merged.add_TopologyAttr("bonds", known)
    assert hasattr(merged, "bonds") == bonds
    ag, texts = said(lambda: select_atoms(merged))
    assert "NLN" in ag.residues.resnames
    assert "0GB" not in ag.residues.resnames
    assert any("0GB (1)" in text for text in texts)


@pytest.mark.parametrize("bonds", [True, False])
def test_a_free_ligand_like_an_amino_acid_is_no_protein(bonds):
    u = entry("2juy")
    # S-adenosylmethionine has the N, CA and C of the amino acid it is made of.
    ligand = u.residues[4].atoms
    merged = mda.Merge(u.atoms, ligand)
    merged.residues[-1].resname = "SAM"
    merged.residues[-1].atoms.positions += [40, 0, 0]
    # A residue of a name as little known stays, in the chain and at its end.
    for place in (0, 20):
        merged.residues[place].resname = "UNK9"
    if bonds:
        merged.atoms.guess_bonds()
    ag, texts = said(lambda: select_atoms(merged))
    assert len(ag) == len(select_atoms(u))
    assert set(ag.resnames) & {"SAM", "UNK9"} == {"UNK9"}
    assert any("residues left out: SAM (1)" in text for text in texts)


def test_ligands_are_named_with_the_option_that_adds_them():
    u = complex_with_ligands()
    protein, texts = said(lambda: select_atoms(u))
    assert len(texts) == 1
    assert "residues left out: ANP (1), TCS (1)" in texts[0]
    option = texts[0].split('--select "')[1].split('"')[0]
    both, texts = said(lambda: select_atoms(u, option))
    added = set(both.ix) - set(protein.ix)
    assert set(protein.ix) < set(both.ix)
    assert set(u.atoms[sorted(added)].resnames) == {"ANP", "TCS"}
    assert "H" not in both.elements


def test_lipids_are_listed_and_dummy_ions_are_not(tmp_path):
    u = mda.Universe(membrane(tmp_path / "lipids.gro"))
    _, texts = said(lambda: select_atoms(u))
    (text,) = [t for t in texts if "left out:" in t]
    assert "POPE (5), POPG (3)" in text
    assert "ZNM" not in text


def test_dummy_atoms_are_dropped_and_said(tmp_path):
    u = mda.Universe(membrane(tmp_path / "lipids.gro"))
    with pytest.warns(MDGeomFeatWarning, match="12 virtual sites or dummy .*DM1"):
        ag = select_atoms(u, "resname ZNM")
    assert set(ag.names) == {"ZND"}
    with pytest.raises(InputError, match="holds only virtual sites"):
        select_atoms(u, "name DM1")


def test_nucleic_acid_without_its_ions(tmp_path):
    # Calcium and a bead-like ion, both with the first letter of a carbon's name.
    ions = make([("Ca2", "Ca2", "C"), ("CXY", "CXY", "C")] * 3)
    ions.atoms.positions = np.arange(6)[:, None] * [4.0, 0, 0] + [0, 40, 0]
    merged = mda.Merge(entry("nucleic").atoms, ions.atoms)
    merged.dimensions = [90.0, 90, 90, 90, 90, 90]
    for name in ("a.gro", "a.pdb"):
        merged.atoms.write(str(tmp_path / name))
        u = mda.Universe(tmp_path / name)
        ag, _ = said(lambda u=u: select_atoms(u))
        assert set(ag.resnames) == {"DA", "DC", "DG", "DT", "A", "C", "G", "U"}
        assert len(ag.residues) == 8


def test_a_ligand_of_a_nucleic_acid_is_named():
    ligand = entry("2src").select_atoms("resname ANP")
    u = mda.Merge(entry("nucleic").atoms, ligand)
    _, texts = said(lambda: select_atoms(u))
    assert any(
        "Only the nucleic acid is analysed; residues left out: ANP (1)" in text
        for text in texts
    )


def test_a_selection_is_taken_at_its_word():
    u = entry("2juy")
    ag = select_atoms(u, "resid 1-3")
    np.testing.assert_array_equal(ag.ix, u.select_atoms("resid 1-3").ix)
    assert "H" in ag.elements


def test_an_atomgroup_is_a_choice():
    u = entry("2src")
    ag, texts = said(lambda: select_atoms(u.select_atoms("resname ANP")))
    assert set(ag.resnames) == {"ANP"}
    assert texts == []
    peptide = entry("2juy").select_atoms("resid 1-3")
    assert "H" not in select_atoms(peptide).elements
    assert len(select_atoms(peptide, "all")) == len(peptide)


def test_order_and_repeats_do_not_matter():
    u = entry("2juy")
    shuffled = u.atoms[[5, 4, 3, 3, 0]]
    assert select_atoms(shuffled, "all").ix.tolist() == [0, 3, 4, 5]


@pytest.mark.parametrize(
    ("select", "message"),
    [
        ("resname XYZ", "matches none of the 392 atoms.*ARG"),
        ("resname", "is not a selection that MDAnalysis understands"),
        ("this is nonsense", "is not a selection that MDAnalysis understands"),
        ("(name CA", "is not a selection that MDAnalysis understands"),
        ("charge 1", "is not a selection that MDAnalysis understands"),
        ("group mine", "is not a selection that MDAnalysis understands"),
        ("", "matches none"),
    ],
)
def test_bad_selections_are_input_errors(select, message):
    with pytest.raises(InputError, match=message):
        select_atoms(entry("2juy"), select)


def test_solvent_alone_is_refused(dipeptide):
    water = mda.Merge(dipeptide.select_atoms("resname HOH"))
    with pytest.raises(InputError, match=r"only solvent and ions \(HOH \(30\)\)"):
        select_atoms(water)


@pytest.fixture
def isoleucine():
    """Isoleucine 117 of 19HC: every atom at A and B, of equal occupancy here."""
    u = mda.Merge(entry("19hc").select_atoms("segid B and resid 117"))
    assert u.atoms.altLocs.tolist() == ["A", "B"] * 8
    # Three atoms have one place.
    single = u.select_atoms("altLoc A and name N CA CB")
    single.altLocs = ""
    u = mda.Merge(single + u.select_atoms("altLoc A B and not name N CA CB"))
    u.atoms.occupancies = 0.5
    return u


def test_alternate_locations_keep_the_fullest(isoleucine):
    u = isoleucine
    first = u.select_atoms("altLoc A or altLoc B").altLocs[0]
    with pytest.warns(MDGeomFeatWarning, match="Alternate locations in 1 of"):
        ag = select_atoms(u)
    assert len(ag) == len(set(ag.names))
    assert set(ag.altLocs) <= {"", first}
    u.select_atoms("altLoc B").occupancies = 0.9
    u.select_atoms("altLoc A").occupancies = 0.1
    ag, _ = said(lambda: select_atoms(u))
    assert set(ag.altLocs) == {"", "B"}


def test_alternate_residues_at_one_place_keep_one_residue(isoleucine):
    u = isoleucine
    atoms = u.select_atoms("altLoc B").ix
    # The same place occupied by two kinds of residue, as in microheterogeneity.
    new = u.add_Residue(
        segment=u.segments[0], resid=117, resname="VAL", icode="", resnum=117
    )
    u.atoms[atoms].residues = new
    u.select_atoms("altLoc A").occupancies = 0.7
    ag, _ = said(lambda: select_atoms(u))
    assert set(ag.resnames) == {"ILE"}


def test_atoms_that_stand_twice_are_kept_once():
    u = entry("2juy")
    once, _ = said(lambda: select_atoms(u))
    # Parts of one residue, and another as a whole, as some programs have written them.
    first, second = (
        u.select_atoms("resname PHE").residues[0].atoms,
        u.residues[-3].atoms,
    )
    twice = mda.Merge(
        u.atoms[: first[-1].ix + 1],
        first.select_atoms("name CB CG CZ"),
        u.atoms[first[-1].ix + 1 : second[-1].ix + 1],
        second,
        u.atoms[second[-1].ix + 1 :],
    )
    assert len(twice.atoms) == len(u.atoms) + 3 + len(second)
    ag, texts = said(lambda: select_atoms(twice))
    np.testing.assert_array_equal(ag.positions, once.positions)
    assert ag.names.tolist() == once.names.tolist()
    (text,) = [t for t in texts if "once more" in t]
    assert f"{3 + sum(second.elements != 'H')} atoms stand" in text
    # Atoms of one name that lie apart are different ones.
    twice.atoms.positions = np.random.default_rng(0).uniform(
        0, 50, (len(twice.atoms), 3)
    )
    ag, texts = said(lambda: select_atoms(twice, "not element H"))
    assert len(ag) == len(once) + 3 + sum(second.elements != "H")


def test_heme_protein_has_one_location_everywhere():
    ag, texts = said(lambda: select_atoms(entry("19hc")))
    assert any("Alternate locations in 7 of the residues" in t for t in texts)
    assert any("HEM (2)" in t for t in texts)
    keys = {(a.segid, a.resid, a.icode, a.name) for a in ag}
    assert len(keys) == len(ag)


def enzyme():
    """A dipeptide with zinc on it, sodium and chloride near it, and two magnesium ions.

    One magnesium touches the peptide through the side of the box, the other does not.
    """
    peptide = [
        ("N", "N", (0.0, 0.0, 0.0)), ("CA", "C", (1.5, 0.0, 0.0)),
        ("C", "C", (2.0, 1.4, 0.0)), ("O", "O", (1.2, 2.4, 0.0)),
        ("N", "N", (3.3, 1.5, 0.0)), ("CA", "C", (4.0, 2.8, 0.0)),
        ("C", "C", (5.5, 2.6, 0.0)), ("O", "O", (6.1, 1.5, 0.0)),
    ]  # fmt: skip
    ions = [
        ("ZN", "Zn", (1.2, 2.4, 2.1)), ("NA", "Na", (6.1, 1.5, 2.3)),
        ("MG", "Mg", (0.0, 0.0, 28.0)), ("MG", "Mg", (15.0, 15.0, 15.0)),
        ("CL", "Cl", (1.5, 0.0, -3.4)), ("ZN", "Zn", (20.0, 5.0, 9.0)),
    ]  # fmt: skip
    atoms = peptide + ions
    index = [0] * 4 + [1] * 4 + list(range(2, 2 + len(ions)))
    u = mda.Universe.empty(
        len(atoms), n_residues=2 + len(ions), atom_resindex=index, trajectory=True
    )
    u.add_TopologyAttr("names", [name for name, _, _ in atoms])
    u.add_TopologyAttr("elements", [element for _, element, _ in atoms])
    u.add_TopologyAttr("resnames", ["HIS", "GLU", *(name for name, _, _ in ions)])
    u.add_TopologyAttr("resids", [1, 2, 301, 302, 303, 304, 305, 306])
    u.atoms.positions = np.array([place for _, _, place in atoms])
    u.dimensions = [30, 30, 30, 90, 90, 90]
    return u


def test_single_atoms_that_touch_the_protein_are_named():
    u = enzyme()
    chosen, (text,) = said(lambda: select_atoms(u))
    assert set(chosen.resnames) == {"HIS", "GLU"}
    # Salt comes near by chance, and the zinc and magnesium far off belong to no one.
    assert "residues left out: ZN (1), MG (1); to add them" in text
    option = text.split('--select "')[1].split('"')[0]
    both, texts = said(lambda: select_atoms(u, option))
    assert texts == []
    assert sorted(set(both.resids) - {1, 2}) == [301, 303]


def test_salt_in_a_site_of_its_own_is_named():
    u = enzyme()
    sodium = u.select_atoms("resname NA")
    sodium.positions = [[1.65, 1.2, 2.0]]  # two nitrogens and an oxygen hold it
    around = u.select_atoms("name N O and resid 1 2").positions - sodium.positions
    assert (np.linalg.norm(around, axis=1) < 3.5).sum() >= 3
    _, (text,) = said(lambda: select_atoms(u))
    assert "NA (1)" in text


def test_nothing_is_near_where_there_are_no_places():
    u = enzyme()
    u.atoms.positions = np.zeros((len(u.atoms), 3))
    assert said(lambda: select_atoms(u))[1] == []


def test_what_was_added_is_not_advised_again():
    u = enzyme()
    everything = "group default or resid 301 303"
    assert said(lambda: select_atoms(u, everything))[1] == []
    zinc, (text,) = said(lambda: select_atoms(u, "group default or resname ZN"))
    assert "Only the selection is analysed; residues left out: MG (1)" in text
    option = text.split('--select "')[1].split('"')[0]
    both, texts = said(lambda: select_atoms(u, option))
    assert texts == []
    assert set(both.resids) == set(zinc.resids) | {303}
    # A selection without the default's name is the user's own.
    assert said(lambda: select_atoms(u, "resid 1"))[1] == []
