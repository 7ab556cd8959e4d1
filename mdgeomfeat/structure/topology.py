"""One view of a topology, wherever it came from, split into true residues."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from mdgeomfeat.boxes import has_box
from mdgeomfeat.errors import InputError
from mdgeomfeat.structure.bridges import JOINT, bonded_by_name, without_bridges
from mdgeomfeat.structure.residues import (
    CAPS,
    SYMBOLS,
    WATERS,
    nucleic_names,
    protein_names,
)
from mdgeomfeat.upstream import bonds_are_guessed, read_frame, stated_attributes

if TYPE_CHECKING:
    import mdtraj
    from MDAnalysis.core.universe import Universe

__all__ = ["AtomTable", "first_frame"]

_SYMBOL_SET = frozenset(s.upper() for s in SYMBOLS) | {"D", "T", "", "DU", "EP", "VS"}


@dataclass(frozen=True, eq=False, kw_only=True)
class AtomTable:
    """All atoms of a topology, with residues that are never two residues at once.

    Attributes
    ----------
    names : (A,) ndarray of str
    residue : (A,) ndarray of int64
        Number of the residue, in file order. A residue of the reader is split
        where the chain identifier changes and where its atom names start anew.
    resnames, segids, chainids, icodes : (R,) ndarrays of str
    resids : (R,) ndarray of int64
    elements : (A,) ndarray of str or None
        As stated by the topology; None where it states none at all.
    symbol_types : (A,) ndarray of str or None
        Atom types, only if every one of them is an element symbol.
    masses : (A,) ndarray of float64 or None
        In u; None if the topology has none (guessed ones do not count).
    altlocs : (A,) ndarray of str
    occupancies : (A,) ndarray of float64
    bonds : (B, 2) ndarray of int64 or None
        Without those that bridge a gap in a chain.
    positions : (A, 3) ndarray of float64 or None
        Å, of the first frame.
    box : (6,) ndarray of float64 or None
    """

    names: np.ndarray
    residue: np.ndarray
    resnames: np.ndarray
    segids: np.ndarray
    chainids: np.ndarray
    icodes: np.ndarray
    resids: np.ndarray
    elements: np.ndarray | None
    symbol_types: np.ndarray | None
    masses: np.ndarray | None
    altlocs: np.ndarray
    occupancies: np.ndarray
    bonds: np.ndarray | None
    positions: np.ndarray | None
    box: np.ndarray | None

    @property
    def n_atoms(self) -> int:
        """Number of atoms."""
        return len(self.names)

    @property
    def n_residues(self) -> int:
        """Number of residues."""
        return len(self.resnames)

    @cached_property
    def residue_size(self) -> np.ndarray:
        """Number of atoms of each residue, (R,)."""
        return np.bincount(self.residue, minlength=self.n_residues)

    @cached_property
    def bond_count(self) -> np.ndarray:
        """Number of bonds of each atom, (A,)."""
        if self.bonds is None:
            return np.zeros(self.n_atoms, dtype=np.int64)
        return np.bincount(self.bonds.ravel(), minlength=self.n_atoms)

    @cached_property
    def fully_bonded(self) -> np.ndarray:
        """Whether all atoms of a residue have bonds, (R,): its bonds can be trusted.

        A PDB file's CONECT records often hold only disulfides and ligands.
        """
        if self.bonds is None:
            return np.zeros(self.n_residues, dtype=bool)
        with_bond = np.bincount(
            self.residue, weights=self.bond_count > 0, minlength=self.n_residues
        )
        # Virtual sites and Drude particles may have none: two missing are allowed
        # for each bonded atom, but a single bonded atom is not enough.
        return (with_bond * 2 >= self.residue_size) & (with_bond > 1)

    @cached_property
    def residue_links(self) -> frozenset[tuple[int, int]]:
        """Pairs (low, high) of residues that a bond connects."""
        if self.bonds is None:
            return frozenset()
        pairs = np.sort(self.residue[self.bonds], axis=1)
        pairs = np.unique(pairs[pairs[:, 0] != pairs[:, 1]], axis=0)
        return frozenset((int(a), int(b)) for a, b in pairs)

    def find(self, name: str) -> np.ndarray:
        """Return the atom of each residue with a name, (R,), -1 where there is none."""
        found = np.full(self.n_residues, -1, dtype=np.int64)
        where = np.flatnonzero(self.names == name)[::-1]
        found[self.residue[where]] = where
        return found

    def names_in(self, resname: str) -> frozenset[str]:
        """Atom names in the residues of one name, in upper case."""
        atoms = self.resnames[self.residue] == resname
        return frozenset(str(n).upper() for n in np.unique(self.names[atoms]))

    @cached_property
    def is_protein(self) -> np.ndarray:
        """(R,) bool: amino acids by name, or by N, CA and C and in a chain, and caps.

        Free ligands with such atoms (S-adenosylmethionine) are in no chain.
        """
        backbone = (
            (self.find("N") >= 0) & (self.find("CA") >= 0) & (self.find("C") >= 0)
        )
        known = np.isin(self.resnames, list(protein_names() - CAPS))
        alike = known | (backbone & ~np.isin(self.resnames, list(WATERS)))
        protein = known.copy()
        for other in np.flatnonzero(alike & ~known):
            protein[other] = self._attached(int(other), alike)
        for cap in np.flatnonzero(np.isin(self.resnames, list(CAPS)) & ~protein):
            protein[cap] = self._attached(int(cap), protein)
        return protein

    def _attached(self, residue: int, kind: np.ndarray) -> bool:
        """Whether a neighbour in sequence or by bonds is of a kind, (R,) bool."""
        return any(
            0 <= other < self.n_residues
            and kind[other]
            and self.connected(residue, other)
            for other in (residue - 1, residue + 1)
        ) or any(kind[o] for o in self._linked_to(residue))

    @cached_property
    def is_nucleic(self) -> np.ndarray:
        """(R,) bool: nucleotides by name, and sugars with phosphate joined to one."""
        sugar = np.ones(self.n_residues, dtype=bool)
        for atom in ("C1", "C3", "C4"):
            sugar &= (self.find(f"{atom}'") >= 0) | (self.find(f"{atom}*") >= 0)
        known = np.isin(self.resnames, list(nucleic_names())) & (self.residue_size > 1)
        # One-letter names are also used for ligands and ions.
        letter = np.array([len(str(r)) == 1 for r in self.resnames], dtype=bool)
        nucleic: np.ndarray = known & (sugar | ~letter)
        # Modified bases have many names; free nucleotides (FMN) are not joined.
        for other in np.flatnonzero(sugar & ~nucleic):
            nucleic[other] = any(
                0 <= near < self.n_residues
                and nucleic[near]
                and self.connected(int(other), int(near))
                for near in (other - 1, other + 1)
            )
        return nucleic

    @cached_property
    def is_water(self) -> np.ndarray:
        """(R,) bool: water of any model."""
        return np.isin(self.resnames, list(WATERS))

    def _linked_to(self, residue: int) -> list[int]:
        return [
            b if a == residue else a for a, b in self.residue_links if residue in (a, b)
        ]

    def connected(self, first: int, second: int) -> bool:
        """Whether residue ``second`` follows ``first`` in an unbroken chain.

        The chain breaks where the segment or chain identifier changes and where no
        bond joins the two; bonds that bridge a gap have been left out (see
        :mod:`mdgeomfeat.structure.bridges`). Where the topology has no complete
        bonds, C-N or O3'-P must be nearer than 2.5 Å in the first frame (in models
        with one atom per residue, CA-CA than 5 Å and P-P than 8.5 Å); without
        positions the residue numbers must follow on.
        """
        if (
            self.segids[first] != self.segids[second]
            or self.chainids[first] != self.chainids[second]
        ):
            return False
        low, high = min(first, second), max(first, second)
        if (low, high) in self.residue_links:
            return True
        if self.fully_bonded[first] and self.fully_bonded[second]:
            kind = self._has_sugar[first]
            if kind != self._has_sugar[second] or kind in self._linked_kinds:
                return False
        if self.positions is None:
            return bool(0 <= self.resids[high] - self.resids[low] <= 1)
        for left, right, limit in self._joints:
            a, b = left[low], right[high]
            if a >= 0 and b >= 0:
                return self.distance(int(a), int(b)) < limit
        return False

    @cached_property
    def _has_sugar(self) -> np.ndarray:
        return (self.find("C1'") >= 0) | (self.find("C1*") >= 0)

    @cached_property
    def _linked_kinds(self) -> frozenset[bool]:
        """Whether bonds between residues are stated for sugars, and for others.

        mdtraj knows the bonds inside nucleotides but not those between them.
        """
        sugar = self._has_sugar
        return frozenset(
            bool(sugar[a]) for a, b in self.residue_links if sugar[a] == sugar[b]
        )

    @cached_property
    def _joints(self) -> list[tuple[np.ndarray, np.ndarray, float]]:
        oxygen = np.maximum(self.find("O3'"), self.find("O3*"))
        # One-atom models only: lipids, too, have a P each.
        amino = np.isin(self.resnames, list(protein_names()))
        base = np.isin(self.resnames, list(nucleic_names()))
        alpha = np.where(amino, self.find("CA"), -1)
        phosphorus = np.where(base, self.find("P"), -1)
        return [
            (self.find("C"), self.find("N"), JOINT),
            (oxygen, self.find("P"), JOINT),
            (alpha, alpha, 5.0),
            (phosphorus, phosphorus, 8.5),
        ]

    def distance(self, a: int, b: int) -> float:
        """Distance of two atoms in the first frame, Å, nearest image."""
        from MDAnalysis.lib.distances import calc_bonds

        assert self.positions is not None
        return float(calc_bonds(self.positions[a], self.positions[b], box=self.box))

    @classmethod
    def from_universe(cls, universe: Universe, *, positions: bool = True) -> AtomTable:
        """Read the table of an MDAnalysis Universe.

        Parameters
        ----------
        universe : MDAnalysis Universe
        positions : bool
            Also read the first frame; the current frame is kept.
        """
        atoms = universe.atoms
        n = len(atoms)

        def strings(name: str) -> np.ndarray:
            values = getattr(atoms, name, None)
            if values is None:
                return np.full(n, "", dtype=object)
            return np.array([str(v).strip() for v in values], dtype=object)

        stated = stated_attributes(universe)
        elements = strings("elements") if "elements" in stated else None
        if elements is not None and not any(elements):
            elements = None
        types = strings("types") if "types" in stated else None
        masses = np.asarray(atoms.masses, float) if "masses" in stated else None
        occupancies = (
            np.asarray(atoms.occupancies, float)
            if hasattr(atoms, "occupancies")
            else np.ones(n)
        )
        xyz, box = first_frame(universe) if positions else (None, None)
        resids = getattr(atoms, "resids", np.arange(n))
        return cls._build(
            names=strings("names"),
            reader_residue=np.asarray(atoms.resindices, dtype=np.int64),
            resnames=strings("resnames"),
            segids=strings("segids"),
            chainids=strings("chainIDs"),
            icodes=strings("icodes"),
            resids=np.asarray(resids, dtype=np.int64),
            elements=elements,
            symbol_types=types,
            masses=masses,
            altlocs=strings("altLocs"),
            occupancies=occupancies,
            bonds=_bonds(universe),
            guessed_bonds=_bonds_guessed(universe),
            positions=xyz,
            box=box,
        )

    @classmethod
    def from_mdtraj(cls, topology: mdtraj.Topology) -> AtomTable:
        """Read the table of an mdtraj topology; it holds no positions."""
        atoms = list(topology.atoms)

        def strings(values: Any) -> np.ndarray:
            return np.array([str(v) for v in values], dtype=object)

        elements = strings(
            "X" if a.element is None or a.element.number == 0 else a.element.symbol
            for a in atoms
        )
        # Bonds of an mdtraj topology are pairs of atoms.
        bonds = np.array(
            [(b[0].index, b[1].index) for b in topology.bonds], dtype=np.int64
        )
        chains = strings(
            (getattr(a.residue.chain, "chain_id", None) or "").strip()
            or a.residue.chain.index
            for a in atoms
        )
        return cls._build(
            names=strings(a.name for a in atoms),
            reader_residue=np.array([a.residue.index for a in atoms], dtype=np.int64),
            resnames=strings(a.residue.name for a in atoms),
            segids=strings(a.residue.segment_id or "" for a in atoms),
            chainids=chains,
            icodes=np.full(len(atoms), "", dtype=object),
            resids=np.array([a.residue.resSeq for a in atoms], dtype=np.int64),
            elements=elements,
            symbol_types=None,
            masses=None,
            altlocs=np.full(len(atoms), "", dtype=object),
            occupancies=np.ones(len(atoms)),
            bonds=bonds if len(bonds) else None,
            guessed_bonds=bonded_by_name(topology),
            positions=None,
            box=None,
        )

    @classmethod
    def _build(
        cls, *, reader_residue: np.ndarray, guessed_bonds: bool, **arrays: Any
    ) -> AtomTable:
        """Find the residues and keep one row of their identifiers each."""
        residue, first = _split_residues(
            reader_residue, arrays["names"], arrays["chainids"], arrays["altlocs"]
        )
        for name in ("resnames", "segids", "chainids", "icodes", "resids"):
            arrays[name] = arrays[name][first]
        if arrays["bonds"] is not None:
            arrays["bonds"] = without_bridges(
                arrays["bonds"],
                arrays["names"],
                residue,
                arrays["resids"],
                arrays["positions"],
                arrays["box"],
                guessed=guessed_bonds,
            )
        types = arrays["symbol_types"]
        if types is not None and not _are_symbols(types):
            arrays["symbol_types"] = None
        return cls(residue=residue, **arrays)


def first_frame(universe: Universe) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Positions (A, 3) and box (6,) of the first frame; the reader is put back."""
    trajectory = getattr(universe, "trajectory", None)
    if trajectory is None:
        return None, None
    current = trajectory.ts.frame
    xyz: np.ndarray | None
    try:
        if current != 0:
            read_frame(trajectory, 0)
        xyz = np.array(universe.atoms.positions, dtype=np.float64)
        box = trajectory.ts.dimensions
        box = None if box is None else np.array(box, dtype=np.float64)
    except InputError:
        # Whoever needs the frame says so; residues are joined by their numbers then.
        return None, None
    finally:
        if current != 0:
            read_frame(trajectory, current)
    if not np.isfinite(xyz).all():
        xyz = None
    if not has_box(box).all():
        box = None
    return xyz, box


