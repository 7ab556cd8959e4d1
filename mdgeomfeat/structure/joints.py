"""Pairs of atoms that must lie a bond's length apart: by bonds, and by their names."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from mdgeomfeat.radii import bond_lengths

if TYPE_CHECKING:
    from mdgeomfeat.structure.structure import Structure

__all__ = ["LOCAL", "Joints", "find_joints", "following_alphas", "residue_of_atom"]

# Neighbours in a residue by name. All atoms of a path must be there for it to count, so
# that a ligand's C and O, whatever they are, are no carbonyl.
_PATHS = (
    (("N", 7), ("CA", 6), ("C", 6)),
    (("N", 7), ("CA", 6), ("C", 6), ("O", 8)),
    (("O5'", 8), ("C5'", 6), ("C4'", 6), ("C3'", 6), ("O3'", 8)),
    (("P", 15), ("O5'", 8), ("C5'", 6)),
)

# A bond named so is 1.23 to 1.61 Å long; the longest found in 31 trajectories and
# structures, hot and driven ones among them, is 1.68 Å. Beyond the limit lies no
# vibration, and not the next neighbour but one either (2.4 Å), which a bond has come to
# where most of a kind are longer than `LOCAL`.
_NAMED_LIMIT = 2.6
LOCAL = 2.1
# A stated bond is broken where it is longer than this, and than 1.6 times its radii:
# topologies state distances that are no bonds (H-H in rigid water, 1.5 Å) and bonds to
# metals and along links of many lengths.
_STATED_LIMIT = 3.0
_STRETCH = 1.6


class Joints(NamedTuple):
    """Pairs of atoms that something joins.

    Attributes
    ----------
    pairs : (B, 2) ndarray of int64
    length : (B,) ndarray of float
        Usual length, Å.
    limit : (B,) ndarray of float
        Length beyond which the two are not joined, Å.
    kind : (B,) ndarray of int64
        The same number for pairs that are named alike; -1 for those of bonds alone.
    """

    pairs: np.ndarray
    length: np.ndarray
    limit: np.ndarray
    kind: np.ndarray


def find_joints(structure: Structure) -> Joints:
    """Return the pairs that bonds join, or names inside a residue.

    Bonds from one residue to the next are taken from the topology alone: residues whose
    numbers follow each other may have a gap between them.
    """
    kinds = _named_pairs(structure)
    named = np.array(sorted(kinds), dtype=np.int64).reshape(-1, 2)
    stated = structure.bonds
    stated = np.empty((0, 2), np.int64) if stated is None else np.sort(stated, axis=1)
    # CA atoms that a file joins are the trace of a chain, not bonded.
    trace = (structure.names[stated] == "CA").all(axis=1).tolist()
    fresh = [
        (a, b) not in kinds and not traced
        for (a, b), traced in zip(stated.tolist(), trace, strict=True)
    ]
    stated = stated[np.array(fresh, dtype=bool)]
    pairs = np.concatenate([named, stated])
    length = bond_lengths(structure.numbers, pairs)
    limit = np.maximum(_STRETCH * length, _STATED_LIMIT)
    limit[: len(named)] = _NAMED_LIMIT
    kind = np.full(len(pairs), -1)
    kind[: len(named)] = [kinds[a, b] for a, b in named.tolist()]
    return Joints(pairs, length, limit, kind)


def following_alphas(structure: Structure) -> np.ndarray:
    """Return the CA atoms (B, 2) of residues whose numbers follow each other."""
    rows = structure.tokens
    atoms = np.flatnonzero((structure.names == "CA") & (structure.numbers == 6))
    own = rows[structure.token_of_atom[atoms]]
    same = (own["segid"][1:] == own["segid"][:-1]) & (
        own["chainID"][1:] == own["chainID"][:-1]
    )
    next_to = same & (np.diff(own["resid"].astype(np.int64)) == 1)
    joined: np.ndarray = np.column_stack([atoms[:-1], atoms[1:]])[next_to]
    return joined


def _named_pairs(structure: Structure) -> dict[tuple[int, int], int]:
    """Return the pairs that the names of a residue's atoms join, and their kind."""
    found: dict[tuple[int, int], int] = {}
    for own in _residues(structure):
        for number, path in enumerate(_PATHS):
            row = [own.get(name, -1) for name, _ in path]
            if min(row) < 0:
                continue
            if structure.numbers[row].tolist() == [z for _, z in path]:
                for place, pair in enumerate(pairwise(row)):
                    found[min(pair), max(pair)] = len(_PATHS) * place + number
    return found


def residue_of_atom(structure: Structure) -> np.ndarray:
    """Return a number (A,) that the atoms of a residue share, whatever the tokens."""
    rows = structure.tokens[["segid", "chainID", "resid", "icode", "resname"]]
    residue = np.unique(rows, return_inverse=True)[1][structure.token_of_atom]
    # One residue's atoms stand together; the same label elsewhere is another's.
    return np.cumsum(np.diff(residue, prepend=residue[0]) != 0)


def _residues(structure: Structure) -> Iterable[dict[str, int]]:
    """Return the atoms of every residue by their names, -1 where two share one."""
    place = residue_of_atom(structure)
    residues: dict[int, dict[str, int]] = {}
    names = np.char.replace(structure.names, "*", "'")
    for atom, (number, name) in enumerate(zip(place.tolist(), names, strict=True)):
        own = residues.setdefault(number, {})
        own[name] = -1 if name in own else atom
    return residues.values()
