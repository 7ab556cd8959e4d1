"""Tokens, chains, windows, and the Structure as an object."""

from __future__ import annotations

import json
import pickle
import warnings

import MDAnalysis as mda
import numpy as np
import pytest
from systems import (
    COORDINATES,
    complex_with_ligands,
    entry,
    lipids,
    membrane,
    solvated,
)  # fmt: skip

from mdgeomfeat.errors import AssumptionWarning, InputError
from mdgeomfeat.reading import open_universe
from mdgeomfeat.structure import Structure
from mdgeomfeat.structure.selection import select_atoms

pytestmark = [
    pytest.mark.filterwarnings("ignore::UserWarning:MDAnalysis"),
    pytest.mark.filterwarnings("ignore::mdgeomfeat.errors.MDGeomFeatWarning"),
]

PDB = (
    "ATOM  {serial:>5} {name:<4} {resname:>3} {chain}{resid:>4}{icode}   "
    "{x:8.3f}{y:8.3f}{z:8.3f}  1.00  0.00          {element:>2}\n"
)


def peptide(residues, gap_after=(), chain_step=30.0):
    """PDB text of CA-C-N backbones: (chain, resid, icode, resname) per residue."""
    text, x, y, last = "", 0.0, 0.0, None
    serial = 1
    for i, (chain, resid, icode, resname) in enumerate(residues):
        if last not in (None, chain):
            x, y = 0.0, y + chain_step
        for name, element, dx in (("N", "N", 0.0), ("CA", "C", 1.46), ("C", "C", 2.98)):
            text += PDB.format(
                serial=serial, name=f" {name}", resname=resname, chain=chain,
                resid=resid, icode=icode or " ", x=x + dx, y=y, z=0.0, element=element,
            )  # fmt: skip
            serial += 1
        x += 2.98 + (9.0 if i in gap_after else 1.33)
        last = chain
    return text + "END\n"


@pytest.fixture
def build(tmp_path):
    def make(text, **options):
        path = tmp_path / "made.pdb"
        path.write_text(text)
        u = mda.Universe(path)
        return Structure.from_atomgroup(select_atoms(u), **options)

    return make


def test_residues_become_tokens(build):
    s = build(peptide([("A", 1, "", "ALA"), ("A", 2, "", "GLY")]))
    assert s.tokens.dtype.names == (
        "segid", "chainID", "resid", "icode", "resname", "n_atoms",
    )  # fmt: skip
    assert s.token_labels() == ["A:ALA1", "A:GLY2"]
    assert s.token_of_atom.tolist() == [0, 0, 0, 1, 1, 1]
    assert s.tokens["n_atoms"].tolist() == [3, 3]
    assert s.next_token.tolist() == [1, -1]
    assert s.numbers.tolist() == [7, 6, 6] * 2


def test_insertion_codes_are_separate_tokens(build):
    s = build(
        peptide([("A", 52, "", "GLY"), ("A", 52, "A", "GLY"), ("A", 53, "", "GLY")])
    )
    assert s.token_labels() == ["A:GLY52", "A:GLY52A", "A:GLY53"]
    assert s.next_token.tolist() == [1, 2, -1]


def test_chains_that_meet_with_equal_residue_numbers(build):
    s = build(peptide([("A", 1, "", "GLY"), ("B", 1, "", "GLY")]))
    assert s.token_labels() == ["A:GLY1", "B:GLY1"]
    assert s.chain.tolist() == [0, 1]


def test_chains_that_meet_without_identifiers(build):
    # Both chains are blank: the reader sees one residue of twice the atoms.
    text = peptide([("A", 1, "", "GLY"), ("B", 1, "", "GLY"), ("B", 2, "", "ALA")])
    text = text.replace(" A ", "   ").replace(" B ", "   ")
    u_text = text
    s = build(u_text)
    assert s.tokens["resname"].tolist() == ["GLY", "GLY", "ALA"]
    assert s.chain.tolist() == [0, 1, 1]
    assert len(set(s.token_labels())) == 3