def _are_symbols(types: np.ndarray) -> bool:
    kinds = {str(t).upper() for t in np.unique(types)}
    return kinds <= _SYMBOL_SET and bool(kinds & {"C", "H", "O"})


def _bonds(universe: Universe) -> np.ndarray | None:
    if not hasattr(universe, "bonds") or not len(universe.bonds):
        return None
    return np.asarray(universe.bonds.indices, dtype=np.int64).reshape(-1, 2)


def _bonds_guessed(universe: Universe) -> bool:
    if not hasattr(universe, "bonds") or not len(universe.bonds):
        return False
    return bonds_are_guessed(universe)


def _split_residues(
    reader_residue: np.ndarray,
    names: np.ndarray,
    chainids: np.ndarray,
    altlocs: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Tell residues apart so that each is one residue of one chain.

    Two chains that meet with the same residue number and name come out of many
    readers as one residue; its atom names then start anew, or its chain changes.
    """
    _, chain = np.unique(chainids.astype(str), return_inverse=True)
    _, name = np.unique(names.astype(str), return_inverse=True)
    _, alt = np.unique(altlocs.astype(str), return_inverse=True)
    section = np.zeros(len(names), dtype=np.int64)
    key = np.stack([reader_residue, chain, name, alt], axis=1)
    _, inverse, counts = np.unique(key, axis=0, return_inverse=True, return_counts=True)
    twice = np.unique(key[counts[inverse.ravel()] > 1][:, :2], axis=0)
    for res, cha in twice:
        atoms = np.flatnonzero((reader_residue == res) & (chain == cha))
        starts = np.flatnonzero(names[atoms] == names[atoms[0]])
        runs = np.split(atoms, starts[1:])
        if all(len(r) > 2 and len(set(names[r])) == len(r) for r in runs):
            for number, run in enumerate(runs):
                section[run] = number
    key = np.stack([reader_residue, chain, section], axis=1)
    _, first, residue = np.unique(key, axis=0, return_index=True, return_inverse=True)
    # Chains are numbered by name above; residues keep the order of the file.
    order = np.argsort(first, kind="stable")
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    return rank[residue.ravel()], first[order]
