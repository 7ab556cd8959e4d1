r"""VAMP-2 scores of outputs, their null and their ceiling.

With :math:`C_{00}, C_{0\tau}, C_{\tau\tau}` the mean-free covariances of the outputs
and of the outputs one lag later, VAMP-2 is :math:`1 + \lVert C_{00}^{-1/2} C_{0\tau}
C_{\tau\tau}^{-1/2} \rVert_F^2` (Wu & Noé, 2020, equation 33). The 1 belongs to the
constant function, as in deeptime: d outputs score between 1 and d + 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mdgeomfeat.kinetics.arrays import Arrays, pair_weights
from mdgeomfeat.kinetics.reasons import Failure

__all__ = [
    "Score",
    "ScoreError",
    "ceiling",
    "null_score",
    "pair_score",
    "shares",
    "vamp2_score",
]

#: Directions of the standardised outputs with less than this share of the largest
#: variance are rounding noise of float32 networks.
_RANK_CUTOFF = 1e-10


class ScoreError(ArithmeticError):
    """Outputs that have no score, and why."""


@dataclass(frozen=True, kw_only=True)
class Score:
    """The held-out VAMP-2 score of one input with one estimator.

    Attributes
    ----------
    input : str
        Name of the input.
    method : {"VAMPNet", "SPIB", "TICA"}
        Estimator.
    primary : bool
        Whether this is the input that the study is about.
    score : float or None
        Mean over folds and seeds; None if every fit failed.
    sd_seeds : float or None
        Standard deviation over seeds by themselves, root mean square over folds; None
        with one seed.
    sd_folds : float or None
        Standard deviation over folds; None with one fold. Mostly the difference
        between the held-out parts: use the paired difference to compare inputs.
    minus_primary, minus_primary_sd : float or None
        Mean and standard deviation over folds of the difference to the primary input
        with the same estimator, on the same held-out parts.
    train : float or None
        Score of the training part.
    null : float or None
        Score of the same outputs when their halves have nothing in common.
    ceiling : float or None
        Largest score possible, from the reference timescales; None if unknown.
    independent : bool
        Whether the held-out parts are independent of the training parts.
    by_fold : list of float or None
        Score of each fold: of TICA, or of all seeds' VAMPNets joined.
    values : list of list of float or None
        Score of every seed by itself, folds first, then seeds.
    n_folds, n_seeds : int
        How many.
    width : int
        Numbers of one frame.
    pca : int or None
        Principal components that the estimator saw instead; the largest over folds.
    n_parameters : int
        Trainable numbers of the network, or of the linear map.
    mixer : str or None
        Of a VAMPNet.
    failure : Failure or None
        Why fits failed, if some did.

    Examples
    --------
    >>> import numpy as np
    >>> from mdgeomfeat.kinetics import StudySettings, run_study
    >>> rng = np.random.default_rng(0)
    >>> flips = np.where(rng.random((4, 500)) < 0.02, -1, 1).cumprod(axis=1)
    >>> runs = list(flips[:, :, None] + rng.normal(0, 0.2, (4, 500, 1)))
    >>> settings = StudySettings(method="tica", n_bootstrap=5)
    >>> study = run_study({"x": runs}, "x", settings)
    >>> [score] = study.scores
    >>> score.method, score.n_folds, score.null < score.score < score.ceiling
    ('TICA', 4, True)
    """

    input: str
    method: str
    primary: bool
    score: float | None
    sd_seeds: float | None
    sd_folds: float | None
    minus_primary: float | None = None
    minus_primary_sd: float | None = None
    train: float | None
    null: float | None
    ceiling: float | None = None
    independent: bool
    by_fold: list[float | None]
    values: list[list[float | None]]
    n_folds: int
    n_seeds: int
    width: int
    pca: int | None
    n_parameters: int
    mixer: str | None
    failure: Failure | None = None


def vamp2_score(outputs: Arrays, lag: int, weights: Arrays | None = None) -> float:
    """Return VAMP-2 from one covariance over all lagged pairs, in float64.

    Parameters
    ----------
    outputs : list of (F, d) ndarrays
        Outputs of every unbroken trajectory of the part to score.
    lag : int
        Lag in frames.
    weights : list of (F,) ndarrays, optional
        Weight of every frame; a pair has that of its earlier frame.

    Returns
    -------
    float
        Between 1 and d + 1, the constant included.

    Raises
    ------
    ScoreError
        If there are too few pairs, or the outputs do not vary.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> flips = np.where(rng.random((4, 500)) < 0.02, -1, 1).cumprod(axis=1)
    >>> runs = list(flips[:, :, None] + rng.normal(0, 0.2, (4, 500, 1)))
    >>> from mdgeomfeat.kinetics import vamp2_score
    >>> 1.4 < vamp2_score(runs, lag=5) < 2.0
    True
    """
    return pair_score(*_halves(outputs, lag, weights))


def null_score(
    outputs: Arrays,
    lag: int,
    slowest: float | None = None,
    n_shifts: int = 8,
    weights: Arrays | None = None,
) -> float | None:
    """Return what these outputs would score if their halves had nothing in common.

    The lagged half is shifted against the other by far more than the slowest
    timescale, cyclically over the whole part, and scored as before. The mean over
    `n_shifts` shifts is what finite sampling alone gives: above 1, and the more so
    the slower the outputs and the shorter the part.

    Parameters
    ----------
    outputs : list of (F, d) ndarrays
        Outputs of every unbroken trajectory.
    lag : int
        Lag in frames.
    slowest : float, optional
        Slowest timescale, frames.
    n_shifts : int
        Number of shifts.
    weights : list of (F,) ndarrays, optional
        Weight of every frame, which stays with the half that is not shifted.

    Returns
    -------
    float or None
        None where the part is too short for a shift of three slowest timescales.
    """
    x, y, share = _halves(outputs, lag, weights)
    far = max(5 * lag, 3 * (slowest or 0.0))
    low = max(len(x) / 4, far)
    if low > len(x) / 2:
        return None
    shifts = np.unique(np.linspace(low, len(x) - low, n_shifts).astype(int))
    return float(np.mean([pair_score(x, np.roll(y, s, axis=0), share) for s in shifts]))


def ceiling(timescales: ArrayLike, lag: float, dim: int) -> float:
    r"""Return :math:`1 + \sum_{i \le d} \exp(-2\tau/t_i)`.

    It is the VAMP-2 score (Wu & Noé, 2020, equation 33) of outputs that are the slow
    processes themselves, whose eigenvalues are :math:`\exp(-\tau/t_i)`.

    Parameters
    ----------
    timescales : sequence of float
        Timescales, slowest first, in the unit of `lag`.
    lag : float
        Lag.
    dim : int
        Number of outputs d.
    """
    slow = np.asarray(timescales, dtype=float)[:dim]
    slow = slow[np.isfinite(slow) & (slow > 0)]
    return float(1.0 + np.exp(-2.0 * lag / slow).sum())


def _halves(
    outputs: Arrays, lag: int, weights: Arrays | None
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64] | None]:
    usable = [np.asarray(o, dtype=np.float64) for o in outputs if len(o) > lag]
    if not usable:
        raise ScoreError(f"No trajectory is longer than the lag of {lag} frames.")
    x = np.concatenate([o[: len(o) - lag] for o in usable])
    y = np.concatenate([o[lag:] for o in usable])
    if len(x) < x.shape[1] + 2:
        raise ScoreError(
            f"{len(x)} lagged pairs are too few for {x.shape[1]} outputs; ask for "
            "fewer (dim), or give more frames."
        )
    return x, y, None if weights is None else pair_weights(weights, lag)


def pair_score(
    x: NDArray[np.floating],
    y: NDArray[np.floating],
    weights: NDArray[np.floating] | None = None,
) -> float:
    """Return VAMP-2 of (P, d) outputs `x` and the same pairs' lagged outputs `y`.

    Parameters
    ----------
    x, y : (P, d) ndarray
    weights : (P,) ndarray, optional
        Weights of the pairs, 0 or more; all are the same by default.

    Raises
    ------
    ScoreError
        If the outputs do not vary, or no pair has a weight.
    """
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ScoreError("The outputs are not finite.")
    share = np.full(len(x), 1 / len(x)) if weights is None else shares(weights)
    x = _whiten(np.asarray(x, np.float64), share)
    y = _whiten(np.asarray(y, np.float64), share)
    return float(1.0 + np.sum(((x * share[:, None]).T @ y) ** 2))


def shares(weights: NDArray[np.floating]) -> NDArray[np.float64]:
    """Scale weights so that their sum is 1.

    Raises
    ------
    ScoreError
        If they are all 0.
    """
    total = float(np.sum(weights, dtype=np.float64))
    if not total > 0:
        raise ScoreError("No pair of this part of the data has a weight.")
    return np.asarray(weights, np.float64) / total


def _whiten(x: NDArray[np.float64], share: NDArray[np.float64]) -> NDArray[np.float64]:
    mean = share @ x
    sd = np.sqrt(share @ (x - mean) ** 2)
    varies = sd > 1e-7 * np.abs(mean)
    varies &= sd > np.finfo(float).tiny
    if not varies.any():
        raise ScoreError("The outputs do not vary in the held-out part.")
    x = (x[:, varies] - mean[varies]) / sd[varies]
    values, vectors = np.linalg.eigh((x * share[:, None]).T @ x)
    keep = values > _RANK_CUTOFF * values[-1]
    whitened: NDArray[np.float64] = x @ (vectors[:, keep] / np.sqrt(values[keep]))
    return whitened
