"""Distances between the closest atoms of groups, in compiled loops."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mdgeomfeat.boxes import box_heights, lattice_vectors
from mdgeomfeat.jit import cached_njit, n_threads, run_threads

__all__ = ["closest_distances"]

#: Frames that one thread takes at a time.
_FRAMES = 16


@cached_njit()
def _image_square(x, y, z, h, g):  # type: ignore[no-untyped-def]
    """Return the squared length of the nearest image, rows of h being the lattice."""
    a = np.rint(x * g[0, 0] + y * g[1, 0] + z * g[2, 0])
    b = np.rint(x * g[0, 1] + y * g[1, 1] + z * g[2, 1])
    c = np.rint(x * g[0, 2] + y * g[1, 2] + z * g[2, 2])
    x -= a * h[0, 0] + b * h[1, 0] + c * h[2, 0]
    y -= a * h[0, 1] + b * h[1, 1] + c * h[2, 1]
    z -= a * h[0, 2] + b * h[1, 2] + c * h[2, 2]
    best = np.inf
    for i in range(-1, 2):
        for j in range(-1, 2):
            for k in range(-1, 2):
                u = x + i * h[0, 0] + j * h[1, 0] + k * h[2, 0]
                v = y + i * h[0, 1] + j * h[1, 1] + k * h[2, 1]
                w = z + i * h[0, 2] + j * h[1, 2] + k * h[2, 2]
                best = min(best, u * u + v * v + w * w)
    return best


@cached_njit()
def _closest(  # type: ignore[no-untyped-def]
    frames, lattice, inverse, height, bounds, component, pairs, values
):
    for f in range(frames.shape[0]):
        r = frames[f]
        for p in range(pairs.shape[0]):
            m, n = pairs[p]
            near, far = np.inf, 0.0
            for i in range(bounds[m], bounds[m + 1]):
                for j in range(bounds[n], bounds[n + 1]):
                    x = r[j, 0] - r[i, 0]
                    y = r[j, 1] - r[i, 1]
                    z = r[j, 2] - r[i, 2]
                    square = x * x + y * y + z * z
                    near = min(near, square)
                    far = max(far, square)
            # An image of a pair at distance d is at least height - d away, so below
            # this sum no image is closer than the closest pair found.
            if height[f] > 0.0 and np.sqrt(near) + np.sqrt(far) > height[f]:
                for i in range(bounds[m], bounds[m + 1]):
                    for j in range(bounds[n], bounds[n + 1]):
                        # A molecule's own images are not a component of it.
                        if component[i] == component[j]:
                            continue
                        x = r[j, 0] - r[i, 0]
                        y = r[j, 1] - r[i, 1]
                        z = r[j, 2] - r[i, 2]
                        square = _image_square(x, y, z, lattice[f], inverse[f])
                        near = min(near, square)
            values[f, p] = np.sqrt(near)


def closest_distances(
    positions: NDArray[np.floating],
    boxes: NDArray[np.floating] | None,
    atoms: NDArray[np.int64],
    starts: NDArray[np.int64],
    component: NDArray[np.int64],
    pairs: NDArray[np.int64],
) -> NDArray[np.float32]:
    """Return the distance between the closest atoms of pairs of groups.

    Written out because a table of all atom distances takes some ten times as long
    for a protein in a triclinic box. Like MDAnalysis's, the search for the nearest
    image expects lattice vectors that are not skewed by more than half.

    Parameters
    ----------
    positions : (F, A, 3) ndarray, Å
        Frames; connected components must be whole.
    boxes : (F, 6) ndarray or None
        Lengths in Å, angles in degrees; rows of zeros are no box.
    atoms : (M,) ndarray of int64
        Atoms, sorted by group.
    starts : (G,) ndarray of int64
        Where each group starts in `atoms`.
    component : (M,) ndarray of int64
        Connected component of each of `atoms`; only atoms of different ones are
        measured to the nearest image.
    pairs : (D, 2) ndarray of int64
        Pairs of groups.

    Returns
    -------
    (F, D) ndarray of float32, Å
    """
    values = np.empty((len(positions), len(pairs)), dtype=np.float32)
    bounds = np.append(starts, len(atoms))

    def run(first: int) -> None:
        rows = slice(first, first + _FRAMES)
        frames = np.ascontiguousarray(positions[rows][:, atoms], dtype=np.float64)
        lattice = np.zeros((len(frames), 3, 3))
        if boxes is not None:
            lattice = lattice_vectors(boxes[rows])
        height = box_heights(lattice).min(axis=1)
        solid = np.where(height[:, None, None] > 0, lattice, np.eye(3))
        inverse = np.linalg.inv(solid)
        _closest(
            frames, lattice, inverse, height, bounds, component, pairs, values[rows]
        )

    run_threads(run, [(f,) for f in range(0, len(positions), _FRAMES)], n_threads())
    return values
