"""Molecules that the boundary of a box has torn, put together."""

from __future__ import annotations

import numpy as np

from mdgeomfeat.boxes import box_heights, lattice_vectors, reduced_lattices
from mdgeomfeat.errors import InputError
from mdgeomfeat.jit import cached_njit
from mdgeomfeat.structure.forest import components_of
from mdgeomfeat.structure.placing import blocks_of, nearest_steps, place_parts

__all__ = ["unwrap_tree"]


def unwrap_tree(
    positions: np.ndarray, boxes: np.ndarray, parent: np.ndarray, order: np.ndarray
) -> np.ndarray:
    """Move atoms to the images nearest to their parents, then components to each other.

    Each component that nothing connects to the others is moved as a whole to the image
    that comes nearest to the components that have their place already, see
    :mod:`mdgeomfeat.structure.placing`.

    Parameters
    ----------
    positions : (F, A, 3) ndarray of float, Å
    boxes : (F, 6) ndarray
        Lengths in Å, angles in degrees; rows that are no box leave a frame alone.
    parent : (A,) ndarray of int64
        -1 for the first atom of each component; that of the first component stays where
        it is.
    order : (A,) ndarray of int64
        All atoms, parents before children.

    Returns
    -------
    (F, A, 3) ndarray of the same float type
        Atoms that need no move keep their coordinates bit by bit.

    Raises
    ------
    InputError
        If the numbers of boxes and frames differ.
    """
    vectors = lattice_vectors(np.atleast_2d(boxes))
    if len(vectors) != len(positions):
        raise InputError(
            f"Got {len(vectors)} boxes for {len(positions)} frames; give one box per "
            "frame."
        )
    source = np.ascontiguousarray(positions)
    moved = source.copy()
    usable = vectors[:, 0, 0] > 0
    short = reduced_lattices(vectors)
    short[~usable] = np.eye(3)
    heights = box_heights(short)
    # Below half the smallest height no image can be nearer.
    safe = np.where(usable, (heights.min(axis=1) / 2) ** 2, 0.0)
    blocks = blocks_of(components_of(parent))
    inverses = np.linalg.inv(short)
    _unwrap(source, moved, short, inverses, heights, safe, parent, order, blocks)
    return moved


@cached_njit()
def _unwrap(  # type: ignore[no-untyped-def]
    source, moved, vectors, inverses, heights, safe, parent, order, blocks
):
    n_frames, n_atoms = source.shape[0], source.shape[1]
    # Whole lattice steps, so that a detour through an image ends at exactly none.
    steps = np.zeros((n_atoms, 3))
    best = np.zeros(3)
    for f in range(n_frames):
        if safe[f] == 0.0:
            continue
        x = source[f]
        h = vectors[f]
        inverse = inverses[f]
        for index in range(n_atoms):
            i = order[index]
            p = parent[i]
            if p < 0:
                steps[i, :] = 0.0
                continue
            dx = np.float64(x[i, 0]) - np.float64(x[p, 0])
            dy = np.float64(x[i, 1]) - np.float64(x[p, 1])
            dz = np.float64(x[i, 2]) - np.float64(x[p, 2])
            best[:] = 0.0
            if dx * dx + dy * dy + dz * dz >= safe[f]:
                nearest_steps(dx, dy, dz, h, inverse, best)
            for k in range(3):
                steps[i, k] = steps[p, k] + best[k]
        if len(blocks.first) > 2:
            place_parts(x, h, inverse, heights[f], safe[f], steps, blocks)
        for i in range(n_atoms):
            u, v, w = steps[i]
            if u != 0.0 or v != 0.0 or w != 0.0:
                for k in range(3):
                    shift = u * h[0, k] + v * h[1, k] + w * h[2, k]
                    moved[f, i, k] = x[i, k] + shift
