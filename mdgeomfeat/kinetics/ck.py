"""Chapman-Kolmogorov test: whether the model at one lag predicts longer ones.

References
----------
Prinz et al., J. Chem. Phys. 134, 174105 (2011), section IV F.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mdgeomfeat.kinetics.arrays import listed
from mdgeomfeat.kinetics.msm import (
    MarkovModel,
    Units,
    bootstrap,
    coarse_transitions,
    estimate_msm,
    make_units,
    unit_counts,
)
from mdgeomfeat.kinetics.posterior import probability_spread
from mdgeomfeat.kinetics.timescales import interval

__all__ = ["DECIDED", "CKTest", "ck_test"]

#: A deviation of the probability below this is not counted against the model.
_TOLERANCE = 0.05
#: With a larger standard deviation of an estimate than this, nothing can be said.
DECIDED = 0.15


@dataclass(frozen=True, eq=False)
class CKTest:
    """Predicted and estimated transition probabilities between the states.

    Attributes
    ----------
    lags : (L,) ndarray of int64
        Multiples of the model's lag, frames; the first is the lag itself.
    predicted, estimated : (L, n, n) ndarray
        Powers of the model, and models estimated at those lags.
    predicted_lower, predicted_upper : (L, n, n) ndarray
    estimated_lower, estimated_upper : (L, n, n) ndarray
        90 % bootstrap intervals.
    passed : bool or None
        Whether no difference exceeds 0.05 and three of its standard deviations; None
        if that is so but an estimated probability itself is not known to 0.15, so
        that the data cannot say. A standard deviation is the larger of the bootstrap's
        and of that of the posterior of the estimated probability, since a state that
        one run alone has visited looks the same in every sample of runs.
    largest_deviation : float
        Largest difference.
    uncertainty : float
        Largest standard deviation of an estimated probability.
    unit : {"trajectories", "blocks"}
        What the bootstrap drew.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> flips = np.where(rng.random((4, 500)) < 0.02, -1, 1).cumprod(axis=1)
    >>> runs = list(flips[:, :, None] + rng.normal(0, 0.2, (4, 500, 1)))
    >>> from mdgeomfeat.kinetics import build_states
    >>> test = build_states(runs, lag=5, n_samples=20).ck
    >>> test.lags.tolist(), test.predicted.shape
    ([5, 10, 15, 20, 25], (5, 2, 2))
    >>> test.passed, bool(0 < test.largest_deviation < 1)
    (True, True)
    """

    lags: NDArray[np.int64]
    predicted: NDArray[np.float64]
    estimated: NDArray[np.float64]
    predicted_lower: NDArray[np.float64]
    predicted_upper: NDArray[np.float64]
    estimated_lower: NDArray[np.float64]
    estimated_upper: NDArray[np.float64]
    passed: bool | None
    largest_deviation: float
    uncertainty: float
    unit: str

    def to_dict(self, frame: float = 1.0) -> dict[str, Any]:
        """Return a JSON-able summary; lags times the length of a `frame`."""
        curves = {
            name: listed(getattr(self, name))
            for name in (
                "predicted",
                "predicted_lower",
                "predicted_upper",
                "estimated",
                "estimated_lower",
                "estimated_upper",
            )
        }
        return {
            "lags": listed(self.lags * frame),
            "lags_frames": self.lags.tolist(),
            "passed": self.passed,
            "largest_deviation": self.largest_deviation,
            "uncertainty": self.uncertainty,
            "bootstrap_unit": self.unit,
            **curves,
        }


def ck_test(
    dtrajs: Sequence[NDArray[np.int64]],
    model: MarkovModel,
    assignment: NDArray[np.int64],
    *,
    units: Units | None = None,
    n_lags: int = 5,
    n_samples: int = 40,
    seed: int = 0,
    weights: Sequence[NDArray[np.float64]] | None = None,
) -> CKTest | None:
    """Test a Markov model against models estimated at multiples of its lag.

    Parameters
    ----------
    dtrajs : list of (F,) ndarrays of int
        Microstates of every unbroken trajectory.
    model : MarkovModel
        The model.
    assignment : (m,) ndarray of int64
        State 0 … n-1 of every microstate of the model.
    units : Units, optional
        What the bootstrap draws.
    n_lags : int
        Number of lags; they reach out to the slowest timescale, and no farther than
        a quarter of the longest trajectory.
    n_samples, seed : int
        Of the bootstrap.
    weights : list of (F,) ndarrays, optional
        Weight of every frame, if transitions were weighted for the model.

    Returns
    -------
    CKTest or None
        None if not even two lags fit into the trajectories.
    """
    multiples = _multiples(dtrajs, model, n_lags)
    if len(multiples) < 2:
        return None
    n = max(int(d.max()) for d in dtrajs) + 1
    units = units or make_units([len(d) for d in dtrajs], model.lag)
    counts = {
        m: unit_counts(dtrajs, units, m * model.lag, n, weights) for m in multiples
    }
    everything = np.ones(len(units.spans))
    beliefs = np.stack(
        [
            probability_spread(c.sum(axis=0), m * model.lag, model.states, assignment)
            for m, c in counts.items()
        ]
    )
    predicted, estimated = _compare(counts, everything, model, assignment, 1e-8)
    samples = np.stack(
        [
            np.stack(_compare(counts, w, model, assignment, 1e-5))
            for w in bootstrap(len(units.spans), n_samples, seed)
        ]
    )
    bands = [interval(samples[:, i]) for i in (0, 1)]
    difference = samples[:, 0] - samples[:, 1]
    known = np.isfinite(difference).sum(axis=0) >= max(n_samples // 2, 2)
    spread, unsure = np.full((2, *predicted.shape), np.nan)
    spread[known] = np.nanstd(difference[:, known], axis=0)
    unsure[known] = np.nanstd(samples[:, 1][:, known], axis=0)
    # at the lag itself the model is what was estimated, and nothing can differ
    spread[1:] = np.maximum(spread[1:], beliefs[1:])
    unsure = np.maximum(unsure, beliefs)
    deviation = np.abs(predicted - estimated)
    return CKTest(
        lags=np.asarray(multiples, dtype=np.int64) * model.lag,
        predicted=predicted,
        estimated=estimated,
        predicted_lower=bands[0][0],
        predicted_upper=bands[0][1],
        estimated_lower=bands[1][0],
        estimated_upper=bands[1][1],
        passed=_verdict(deviation, spread, unsure),
        largest_deviation=float(np.nanmax(deviation)),
        uncertainty=float(np.nanmax(unsure)),
        unit=units.kind,
    )


def _verdict(
    deviation: NDArray[np.float64],
    spread: NDArray[np.float64],
    unsure: NDArray[np.float64],
) -> bool | None:
    known = np.isfinite(deviation) & np.isfinite(spread)
    if (deviation[known] > np.maximum(_TOLERANCE, 3 * spread[known])).any():
        return False
    if not known.all() or (unsure > DECIDED).any():
        return None
    return True


def _multiples(
    dtrajs: Sequence[NDArray[np.int64]], model: MarkovModel, n_lags: int
) -> list[int]:
    slowest = np.nan_to_num(model.timescales(1)[0], nan=0.0)
    reach = max(int(np.ceil(slowest / model.lag)), n_lags)
    reach = min(reach, max(map(len, dtrajs)) // (4 * model.lag))
    return sorted({int(m) for m in np.linspace(1, max(reach, 1), n_lags).round()})


def _compare(
    counts: dict[int, NDArray[np.float64]],
    weights: NDArray[np.float64],
    reference: MarkovModel,
    assignment: NDArray[np.int64],
    max_error: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return (L, n, n) predicted and estimated probabilities of one resampling."""
    n = int(assignment.max()) + 1
    lookup = dict(zip(reference.states.tolist(), assignment.tolist(), strict=True))
    predicted = np.full((len(counts), n, n), np.nan)
    estimated = predicted.copy()
    base: MarkovModel | None = None
    for row, (multiple, unit) in enumerate(counts.items()):
        total = np.tensordot(weights, unit, axes=1)
        lag = multiple * reference.lag
        model = estimate_msm(total, lag, states=reference.states, max_error=max_error)
        if row == 0:
            base = model
        if base is not None:
            power = np.linalg.matrix_power(base.transition_matrix, multiple)
            predicted[row] = _between(base, power, lookup, n)
        if model is not None:
            estimated[row] = _between(model, model.transition_matrix, lookup, n)
    return predicted, estimated


def _between(
    model: MarkovModel, matrix: NDArray[np.float64], lookup: dict[int, int], n: int
) -> NDArray[np.float64]:
    assignment = [lookup[s] for s in model.states.tolist()]
    return coarse_transitions(matrix, model.stationary, assignment, n)