def test_segment_is_one_but_chain_identifiers_differ(build):
    text = peptide([("A", 1, "", "GLY"), ("B", 1, "", "GLY")])
    lines = [line[:72] + "SEG " + line[76:] for line in text.splitlines()]
    s = build("\n".join(lines) + "\n")
    assert s.n_tokens == 2
    assert s.chain.tolist() == [0, 1]


def test_a_gap_breaks_the_chain(build):
    residues = [("A", i, "", "ALA") for i in (1, 2, 6, 7)]
    s = build(peptide(residues, gap_after=[1]))
    assert s.chain.tolist() == [0, 0, 1, 1]
    assert s.next_token.tolist() == [1, -1, 3, -1]
    # Jumping numbers alone are no gap.
    s = build(peptide(residues))
    assert s.chain.tolist() == [0, 0, 0, 0]


def test_bonds_decide_where_the_topology_has_them(build, tmp_path):
    path = tmp_path / "top.pdb"
    path.write_text(peptide([("A", i, "", "ALA") for i in (1, 2, 3)], gap_after=[0]))
    u = mda.Universe(path)
    inside = [(3 * r + a, 3 * r + a + 1) for r in range(3) for a in range(2)]
    u.add_TopologyAttr("bonds", [*inside, (2, 3)])
    s = Structure.from_atomgroup(u.atoms)
    assert s.next_token.tolist() == [1, -1, -1]
    assert s.bonds.tolist() == sorted([*map(list, inside), [2, 3]])


def bonded(tmp_path, resids, gap_after=()):
    """Universe of a chain with all its bonds, those between residues included."""
    path = tmp_path / "bonded.pdb"
    path.write_text(peptide([("A", i, "", "ALA") for i in resids], gap_after))
    u = mda.Universe(path)
    u.add_TopologyAttr("bonds", [(i, i + 1) for i in range(len(u.atoms) - 1)])
    return u


def test_a_bond_that_bridges_a_gap_is_none(tmp_path):
    u = bonded(tmp_path, [1, 2, 6, 7], gap_after=[1])
    for box in (None, [60, 60, 60, 90, 90, 90]):
        u.dimensions = box
        s = Structure.from_atomgroup(u.atoms)
        assert s.next_token.tolist() == [1, -1, 3, -1]
        assert s.component.tolist() == [0] * 6 + [1] * 6
        assert [5, 6] not in s.bonds.tolist()
        by_molecule = Structure.from_atomgroup(u.atoms, tokens="molecule")
        assert by_molecule.tokens["n_atoms"].tolist() == [6, 6]


def test_a_bond_across_the_boundary_or_new_numbers_is_one(tmp_path):
    u = bonded(tmp_path, [1, 2, 3, 4])
    u.atoms[6:].positions += [0, 40, 0]
    # Torn by the box, whether the file tells of it or not.
    for box in (None, [60, 40, 60, 90, 90, 90]):
        u.dimensions = box
        assert Structure.from_atomgroup(u.atoms).next_token.tolist() == [1, 2, 3, -1]
    u = bonded(tmp_path, [1, 2, 301, 4])
    assert Structure.from_atomgroup(u.atoms).next_token.tolist() == [1, 2, 3, -1]


def mdtraj_chain(resids):
    """Topology of a chain with the bonds that mdtraj guesses from names."""
    mdtraj = pytest.importorskip("mdtraj")
    topology = mdtraj.Topology()
    chain = topology.add_chain()
    for resid in resids:
        residue = topology.add_residue("ALA", chain, resid)
        for name, symbol in (("N", "N"), ("CA", "C"), ("C", "C"), ("O", "O")):
            topology.add_atom(name, mdtraj.element.get_by_symbol(symbol), residue)
    topology.create_standard_bonds()
    return topology


def test_bonds_that_mdtraj_guesses_do_not_bridge_a_gap():
    topology = mdtraj_chain([1, 2, 6, 7])
    assert topology.n_bonds == 15
    s = Structure.from_mdtraj(topology)
    assert s.next_token.tolist() == [1, -1, 3, -1]
    assert len(s.bonds) == 14
    # Numbers that begin anew in a full column are no gap.
    s = Structure.from_mdtraj(mdtraj_chain([9998, 9999, 0, 1]))
    assert s.next_token.tolist() == [1, 2, 3, -1]


