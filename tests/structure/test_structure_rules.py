"""What is chosen, guessed and joined, on structures of a few atoms."""

from __future__ import annotations

import warnings

import MDAnalysis as mda
import numpy as np
import pytest

from mdgeomfeat.boxes import lattice_vectors
from mdgeomfeat.errors import InputError, MDGeomFeatWarning
from mdgeomfeat.structure import Structure, make_whole
from mdgeomfeat.structure.elements import resolve_elements
from mdgeomfeat.structure.selection import select_atoms

pytestmark = pytest.mark.filterwarnings("ignore::mdgeomfeat.errors.MDGeomFeatWarning")

BACKBONE = {"N": (0, 0, 0), "CA": (1.2, 0.8, 0), "C": (2.4, 0, 0), "O": (2.5, -1.2, 0)}
FAR = (50.0, 50.0, 50.0)


def amino(resname, place, **changes):
    """A residue of a stretched chain at one of its places, 3.8 Å apart."""
    atoms = {**BACKBONE, **changes}
    shifted = {n: np.add(xyz, [3.8 * place, 0, 0]) for n, xyz in atoms.items()}
    return resname, shifted


def group(resname, at=FAR, **atoms):
    """Any residue, its atoms by name and place."""
    return resname, {n: np.add(at, xyz) for n, xyz in atoms.items()}


def universe(*residues, **attributes):
    """A Universe of residues, each a name and atoms with their places."""
    names = [n for _, atoms in residues for n in atoms]
    index = [i for i, (_, atoms) in enumerate(residues) for _ in atoms]
    u = mda.Universe.empty(
        len(names), n_residues=len(residues), atom_resindex=index, trajectory=True
    )
    u.add_TopologyAttr("names", names)
    u.add_TopologyAttr("resnames", [r for r, _ in residues])
    u.add_TopologyAttr("resids", range(1, len(residues) + 1))
    for name, values in attributes.items():
        u.add_TopologyAttr(name, values)
    u.atoms.positions = [xyz for _, atoms in residues for xyz in atoms.values()]
    return u


def said(action):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", MDGeomFeatWarning)
        result = action()
    return result, [str(w.message) for w in caught if w.category is MDGeomFeatWarning]


def chosen(u, select=None):
    atoms, _ = said(lambda: select_atoms(u, select))
    return sorted({r.resname for r in atoms.residues}), atoms.names.tolist()


WATER = group("HOH", OW=(0, 0, 0), HW1=(1, 0, 0), HW2=(0, 1, 0))
SODIUM = group("NA", at=(60, 0, 0), NA=(0, 0, 0))
BENZENE = group("BNZ", at=(80, 0, 0), C1=(0, 0, 0), C2=(1.4, 0, 0), H1=(0, 1, 0))
SUGAR = {f"C{k}'": (1.5 * k, 0, 0) for k in range(1, 6)}
BASE = group("DA", at=(0, 60, 0), P=(9, 1, 0), **SUGAR)


# --- elements ---------------------------------------------------------------------


def test_types_that_are_symbols_go_before_the_name():
    u = universe(group("LIG", CA=(0, 0, 0), C1=(5, 0, 0)), types=["Ca", "C"])
    assert resolve_elements(u.atoms, warn=False).tolist() == [20, 6]


@pytest.mark.parametrize(("hydrogen", "carbon"), [(1.008, 20), (1.6, 6), (3.024, 6)])
def test_hydrogens_over_one_and_a_half_u_make_masses_worthless(hydrogen, carbon):
    lig = group("LIG", CA=(0, 0, 0), HA=(1, 0, 0))
    u = universe(lig, masses=[40.078, hydrogen])
    assert resolve_elements(u.atoms, warn=False).tolist() == [carbon, 1]


def test_an_alpha_carbon_has_no_calcium_beside_it():
    # a labelled mass of 40 u does not make a protein's CA calcium
    u = universe(amino("ALA", 0), masses=[14.0, 40.078, 12.0, 16.0])
    assert resolve_elements(u.atoms, warn=False).tolist() == [7, 6, 6, 8]


