"""Periodic boxes: which are usable, their lattice vectors, their heights.

Boxes are MDAnalysis's: three lengths in Å, then alpha, beta and gamma in degrees.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

__all__ = ["box_heights", "has_box", "lattice_vectors"]


def has_box(boxes: ArrayLike | None) -> np.ndarray:
    """Return which of boxes (..., 6) are boxes: finite, positive, of some volume.

    None stands for one frame without a box.
    """
    if boxes is None:
        return np.zeros(1, dtype=bool)
    array = np.atleast_2d(np.asarray(boxes, dtype=np.float64))
    usable = np.asarray((np.isfinite(array) & (array > 0)).all(axis=-1))
    usable &= (array[..., 3:] < 180).all(axis=-1)
    angles = np.where(usable[..., None], array[..., 3:], 90.0)
    cosines = np.cos(np.deg2rad(angles))
    volume = 1 + 2 * cosines.prod(axis=-1) - (cosines**2).sum(axis=-1)
    return usable & (volume > 1e-6)


def lattice_vectors(boxes: ArrayLike) -> np.ndarray:
    """Return the lattice vectors of boxes as rows of lower triangular matrices.

    Parameters
    ----------
    boxes : (..., 6) array, Å and degrees

    Returns
    -------
    (..., 3, 3) float64 array, Å
        The first vector along x, the second in the xy plane, which is the
        orientation that MDAnalysis and the trajectory formats use. Zeros where there
        is no box.
    """
    array = np.asarray(boxes, dtype=np.float64)
    usable = has_box(array).reshape((*array.shape[:-1], 1))
    array = np.where(usable, array, [1.0, 1.0, 1.0, 90.0, 90.0, 90.0])
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
    lattice[..., 2, 1] = c * (cos_alpha - cos_beta * cos_gamma) / sin_gamma
    rest = c**2 - lattice[..., 2, 0] ** 2 - lattice[..., 2, 1] ** 2
    lattice[..., 2, 2] = np.sqrt(np.maximum(rest, 0.0))
    return np.where(usable[..., None], lattice, 0.0)


def box_heights(lattice: np.ndarray) -> np.ndarray:
    """Return the distances between opposite faces, (..., 3), Å.

    Parameters
    ----------
    lattice : (..., 3, 3) array, Å
        Rows are lattice vectors; zeros give zeros.
    """
    a, b, c = (lattice[..., k, :] for k in range(3))
    faces = np.stack([np.cross(b, c), np.cross(c, a), np.cross(a, b)], axis=-2)
    volume = np.abs((a * faces[..., 0, :]).sum(axis=-1))[..., None]
    area = np.linalg.norm(faces, axis=-1)
    return np.divide(volume, area, out=np.zeros_like(area), where=area > 0)
