"""Least-squares superposition of frames on a reference."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mdgeomfeat.errors import InputError

__all__ = ["superpose"]


def superpose(
    positions: NDArray[np.floating],
    reference: NDArray[np.floating],
    weights: NDArray[np.floating] | None = None,
) -> NDArray[np.float64]:
    """Superpose frames on a reference structure, mirror images excluded.

    The rotation that minimises the weighted sum of squared deviations comes from the
    singular value decomposition of the covariance of the two point sets (Kabsch,
    Acta Cryst. A34, 827, 1978), with the sign of the last axis chosen so that it is
    proper. All frames are solved at once, and the decomposition always converges,
    also for planar or collinear molecules.

    Parameters
    ----------
    positions : (F, A, 3) ndarray, Å
        Frames; molecules must be whole.
    reference : (A, 3) ndarray, Å
        What to superpose on.
    weights : (A,) ndarray, optional
        Weight of each atom in the fit; equal if None.

    Returns
    -------
    (F, A, 3) ndarray of float64
        Superposed frames, with the reference's centre at the origin.

    Raises
    ------
    InputError
        If the reference has another number of atoms.
    """
    positions = np.asarray(positions, dtype=np.float64)
    reference = np.asarray(reference, dtype=np.float64)
    if positions.ndim != 3 or positions.shape[1:] != reference.shape:
        raise InputError(
            f"Positions of shape {positions.shape} cannot be superposed on a "
            f"reference of shape {reference.shape}; give the same atoms for both."
        )
    w = np.ones(len(reference)) if weights is None else np.asarray(weights, np.float64)
    w = w / w.sum()
    moving = positions - np.einsum("a,fax->fx", w, positions)[:, None]
    target = reference - w @ reference
    covariance = np.einsum("fax,a,ay->fxy", moving, w, target)
    u, _, vt = np.linalg.svd(covariance)
    u[:, :, 2] *= np.sign(np.linalg.det(u) * np.linalg.det(vt))[:, None]
    turned: NDArray[np.float64] = moving @ (u @ vt)
    return turned
