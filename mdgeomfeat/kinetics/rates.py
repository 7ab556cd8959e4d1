"""How fast the states change into each other: rates, passage times, fluxes.

Rates are those of the membership functions of PCCA+, which span the slow processes of
the Markov model: their rate matrix has exactly the slow timescales of the model, does
not depend on the lag as long as these do not, and counts no transition that returns at
once. Where a state is a set of microstates with sharp borders all three would fail.

References
----------
Röblitz & Weber, Adv. Data Anal. Classif. 7, 147 (2013), for memberships; Kube &
Weber, J. Chem. Phys. 126, 024103 (2007), for their rate matrix; Metzner, Schütte &
Vanden-Eijnden, Multiscale Model. Simul. 7, 1192 (2009), for transition paths.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import numpy as np
from deeptime.markov import reactive_flux
from numpy.typing import NDArray
from scipy.linalg import eigh
from scipy.stats import t as student

from mdgeomfeat.kinetics.arrays import listed
from mdgeomfeat.kinetics.msm import (
    MarkovModel,
    Units,
    bootstrap,
    estimate_msm,
    make_units,
    unit_counts,
)
from mdgeomfeat.kinetics.pcca import cores

if TYPE_CHECKING:
    from mdgeomfeat.kinetics.evidence import Evidence
    from mdgeomfeat.kinetics.states import StateModel

__all__ = ["NoRates", "TransitionRates", "rates_of", "transition_rates"]


class NoRates(StrEnum):
    """Why no rates are given.

    ``BIASED``: dynamics were those of a bias. ``NOT_ESTABLISHED``: held-out data show
    no slow motion. ``DISCONNECTED``: there is no Markov model. ``ONE_STATE``: there is
    nothing to change into. ``NOT_MARKOVIAN``: the Chapman-Kolmogorov test fails.
    ``WITHIN_LAG``: states change into each other within the lag of the model.

    Examples
    --------
    >>> import numpy as np
    >>> from mdgeomfeat.kinetics import NoRates, StudySettings, run_study
    >>> rng = np.random.default_rng(0)
    >>> noise = [rng.normal(size=(300, 3)) for _ in range(4)]
    >>> settings = StudySettings(method="tica", n_bootstrap=5)
    >>> study = run_study({"noise": noise}, "noise", settings)
    >>> study.rates is NoRates.NOT_ESTABLISHED
    True
    """

    BIASED = "biased"
    NOT_ESTABLISHED = "not_established"
    DISCONNECTED = "disconnected"
    ONE_STATE = "one_state"
    NOT_MARKOVIAN = "not_markovian"
    WITHIN_LAG = "within_lag"


@dataclass(frozen=True, eq=False, kw_only=True)
class TransitionRates:
    """Rates between metastable states, and the way of the slowest change.

    Attributes
    ----------
    rate_matrix : (n, n) ndarray, 1/frame
        From row to column without a third state between; rows sum to 0. Its relaxation
        times are the slow timescales of the model. What the data do not tell from 0 can
        be slightly below it.
    passage_times, passage_times_lower, passage_times_upper : (n, n) ndarray, frames
        Mean first-passage time from row to column, by whatever way, and its 90 %
        bootstrap interval; 0 on the diagonal. An end of the interval is NaN where too
        many samples lack one of the states.
    source, target : int
        The states at the two ends of the slowest process, between which committor and
        flux are.
    committor : (m,) ndarray of float64
        Probability of every microstate of the model to reach the core of `target`
        before that of `source`.
    state_committor : (n,) ndarray of float64
        Its stationary mean over the microstates of every state.
    flux : (n, n) ndarray, 1/frame
        Net flux of the paths from `source` to `target` that go from row to column.
    unit : {"trajectories", "blocks"}
        What the bootstrap drew.

    Examples
    --------
    >>> import numpy as np
    >>> from mdgeomfeat.kinetics import StudySettings, run_study
    >>> rng = np.random.default_rng(0)
    >>> flips = np.where(rng.random((4, 500)) < 0.02, -1, 1).cumprod(axis=1)
    >>> runs = list(flips[:, :, None] + rng.normal(0, 0.2, (4, 500, 1)))
    >>> settings = StudySettings(method="tica", n_bootstrap=5)
    >>> study = run_study({"x": runs}, "x", settings)
    >>> rates = study.rates
    >>> rates.passage_times.shape, (rates.source, rates.target)
    ((2, 2), (0, 1))
    >>> bool(np.allclose(rates.rate_matrix.sum(axis=1), 0))
    True
    """

    rate_matrix: NDArray[np.float64]
    passage_times: NDArray[np.float64]
    passage_times_lower: NDArray[np.float64]
    passage_times_upper: NDArray[np.float64]
    source: int
    target: int
    committor: NDArray[np.float64]
    state_committor: NDArray[np.float64]
    flux: NDArray[np.float64]
    unit: str

    @property
    def rates(self) -> NDArray[np.float64]:
        """(n, n) ndarray, 1/frame: reciprocal passage times, 0 on the diagonal."""
        return _reciprocal(self.passage_times)

    @property
    def rates_lower(self) -> NDArray[np.float64]:
        """(n, n) ndarray, 1/frame: lower end of the 90 % interval of `rates`."""
        return _reciprocal(self.passage_times_upper)

    @property
    def rates_upper(self) -> NDArray[np.float64]:
        """(n, n) ndarray, 1/frame: upper end of the 90 % interval of `rates`."""
        return _reciprocal(self.passage_times_lower)

    def to_dict(self, frame: float = 1.0) -> dict[str, Any]:
        """Return a JSON-able summary; states count from 1.

        Parameters
        ----------
        frame : float
            Length of a frame, by which times are multiplied and rates divided.
        """
        times = ("passage_times", "passage_times_lower", "passage_times_upper")
        rates = ("rates", "rates_lower", "rates_upper", "rate_matrix", "flux")
        return {
            **{name: listed(getattr(self, name) * frame) for name in times},
            **{name: listed(getattr(self, name) / frame) for name in rates},
            "source": self.source + 1,
            "target": self.target + 1,
            "committor": listed(self.committor),
            "state_committor": listed(self.state_committor),
            "bootstrap_unit": self.unit,
        }


def rates_of(
    states: StateModel,
    evidence: Evidence,
    *,
    groups: Sequence[int] | None = None,
    n_samples: int = 40,
    seed: int = 0,
    weights: Sequence[NDArray[np.float64]] | None = None,
) -> TransitionRates | NoRates:
    """Return the rates between the states of a study, or why there are none.

    Parameters
    ----------
    states : StateModel
    evidence : Evidence
        Whether a slow motion is established.
    groups : sequence of int, optional
        Equal numbers mark pieces of one run.
    n_samples, seed : int
        Of the bootstrap.
    weights : list of (F,) ndarrays, optional
        Weight of every frame of runs that were not biased.
    """
    if states.weighted:
        return NoRates.BIASED
    if not states.connected or states.model is None:
        return NoRates.DISCONNECTED
    if not evidence.established:
        return NoRates.NOT_ESTABLISHED
    if states.n_states < 2:
        return NoRates.ONE_STATE
    if states.ck is not None and states.ck.passed is False:
        return NoRates.NOT_MARKOVIAN
    slowest = np.nan_to_num(states.timescales[:1], nan=0.0).max(initial=0.0)
    lengths = [len(m) for m in states.microstates]
    return transition_rates(
        states.microstates,
        states.model,
        states.memberships,
        units=make_units(lengths, states.lag, slowest, groups),
        n_samples=n_samples,
        seed=seed,
        weights=weights,
    )


def transition_rates(
    dtrajs: Sequence[NDArray[np.int64]],
    model: MarkovModel,
    memberships: NDArray[np.float64],
    *,
    units: Units | None = None,
    n_samples: int = 40,
    seed: int = 0,
    weights: Sequence[NDArray[np.float64]] | None = None,
) -> TransitionRates | NoRates:
    """Estimate rates between metastable states, with a bootstrap.

    Parameters
    ----------
    dtrajs : list of (F,) ndarrays of int
        Microstates of every unbroken trajectory.
    model : MarkovModel
        On m of them.
    memberships : (m, n) ndarray of float64
        Of the model's microstates in n metastable states; rows sum to 1.
    units : Units, optional
        What the bootstrap draws.
    n_samples, seed : int
        Of the bootstrap, for which the memberships stay as they are.
    weights : list of (F,) ndarrays, optional
        Weight of every frame, if transitions were weighted for the model.

    Returns
    -------
    TransitionRates or NoRates
        The latter if states change into each other within the lag.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> flips = np.where(rng.random((4, 500)) < 0.02, -1, 1).cumprod(axis=1)
    >>> runs = list(flips[:, :, None] + rng.normal(0, 0.2, (4, 500, 1)))
    >>> from mdgeomfeat.kinetics import build_states, transition_rates
    >>> states = build_states(runs, lag=5, n_samples=5)
    >>> rates = transition_rates(
    ...     states.microstates, states.model, states.memberships, n_samples=5
    ... )
    >>> bool(25 < rates.passage_times[0, 1] < 100)  # frames
    True
    """
    matrix = rate_matrix(model, memberships)
    if matrix is None:
        return NoRates.WITHIN_LAG
    n = max(int(d.max()) for d in dtrajs) + 1
    units = units or make_units([len(d) for d in dtrajs], model.lag)
    counts = unit_counts(dtrajs, units, model.lag, n, weights)
    samples = np.full((n_samples, *matrix.shape), np.nan)
    for i, draw in enumerate(bootstrap(len(counts), n_samples, seed)):
        total = np.tensordot(draw, counts, axes=1)
        sample = estimate_msm(total, model.lag, states=model.states, max_error=1e-5)
        if sample is not None:
            samples[i] = _sampled_times(sample, model, memberships)
    times = passage_times(matrix)
    lower, upper = _interval(samples, times, len(counts))
    source, target = _ends(model, memberships)
    committor, flux = _transition_paths(model, memberships, source, target)
    crisp = _crisp(memberships) * model.stationary[:, None]
    return TransitionRates(
        rate_matrix=matrix,
        passage_times=times,
        passage_times_lower=lower,
        passage_times_upper=upper,
        source=source,
        target=target,
        committor=committor,
        state_committor=(crisp.T @ committor) / crisp.sum(axis=0),
        flux=flux,
        unit=units.kind,
    )


def _sampled_times(
    sample: MarkovModel, model: MarkovModel, memberships: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return (n, n) passage times of a sample, NaN for states that it lacks."""
    n = memberships.shape[1]
    out = np.full((n, n), np.nan)
    member = memberships[np.searchsorted(model.states, sample.states)]
    there = np.unique(member.argmax(axis=1))
    member = member[:, there]
    found = rate_matrix(sample, member / member.sum(axis=1, keepdims=True))
    if found is not None:
        out[np.ix_(there, there)] = passage_times(found)
    return out


