"""Periodic boxes: lattice vectors and the largest cutoff they allow.

For a cutoff of at most half the shortest height of the box, an image nearer than
the cutoff has all its fractional differences inside (-1/2, 1/2). Rounding the
fractional difference therefore finds exactly that image, however skewed the box.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from mdgeomfeat.errors import InputError

__all__ = ["box_heights", "check_boxes", "check_cutoff", "lattice_vectors"]


def check_boxes(boxes: ArrayLike, n_frames: int) -> np.ndarray:
    """Return one box per frame in float64, after checking that they are boxes.

    Parameters
    ----------
    boxes : (F, 6) or (6,) array
        ``[a, b, c, alpha, beta, gamma]``, Å and degrees. A row of zeros stands for
        a frame without a box.
    n_frames : int
        Number of frames that need a box.

    Returns
    -------
    (F, 6) float64 array

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
            f"boxes have shape {array.shape}, but {n_frames} frames need "
            f"({n_frames}, 6) or one box of shape (6,)"
        )
    present = (array[:, :3] != 0).any(axis=1)
    lengths, angles = array[:, :3], array[:, 3:]
    good = np.isfinite(array).all(axis=1) & (lengths > 0).all(axis=1)
    good &= ((angles > 0) & (angles < 180)).all(axis=1)
    good &= (angles.sum(axis=1) < 360) & (
        2 * angles.max(axis=1, initial=0) < angles.sum(axis=1)
    )
    bad = np.flatnonzero(present & ~good)
    if bad.size:
        raise InputError(
            f"the box of frame {bad[0]} is {array[bad[0]].tolist()}, which closes no "
            "volume; give [a, b, c, alpha, beta, gamma] in Å and degrees, or no box"
        )
    return array


def lattice_vectors(boxes: ArrayLike) -> np.ndarray:
    """Return the lattice vectors of boxes as rows of lower triangular matrices.

    Parameters
    ----------
    boxes : (..., 6) array
        ``[a, b, c, alpha, beta, gamma]``, Å and degrees.

    Returns
    -------
    (..., 3, 3) float64 array, Å
        The first vector along x, the second in the xy plane, which is the
        orientation that MDAnalysis and the trajectory formats use.
    """
    array = np.asarray(boxes, dtype=np.float64)
    a, b, c = (array[..., k] for k in range(3))
    angles = array[..., 3:]
    # A right angle has to give an exact zero, or an orthorhombic box is skewed.
    cosine = np.where(angles == 90.0, 0.0, np.cos(np.deg2rad(angles)))
    cos_alpha, cos_beta, cos_gamma = (cosine[..., k] for k in range(3))
    sin_gamma = np.sqrt(1.0 - cos_gamma**2)
    lattice = np.zeros((*array.shape[:-1], 3, 3))
    lattice[..., 0, 0] = a
    lattice[..., 1, 0] = b * cos_gamma
    lattice[..., 1, 1] = b * sin_gamma
    lattice[..., 2, 0] = c * cos_beta
    with np.errstate(invalid="ignore", divide="ignore"):
        lattice[..., 2, 1] = c * (cos_alpha - cos_beta * cos_gamma) / sin_gamma
        rest = c**2 - lattice[..., 2, 0] ** 2 - lattice[..., 2, 1] ** 2
        lattice[..., 2, 2] = np.sqrt(np.maximum(rest, 0.0))
    return lattice


def box_heights(lattice: np.ndarray) -> np.ndarray:
    """Return the distances between opposite faces, (..., 3), Å.

    Parameters
    ----------
    lattice : (..., 3, 3) array, Å
        Rows are lattice vectors.
    """
    # Columns of the inverse are normal to the faces, of length 1 / height.
    return 1.0 / np.linalg.norm(np.linalg.inv(lattice), axis=-2)


def check_cutoff(boxes: np.ndarray, cutoff: float) -> None:
    """Raise if the cutoff reaches over half the shortest height of a box.

    Parameters
    ----------
    boxes : (F, 6) array
        As :func:`check_boxes` returns them; rows of zeros are passed over.
    cutoff : float, Å

    Raises
    ------
    InputError
        Naming the frame, its shortest height and the cutoff.
    """
    present = np.flatnonzero((boxes[:, :3] != 0).any(axis=1))
    if not present.size:
        return
    shortest = box_heights(lattice_vectors(boxes[present])).min(axis=1)
    worst = int(shortest.argmin())
    # Lengths arrive in float32, so a box of exactly twice the cutoff may round down.
    if 2.0 * cutoff > shortest[worst] * (1 + 1e-6):
        raise InputError(
            f"a cutoff of {cutoff:g} Å is over half the shortest box height, "
            f"{shortest[worst]:.3f} Å in frame {present[worst]}: the box must be at "
            f"least {2 * cutoff:g} Å high, so analyse without the box "
            "(periodic=False, --no-pbc) or use a model with a shorter cutoff"
        )
