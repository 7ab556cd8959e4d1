"""Periodic boxes: whether they are sound, and the largest cutoff they allow.

For a cutoff of at most half the shortest height of the box, an image nearer than
the cutoff has all its fractional differences inside (-1/2, 1/2). Rounding the
fractional difference therefore finds exactly that image, however skewed the box.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from mdgeomfeat.boxes.lattice import box_heights, has_box, lattice_vectors
from mdgeomfeat.errors import InputError

__all__ = ["check_boxes", "check_cutoff"]


def check_boxes(boxes: ArrayLike, n_frames: int) -> np.ndarray:
    """Return one box per frame in float64, after checking that they are boxes.

    Parameters
    ----------
    boxes : (F, 6) or (6,) ndarray
        ``[a, b, c, alpha, beta, gamma]``, Å and degrees. A row of zeros stands for
        a frame without a box.
    n_frames : int
        Number of frames that need a box.

    Returns
    -------
    (F, 6) ndarray of float64

    Raises
    ------
    InputError
        For another shape, or for lengths and angles that make no box.
    """
    array = np.asarray(boxes, dtype=np.float64)
    if array.shape == (6,):
        array = np.broadcast_to(array, (n_frames, 6))
    if array.shape != (n_frames, 6):
        raise InputError(
            f"Boxes have shape {array.shape}, but {n_frames} frames need "
            f"({n_frames}, 6) or one box of shape (6,)."
        )
    present = (array[:, :3] != 0).any(axis=1)
    bad = np.flatnonzero(present & ~has_box(array))
    if bad.size:
        raise InputError(
            f"The box of frame {bad[0]} is {array[bad[0]].tolist()}, which encloses no "
            "volume or is a placeholder; give [a, b, c, alpha, beta, gamma] in Å and "
            "degrees, or no box."
        )
    return array


def check_cutoff(
    boxes: np.ndarray, cutoff: float, names: Sequence[str] | None = None
) -> None:
    """Raise if the cutoff reaches over half the shortest height of a box.

    Parameters
    ----------
    boxes : (F, 6) ndarray
        As :func:`check_boxes` returns them; rows of zeros are passed over.
    cutoff : float, Å
    names : sequence of F str, optional
        Words for the frames; their numbers if None.

    Raises
    ------
    InputError
        Naming the frame, its shortest height and the cutoff.
    """
    present = np.flatnonzero(has_box(boxes))
    if not present.size:
        return
    shortest = box_heights(lattice_vectors(boxes[present])).min(axis=1)
    worst = int(shortest.argmin())
    # Lengths arrive in float32, so a box of exactly twice the cutoff may round down.
    if 2.0 * cutoff > shortest[worst] * (1 + 1e-6):
        where = f"frame {present[worst]}" if names is None else names[present[worst]]
        raise InputError(
            f"A cutoff of {cutoff:g} Å is over half the shortest box height, "
            f"{shortest[worst]:.3f} Å in {where}: the box must be at "
            f"least {2 * cutoff:g} Å high, so analyse without the box "
            "(periodic=False, --no-pbc) or use a model with a shorter cutoff."
        )