def rate_matrix(
    model: MarkovModel, memberships: NDArray[np.float64]
) -> NDArray[np.float64] | None:
    """Return the rate matrix of membership functions, 1/frame.

    With the stationary probabilities on the diagonal of D, overlaps S = χ'Dχ and lagged
    overlaps C = χ'DTχ, it is the logarithm of S⁻¹C divided by the lag. Memberships that
    span eigenvectors of T make its relaxation times those of the model.

    Parameters
    ----------
    model : MarkovModel
        With m microstates.
    memberships : (m, n) ndarray

    Returns
    -------
    (n, n) ndarray or None
        None if memberships depend on each other, or one of their processes has a
        timescale below half the lag, whose rate the model does not resolve.
    """
    weighted = model.stationary[:, None] * memberships
    overlap = weighted.T @ memberships
    lagged = weighted.T @ model.transition_matrix @ memberships
    try:
        values, vectors = eigh((lagged + lagged.T) / 2, overlap)
    except np.linalg.LinAlgError:
        return None
    if values.min() < np.exp(-2.0):
        return None
    logarithms = np.log(np.minimum(values, 1.0)) / model.lag
    # vectors are orthonormal under the overlaps, so this is their inverse
    rates: NDArray[np.float64] = vectors @ (logarithms[:, None] * (vectors.T @ overlap))
    return rates


