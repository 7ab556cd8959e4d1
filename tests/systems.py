"""Whole systems in memory: a peptide in water, lipids, ligands, entries of the PDB.

Coordinates of proteins are those of PDB entries (see ``coordinates/README.md``); all
else is put beside them here.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import MDAnalysis as mda
import numpy as np
from MDAnalysis.coordinates.memory import MemoryReader
from MDAnalysis.lib.mdamath import triclinic_vectors

from mdgeomfeat.testing import random_rotation

COORDINATES = Path(__file__).parent / "coordinates"

#: Å and degrees; a lattice without a right angle among a, b and c.
BOX = (44.0, 44.0, 44.0, 60.0, 60.0, 90.0)
_WATER = np.array([[0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0], [0.1, 0.1, 0]])


def entry(name: str) -> mda.Universe:
    """Open a structure of ``coordinates``."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return mda.Universe(COORDINATES / f"{name}.pdb")


def wrap(positions: np.ndarray, box) -> np.ndarray:
    """Put every atom by itself into the box."""
    vectors = triclinic_vectors(np.asarray(box, dtype=np.float32)).astype(float)
    fractions = positions @ np.linalg.inv(vectors)
    return (fractions - np.floor(fractions)) @ vectors


def make(residues, positions=None, **attributes) -> mda.Universe:
    """Make a universe of (resname, "NAME NAME …", elements) residues.

    ``elements`` is as the names, "-" for a site without a nucleus. Each residue is a
    segment's, all of one segment; positions (A, 3) are zero unless given.
    """
    names = [n for _, text, _ in residues for n in text.split()]
    elements = [e for *_, text in residues for e in text.split()]
    index = [i for i, (_, text, _) in enumerate(residues) for _ in text.split()]
    u = mda.Universe.empty(
        len(names), n_residues=len(residues), atom_resindex=index, trajectory=True
    )
    u.add_TopologyAttr("names", names)
    u.add_TopologyAttr("elements", ["" if e == "-" else e for e in elements])
    u.add_TopologyAttr("resnames", [r for r, *_ in residues])
    u.add_TopologyAttr("resids", np.arange(1, len(residues) + 1))
    for key, values in attributes.items():
        u.add_TopologyAttr(key, values)
    if positions is not None:
        u.atoms.positions = np.asarray(positions)
    return u


def waters(n: int, four_sites: bool = False) -> mda.Universe:
    """Make n water molecules at the origin."""
    names, elements = "OW HW1 HW2", "O H H"
    if four_sites:
        names, elements = names + " MW", elements + " -"
    size = len(names.split())
    u = make([("SOL", names, elements)] * n, np.tile(_WATER[:size], (n, 1)))
    ends = size * np.arange(n)[:, None]
    u.add_TopologyAttr("bonds", [(o, o + h) for (o,) in ends for h in (1, 2)])
    return u


def free_places(taken: np.ndarray, box, n: int, distance: float = 6.0) -> np.ndarray:
    """Return n points of a grid, each farther than ``distance`` from what is taken."""
    steps = np.stack(np.meshgrid(*[np.arange(10) / 10] * 3), axis=-1).reshape(-1, 3)
    grid = steps @ triclinic_vectors(np.asarray(box, dtype=np.float32)).astype(float)
    apart = mda.lib.distances.distance_array(
        grid.astype(np.float32), taken.astype(np.float32), box=np.float32(box)
    )
    free = grid[apart.min(axis=1) > distance]
    assert len(free) >= n
    return free[np.linspace(0, len(free) - 1, n).astype(int)]


def solvated(n_waters: int = 60, n_frames: int = 4, bonds: bool = True) -> mda.Universe:
    """Put the peptide of 2JUY into four-site water and salt, torn by the box.

    The peptide keeps its hydrogens and disulfides. In every frame it is turned about
    and lies across corners of the box, and each atom is wrapped by itself.
    """
    peptide = entry("2juy")
    peptide.atoms.guess_bonds()
    salt = make([("NA", "NA", "Na"), ("CL", "CL", "Cl")] * 3)
    salt.add_TopologyAttr("bonds", [])
    water = waters(n_waters, four_sites=True)
    for part in (salt, water):
        part.add_TopologyAttr("chainIDs", ["W"] * len(part.atoms))
    merged = mda.Merge(peptide.atoms, water.atoms, salt.atoms)
    size = len(peptide.atoms)
    shape = peptide.atoms.positions - peptide.atoms.center_of_geometry()
    corner = np.zeros(3)
    frames = []
    for i in range(n_frames):
        solute = shape @ random_rotation(i).T + corner + 0.3 * i
        places = free_places(solute, BOX, n_waters + len(salt.atoms))
        wet = (places[:n_waters, None] + _WATER).reshape(-1, 3)
        frames.append(wrap(np.concatenate([solute, wet, places[n_waters:]]), BOX))
    if not bonds:
        merged.del_TopologyAttr("bonds")
    merged.load_new(
        np.array(frames, dtype=np.float32),
        format=MemoryReader,
        dimensions=np.tile(np.float32(BOX), (n_frames, 1)),
        dt=20.0,
    )
    assert (merged.atoms[:size].elements == peptide.atoms.elements).all()
    return merged


