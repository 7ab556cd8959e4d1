"""Covariances of time-lagged pairs, each read forwards and backwards."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from deeptime.covariance import CovarianceModel
from numpy.typing import NDArray
from scipy.linalg.blas import dsyrk

from mdgeomfeat.kinetics.scores import ScoreError

__all__ = ["reversible_covariances"]

_Pair = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.floating] | None]


def reversible_covariances(pairs: Iterable[_Pair], lag: int) -> CovarianceModel:
    """Return the covariances of pairs (x, y) and (y, x) together.

    They are those of deeptime's reversible ``Covariance`` with the mean removed, from
    the squares of sums and differences of the pairs:
    ``x x' + y y'`` and ``x y' + y x'`` are half the sum and half the difference of
    ``(x + y) (x + y)'`` and ``(x - y) (x - y)'``. These are symmetric, so that the
    products of matrices take a quarter of the operations.

    Parameters
    ----------
    pairs : iterable of (x, y, weights)
        ``x`` and ``y`` are (n, k) float64 arrays, close to standardised: the mean is
        subtracted at the end. Weights (n,) or None.
    lag : int
        Is noted in the result.

    Returns
    -------
    deeptime.covariance.CovarianceModel
        With all of ``cov_00``, ``cov_0t`` and ``cov_tt``, which equals ``cov_00``.

    Raises
    ------
    ScoreError
        If there is no pair.
    """
    sums = differences = total = None
    weight = 0.0
    for x, y, weights in pairs:
        plus, minus = x + y, x - y
        if total is None:
            k = x.shape[1]
            sums, differences = (np.zeros((k, k), order="F") for _ in range(2))
            total = np.zeros(k)
        if weights is None:
            weight += len(x)
            total += plus.sum(axis=0)
        else:
            weight += float(weights.sum())
            total += weights @ plus
            root = np.sqrt(weights)[:, None]
            plus *= root
            minus *= root
        sums = dsyrk(1.0, plus.T, 1.0, sums, overwrite_c=1)
        differences = dsyrk(1.0, minus.T, 1.0, differences, overwrite_c=1)
    if total is None or sums is None or differences is None:
        raise ScoreError("No pair of frames has a weight.")
    mean = total / (2 * weight)
    outer = np.outer(mean, mean) * (2 * weight)
    # each pair counts twice; less one, as deeptime divides
    scale = 1 / (2 * weight - 1)
    cov_00 = scale * (_whole(sums + differences) / 2 - outer)
    cov_0t = scale * (_whole(sums - differences) / 2 - outer)
    return CovarianceModel(
        cov_00=cov_00,
        cov_0t=cov_0t,
        cov_tt=cov_00,
        mean_0=mean,
        mean_t=mean,
        bessels_correction=True,
        symmetrized=True,
        lagtime=lag,
        data_mean_removed=True,
    )


def _whole(upper: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the symmetric matrix of which the upper triangle is given."""
    triangle = np.triu(upper)
    return triangle + np.triu(upper, 1).T