def test_bonds_of_a_force_field_may_jump_in_number():
    # Known by a bond that mdtraj would not guess.
    topology = mdtraj_chain([1, 2, 6, 7])
    topology.add_bond(topology.atom(0), topology.atom(15))
    s = Structure.from_mdtraj(topology)
    assert s.next_token.tolist() == [1, 2, 3, -1]


def test_an_h5_file_with_a_gap_has_two_chains(tmp_path):
    mdtraj = pytest.importorskip("mdtraj")
    pytest.importorskip("tables")
    path = tmp_path / "gap.pdb"
    # Also where the residues have been numbered anew.
    residues = [("A", i, "", "ALA") for i in range(1, 5)]
    path.write_text(peptide(residues, gap_after=[1]))
    mdtraj.load(path).save_hdf5(tmp_path / "gap.h5")
    u = open_universe([tmp_path / "gap.h5"])
    assert len(u.bonds) == 11
    s = Structure.from_atomgroup(select_atoms(u))
    assert s.next_token.tolist() == [1, -1, 3, -1]


def test_windows_stay_in_their_chain(build):
    residues = [("A", i, "", "ALA") for i in (1, 2, 3)] + [("B", 1, "", "GLY")]
    s = build(peptide(residues))
    ptr, atoms, pooled = s.windows(1)
    assert ptr.tolist() == [0, 6, 15, 21, 24]
    tokens = [s.token_of_atom[atoms[a:b]].tolist() for a, b in zip(ptr, ptr[1:])]  # noqa: B905, RUF007
    assert tokens == [[0] * 3 + [1] * 3, [0] * 3 + [1] * 3 + [2] * 3,
                      [1] * 3 + [2] * 3, [3] * 3]  # fmt: skip
    assert atoms[pooled].tolist() == list(range(12))
    assert s.windows(0).atoms.tolist() == list(range(12))
    with pytest.raises(InputError, match="window= must be a whole number"):
        s.windows(-1)


def test_a_peptide_of_a_trajectory_is_one_chain(data):
    folder = data / "wlall"
    u = mda.Universe(folder / "wlall.pdb", folder / "wlall-0.xtc")
    s = Structure.from_atomgroup(select_atoms(u))
    assert s.n_tokens == 5
    assert (s.chain == 0).all()


@pytest.mark.parametrize(
    ("name", "chains"),
    [("1hvr", [48, 48]), ("1lmb", [40]), ("nucleic", [4, 4]), ("2juy", [28]),
     ("1t2y", [25]), ("2src", [13]), ("19hc", [12, 11])],
)  # fmt: skip
def test_chains_of_real_structures(name, chains):
    s = Structure.from_atomgroup(select_atoms(entry(name)))
    assert np.bincount(s.chain).tolist() == chains


def test_two_monomers_without_chain_names(tmp_path):
    u = mda.Universe(membrane(tmp_path / "two.gro"))
    s = Structure.from_atomgroup(select_atoms(u))
    assert np.bincount(s.chain).tolist() == [48, 48]
    assert len(set(s.token_labels())) == 96


def test_a_protein_torn_by_the_box_is_one_chain():
    # It has no bonds once they are removed: only the nearest image of the next
    # residue tells that the chain goes on.
    u = solvated()
    whole = Structure.from_atomgroup(select_atoms(u))
    u.del_TopologyAttr("bonds")
    s = Structure.from_atomgroup(select_atoms(u))
    assert (s.chain == 0).all()
    np.testing.assert_array_equal(s.next_token, whole.next_token)


def test_first_frame_decides_whatever_frame_is_current():
    # Without bonds distances decide, and a later frame tears the chain in the middle.
    u = entry("2juy")
    u.del_TopologyAttr("bonds")
    first = u.atoms.positions
    torn = first + np.where(u.atoms.resids[:, None] > 14, 25, 0)
    u.load_new(np.array([first, torn]))
    ag = select_atoms(u)
    at_start = Structure.from_atomgroup(ag)
    assert (at_start.chain == 0).all()
    u.trajectory[1]
    later = Structure.from_atomgroup(ag)
    assert u.trajectory.frame == 1
    assert later.to_dict() == at_start.to_dict()


