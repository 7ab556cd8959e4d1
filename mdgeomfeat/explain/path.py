"""A way through the data along one variable: frames that change little by little.

Nothing here is a trajectory. The range of the variable is cut into equal intervals, and
one frame is taken of each, so that neighbours are as alike as the data allow: of all
such series the one with the least sum of squared RMSD between neighbours, found by
dynamic programming (R. Bellman, Bull. Am. Math. Soc. 60, 503, 1954).
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["smooth_path"]

#: Intervals, and frames of each that are looked at.
N_STEPS: Final = 30
N_CANDIDATES: Final = 20
#: Share of the frames at either end of the variable that are left out.
_TAIL: Final = 0.001
#: Atoms that frames are compared by; more would change little.
_MAX_ATOMS: Final = 300


def smooth_path(
    values: NDArray[np.floating],
    frames: Callable[[NDArray[np.int64]], NDArray[np.floating]],
    *,
    n_steps: int = N_STEPS,
    n_candidates: int = N_CANDIDATES,
) -> NDArray[np.int64]:
    """Choose frames along a variable, from its lowest values to its highest.

    Parameters
    ----------
    values : (F,) array
        Of the variable; frames where it is not finite are left out.
    frames : callable
        Takes ascending rows (k,) and returns their positions (k, A, 3), Å, with whole
        molecules.
    n_steps : int
        Intervals; those without frames give none.
    n_candidates : int
        Frames of an interval that are looked at, evenly spaced in time.

    Returns
    -------
    (n,) ndarray of int64
        Rows in the order of the way, at most `n_steps`.
    """
    values = np.asarray(values, dtype=np.float64)
    known = np.flatnonzero(np.isfinite(values))
    if not len(known):
        return np.empty(0, dtype=np.int64)
    low, high = np.quantile(values[known], [_TAIL, 1 - _TAIL])
    if not high > low:
        return known[:1]
    place = np.floor((values[known] - low) / (high - low) * n_steps).astype(np.int64)
    place[values[known] == high] = n_steps - 1
    layers = []
    for step in range(n_steps):
        found = known[place == step]
        if len(found):
            n = min(len(found), n_candidates)
            layers.append(found[np.linspace(0, len(found) - 1, n).astype(np.int64)])
    return _least_change(layers, _shapes(layers, frames))


def _shapes(
    layers: list[NDArray[np.int64]],
    frames: Callable[[NDArray[np.int64]], NDArray[np.floating]],
) -> list[NDArray[np.float64]]:
    """Return the centred positions (k, a, 3) of some atoms, layer by layer."""
    rows, back = np.unique(np.concatenate(layers), return_inverse=True)
    positions = frames(rows)
    n_atoms = positions.shape[1]
    some = np.linspace(0, n_atoms - 1, min(n_atoms, _MAX_ATOMS)).astype(np.int64)
    shapes = np.asarray(positions[:, some], dtype=np.float64)
    shapes -= shapes.mean(axis=1, keepdims=True)
    sizes = [len(layer) for layer in layers]
    return np.split(shapes[back], np.cumsum(sizes)[:-1])


def _least_change(
    layers: list[NDArray[np.int64]], shapes: list[NDArray[np.float64]]
) -> NDArray[np.int64]:
    """Return one row of each layer, with the least sum of squared RMSD in between."""
    total = np.zeros(len(layers[0]))
    best = []
    for one, other in pairwise(shapes):
        sums = total[:, None] + squared_rmsd(one, other)
        best.append(sums.argmin(axis=0))
        total = sums.min(axis=0)
    at = int(total.argmin())
    chosen = [at]
    for step in reversed(best):
        at = int(step[at])
        chosen.append(at)
    return np.array(
        [layer[k] for layer, k in zip(layers, reversed(chosen), strict=True)],
        dtype=np.int64,
    )


def squared_rmsd(
    one: NDArray[np.float64], other: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the squared RMSD of all pairs of centred frames, superposed.

    Parameters
    ----------
    one, other : (k, a, 3) and (l, a, 3) arrays, Å

    Returns
    -------
    (k, l) ndarray, Å²
    """
    n_atoms = one.shape[1]
    sizes = [(x**2).sum(axis=(1, 2)) for x in (one, other)]
    cross = np.einsum("kax,lay->klxy", one, other, optimize=True)
    singular = np.linalg.svd(cross, compute_uv=False)
    # mirror images are not superposed
    singular[..., 2] *= np.sign(np.linalg.det(cross))
    squares = sizes[0][:, None] + sizes[1] - 2 * singular.sum(axis=-1)
    per_atom: NDArray[np.float64] = np.clip(squares, 0, None) / n_atoms
    return per_atom
