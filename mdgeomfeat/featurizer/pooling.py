"""From atoms to tokens.

``"mean"`` and ``"sum"`` make one row of a token's atoms. The others first divide the
atoms of every token into groups, the same for all tokens, and put the means of the
groups side by side: G groups of a network of C channels give G C channels, those of
the first group first. A group that a token lacks gives zeros.

===============  ======================================================================
``"sidechain"``  backbone | side chain. Of amino acids N, CA, C, O and OXT with their
                 hydrogens are the backbone, of nucleotides phosphate and sugar; other
                 residues are all backbone.
``"element"``    carbon | nitrogen | oxygen | all others, hydrogen too
===============  ======================================================================
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from mdgeomfeat.errors import InputError
from mdgeomfeat.featurespec import Pooling
from mdgeomfeat.jit import cached_njit

if TYPE_CHECKING:
    from mdgeomfeat.structure import Structure

__all__ = ["Pooling", "TokenPool", "atom_groups"]

_ELEMENTS: Final = (6, 7, 8)
# Names without primes of phosphates and sugars (O5' …) are taken as they stand.
_HEAVY = ("N", "CA", "C", "O", "OXT", "OT1", "OT2", "O1", "O2")
_HYDROGENS = (
    "H",
    "HN",
    "H1",
    "H2",
    "H3",
    "HT1",
    "HT2",
    "HT3",
    "HA",
    "HA1",
    "HA2",
    "HA3",
)
_PROTEIN_BACKBONE: Final = frozenset((*_HEAVY, *_HYDROGENS))
_PHOSPHATE: Final = frozenset(["P", "OP1", "OP2", "OP3", "O1P", "O2P", "O3P"])
#: Atoms by which a residue is known to have a side chain of its own.
_PROTEIN, _NUCLEOTIDE = frozenset(("N", "CA", "C")), frozenset(("C1'", "C4'"))


class TokenPool:
    """Sums or averages the atoms of each token, by groups where there are several.

    Parameters
    ----------
    structure : Structure
        Every token has atoms.
    how : {"mean", "sum", "sidechain", "element"}

    Attributes
    ----------
    n_groups : int
        Groups G of atoms in a token.
    slots : (A,) ndarray of int
        The group of each atom among those of all tokens, N G.
    divisors : (N G,) ndarray of int
        What the sum over a group is divided by; 1 where it has no atoms.

    Raises
    ------
    InputError
        If the groups need names of atoms and there are none.
    """

    def __init__(self, structure: Structure, how: Pooling) -> None:
        groups, self.n_groups = atom_groups(structure, how)
        self.slots = structure.token_of_atom * self.n_groups + groups
        self._order = np.argsort(self.slots, kind="stable")
        counts = np.bincount(self.slots, minlength=structure.n_tokens * self.n_groups)
        self._ptr = np.concatenate([[0], np.cumsum(counts)])
        ones = np.ones_like(counts)
        self.divisors = ones if how == "sum" else np.maximum(counts, ones)

    def __call__(self, values: NDArray[np.floating]) -> NDArray[np.floating]:
        """Return one row for each token.

        Parameters
        ----------
        values : (F, A, ..., C) ndarray of float

        Returns
        -------
        (F, N, ..., G C) ndarray
        """
        F, A, *shape = values.shape
        flat = np.ascontiguousarray(values).reshape(F, A, -1)
        divisors = self.divisors.astype(values.dtype)
        out = np.empty((F, len(divisors), flat.shape[2]), values.dtype)
        _pool(flat, self._order, self._ptr, divisors, out)
        if self.n_groups == 1:
            return out.reshape(F, len(divisors), *shape)
        # (F, N, G, ..., C) -> (F, N, ..., G, C)
        grouped = out.reshape(F, -1, self.n_groups, *shape)
        grouped = np.moveaxis(grouped, 2, -2)
        return np.ascontiguousarray(grouped).reshape(
            *grouped.shape[:-2], self.n_groups * shape[-1]
        )


def atom_groups(structure: Structure, how: Pooling) -> tuple[NDArray[np.int64], int]:
    """Return the group (A,) of each atom within its token, and how many there are.

    Parameters
    ----------
    structure : Structure
    how : {"mean", "sum", "sidechain", "element"}

    Raises
    ------
    InputError
        If side chains are asked for, and atoms have no names.
    """
    if how == "element":
        groups = np.full(structure.n_atoms, len(_ELEMENTS))
        for group, number in enumerate(_ELEMENTS):
            groups[structure.numbers == number] = group
        return groups, len(_ELEMENTS) + 1
    if how == "sidechain":
        return _side_chains(structure), 2
    return np.zeros(structure.n_atoms, np.int64), 1


def _side_chains(structure: Structure) -> NDArray[np.int64]:
    """Return 1 for atoms of side chains and bases, else 0."""
    if not (np.asarray(structure.names) != "").any():
        raise InputError(
            "pool='sidechain' needs the names of atoms, and there are none; use "
            "pool='mean', or give a topology."
        )
    names = np.char.replace(np.asarray(structure.names, dtype=str), "*", "'")
    groups = np.zeros(structure.n_atoms, np.int64)
    order = np.argsort(structure.token_of_atom, kind="stable")
    ends = np.cumsum(np.bincount(structure.token_of_atom))[:-1]
    for atoms in np.split(order, ends):
        own = names[atoms]
        if set(own) >= _PROTEIN:
            groups[atoms] = [name not in _PROTEIN_BACKBONE for name in own]
        elif set(own) >= _NUCLEOTIDE:
            groups[atoms] = ["'" not in n and n not in _PHOSPHATE for n in own]
    return groups


@cached_njit(error_model="numpy")
def _pool(values, order, ptr, divisors, out):  # type: ignore[no-untyped-def]
    n_frames, n_slots, width = out.shape
    for f in range(n_frames):
        for n in range(n_slots):
            if ptr[n] == ptr[n + 1]:
                for k in range(width):
                    out[f, n, k] = 0.0
                continue
            first = order[ptr[n]]
            for k in range(width):
                out[f, n, k] = values[f, first, k]
            for at in range(ptr[n] + 1, ptr[n + 1]):
                atom = order[at]
                for k in range(width):
                    out[f, n, k] += values[f, atom, k]
            for k in range(width):
                out[f, n, k] /= divisors[n]
