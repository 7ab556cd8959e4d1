"""Molecules beside each other: every component in the image nearest to the others.

Which image of a molecule is drawn is a matter of convention, and a simulation that
wraps molecule by molecule changes it in mid-run. Here it follows from the frame alone:
beginning with the first component, that component is placed next which comes nearest to
those placed already, atom to atom. Centres would not do, as long chains beside each
other have centres that are far apart; nor would contacts that are fixed once, as a
ligand may bind elsewhere later.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np

from mdgeomfeat.jit import cached_njit

__all__ = ["Blocks", "blocks_of", "nearest_steps", "place_parts"]

# Atoms whose distances are bounded together: some four residues, which follow each
# other in the topology and so lie together.
_BLOCK = 32
# Components nearer than this touch (Å).
_CONTACT = 6.0


class Blocks(NamedTuple):
    """The atoms of each component, in blocks of a few.

    Attributes
    ----------
    atoms : (A,) ndarray of int64
        All atoms, component by component.
    bounds : (K + 1,) ndarray of int64
        Where the blocks begin in `atoms`.
    first : (P + 1,) ndarray of int64
        The first block of each component.
    """

    atoms: np.ndarray
    bounds: np.ndarray
    first: np.ndarray


def blocks_of(component: np.ndarray) -> Blocks:
    """Divide the atoms of each component (A,) into blocks."""
    sizes = np.bincount(component)
    starts = np.concatenate([[0], np.cumsum(sizes)])
    cuts = [np.arange(a, b, _BLOCK) for a, b in pairwise(starts)]
    return Blocks(
        np.argsort(component, kind="stable"),
        np.append(np.concatenate(cuts), len(component)),
        np.concatenate([[0], np.cumsum([len(c) for c in cuts])]),
    )


@cached_njit()
def place_parts(x, h, inverse, heights, safe, steps, blocks):  # type: ignore[no-untyped-def]
    """Add to the lattice steps of the atoms of one frame those of their components.

    Parameters
    ----------
    x : (A, 3) ndarray, Å
        Positions as read.
    h, inverse : (3, 3) ndarrays
        Reduced lattice vectors as rows, and their inverse.
    heights : (3,) ndarray, Å
        Distances between opposite faces.
    safe : float
        Below this square no image of a difference vector is shorter.
    steps : (A, 3) ndarray
        Whole lattice steps that put each component together; changed.
    blocks : Blocks
    """
    atoms, bounds, first = blocks
    n_parts = len(first) - 1
    places, centres, radii = _measure(x, h, inverse, steps, atoms, bounds)
    nearest = np.full(n_parts, np.inf)
    moves = np.zeros((n_parts, 3))
    placed = np.zeros(n_parts, np.bool_)
    placed[0] = True
    # The placed components in order, and with how many of them each was compared in
    # full.
    queue = np.zeros(n_parts, np.int64)
    compared = np.zeros(n_parts, np.int64)
    move = np.zeros(3)
    for n in range(1, n_parts):
        # Most components touch another; what is farther away is measured only if none
        # does.
        for limit in (_CONTACT, np.inf):
            chosen = -1
            for p in range(n_parts):
                if placed[p]:
                    continue
                begin = n - 1 if limit == _CONTACT else compared[p]
                for k in range(begin, n):
                    q = queue[k]
                    for b in range(first[p], first[p + 1]):
                        for c in range(first[q], first[q + 1]):
                            reach = min(nearest[p], limit)
                            least = _at_least(centres, b, c, heights)
                            if least >= reach + radii[b] + radii[c]:
                                continue
                            for i in range(bounds[b], bounds[b + 1]):
                                for j in range(bounds[c], bounds[c + 1]):
                                    if _at_least(places, i, j, heights) >= reach:
                                        continue
                                    d = _approach(places, i, j, h, inverse, safe, move)
                                    if d < nearest[p]:
                                        nearest[p] = d
                                        moves[p] = move
                                        reach = min(d, limit)
                if limit > _CONTACT:
                    compared[p] = n
                if chosen < 0 or nearest[p] < nearest[chosen]:
                    chosen = p
            if nearest[chosen] < limit:
                break
        for b in range(first[chosen], first[chosen + 1]):
            centres[b] += moves[chosen]
            for i in range(bounds[b], bounds[b + 1]):
                places[i] += moves[chosen]
                steps[atoms[i]] += moves[chosen]
        placed[chosen] = True
        queue[n] = chosen


@cached_njit()
def _measure(x, h, inverse, steps, atoms, bounds):  # type: ignore[no-untyped-def]
    """Return fractional places of atoms and block centres, and radii of blocks."""
    places = np.empty((len(atoms), 3))
    for i in range(len(atoms)):
        a = atoms[i]
        for k in range(3):
            places[i, k] = steps[a, k]
            for m in range(3):
                places[i, k] += np.float64(x[a, m]) * inverse[m, k]
    centres = np.zeros((len(bounds) - 1, 3))
    radii = np.zeros(len(bounds) - 1)
    for b in range(len(radii)):
        for i in range(bounds[b], bounds[b + 1]):
            centres[b] += places[i]
        centres[b] /= bounds[b + 1] - bounds[b]
        for i in range(bounds[b], bounds[b + 1]):
            square = 0.0
            for m in range(3):
                y = 0.0
                for k in range(3):
                    y += (places[i, k] - centres[b, k]) * h[k, m]
                square += y * y
            radii[b] = max(radii[b], np.sqrt(square))
    return places, centres, radii


@cached_njit()
def _at_least(places, i, j, heights):  # type: ignore[no-untyped-def]
    """Return what two fractional places in any images are at least apart, Å."""
    least = 0.0
    for k in range(3):
        t = places[i, k] - places[j, k]
        least = max(least, abs(t - np.rint(t)) * heights[k])
    return least


@cached_njit()
def _approach(places, i, j, h, inverse, safe, move):  # type: ignore[no-untyped-def]
    """Return how near an image of i comes to j, Å, and its lattice steps in `move`."""
    a = places[i, 0] - places[j, 0]
    b = places[i, 1] - places[j, 1]
    c = places[i, 2] - places[j, 2]
    x = a * h[0, 0] + b * h[1, 0] + c * h[2, 0]
    y = a * h[0, 1] + b * h[1, 1] + c * h[2, 1]
    z = a * h[0, 2] + b * h[1, 2] + c * h[2, 2]
    move[:] = 0.0
    if x * x + y * y + z * z >= safe:
        nearest_steps(x, y, z, h, inverse, move)
        x += move[0] * h[0, 0] + move[1] * h[1, 0] + move[2] * h[2, 0]
        y += move[0] * h[0, 1] + move[1] * h[1, 1] + move[2] * h[2, 1]
        z += move[0] * h[0, 2] + move[1] * h[1, 2] + move[2] * h[2, 2]
    return np.sqrt(x * x + y * y + z * z)


@cached_njit()
def nearest_steps(dx, dy, dz, h, inverse, best):  # type: ignore[no-untyped-def]
    """Lattice steps that make a difference vector shortest, into ``best``."""
    sx = np.round(dx * inverse[0, 0] + dy * inverse[1, 0] + dz * inverse[2, 0])
    sy = np.round(dx * inverse[0, 1] + dy * inverse[1, 1] + dz * inverse[2, 1])
    sz = np.round(dx * inverse[0, 2] + dy * inverse[1, 2] + dz * inverse[2, 2])
    # Ties (a difference of half a lattice vector) leave the atom where it is.
    shortest = (dx * dx + dy * dy + dz * dz) * (1.0 - 1e-9)
    for i in range(-1, 2):
        for j in range(-1, 2):
            for k in range(-1, 2):
                u, v, w = i - sx, j - sy, k - sz
                x = dx + u * h[0, 0] + v * h[1, 0] + w * h[2, 0]
                y = dy + u * h[0, 1] + v * h[1, 1] + w * h[2, 1]
                z = dz + u * h[0, 2] + v * h[1, 2] + w * h[2, 2]
                square = x * x + y * y + z * z
                if square < shortest:
                    shortest = square * (1.0 - 1e-9)
                    best[0], best[1], best[2] = u, v, w
