"""The width rule: principal components of wide inputs, from the training part only."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mdgeomfeat.kinetics.arrays import Arrays, chunks
from mdgeomfeat.kinetics.standardize import Standardizer, flat_features

__all__ = ["MAX_WIDTH", "fit_pca"]

#: Linear estimators take wider inputs as this many principal components.
MAX_WIDTH = 1000

#: Larger eigenvalue problems than this are not set up (200 MB in float64).
_MAX_MATRIX = 5000


def fit_pca(
    arrays: Arrays, standardizer: Standardizer, n_components: int
) -> NDArray[np.float32]:
    """Return the leading principal components of standardised training frames.

    The smaller of covariance (D, D) and Gram matrix (F, F) is accumulated over chunks
    in float64 and diagonalised. Where both D and F exceed 5,000, every k-th frame is
    used, so that at most 5,000 enter.

    Parameters
    ----------
    arrays : list of (F, ...) ndarrays
        Training trajectories.
    standardizer : Standardizer
        Of the same trajectories, for flat features.
    n_components : int
        Wanted components; fewer come back if the data have a lower rank.

    Returns
    -------
    (D, k) ndarray of float32
        Orthonormal columns, largest variance first.
    """
    width = standardizer.shift.size
    n_frames = sum(map(len, arrays))
    if width <= min(_MAX_MATRIX, n_frames):
        covariance = np.zeros((width, width))
        for chunk in chunks(arrays):
            x = standardizer(flat_features(chunk))
            covariance += x.T @ x
        values, vectors = np.linalg.eigh(covariance)
        keep = _leading(values, n_components)
        return vectors[:, keep].astype(np.float32)

    stride = -(-n_frames // _MAX_MATRIX)
    thinned = [a[::stride] for a in arrays]
    x = np.concatenate([_float32(c, standardizer) for c in chunks(thinned)])
    x -= x.mean(axis=0, dtype=np.float64).astype(np.float32)
    gram = np.zeros((len(x), len(x)))
    for start in range(0, width, 2048):
        block = x[:, start : start + 2048].astype(np.float64)
        gram += block @ block.T
    values, vectors = np.linalg.eigh(gram)
    keep = _leading(values, n_components)
    scaled = (vectors[:, keep] / np.sqrt(values[keep])).astype(np.float32)
    product: NDArray[np.float32] = x.T @ scaled
    return product


def _float32(
    chunk: NDArray[np.floating], standardizer: Standardizer
) -> NDArray[np.float32]:
    return standardizer(flat_features(chunk)).astype(np.float32)


def _leading(values: NDArray[np.float64], n: int) -> NDArray[np.int64]:
    """Return the positions of the `n` largest eigenvalues that are not rounding."""
    order = np.argsort(values)[::-1][:n]
    kept: NDArray[np.int64] = order[values[order] > 1e-7 * values.max()]
    return kept
