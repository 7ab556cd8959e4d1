"""Implied timescales of Markov models over lags, with a bootstrap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mdgeomfeat.kinetics.msm import (
    Units,
    bootstrap,
    estimate_msm,
    make_units,
    unit_counts,
)
from mdgeomfeat.kinetics.posterior import timescale_samples, widest

__all__ = [
    "CONSTANT",
    "ImpliedTimescales",
    "LaterTimescale",
    "implied_timescales",
    "lag_series",
]


#: Relative change of a timescale that still counts as constant.
CONSTANT = 0.1


@dataclass(frozen=True)
class LaterTimescale:
    """The slowest timescale at a longer lag.

    Attributes
    ----------
    lag : int
        Frames.
    timescale : float
        Frames.
    """

    lag: int
    timescale: float


@dataclass(frozen=True, eq=False)
class ImpliedTimescales:
    """Timescales over lags.

    Attributes
    ----------
    lags : (L,) ndarray of int64
        Frames.
    timescales, lower, upper : (L, k) ndarray
        Estimate and 90 % interval, frames; NaN where there is none.
    unit : {"trajectories", "blocks"}
        What the bootstrap drew.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> flips = np.where(rng.random((4, 500)) < 0.02, -1, 1).cumprod(axis=1)
    >>> runs = list(flips[:, :, None] + rng.normal(0, 0.2, (4, 500, 1)))
    >>> from mdgeomfeat.kinetics import implied_timescales
    >>> states = [(run[:, 0] > 0).astype(int) for run in runs]
    >>> found = implied_timescales(states, [1, 2, 4], k=1, n_samples=10)
    >>> bool(15 < found.timescales[0, 0] < 40)  # frames
    True
    >>> round(found.at(4) / found.at(1), 1)
    0.9
    """

    lags: NDArray[np.int64]
    timescales: NDArray[np.float64]
    lower: NDArray[np.float64]
    upper: NDArray[np.float64]
    unit: str

    def at(self, lag: int) -> float:
        """Return the slowest timescale at one of the lags, frames; NaN without one."""
        found = np.flatnonzero(self.lags == lag)
        return float(self.timescales[found[0], 0]) if len(found) else float("nan")

    def change_after(self, lag: int) -> LaterTimescale | None:
        """Return where the slowest timescale has clearly changed after a lag.

        Parameters
        ----------
        lag : int
            One of the lags, frames.

        Returns
        -------
        LaterTimescale or None
            The first of the next two lags at which the slowest timescale differs from
            that at `lag` by more than 10 %, and each of the two lies outside the
            other's interval; None where there is none, so far as lags reach.
        """
        found = np.flatnonzero(self.lags == lag)
        if not len(found):
            return None
        here = int(found[0])
        for later in range(here + 1, min(here + 3, len(self.lags))):
            if self._differ(here, later):
                value = float(self.timescales[later, 0])
                return LaterTimescale(int(self.lags[later]), value)
        return None

    def _differ(self, i: int, j: int) -> bool:
        a, b = self.timescales[[i, j], 0]
        if not abs(b - a) > CONSTANT * b:
            return False
        return all(
            not self.lower[k, 0] <= other <= self.upper[k, 0]
            for k, other in ((i, b), (j, a))
        )


def lag_series(longest: int) -> list[int]:
    """Return the powers of two up to `longest` frames."""
    return [2**e for e in range(max(longest, 0).bit_length())]


def implied_timescales(
    dtrajs: Sequence[NDArray[np.int64]],
    lags: Sequence[int],
    k: int,
    *,
    units: Units | None = None,
    partitions: Sequence[NDArray[np.int64]] = (),
    n_samples: int = 40,
    seed: int = 0,
    weights: Sequence[NDArray[np.float64]] | None = None,
) -> ImpliedTimescales:
    """Estimate reversible Markov models at several lags.

    Parameters
    ----------
    dtrajs : list of (F,) ndarrays of int
        Microstates of every unbroken trajectory.
    lags : sequence of int
        Frames.
    k : int
        Number of timescales.
    units : Units, optional
        What the bootstrap draws; by default trajectories, or blocks if fewer than
        four.
    partitions : sequence of (M,) ndarray of int64
        Metastable states of the microstates, as a
        :class:`~mdgeomfeat.kinetics.states.StateModel` has them. With them, intervals
        are the wider, at either end, of the bootstrap's and of the posterior's.
    n_samples : int
        Samples.
    seed : int
        Of bootstrap and posterior.
    weights : list of (F,) ndarrays, optional
        Weight of every frame of runs that were not biased.
    """
    n = max(int(d.max()) for d in dtrajs) + 1
    units = units or make_units([len(d) for d in dtrajs], max(lags))
    shape = (len(lags), k)
    central = np.full(shape, np.nan)
    samples = np.full((n_samples, *shape), np.nan)
    likely = np.full((n_samples, *shape), np.nan)
    for row, lag in enumerate(lags):
        counts = unit_counts(dtrajs, units, lag, n, weights)
        model = estimate_msm(counts.sum(axis=0), lag)
        if model is None:
            continue
        central[row] = model.timescales(k)
        likely[:, row] = timescale_samples(
            counts.sum(axis=0), model, partitions, k, n_samples=n_samples, seed=seed
        )
        for s, draw in enumerate(bootstrap(len(counts), n_samples, seed)):
            sample = np.tensordot(draw, counts, axes=1)
            resampled = estimate_msm(sample, lag, states=model.states, max_error=1e-5)
            if resampled is not None:
                samples[s, row] = resampled.timescales(k)
    lower, upper = widest(interval(samples), interval(likely))
    return ImpliedTimescales(
        np.asarray(lags, dtype=np.int64), central, lower, upper, units.kind
    )


def interval(
    samples: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the 5 and 95 % quantiles along the first axis; NaN where all are NaN."""
    out = np.full((2, *samples.shape[1:]), np.nan)
    known = np.isfinite(samples).any(axis=0)
    if len(samples) and known.any():
        out[:, known] = np.nanquantile(samples[:, known], [0.05, 0.95], axis=0)
    return out[0], out[1]