# --- the default selection --------------------------------------------------------


def test_the_default_is_protein_then_nucleic_then_solute():
    everything = [WATER, SODIUM, BENZENE, BASE, amino("ALA", 0, H=(0, 1, 0))]
    assert chosen(universe(*everything)) == (["ALA"], ["N", "CA", "C", "O"])
    assert chosen(universe(*everything[:4]))[0] == ["DA"]
    assert chosen(universe(*everything[:3])) == (["BNZ"], ["C1", "C2"])
    with pytest.raises(InputError, match="only solvent and ions"):
        select_atoms(universe(*everything[:2]))


def test_beads_are_kept_to_be_refused():
    u = universe(("ALA", {**amino("ALA", 0)[1], "BB": np.zeros(3)}))
    assert "BB" in chosen(u)[1]
    with pytest.raises(InputError, match="residue ALA: BB"):
        Structure.from_atomgroup(select_atoms(u))


def test_what_is_built_like_an_amino_acid_is_one_in_a_chain_only():
    chain = [amino(r, i) for i, r in enumerate(["ALA", "ZZZ", "ALA"])]
    free = ("SAM", {n: np.add(xyz, FAR) for n, xyz in BACKBONE.items()})
    assert chosen(universe(*chain, free))[0] == ["ALA", "ZZZ"]


@pytest.mark.parametrize("name", ["ACE", "FOR", "NME", "NMA", "NHE", "NH2"])
def test_caps_belong_to_the_protein_they_are_bonded_to(name):
    first = name in ("ACE", "FOR")
    atom = {"C": (2.4 - 3.8, 0, 0)} if first else {"N": (3.8, 0, 0)}
    cap = group(name, at=(0, 0, 0), **atom, CH3=(-2.0, 1, 0) if first else (5.0, 1, 0))
    order = [cap, amino("ALA", 0)] if first else [amino("ALA", 0), cap]
    assert chosen(universe(*order))[0] == sorted(["ALA", name])
    away = (name, {n: np.add(xyz, FAR) for n, xyz in cap[1].items()})
    order = [away, amino("ALA", 0)] if first else [amino("ALA", 0), away]
    assert chosen(universe(*order))[0] == ["ALA"]


def test_left_out_residues_of_several_heavy_atoms_are_told():
    methane = group("CH4", C=(0, 0, 0), H1=(1, 0, 0), H2=(0, 1, 0))
    u = universe(amino("ALA", 0), BENZENE, methane, WATER)
    _, texts = said(lambda: select_atoms(u))
    (text,) = [t for t in texts if "left out" in t]
    assert "BNZ (1); to add them" in text
    assert "CH4" not in text
    assert "HOH" not in text


def test_a_selection_is_taken_at_its_word_but_for_dummies():
    u = universe(
        amino("ALA", 0, H=(0, 1, 0)), group("ZNM", DM1=(0, 0, 0), ZN=(0, 0, 0))
    )
    atoms, texts = said(lambda: select_atoms(u, "all"))
    assert atoms.names.tolist() == ["N", "CA", "C", "O", "H", "ZN"]
    assert any("1 virtual sites or dummy atoms are left out (DM1)" in t for t in texts)
    assert chosen(u.residues[:1].atoms)[1] == ["N", "CA", "C", "O"]
    with pytest.raises(InputError, match="only virtual sites or dummy atoms"):
        select_atoms(u, "name DM1")
    with pytest.raises(InputError, match="matches none of the 7 atoms"):
        select_atoms(u, "resname GLY")
    with pytest.raises(InputError, match="1 virtual sites or dummy"):
        Structure.from_atomgroup(u.atoms)


