"""Frames of a trajectory, prepared for the pair searches of the fast engines."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from mdgeomfeat.boxes import check_boxes, has_box
from mdgeomfeat.neighbors import check_cutoff, lattice_vectors
from mdgeomfeat.neighbors._numba import inverse_lattices

__all__ = ["Frames", "prepare_frames"]


@dataclass(frozen=True, eq=False)
class Frames:
    """Frames of a trajectory as the pair search wants them.

    Attributes
    ----------
    numbers : (A,) ndarray of int64
    positions : (F, A, 3) ndarray, Å
    lattice, inverse : (F, 3, 3) ndarray of float64
    periodic : (F,) ndarray of bool
    """

    numbers: np.ndarray
    positions: np.ndarray
    lattice: np.ndarray
    inverse: np.ndarray
    periodic: np.ndarray


def prepare_frames(
    numbers: np.ndarray,
    positions: np.ndarray,
    boxes: ArrayLike | None,
    cutoff: float,
) -> Frames:
    """Check the boxes of frames, and prepare them for the pair search.

    Raises
    ------
    InputError
        If a box is malformed or too small for the cutoff.
    """
    F = len(positions)
    periodic = np.zeros(F, bool)
    lattice = np.zeros((F, 3, 3))
    if boxes is not None:
        checked = check_boxes(boxes, F)
        check_cutoff(checked, cutoff)
        periodic = has_box(checked)
        lattice[periodic] = lattice_vectors(checked[periodic])
    inverse = inverse_lattices(lattice, periodic)
    return Frames(numbers, positions, lattice, inverse, periodic)
