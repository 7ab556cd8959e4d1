"""The atoms of an analysis: elements, tokens, chains, and how to make them whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mdgeomfeat.errors import InputError
from mdgeomfeat.structure.building import (
    Tokens,
    build_arrays,
    plain_arrays,
    token_table,
)
from mdgeomfeat.structure.checks import check_bonds
from mdgeomfeat.structure.forest import components_of
from mdgeomfeat.structure.graphs import frame_graph
from mdgeomfeat.structure.topology import AtomTable

if TYPE_CHECKING:
    import mdtraj
    from MDAnalysis.core.groups import AtomGroup
    from torch_geometric.data import Data

__all__ = ["Structure", "Tokens", "Windows", "make_whole"]

_FORMAT = 1


class Windows(NamedTuple):
    """The atoms around each token, as a ragged array.

    Attributes
    ----------
    ptr : (N + 1,) ndarray of int64
        The atoms of window i are ``atoms[ptr[i]:ptr[i + 1]]``.
    atoms : (S,) ndarray of int64
        Local atom indices, token by token.
    pooled : (S,) ndarray of bool
        True for the atoms of the window's own token.
    """

    ptr: np.ndarray
    atoms: np.ndarray
    pooled: np.ndarray


@dataclass(frozen=True, eq=False, kw_only=True)
class Structure:
    """What does not change along a trajectory. Immutable; can be pickled.

    Use :meth:`from_atomgroup`, :meth:`from_mdtraj` or :meth:`from_arrays`.

    Attributes
    ----------
    numbers : (A,) ndarray of int64
        Atomic numbers.
    token_of_atom : (A,) ndarray of int64
        Token of each atom, 0 … N - 1; every token has an atom.
    tokens : (N,) structured ndarray
        Fields segid, chainID, resid, icode, resname, n_atoms.
    chain : (N,) ndarray of int64
        Number of the unbroken chain that a token belongs to. Consecutive tokens of
        one chain are neighbours in sequence.
    names : (A,) ndarray of str
        Atom names, "" where unknown.
    bonds : (B, 2) ndarray of int64 or None
        Bonds among these atoms, as far as the topology knows them.
    indices : (A,) ndarray of int64
        Index of each atom in the topology it was taken from.
    parent, order : (A,) ndarrays of int64
        The tree along which :func:`make_whole` walks: the atom that each atom hangs
        on (-1 for the first of a connected component), and all atoms, parents first.

    Examples
    --------
    >>> import MDAnalysis as mda
    >>> from mdgeomfeat import Structure
    >>> from mdgeomfeat.structure import select_atoms
    >>> structure = Structure.from_atomgroup(select_atoms(mda.Universe("top.pdb")))
    >>> structure.n_atoms, structure.n_tokens
    (9, 3)
    >>> structure.token_labels()
    ['A:ACE1', 'A:GLY2', 'A:NME3']
    """

    numbers: np.ndarray
    token_of_atom: np.ndarray
    tokens: np.ndarray
    chain: np.ndarray
    names: np.ndarray
    bonds: np.ndarray | None
    indices: np.ndarray
    parent: np.ndarray
    order: np.ndarray

    def __post_init__(self) -> None:
        self._validate()
        self._lock()

    def _validate(self) -> None:
        a, n = len(self.numbers), len(self.tokens)
        if a == 0:
            raise InputError("A structure of 0 atoms cannot be analysed; select some.")
        for name in ("token_of_atom", "names", "indices", "parent", "order"):
            if getattr(self, name).shape != (a,):
                raise InputError(
                    f"{name} has shape {getattr(self, name).shape}, but there are {a} "
                    f"atoms; give one value per atom."
                )
        if self.chain.shape != (n,):
            raise InputError(
                f"chain= has shape {self.chain.shape}, but there are {n} tokens; give "
                "one value per token."
            )
        if self.numbers.min() < 1 or self.numbers.max() > 118:
            raise InputError(
                f"Atomic numbers must be 1 to 118, got {self.numbers.min()} to "
                f"{self.numbers.max()}; leave virtual sites and dummy atoms out."
            )
        found = np.unique(self.token_of_atom)
        if len(found) != n or found[0] != 0 or found[-1] != n - 1:
            raise InputError(
                f"The token numbers of the atoms must be 0 to {n - 1}, each used at "
                f"least once, got {len(found)} numbers from {found[0]} to {found[-1]}."
            )
        check_bonds(self.bonds, a)

    def _lock(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value is not None:
                value.setflags(write=False)

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lock()

    def __repr__(self) -> str:
        return (
            f"<Structure: {self.n_atoms} atoms, {self.n_tokens} tokens, "
            f"{self.chain[-1] + 1} chains>"
        )

    @property
    def n_atoms(self) -> int:
        """Number of atoms, A."""
        return len(self.numbers)

    @property
    def n_tokens(self) -> int:
        """Number of tokens, N."""
        return len(self.tokens)

    @property
    def component(self) -> np.ndarray:
        """Number of the connected component of each atom, (A,), by its first atom."""
        return components_of(self.parent)

    @property
    def next_token(self) -> np.ndarray:
        """The following token of the same unbroken chain, (N,), -1 if none."""
        follows = np.arange(1, self.n_tokens + 1)
        follows[-1] = -1
        follows[:-1][self.chain[1:] != self.chain[:-1]] = -1
        return follows

    def token_labels(self) -> list[str]:
        """Return one label per token, such as ``A:LEU42``; all are different."""
        labels = []
        for token, row in enumerate(self.tokens):
            chain = row["chainID"] or row["segid"]
            label = f"{row['resname']}{row['resid']}{row['icode']}"
            if chain and chain != "SYSTEM":
                label = f"{chain}:{label}"
            if self._atom_tokens:
                name = self.names[self._first_atom[token]]
                label += f":{name}" if name else ""
            labels.append(label)
        seen: dict[str, int] = {}
        for i, label in enumerate(labels):
            seen[label] = seen.get(label, 0) + 1
            if seen[label] > 1:
                labels[i] = f"{label}#{seen[label]}"
        return labels

    @property
    def _first_atom(self) -> np.ndarray:
        return np.unique(self.token_of_atom, return_index=True)[1]

    @property
    def _atom_tokens(self) -> bool:
        """Whether tokens are single atoms of residues that have several."""
        rows = self.tokens[["segid", "chainID", "resid", "icode", "resname"]]
        return self.n_tokens == self.n_atoms and len(np.unique(rows)) < self.n_tokens

    def windows(self, k: int) -> Windows:
        """Atoms of the tokens i - k … i + k of the same chain, for every token i.

        Parameters
        ----------
        k : int
            0 gives the token alone.

        Returns
        -------
        Windows

        Raises
        ------
        InputError
            If `k` is not a whole number from 0 up.
        """
        if isinstance(k, bool) or not isinstance(k, int | np.integer) or k < 0:
            raise InputError(
                f"window= must be a whole number of tokens from 0 up, got {k!r}."
            )
        atoms = np.argsort(self.token_of_atom, kind="stable")
        start = np.concatenate([[0], np.cumsum(np.bincount(self.token_of_atom))])
        token = np.arange(self.n_tokens)
        first = np.searchsorted(self.chain, self.chain, side="left")
        last = np.searchsorted(self.chain, self.chain, side="right") - 1
        low = start[np.maximum(token - k, first)]
        high = start[np.minimum(token + k, last) + 1]
        ptr = np.concatenate([[0], np.cumsum(high - low)])
        place = np.arange(ptr[-1]) - np.repeat(ptr[:-1] - low, high - low)
        chosen = atoms[place]
        own = np.repeat(token, high - low)
        return Windows(ptr, chosen, self.token_of_atom[chosen] == own)

    def to_data(self, positions: Any, box: Any = None) -> Data:
        """Put a frame in the form that graph networks of torch-geometric take.

        Parameters
        ----------
        positions : (A, 3) array, Å
            Of the structure's atoms, in their order.
        box : (6,) array, optional
            Lengths in Å, angles in degrees; molecules are made whole in it.

        Returns
        -------
        torch_geometric.data.Data
            ``z`` (A,), ``pos`` (A, 3) in float32, ``token`` (A,): the token of each
            atom; ``edge_index`` (2, 2 B): the bonds in both directions, where they are
            known; ``cell`` (1, 3, 3): lattice vectors in rows, with a box.

        Raises
        ------
        InputError
            If positions or box do not fit the structure.
        """
        x = np.asarray(positions, dtype=np.float64)
        if x.shape != (self.n_atoms, 3) or not np.isfinite(x).all():
            raise InputError(
                f"positions= has shape {x.shape} or values that are not finite; give "
                f"({self.n_atoms}, 3) coordinates in Å."
            )
        if box is not None:
            box = np.asarray(box, np.float64).reshape(-1)
            x = make_whole(self, x[None], box[None])[0]
        return frame_graph(self.numbers, self.token_of_atom, self.bonds, x, box)

    def to_dict(self) -> dict[str, Any]:
        """Return plain lists and numbers, ready for JSON."""
        return {
            "format": _FORMAT,
            "tokens": [
                [v.item() if hasattr(v, "item") else v for v in row]
                for row in self.tokens
            ],
            **{
                f.name: None if (v := getattr(self, f.name)) is None else v.tolist()
                for f in fields(self)
                if f.name != "tokens"
            },
        }

    @classmethod
    def from_dict(cls, state: dict[str, Any]) -> Structure:
        """Rebuild a structure from :meth:`to_dict`.

        Raises
        ------
        InputError
            If it was written in another format.
        """
        if state.get("format") != _FORMAT:
            raise InputError(
                f"This structure has format {state.get('format')!r}, and this version "
                f"reads format {_FORMAT}; make the features again."
            )
        rows = state["tokens"]
        columns = list(zip(*rows, strict=True))
        arrays = {
            name: np.array(state[name], dtype=np.int64)
            for name in ("numbers", "token_of_atom", "chain", "indices")
        }
        bonds = state["bonds"]
        return cls(
            tokens=token_table(*columns),
            names=np.array(state["names"], dtype=np.str_),
            bonds=None if bonds is None else np.array(bonds, np.int64).reshape(-1, 2),
            parent=np.array(state["parent"], dtype=np.int64),
            order=np.array(state["order"], dtype=np.int64),
            **arrays,
        )

    @classmethod
    def from_atomgroup(cls, ag: AtomGroup, *, tokens: Tokens = "residue") -> Structure:
        """Describe the atoms of an AtomGroup, all of them, in its order.

        Parameters
        ----------
        ag : MDAnalysis AtomGroup of A atoms
            As :func:`~mdgeomfeat.structure.select_atoms` gives it.
        tokens : {"residue", "atom", "molecule"} or (A,) array_like of int
            ``"molecule"`` takes bonded fragments. Integers number the tokens of the
            atoms; the tokens are ordered by number.

        Returns
        -------
        Structure

        Raises
        ------
        InputError
            For names that fit no element, virtual sites, repeated atoms, and
            ``tokens="molecule"`` without bonds.

        Notes
        -----
        A chain is broken where its segment or chain identifier changes, and where no
        bond joins two consecutive residues. Where the topology has no bonds, the
        first frame decides: C-N or O3'-P over 2.5 Å is a break. Bonds of that length
        are left out, too: some programs join residues by their order alone.
        """
        if len(np.unique(ag.ix)) != len(ag):
            raise InputError(
                f"The AtomGroup holds {len(ag) - len(np.unique(ag.ix))} atoms twice; "
                "pass atomgroup.unique."
            )
        # a copy: the structure locks its arrays, and the AtomGroup needs its own
        indices = np.array(ag.ix)
        return cls.from_table(AtomTable.from_universe(ag.universe), indices, tokens)

    @classmethod
    def from_mdtraj(
        cls,
        topology: mdtraj.Topology,
        *,
        select: str | None = None,
        tokens: Tokens = "residue",
    ) -> Structure:
        """Describe atoms of an mdtraj topology.

        Parameters
        ----------
        topology : mdtraj.Topology
        select : str, optional
            A selection in mdtraj's language, taken at its word except for virtual
            sites. By default what :func:`~mdgeomfeat.structure.select_atoms` takes.
        tokens : {"residue", "atom", "molecule"} or (A,) array_like of int

        Returns
        -------
        Structure
        """
        from mdgeomfeat.structure.selection import default_atoms, mdtraj_atoms

        table = AtomTable.from_mdtraj(topology)
        if select is None:
            indices = default_atoms(table)
        else:
            indices = mdtraj_atoms(topology, table, select)
        return cls.from_table(table, indices, tokens)

    @classmethod
    def from_arrays(
        cls,
        numbers: Any,
        token_of_atom: Any = None,
        *,
        chain: Any = None,
        bonds: Any = None,
        names: Sequence[str] | None = None,
        resnames: Sequence[str] | None = None,
        resids: Sequence[int] | None = None,
    ) -> Structure:
        """Describe atoms that have no topology.

        Parameters
        ----------
        numbers : (A,) array_like of int
            Atomic numbers.
        token_of_atom : (A,) array_like of int, optional
            0 … N - 1; by default every atom is a token.
        chain : (N,) array_like of int, optional
            Tokens with the same number that follow each other are neighbours in
            sequence; by default all tokens are one chain.
        bonds : (B, 2) array_like of int, optional
        names : (A,) array_like of str, optional
        resnames, resids : (N,) str and int, optional
            By default ``TOK`` and 1 … N.

        Returns
        -------
        Structure

        Raises
        ------
        InputError
            If the arrays do not fit each other.
        """
        return cls(
            **plain_arrays(
                numbers,
                token_of_atom,
                chain=chain,
                bonds=bonds,
                names=names,
                resnames=resnames,
                resids=resids,
            )
        )

    @classmethod
    def from_table(
        cls, table: AtomTable, indices: np.ndarray, tokens: Tokens
    ) -> Structure:
        """Describe some atoms of a table, as :meth:`from_atomgroup` does.

        Parameters
        ----------
        table : AtomTable
        indices : (A,) array of int
            Each atom once.
        tokens : {"residue", "atom", "molecule"} or (A,) array_like of int
        """
        return cls(**build_arrays(table, np.asarray(indices, dtype=np.int64), tokens))


def make_whole(
    structure: Structure, positions: np.ndarray, boxes: np.ndarray | None
) -> np.ndarray:
    """Put each connected component together across the boundary, then gather them all.

    The first atom of the first connected component stays where it is; every other atom
    of a component is moved to the image nearest to the atom it hangs on: its bonded
    neighbour, or, where the topology has no bonds, the nearest earlier atom of its
    residue and then the neighbouring residue of its chain. The other components
    (chains, ligands, pieces of a chain with a gap) are then moved as a whole, by
    lattice vectors, to the image that comes nearest to the components placed before,
    atom to atom, the nearest component first. Each frame is looked at by itself: how a
    frame was wrapped, and which frames go with it, makes no difference.

    Parameters
    ----------
    structure : Structure
    positions : (F, A, 3) ndarray of float, Å
    boxes : (F, 6) ndarray of float or None
        Lengths in Å, angles in degrees; None or rows of zeros leave frames alone.

    Returns
    -------
    (F, A, 3) ndarray of the same float type
        What is whole already is returned bit by bit.

    Raises
    ------
    InputError
        If positions or boxes do not fit the structure.

    Examples
    --------
    >>> import numpy as np
    >>> from mdgeomfeat import Structure
    >>> from mdgeomfeat.structure import make_whole
    >>> structure = Structure.from_arrays([6, 8], bonds=[[0, 1]])
    >>> broken = np.array([[[0.5, 5.0, 5.0], [9.5, 5.0, 5.0]]])
    >>> whole = make_whole(structure, broken, np.array([[10, 10, 10, 90, 90, 90.0]]))
    >>> whole[0, 1].tolist()
    [-0.5, 5.0, 5.0]
    """
    positions = np.asarray(positions)
    if positions.ndim != 3 or positions.shape[1:] != (structure.n_atoms, 3):
        raise InputError(
            f"Positions have shape {positions.shape}, and this structure needs "
            f"(frames, {structure.n_atoms}, 3)."
        )
    if boxes is None:
        return positions.copy()
    from mdgeomfeat.structure.periodic import unwrap_tree

    return unwrap_tree(positions, boxes, structure.parent, structure.order)
