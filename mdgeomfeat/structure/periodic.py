"""Periodic boxes: molecules put together, and when to use a box."""

from __future__ import annotations

import warnings
from typing import Protocol

import numpy as np

from mdgeomfeat.errors import InputError, MDGeomFeatWarning
from mdgeomfeat.jit import cached_njit
from mdgeomfeat.lattice import box_heights, has_box, lattice_vectors
from mdgeomfeat.structure.forest import connected_parts
from mdgeomfeat.structure.placing import blocks_of, nearest_steps, place_parts

__all__ = ["unwrap_tree", "use_box"]

# Neighbours in the tree of a whole molecule are nearer than this (Å): a bond, or
# the distance of two CA atoms where only those are selected.
_WHOLE_STEP = 6.0


class _Hung(Protocol):
    """What is needed of a Structure: the atom that each atom hangs on."""

    @property
    def parent(self) -> np.ndarray: ...


def unwrap_tree(
    positions: np.ndarray, boxes: np.ndarray, parent: np.ndarray, order: np.ndarray
) -> np.ndarray:
    """Move every atom to the image nearest to its parent, then parts to each other.

    Each part that nothing connects to the others is moved as a whole to the image that
    comes nearest to the parts that have their place already, see
    :mod:`mdgeomfeat.structure.placing`.

    Parameters
    ----------
    positions : (F, A, 3) float array, Å
    boxes : (F, 6) array
        Lengths in Å, angles in degrees; rows that are no box leave a frame alone.
    parent : (A,) int64 array
        -1 for the first atom of each part; that of the first part stays where it is.
    order : (A,) int64 array
        All atoms, parents before children.

    Returns
    -------
    (F, A, 3) array of the same float type
        Atoms that need no move keep their coordinates bit by bit.
    """
    vectors = lattice_vectors(np.atleast_2d(boxes))
    if len(vectors) != len(positions):
        raise InputError(
            f"got {len(vectors)} boxes for {len(positions)} frames: give one box per "
            "frame"
        )
    source = np.ascontiguousarray(positions)
    moved = source.copy()
    usable = vectors[:, 0, 0] > 0
    short = _reduced(vectors)
    short[~usable] = np.eye(3)
    heights = box_heights(short)
    # Below half the smallest height no image can be nearer.
    safe = np.where(usable, (heights.min(axis=1) / 2) ** 2, 0.0)
    blocks = blocks_of(connected_parts(parent))
    inverses = np.linalg.inv(short)
    _unwrap(source, moved, short, inverses, heights, safe, parent, order, blocks)
    return moved


def _reduced(vectors: np.ndarray) -> np.ndarray:
    """Short lattice vectors of the same lattices, by pairwise reduction (F, 3, 3).

    With them the nearest image is among the 27 around the rounded one, however
    skewed the box was.
    """
    h = vectors.copy()
    for _ in range(50):
        changed = False
        for i, j in ((1, 0), (2, 0), (2, 1), (0, 1), (0, 2), (1, 2)):
            square = np.maximum((h[:, j] ** 2).sum(axis=1), 1e-300)
            ratio = (h[:, i] * h[:, j]).sum(axis=1) / square
            # An exact half would be turned to and fro for ever.
            n = np.where(np.abs(ratio) > 0.5 * (1 + 1e-9), np.round(ratio), 0.0)
            if n.any():
                h[:, i] -= n[:, None] * h[:, j]
                changed = True
        if not changed:
            break
    return h


def use_box(
    periodic: bool | str,
    boxes: np.ndarray | None,
    positions: np.ndarray,
    structure: _Hung | None = None,
) -> bool:
    """Decide whether nearest images in the box are used.

    Parameters
    ----------
    periodic : bool or "auto"
        ``"auto"`` uses the box unless it is absent, zero, or smaller than the
        selection, which is said. True and False force.
    boxes : (F, 6) or (6,) array or None
        Lengths in Å, angles in degrees.
    positions : (F, A, 3) or (A, 3) array, Å
        As read; molecules may be broken across the boundary.
    structure : Structure, optional
        Tells which atoms hang together. Without it all atoms count as one molecule.

    Returns
    -------
    bool

    Raises
    ------
    InputError
        If ``periodic`` is True and a frame has no box, or ``"auto"`` finds frames
        with and frames without.
    """
    if not isinstance(periodic, bool | np.bool_) and periodic != "auto":
        raise InputError(
            f"periodic={periodic!r} is not known: use 'auto', True or False"
        )
    if periodic is False or periodic is np.False_:
        return False
    usable = has_box(boxes)
    if periodic != "auto":
        if not usable.all():
            raise InputError(
                "periodic=True needs a box, and the trajectory has none in frame "
                f"{int(np.argmin(usable))}: use periodic='auto' or False"
            )
        return True
    if boxes is None or not usable.any():
        return False
    if not usable.all():
        raise InputError(
            f"{int((~usable).sum())} of {len(usable)} frames have no box (the first is "
            f"frame {int(np.argmin(usable))}) and the others have one: say which is "
            "right with periodic=False or leave those frames out"
        )
    frames = np.asarray(positions, dtype=np.float64).reshape(-1, *positions.shape[-2:])
    vectors = np.broadcast_to(lattice_vectors(boxes), (len(frames), 3, 3))
    for x, h in zip(frames, vectors, strict=True):
        extent = _largest_extent(x, h, None if structure is None else structure.parent)
        if extent > 1.0 + 1e-3:
            warnings.warn(
                "the box is smaller than the selected molecules (by a factor of "
                f"{extent:.2f}) and is not used: say periodic=False (--no-pbc) if that "
                "is right, else give files with the right box, or periodic=True in "
                "Python",
                MDGeomFeatWarning,
                stacklevel=2,
            )
            return False
    return True


def _largest_extent(
    positions: np.ndarray, vectors: np.ndarray, parent: np.ndarray | None
) -> float:
    """Largest extent of a molecule that is whole, in box lengths.

    A molecule that the boundary tears apart proves that its box is real.
    """
    fractions = positions @ np.linalg.inv(vectors)
    part = np.zeros(len(positions), dtype=np.int64)
    if parent is not None:
        held = parent >= 0
        part = connected_parts(parent)
        step = np.zeros(len(positions))
        step[held] = np.linalg.norm(positions[held] - positions[parent[held]], axis=1)
        torn = np.unique(part[step > _WHOLE_STEP])
        fractions = fractions[~np.isin(part, torn)]
        part = part[~np.isin(part, torn)]
    largest = 0.0
    for number in np.unique(part):
        largest = max(largest, float(np.ptp(fractions[part == number], axis=0).max()))
    return largest


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