def with_waters(solute: mda.Universe, n: int = 30) -> mda.Universe:
    """Put water of 26 chain letters around a molecule in a box."""
    box = [40.0, 40, 40, 90, 90, 90]
    water = waters(n)
    for residue in water.residues:
        residue.resname = "HOH"
    letters = [chr(ord("A") + i % 26) for i in range(n) for _ in range(3)]
    water.add_TopologyAttr("chainIDs", letters)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        merged = mda.Merge(solute.atoms, water.atoms)
    places = free_places(solute.atoms.positions, box, n)
    merged.atoms[len(solute.atoms) :].positions = (
        places[:, None] + _WATER[:3]
    ).reshape(-1, 3)
    merged.dimensions = box
    return merged


#: Heavy atoms of a phospholipid's head and the start of its tails.
_LIPID = "N C12 C11 P O13 O14 O12 O11 C1 C2 C3"
_LIPID_ELEMENTS = "N C C P O O O O C C C"


def lipids(n_pe: int = 5, n_pg: int = 3) -> mda.Universe:
    """Make a row of lipids with phosphorus atoms 5 Å apart, each spread along z."""
    names = [("POPE", n_pe), ("POPG", n_pg)]
    residues = [(r, _LIPID, _LIPID_ELEMENTS) for r, n in names for _ in range(n)]
    along = 1.5 * np.arange(len(_LIPID.split()))
    one = np.stack([0 * along, 0.4 * (np.arange(len(along)) % 2), along], axis=1)
    places = [one + np.array([5.0 * i, 30.0, 0.0]) for i in range(n_pe + n_pg)]
    return make(residues, np.concatenate(places))


def membrane(path: Path) -> Path:
    """Write a GRO file of two monomers without chain names, lipids and dummy ions.

    The monomers are those of 1HVR, residues 23 to 70. Two zinc ions are each a residue
    of seven atoms, six of which are dummies. No element and no bond is stated.
    """
    protein = entry("1hvr").select_atoms("(protein or resname CSO) and not element H")
    ions = make([("ZNM", "ZND DM1 DM2 DM3 DM4 DM5 DM6", "Zn - - - - - -")] * 2)
    around = np.concatenate([np.zeros((1, 3)), np.eye(3), -np.eye(3)]) * 0.9
    ions.atoms.positions = np.concatenate(
        [around + np.array([x, 60, 0]) for x in (0, 20)]
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        merged = mda.Merge(protein, lipids().atoms, ions.atoms)
        merged.dimensions = [120.0, 120.0, 100.0, 90, 90, 120]
        merged.atoms.write(str(path), reindex=True)
    return path


#: Triclosan, an inhibitor with three chlorine atoms.
_TRICLOSAN = "C1 C2 C3 C4 C5 C6 O7 C8 C9 C10 C11 C12 C13 CL14 CL15 O17 CL16"
_TRICLOSAN_ELEMENTS = "C C C C C C O C C C C C C Cl Cl O Cl"


def complex_with_ligands() -> mda.Universe:
    """Join the end of c-Src with AMP-PNP (2SRC) and triclosan; elements and bonds.

    Triclosan is a chain of atoms here: its shape is of no matter, its name, elements
    and bonds are.
    """
    kinase = entry("2src").select_atoms("not resname HOH")
    n = len(_TRICLOSAN.split())
    along = np.arange(n)
    x = np.stack([1.4 * along, 0.5 * (along % 2), 0 * along], axis=1)
    ligand = make([("TCS", _TRICLOSAN, _TRICLOSAN_ELEMENTS)], x + 60.0)
    ligand.add_TopologyAttr("chainIDs", ["A"] * n)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        merged = mda.Merge(kinase, ligand.atoms)
        known = {"P": 1.8, "Cl": 1.75, "CL": 1.75}
        merged.guess_TopologyAttrs(to_guess=["types"])
        merged.atoms[: len(kinase)].guess_bonds(vdwradii=known)
        start = len(kinase)
        chain = [(start + i, start + i + 1) for i in range(n - 1)]
        merged.add_TopologyAttr("bonds", [*map(tuple, merged.bonds.indices), *chain])
    return merged
