"""Two atoms that stand in each other's place: what exchanging them puts right."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from mdgeomfeat.structure.joints import LOCAL, Joints

__all__ = ["find_swap", "stretched"]

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
    return apart > np.minimum(limit, joints.limit)


def find_swap(
    joints: Joints, bad: np.ndarray, residue: np.ndarray, measure: Measure
) -> tuple[int, int] | None:
    """Find two atoms whose exchange puts all pairs right that are too far apart.

    Parameters
    ----------
    joints : Joints
    bad : (B,) ndarray of bool
        Pairs that are too far apart.
    residue : (A,) ndarray of int
        The residue of every atom.
    measure : callable
        Distances of pairs of atoms (n, 2).

    Returns
    -------
    (int, int) or None
        Of several, the pair that leaves bonds closest to their usual length.
    """
    suspects = np.unique(joints.pairs[bad])
    if not 0 < len(suspects) <= _MOST_SUSPECTS:
        return None
    best, found = np.inf, None
    for a, b in _candidates(suspects, residue):
        own = (joints.pairs == a).any(axis=1) | (joints.pairs == b).any(axis=1)
        if (bad & ~own).any():
            continue
        pairs = joints.pairs[own]
        exchanged = np.where(pairs == a, b, np.where(pairs == b, a, pairs))
        ratio = measure(exchanged) / joints.length[own]
        cost = float(((ratio - 1) ** 2).sum())
        if ratio.min() > _RIGHT[0] and ratio.max() < _RIGHT[1] and cost < best:
            best, found = cost, (a, b)
    return found


def _candidates(suspects: np.ndarray, residue: np.ndarray) -> Iterable[tuple[int, int]]:
    """Yield suspects with each other and with all atoms of their residue."""
    seen = set()
    for a in suspects.tolist():
        others = np.union1d(suspects, np.flatnonzero(residue == residue[a]))
        for b in others.tolist():
            pair = min(a, b), max(a, b)
            if a != b and pair not in seen:
                seen.add(pair)
                yield pair