def passage_times(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return mean first-passage times from row to column, frames.

    Parameters
    ----------
    matrix : (n, n) ndarray, 1/frame
        Rates; rows sum to 0.

    Returns
    -------
    (n, n) ndarray
        0 on the diagonal, NaN where there is no finite positive time.
    """
    n = len(matrix)
    out = np.zeros((n, n))
    for target in range(n):
        rest = np.delete(np.arange(n), target)
        try:
            out[rest, target] = np.linalg.solve(
                matrix[np.ix_(rest, rest)], -np.ones(n - 1)
            )
        except np.linalg.LinAlgError:
            out[rest, target] = np.nan
    out[out < 0] = np.nan
    return out


def _interval(
    samples: NDArray[np.float64], times: NDArray[np.float64], n_units: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the 90 % interval of passage times.

    They scatter evenly on a logarithmic scale, as the number of transitions does that
    they rest on. Its standard deviation over samples, which is too small by the root of
    (n - 1) / n for n units, is multiplied by the quantile of Student's distribution. A
    sample that lacks a state never reaches it, so where that is so for more than one in
    twenty there is no upper end, and for more than half of them none at all.
    """
    if n_units < 2:
        return np.full_like(times, np.nan), np.full_like(times, np.nan)
    missing = np.isnan(samples).mean(axis=0)
    spread = np.zeros_like(times)
    apart = (missing <= 0.5) & (times > 0)
    spread[apart] = np.nanstd(np.log(samples[:, apart]), axis=0)
    factor = np.exp(
        student.ppf(0.95, n_units - 1) * np.sqrt(n_units / (n_units - 1)) * spread
    )
    lower, upper = times / factor, times * factor
    upper[missing > 0.05] = np.nan
    lower[missing > 0.5] = np.nan
    return lower, upper


def _ends(model: MarkovModel, memberships: NDArray[np.float64]) -> tuple[int, int]:
    """Return the states at the two ends of the slowest process, the larger first."""
    weighted = model.stationary[:, None] * memberships
    mass = weighted.sum(axis=0)
    along = (weighted.T @ model.eigenvectors(2)[:, 1]) / mass
    ends = int(along.argmin()), int(along.argmax())
    return (ends[0], ends[1]) if mass[ends[0]] >= mass[ends[1]] else (ends[1], ends[0])


def _transition_paths(
    model: MarkovModel, memberships: NDArray[np.float64], source: int, target: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the committor of every microstate, and the net flux between states."""
    core = cores(memberships, model.stationary)
    ends = [np.flatnonzero(core == state).tolist() for state in (source, target)]
    paths = reactive_flux(
        model.transition_matrix,
        *ends,
        stationary_distribution=model.stationary,
    )
    crisp = _crisp(memberships)
    between = crisp.T @ np.asarray(paths.net_flux) @ crisp / model.lag
    net = np.clip(between - between.T, 0.0, None)
    return np.asarray(paths.forward_committor), net


def _crisp(memberships: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (m, n) memberships that are 1 where they are largest, else 0."""
    hard: NDArray[np.float64] = np.eye(memberships.shape[1])[memberships.argmax(axis=1)]
    return hard


def _reciprocal(times: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.divide(1.0, times, out=np.zeros_like(times), where=times != 0)
