"""Centring and scaling with the statistics of the training part, streaming.

What a linear method or a network finds in many columns and few frames depends on how
large the columns are: large ones are fitted first, and small ones are what a penalty
removes. Columns can therefore be made as large as their autocorrelation at the lag, so
that what has forgotten itself by then (the vibrations of bonds in a protein) hardly
counts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mdgeomfeat.kinetics.arrays import Arrays, chunks, lagged_runs
from mdgeomfeat.kinetics.scores import ScoreError

__all__ = [
    "PAIRS_PER_COLUMN",
    "Standardizer",
    "fit_standardizer",
    "flat_features",
    "scale_by_autocorrelation",
]

#: A column whose standard deviation is below this share of its mean is rounding noise
#: of float32 (unit round-off 6e-8) and is switched off rather than blown up.
_SD_FLOOR = 1e-6


#: With fewer training pairs for each column, slow motions are found in noise.
PAIRS_PER_COLUMN = 10

#: No column that varies becomes smaller than if it had this autocorrelation, because a
#: slow motion may also stand in the product of several that are fast.
_FLOOR = 0.02


@dataclass(frozen=True, eq=False)
class Standardizer:
    """Subtract `shift`, multiply by `factor`.

    Attributes
    ----------
    shift : ndarray of float32
        Training mean, shape of one frame.
    factor : ndarray of float32
        One over the training standard deviation, or this times the weight of the
        column (:func:`scale_by_autocorrelation`); 0 for a column that does not vary.
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


def scale_by_autocorrelation(
    standardizer: Standardizer,
    arrays: Arrays,
    lag: int,
    view: Callable[[NDArray[np.floating]], NDArray[np.floating]] | None = None,
) -> Standardizer:
    """Make columns as large as they are slow.

    A column is multiplied by its autocorrelation at the lag or that of its square,
    whichever is larger, but at least by 0.02, and all by one number, so that their mean
    variance remains 1. Of vectors in (F, N, 4, C) tokens the squared lengths are taken,
    since components would depend on how the molecule tumbles.

    Parameters
    ----------
    standardizer : Standardizer
        Of the same trajectories.
    arrays : list of (F, ...) ndarrays
        Training trajectories, with at least one pair of frames.
    lag : int
        Frames.
    view : callable, optional
        As for :func:`fit_standardizer`.

    Returns
    -------
    Standardizer
    """
    view = view or (lambda frames: frames)
    sums = np.zeros((5, 2, *_lengths(standardizer.shift[None]).shape[1:]))
    n = 0
    for frames in lagged_runs(arrays, lag):
        x = _lengths(standardizer(view(frames)))
        n += len(x) - lag
        for of_power in (sums[:, 0], sums[:, 1]):
            early, late = x[:-lag], x[lag:]
            of_power[0] += early.sum(axis=0)
            of_power[1] += late.sum(axis=0)
            # summed as they are formed, since a chunk is large
            of_power[2] += np.einsum("f...,f...->...", early, late)
            of_power[3] += np.einsum("f...,f...->...", early, early)
            of_power[4] += np.einsum("f...,f...->...", late, late)
            x *= x
    mean_0, mean_t, product, square_0, square_t = sums / n
    variance = (square_0 - mean_0**2) * (square_t - mean_t**2)
    varies = variance > np.finfo(np.float32).tiny
    root = np.sqrt(np.where(varies, variance, 1.0))
    both = np.where(varies, (product - mean_0 * mean_t) / root, 0.0)
    slowness = both.max(axis=0).clip(_FLOOR, 1)
    varying = standardizer.factor > 0
    if slowness.ndim == 3:
        slowness = np.broadcast_to(slowness[:, [0, 1, 1, 1]], varying.shape)
    size = np.sqrt(np.mean(slowness[varying] ** 2))
    factor = standardizer.factor * (slowness / size)
    return replace(standardizer, factor=factor.astype(np.float32))


def _lengths(frames: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return (F, N, 2, C), scalars and squared lengths, of (F, N, 4, C) tokens."""
    if frames.ndim < 4:
        return frames
    squares = (frames[:, :, 1:] ** 2).sum(axis=2, keepdims=True)
    return np.concatenate([frames[:, :, :1], squares], axis=2)


def flat_features(frames: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return (F, D) features for linear methods.

    Tokens are joined end to end; of scalars and vectors, (F, N, 4, C), the vectors
    enter by their norms, since a linear map of components would not be invariant.
    """
    if frames.ndim == 4:
        norms = np.linalg.norm(frames[:, :, 1:], axis=2)
        frames = np.concatenate([frames[:, :, 0], norms], axis=-1)
    return frames.reshape(len(frames), -1)
