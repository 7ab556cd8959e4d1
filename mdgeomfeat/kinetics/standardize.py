"""Centring and scaling with the statistics of the training part, streaming."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mdgeomfeat.kinetics.arrays import Arrays, chunks
from mdgeomfeat.kinetics.scores import ScoreError

__all__ = ["Standardizer", "fit_standardizer", "flat_features"]

#: A column whose standard deviation is below this share of its mean is rounding noise
#: of float32 (unit round-off 6e-8) and is switched off rather than blown up.
_SD_FLOOR = 1e-6


@dataclass(frozen=True, eq=False)
class Standardizer:
    """Subtract `shift`, multiply by `factor`.

    Attributes
    ----------
    shift : ndarray of float32
        Training mean, shape of one frame.
    factor : ndarray of float32
        One over the training standard deviation; 0 for a column that does not vary.
    """

    shift: NDArray[np.float32]
    factor: NDArray[np.float32]

    def __call__(self, frames: NDArray[np.floating]) -> NDArray[np.float64]:
        """Standardise (F, ...) frames, in float64."""
        return (np.asarray(frames, dtype=np.float64) - self.shift) * self.factor

    @property
    def n_varying(self) -> int:
        """Number of columns that vary in the training part."""
        return int(np.count_nonzero(self.factor))


def fit_standardizer(
    arrays: Arrays,
    view: Callable[[NDArray[np.floating]], NDArray[np.floating]] | None = None,
) -> Standardizer:
    """Take mean and standard deviation of training trajectories, in two passes.

    Vectors in (F, N, 4, C) tokens are not shifted and their three components share a
    scale: anything else would depend on how the molecule is turned.

    Parameters
    ----------
    arrays : list of (F, ...) ndarrays
        Training trajectories.
    view : callable, optional
        Applied to every chunk of frames first, such as :func:`flat_features`.

    Returns
    -------
    Standardizer

    Raises
    ------
    ScoreError
        If no column varies.
    """
    n_frames = sum(map(len, arrays))
    view = view or (lambda frames: frames)
    shape = view(arrays[0][:1]).shape[1:]
    mean = np.zeros(shape)
    for chunk in chunks(arrays):
        mean += view(chunk).sum(axis=0, dtype=np.float64)
    mean /= n_frames
    vectors = len(shape) == 3
    if vectors:
        mean[:, 1:] = 0.0
    square = np.zeros(shape)
    for chunk in chunks(arrays):
        square += ((view(chunk) - mean) ** 2).sum(axis=0)
    variance = square / n_frames
    if vectors:
        variance[:, 1:] = variance[:, 1:].sum(axis=1, keepdims=True)
    sd = np.sqrt(variance)
    varies = sd > np.maximum(_SD_FLOOR * np.abs(mean), np.finfo(np.float32).tiny)
    if not varies.any():
        raise ScoreError("No column varies in the training part.")
    factor = np.divide(1.0, sd, out=np.zeros(shape), where=varies)
    return Standardizer(mean.astype(np.float32), factor.astype(np.float32))


def flat_features(frames: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return (F, D) features for linear methods.

    Tokens are joined end to end; of scalars and vectors, (F, N, 4, C), the vectors
    enter by their norms, since a linear map of components would not be invariant.
    """
    if frames.ndim == 4:
        norms = np.linalg.norm(frames[:, :, 1:], axis=2)
        frames = np.concatenate([frames[:, :, 0], norms], axis=-1)
    return frames.reshape(len(frames), -1)