def test_atom_molecule_and_custom_tokens():
    u = complex_with_ligands()
    ag = select_atoms(u, "(resid 521-522 or resname ANP TCS) and not element H")
    s = Structure.from_atomgroup(ag, tokens="atom")
    assert s.n_tokens == s.n_atoms
    assert s.token_labels()[0] == "A:THR521:N"
    s = Structure.from_atomgroup(ag, tokens="molecule")
    assert s.n_tokens == 3
    assert s.tokens["n_atoms"].tolist()[1:] == [31, 17]
    assert (s.next_token == -1).all()
    custom = np.where(ag.resnames == "ANP", 7, 3)
    s = Structure.from_atomgroup(ag, tokens=custom)
    assert s.n_tokens == 2
    assert s.tokens["n_atoms"].tolist() == [len(ag) - 31, 31]
    with pytest.raises(InputError, match="give one whole number per atom"):
        Structure.from_atomgroup(ag, tokens=[0, 1])
    with pytest.raises(InputError, match="tokens='chain' is not known"):
        Structure.from_atomgroup(ag, tokens="chain")


def test_molecules_need_bonds():
    u = mda.Merge(entry("2src").select_atoms("protein or resname PTR"))
    with pytest.raises(InputError, match="guess_bonds"):
        Structure.from_atomgroup(select_atoms(u), tokens="molecule")
    u.atoms.guess_bonds(vdwradii={"P": 1.8})
    assert Structure.from_atomgroup(select_atoms(u), tokens="molecule").n_tokens == 1


def test_disulfides_alone_are_not_bonds():
    # CONECT records that hold three disulfides say nothing of the chain.
    u = entry("2juy")
    assert len(u.bonds) == 3
    with pytest.raises(InputError, match="guess_bonds"):
        Structure.from_atomgroup(select_atoms(u), tokens="molecule")


def test_sites_and_repeats_are_refused():
    u = solvated(n_waters=2)
    with pytest.raises(InputError, match=r"virtual sites.*MW"):
        Structure.from_atomgroup(u.select_atoms("resname SOL")[:8])
    with pytest.raises(InputError, match="holds 1 atoms twice"):
        Structure.from_atomgroup(u.atoms[[0, 0, 1]])
    with pytest.raises(InputError, match="No atoms are selected"):
        Structure.from_atomgroup(u.atoms[[]])


def test_mdtraj_gives_the_same_structure():
    mdtraj = pytest.importorskip("mdtraj")
    for name in ("2juy", "1hvr", "nucleic", "2src", "1lmb"):
        path = COORDINATES / f"{name}.pdb"
        ours = Structure.from_atomgroup(select_atoms(mda.Universe(path)))
        theirs = Structure.from_mdtraj(mdtraj.load_topology(path))
        np.testing.assert_array_equal(theirs.indices, ours.indices)
        np.testing.assert_array_equal(theirs.numbers, ours.numbers)
        np.testing.assert_array_equal(theirs.token_of_atom, ours.token_of_atom)
        np.testing.assert_array_equal(theirs.chain, ours.chain)
        assert theirs.tokens["resname"].tolist() == ours.tokens["resname"].tolist()


def test_blank_chains_of_mdtraj_get_their_number():
    mdtraj = pytest.importorskip("mdtraj")
    topology = mdtraj.Topology()
    for name in (" ", "B"):
        chain = topology.add_chain(chain_id=name)
        residue = topology.add_residue("ALA", chain, resSeq=1)
        for atom in ("N", "CA", "C", "O"):
            topology.add_atom(atom, mdtraj.element.get_by_symbol(atom[0]), residue)
    assert Structure.from_mdtraj(topology).token_labels() == ["0:ALA1", "B:ALA1"]