@pytest.mark.parametrize(
    ("occupancies", "kept"), [((0.3, 0.7), "B"), ((0.7, 0.3), "A"), ((0.5, 0.5), "A")]
)
def test_the_fullest_location_is_kept(occupancies, kept):
    names = [*BACKBONE, "CB"]
    u = mda.Universe.empty(6, n_residues=1, atom_resindex=[0] * 6, trajectory=True)
    u.add_TopologyAttr("names", [*names, "CB"])
    u.add_TopologyAttr("resnames", ["ALA"])
    u.add_TopologyAttr("resids", [1])
    u.add_TopologyAttr("altLocs", [""] * 4 + ["B", "A"])
    u.add_TopologyAttr("occupancies", [1.0] * 4 + list(occupancies)[::-1])
    u.atoms.positions = [*BACKBONE.values(), (1.2, 1.7, 1.2), (1.2, 1.7, -1.2)]
    atoms, (text, *_) = said(lambda: select_atoms(u))
    assert [a for a in atoms.altLocs if a] == [kept]
    assert "the one of highest occupancy is kept, 1 atoms are left out" in text


def test_atoms_at_one_place_are_one():
    twice = universe(amino("ALA", 0))
    both = mda.Merge(twice.atoms, twice.select_atoms("name CA"))
    merged = mda.Universe.empty(5, 1, atom_resindex=[0] * 5, trajectory=True)
    merged.add_TopologyAttr("names", both.atoms.names.tolist())
    merged.add_TopologyAttr("resnames", ["ALA"])
    merged.add_TopologyAttr("resids", [1])
    merged.atoms.positions = both.atoms.positions
    atoms, texts = said(lambda: select_atoms(merged))
    assert atoms.names.tolist() == ["N", "CA", "C", "O"]
    assert any("once more, at the same place" in t for t in texts)


# --- tokens, chains, making whole -------------------------------------------------


def test_a_chain_ends_with_its_identifier():
    u = universe(*(amino("ALA", i) for i in range(4)))
    u.add_TopologyAttr("chainIDs", ["A"] * 8 + ["B"] * 8)
    assert Structure.from_atomgroup(u.atoms).chain.tolist() == [0, 0, 1, 1]


def test_molecules_are_no_tokens_without_bonds():
    u = universe(amino("ALA", 0), BENZENE)
    with pytest.raises(InputError, match="tokens='molecule' needs bonds"):
        Structure.from_atomgroup(select_atoms(u, "all"), tokens="molecule")


def test_a_single_bond_of_a_residue_is_not_all_of_its_bonds():
    # CONECT records of one disulfide do not tear the chain to pieces
    u = universe(*(amino("CYS", i, SG=(1.2, 1.7, 1.8)) for i in range(3)))
    u.add_TopologyAttr("bonds", [(4, 14)])
    assert Structure.from_atomgroup(u.atoms).chain.tolist() == [0, 0, 0]


def test_an_atom_is_chosen_once():
    u = universe(amino("ALA", 0))
    with pytest.raises(InputError, match="1 atoms twice"):
        Structure.from_atomgroup(u.atoms + u.atoms[:1])


BOXES = [
    [14.0, 15, 16, 90, 90, 90],
    [16.0, 16, 16, 60, 60, 90],
    [16.0, 24, 30, 50, 55, 40],
]


@pytest.mark.parametrize("box", BOXES)
@pytest.mark.parametrize("bonds", [True, False])
def test_a_torn_chain_is_put_together(box, bonds):
    u = universe(*(amino("ALA", i) for i in range(6)))
    if bonds:
        inside = [(4 * i + a, 4 * i + a + 1) for i in range(6) for a in range(3)]
        u.add_TopologyAttr("bonds", inside + [(4 * i + 2, 4 * i + 4) for i in range(5)])
    structure = Structure.from_atomgroup(u.atoms)
    x = u.atoms.positions.astype(float)
    rng = np.random.default_rng(0)
    steps = rng.integers(-2, 3, size=(5, len(x), 3))
    torn = x + steps @ lattice_vectors(np.array(box))
    whole = make_whole(structure, torn, np.tile(box, (5, 1)))
    np.testing.assert_allclose(
        whole - whole[:, :1], np.tile(x - x[0], (5, 1, 1)), atol=1e-4
    )
    np.testing.assert_allclose(whole[:, 0], torn[:, 0])


