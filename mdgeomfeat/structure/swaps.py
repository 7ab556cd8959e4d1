"""Two atoms that stand in each other's place: what exchanging them puts right.

Two things tell: pairs that are joined and too far apart, and atoms that lie far from
their own residue, which is all there is for side chains where no bonds are known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import combinations

import numpy as np
from scipy.sparse.csgraph import connected_components

from mdgeomfeat.radii import bond_lengths
from mdgeomfeat.structure.joints import LOCAL, Joints

__all__ = ["Places", "find_swap", "stretched"]

# Longer than this many times the sum of radii is no bond between light atoms: their
# next neighbours but one lie at 1.6 to 1.7 times, and no bond of the published
# structures and simulations that were looked at is beyond 1.15.
_STRETCHED = 1.4
# Elements whose bonds are as long as their radii say: no hydrogen, no metal.
_LIGHT = (5, 6, 7, 8, 9, 14, 15, 16, 17)
# What an exchange puts right has bonds of these shares of their usual length.
_RIGHT = (0.75, 1.25)
# With more suspects, atoms are in another order, not two of them exchanged.
_MOST_SUSPECTS = 60

#: Pairs (n, 2) of atoms to their distances (n,), Å.
Measure = Callable[[np.ndarray], np.ndarray]


def stretched(joints: Joints, apart: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """Tell which joined pairs are farther apart than a bond can be.

    Parameters
    ----------
    joints : Joints
    apart : (B,) ndarray, Å
    numbers : (A,) ndarray of int
        Atomic numbers.

    Returns
    -------
    (B,) ndarray of bool
    """
    light = np.isin(numbers[joints.pairs], _LIGHT).all(axis=1)
    limit = np.where(
        joints.kind >= 0, LOCAL, np.where(light, _STRETCHED * joints.length, np.inf)
    )
    far: np.ndarray = apart > np.minimum(limit, joints.limit)
    return far


class Places:
    """Where the atoms of a frame stand, two of them exchanged or none.

    Parameters
    ----------
    numbers : (A,) ndarray of int
        Atomic numbers.
    residue : (A,) ndarray of int
        The residue of every atom.
    measure : callable
        Distances of pairs of atoms (n, 2), Å.
    """

    def __init__(
        self, numbers: np.ndarray, residue: np.ndarray, measure: Measure
    ) -> None:
        self.numbers, self.residue, self.measure = numbers, residue, measure
        self._heavy = numbers > 1

    def fellows(self, atom: int) -> np.ndarray:
        """Return the other atoms of an atom's residue, hydrogens aside."""
        own = self._heavy & (self.residue == self.residue[atom])
        own[atom] = False
        return np.flatnonzero(own)

    def near(self, atom: int, reach: float) -> np.ndarray:
        """Return the atoms within `reach` (Å) of an atom, itself among them."""
        everyone = np.arange(len(self.numbers))
        pairs = np.column_stack([np.full(len(everyone), atom), everyone])
        return np.flatnonzero(self.measure(pairs) < reach)

    def strays(self, close: np.ndarray) -> np.ndarray:
        """Return atoms that no bond can join to another of their residue, by length.

        Parameters
        ----------
        close : (n, 2) ndarray of int
            All pairs of atoms that are so near that a bond may join them.

        Returns
        -------
        (n,) ndarray of int64
            Without hydrogens, and without atoms that are alone in their residue.
        """
        a, b = close.T
        light = self._heavy[a] & self._heavy[b] & (self.residue[a] == self.residue[b])
        own = close[light]
        bonded = self.measure(own) < _STRETCHED * bond_lengths(self.numbers, own)
        held = np.zeros(len(self.numbers), dtype=bool)
        held[own[bonded]] = True
        size = np.bincount(self.residue[self._heavy], minlength=self.residue.max() + 1)
        return np.flatnonzero(self._heavy & ~held & (size[self.residue] > 1))

    def whole(self, a: int, b: int) -> bool:
        """Tell whether the residues of two atoms hang together with these exchanged."""
        for atom in {int(self.residue[i]): i for i in (a, b)}.values():
            own = np.sort(np.append(self.fellows(atom), atom))
            first, second = np.triu_indices(len(own), 1)
            pairs = np.column_stack([own[first], own[second]])
            bond = self.measure(_exchanged(pairs, a, b)) < _STRETCHED * bond_lengths(
                self.numbers, pairs
            )
            matrix = np.zeros((len(own), len(own)), dtype=bool)
            matrix[first[bond], second[bond]] = True
            if connected_components(matrix, directed=False)[0] > 1:
                return False
        return True

    def nearest_fellow(self, atom: int, a: int, b: int) -> float:
        """Return the distance to the nearest of an atom's residue, in bond lengths.

        Atoms `a` and `b` are exchanged; infinite where the atom is alone.
        """
        others = self.fellows(atom)
        pairs = np.column_stack([np.full(len(others), atom), others])
        ratio = self.measure(_exchanged(pairs, a, b)) / bond_lengths(
            self.numbers, pairs
        )
        return float(ratio.min(initial=np.inf))


def find_swap(
    joints: Joints, bad: np.ndarray, strays: np.ndarray, places: Places
) -> tuple[int, int] | None:
    """Find two atoms whose exchange puts right all that is too far apart.

    Parameters
    ----------
    joints : Joints
    bad : (B,) ndarray of bool
        Pairs that are too far apart.
    strays : (n,) ndarray of int
        Atoms that are far from their residue.
    places : Places

    Returns
    -------
    (int, int) or None
        Of several, the pair that leaves bonds closest to their usual length.
    """
    if len(np.unique(joints.pairs[bad])) > _MOST_SUSPECTS:
        return None
    best, found = np.inf, None
    for a, b in sorted({*_by_joints(joints, bad, places), *_by_residue(strays)}):
        cost = _cost(joints, bad, places, a, b)
        # A piece that a boundary cuts off stays so, whichever atom is put there.
        if cost < best and places.whole(a, b):
            best, found = cost, (a, b)
    return found


def _cost(joints: Joints, bad: np.ndarray, places: Places, a: int, b: int) -> float:
    """Return how far bonds are from their usual length with two atoms exchanged.

    Infinite where that leaves anything wrong.
    """
    own = np.isin(joints.pairs, (a, b)).any(axis=1)
    if (bad & ~own).any():
        return np.inf
    exchanged = _exchanged(joints.pairs[own], a, b)
    ratio = places.measure(exchanged) / joints.length[own]
    if not bad.any():
        ratio = np.append(ratio, [places.nearest_fellow(i, a, b) for i in (a, b)])
    if ratio.min() <= _RIGHT[0] or ratio.max() >= _RIGHT[1]:
        return np.inf
    return float(((ratio - 1) ** 2).sum())


def _exchanged(pairs: np.ndarray, a: int, b: int) -> np.ndarray:
    return np.where(pairs == a, b, np.where(pairs == b, a, pairs))


def _by_joints(
    joints: Joints, bad: np.ndarray, places: Places
) -> Iterator[tuple[int, int]]:
    """Yield atoms of bad pairs with those that stand where they should."""
    for pair, length in zip(
        joints.pairs[bad].tolist(), joints.length[bad], strict=True
    ):
        for a, other in (pair, pair[::-1]):
            for b in places.near(other, _RIGHT[1] * length).tolist():
                if b not in (a, other):
                    yield min(a, b), max(a, b)


def _by_residue(strays: np.ndarray) -> Iterable[tuple[int, int]]:
    """Return strays with each other, unless there are too many."""
    few = strays.tolist() if len(strays) <= _MOST_SUSPECTS else []
    return combinations(few, 2)