def test_mdtraj_selections():
    mdtraj = pytest.importorskip("mdtraj")
    topology = mdtraj.load_topology(COORDINATES / "2juy.pdb")
    s = Structure.from_mdtraj(topology, select="name CA", tokens="atom")
    assert s.n_atoms == 28
    assert (s.numbers == 6).all()
    with pytest.raises(InputError, match="not a selection that mdtraj understands"):
        Structure.from_mdtraj(topology, select="name and")
    with pytest.raises(InputError, match="matches none"):
        Structure.from_mdtraj(topology, select="resname XYZ")


def test_arrays():
    s = Structure.from_arrays([6, 7, 8, 6], [0, 0, 1, 2], chain=[0, 0, 1])
    assert s.n_tokens == 3
    assert s.next_token.tolist() == [1, -1, -1]
    assert s.token_labels() == ["TOK1", "TOK2", "TOK3"]
    assert Structure.from_arrays([6, 1]).n_tokens == 2
    assert Structure.from_arrays([6, 1], bonds=[[0, 1]]).bonds.tolist() == [[0, 1]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"numbers": []}, "at least one atom"),
        ({"numbers": [6.5]}, "numbers must be whole numbers"),
        ({"numbers": [0, 6]}, "Atomic numbers must be 1 to 118, got 0 to 6"),
        ({"numbers": [6, 6], "token_of_atom": [0]}, "token_of_atom has 1 values for 2"),
        ({"numbers": [6, 6], "token_of_atom": [0, 2]}, "each used at least once"),
        ({"numbers": [6, 6], "token_of_atom": [-1, 0]}, "numbered from 0"),
        ({"numbers": [6, 6], "chain": [0]}, "chain= has 1 values for 2 tokens"),
        ({"numbers": [6, 6], "bonds": [[0, 2]]}, "Bonds must be pairs"),
        ({"numbers": [6, 6], "names": ["C"]}, "names has shape"),
    ],
)  # fmt: skip
def test_arrays_are_checked(arguments, message):
    with pytest.raises(InputError, match=message):
        Structure.from_arrays(**arguments)


def test_it_is_immutable_and_survives_pickle_and_json():
    s = Structure.from_atomgroup(select_atoms(entry("1hvr")))
    copies = [
        pickle.loads(pickle.dumps(s)),
        Structure.from_dict(json.loads(json.dumps(s.to_dict()))),
    ]
    for copy in [s, *copies]:
        assert copy.to_dict() == s.to_dict()
        assert copy.tokens.dtype == s.tokens.dtype
        with pytest.raises(ValueError, match="read-only"):
            copy.numbers[0] = 1
        with pytest.raises(AttributeError):
            copy.numbers = np.zeros(3)
    with pytest.raises(InputError, match="has format 99"):
        Structure.from_dict({"format": 99})


def test_guesses_are_said_once(data, tmp_path):
    # Without the column of elements, as older programs write PDB files.
    lines = (data / "ala2" / "ala2.pdb").read_text().splitlines()
    path = tmp_path / "old.pdb"
    path.write_text("\n".join(line[:66] for line in lines) + "\n")
    u = mda.Universe(path)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        Structure.from_atomgroup(select_atoms(u))
    ours = [w for w in caught if w.category is AssumptionWarning]
    assert len(ours) == 1
    assert "states no element for 10 of the selected" in str(ours[0].message)


def test_lipids_are_no_chain():
    # Neighbouring lipids have phosphorus atoms nearer than those of nucleotides.
    s = Structure.from_atomgroup(lipids(5, 3).atoms)
    assert s.n_tokens == 8
    assert (s.next_token == -1).all()
    assert (s.parent < 0).sum() == 8


def test_phosphorus_model_of_a_nucleic_acid_is_a_chain():
    u = entry("nucleic")
    s = Structure.from_atomgroup(mda.Merge(u.select_atoms("name P")).atoms)
    assert np.bincount(s.chain).tolist() == [3, 3]


def test_the_atomgroup_stays_usable():
    # the structure locks its own arrays, and a selection needs the AtomGroup's
    atoms = lipids(2, 2).select_atoms("name P")
    structure = Structure.from_atomgroup(atoms)
    assert not structure.indices.flags.writeable
    assert len(atoms.select_atoms("all")) == 4