def test_bonds_hold_what_is_not_near():
    # A ring so large that its ends are nearer than its bonds are long.
    angle = 2 * np.pi * np.arange(6) / 6.5
    x = 6 * np.stack([np.cos(angle), np.sin(angle), 0 * angle], axis=1)
    bonds = [[0, 3], [3, 1], [1, 4], [4, 2], [2, 5]]
    s = Structure.from_arrays([6] * 6, [0] * 6, bonds=bonds)
    pairs = {frozenset((i, p)) for i, p in enumerate(s.parent.tolist()) if p >= 0}
    assert pairs == {frozenset(b) for b in bonds}
    assert len(make_whole(s, x[None], np.array([[40.0, 40, 40, 90, 90, 90]]))) == 1


def test_deuterium_is_hydrogen():
    u = universe(amino("ALA", 0, X1=(0, -1, 0)))
    u.add_TopologyAttr("elements", ["N", "C", "C", "O", "D"])
    assert resolve_elements(u.atoms).tolist() == [7, 6, 6, 8, 1]


def test_disulfides_alone_are_not_all_bonds():
    # Four residues in a row of which CONECT records state two bridges and no more.
    u = universe(*(amino("CYS", i) for i in range(4)))
    last = [r.atoms[-1].index for r in u.residues]
    u.add_TopologyAttr("bonds", [(last[0], last[2]), (last[1], last[3])])
    assert Structure.from_atomgroup(u.atoms).next_token.tolist() == [1, 2, 3, -1]


def test_neighbouring_residues_hang_together_by_their_nearest_atoms():
    s = Structure.from_atomgroup(universe(*(amino("ALA", i) for i in range(3))).atoms)
    pairs = {tuple(sorted((i, p))) for i, p in enumerate(s.parent.tolist()) if p >= 0}
    # C of one residue (2 and 6) and N of the next (4 and 8)
    assert {(i, j) for i, j in pairs if i // 4 != j // 4} == {(2, 4), (6, 8)}


def test_the_nearest_image_of_a_skewed_box():
    # Each vector has far more of the one before it than a reduced cell would.
    skewed = np.array([[20.0, 0, 0], [70, 15, 0], [130, 80, 18]])
    box = mda.lib.mdamath.triclinic_box(*skewed)
    vectors = lattice_vectors(box[None])[0]
    rng = np.random.default_rng(3)
    first = rng.uniform(0, 30, (50, 3))
    apart = rng.normal(size=(50, 3))
    apart *= 3.0 / np.linalg.norm(apart, axis=1, keepdims=True)
    moves = rng.integers(-3, 4, (50, 3)) @ vectors
    frames = np.stack([first, first + apart + moves], axis=1)
    s = Structure.from_arrays([6, 6], [0, 0], bonds=[[0, 1]])
    whole = make_whole(s, frames, np.tile(box, (50, 1)))
    np.testing.assert_allclose(whole[:, 1] - whole[:, 0], apart, atol=1e-3)


def test_insertion_codes_tell_residues_apart_that_share_no_atom_name():
    u = universe(
        group("LIG", C1=(0, 0, 0), C2=(1.5, 0, 0)),
        group("LIG", C3=(3, 0, 0), C4=(4.5, 0, 0)),
        icodes=["", "A"],
    )
    u.residues.resids = [7, 7]
    tokens = Structure.from_atomgroup(u.atoms).tokens
    assert tokens["resid"].tolist() == [7, 7]
    assert tokens["icode"].tolist() == ["", "A"]


@pytest.mark.parametrize("name", ["CA", "CD", "HG", "NA", "CO"])
def test_masses_that_were_guessed_from_names_say_no_more_than_names(name):
    bare, weighed = (universe(group("UNK", **{name: (0, 0, 0)})) for _ in range(2))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        weighed.guess_TopologyAttrs(to_guess=["types", "masses"])
    found, _ = said(lambda: [resolve_elements(u.atoms) for u in (bare, weighed)])
    assert found[0].tolist() == found[1].tolist()
