"""Periodic boxes: which are usable, their lattice vectors, their heights.

Boxes are MDAnalysis's: three lengths in Å, then alpha, beta and gamma in degrees.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import ArrayLike

__all__ = [
    "SHORTEST_TRANSLATION",
    "box_heights",
    "closes_volume",
    "has_box",
    "lattice_vectors",
    "reduced_lattices",
]

#: No atom is nearer to its own image than this, Å. Beryllium's shortest lattice vector,
#: of 2.29 Å, is among the shortest of all solids; placeholders are 1 Å.
SHORTEST_TRANSLATION: Final = 2.0


def has_box(boxes: ArrayLike | None) -> np.ndarray:
    """Return which of boxes (..., 6) are boxes.

    They close a volume, and no lattice vector is shorter than
    :data:`SHORTEST_TRANSLATION`: the box of 1 Å that some programs write where they
    know none is no box. None stands for one frame without a box.
    """
    if boxes is None:
        return np.zeros(1, dtype=bool)
    array = np.atleast_2d(np.asarray(boxes, dtype=np.float64))
    usable = closes_volume(array)
    vectors = lattice_vectors(array)
    # A lattice vector is as long as the lowest height at least.
    tight = usable & (box_heights(vectors).min(axis=-1) < SHORTEST_TRANSLATION)
    if tight.any():
        short = np.linalg.norm(reduced_lattices(vectors[tight]), axis=-1).min(axis=-1)
        usable[tight] = short >= SHORTEST_TRANSLATION
    return usable


def closes_volume(boxes: ArrayLike) -> np.ndarray:
    """Return which of boxes (..., 6) are finite, positive and close a volume."""
    array = np.atleast_2d(np.asarray(boxes, dtype=np.float64))
    usable = np.asarray((np.isfinite(array) & (array > 0)).all(axis=-1))
    usable &= (array[..., 3:] < 180).all(axis=-1)
    angles = np.where(usable[..., None], array[..., 3:], 90.0)
    cosines = np.cos(np.deg2rad(angles))
    volume = 1 + 2 * cosines.prod(axis=-1) - (cosines**2).sum(axis=-1)
    solid: np.ndarray = usable & (volume > 1e-6)
    return solid


def lattice_vectors(boxes: ArrayLike) -> np.ndarray:
    """Return the lattice vectors of boxes as rows of lower triangular matrices.

    Parameters
    ----------
    boxes : (..., 6) ndarray, Å and degrees

    Returns
    -------
    (..., 3, 3) ndarray of float64, Å
        The first vector along x, the second in the xy plane, which is the
        orientation that MDAnalysis and the trajectory formats use. Zeros where there
        is no box.
    """
    array = np.asarray(boxes, dtype=np.float64)
    usable = closes_volume(array).reshape((*array.shape[:-1], 1))
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
    lattice : (..., 3, 3) ndarray, Å
        Rows are lattice vectors; zeros give zeros.
    """
    a, b, c = (lattice[..., k, :] for k in range(3))
    faces = np.stack([np.cross(b, c), np.cross(c, a), np.cross(a, b)], axis=-2)
    volume = np.abs((a * faces[..., 0, :]).sum(axis=-1))[..., None]
    area = np.linalg.norm(faces, axis=-1)
    heights: np.ndarray = np.divide(
        volume, area, out=np.zeros_like(area), where=area > 0
    )
    return heights


def reduced_lattices(vectors: np.ndarray) -> np.ndarray:
    """Return short vectors of the same lattices, by pairwise reduction.

    With them the nearest image is among the 27 around the rounded one, however
    skewed the box was.

    Parameters
    ----------
    vectors : (F, 3, 3) ndarray, Å
        Rows are lattice vectors.

    Returns
    -------
    (F, 3, 3) ndarray, Å
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
