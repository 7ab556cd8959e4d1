"""States: k-means microstates, a reversible Markov model, and PCCA+ on top."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components
from sklearn.cluster import KMeans

from mdgeomfeat.errors import InputError
from mdgeomfeat.kinetics.arrays import Arrays, listed
from mdgeomfeat.kinetics.ck import DECIDED, CKTest, ck_test
from mdgeomfeat.kinetics.msm import (
    MarkovModel,
    Units,
    bootstrap,
    coarse_transitions,
    estimate_msm,
    make_units,
    unit_counts,
)
from mdgeomfeat.kinetics.pcca import MAX_OPTIMIZED, metastable_states
from mdgeomfeat.kinetics.posterior import population_samples, timescale_samples, widest
from mdgeomfeat.kinetics.reasons import (
    Disconnected,
    Doubt,
    FewerStates,
    FramesOutside,
    ManySets,
    MarkovTestFailed,
    MarkovTestTooShort,
    MarkovTestUndecided,
    NothingAboveLag,
)
from mdgeomfeat.kinetics.timescales import interval
from mdgeomfeat.kinetics.typical import central_frames, occupancy, representatives

__all__ = ["StateModel", "build_states", "discretize"]

#: Frames that k-means is fitted to; the rest is only assigned.
_MAX_FIT_FRAMES = 20_000
#: If a larger share of the frames lies outside the connected set, there is no model.
_MAX_LOST = 0.1
#: Connected sets that are told apart where there is no model.
_MAX_SETS = 10

#: Up to this share nothing depends on it.
_SAID_LOST = 0.001


@dataclass(frozen=True, eq=False, kw_only=True)
class StateModel:
    """Metastable states of a CV space.

    Attributes
    ----------
    lag : int
        Lag of the Markov model, frames.
    n_micro : int
        Number of k-means microstates.
    connected : bool
        Whether there is a Markov model. If not, the states are the connected sets of
        microstates that hold at least 1 % of the frames, the ten largest at most, and
        only `counts` are known.
    lost_share : float
        Share of the frames outside the largest connected set.
    n_states : int
        Number of states, the most populated first.
    dtrajs : list of (F,) ndarray of int64
        State of every frame; -1 outside the connected set.
    microstates : list of (F,) ndarray of int64
        Microstate of every frame.
    counts : (n_states,) ndarray of int64
        Frames in every state.
    populations, populations_lower, populations_upper : (n_states,) ndarray or None
        Stationary probabilities and their 90 % interval: the wider, at either end, of a
        bootstrap over units and of the posterior of the transitions between states
        (:mod:`mdgeomfeat.kinetics.posterior`).
    timescales, timescales_lower, timescales_upper : (k,) ndarray
        Timescales of the model, frames, and their 90 % interval, likewise.
    weights : list of (F,) ndarray, or None
        Stationary weight of every frame; sums to 1 over all frames and is 0 outside
        the connected set.
    representatives : list of (R, 2) ndarray of int64
        Typical frames of every state, at most ten, the most typical first: the frames
        nearest the mean of the microstate that is most surely and most often of that
        state (membership times stationary probability), in CV space. Each is a pair
        of positions counted from 0 in what the model was made of: which array of the
        list, and which row of it. Rows are analysed frames, after ``step`` and gaps,
        not frames of a file; reports give file and frame.
    ck : CKTest or None
        Chapman-Kolmogorov test.
    unit : {"trajectories", "blocks"}
        What the bootstrap drew.
    model : MarkovModel or None
        The Markov model on the microstates.
    assignment : (m,) ndarray of int64
        State of the model's microstates.
    memberships : (m, n_states) ndarray of float64
        PCCA+ memberships of the model's microstates; rows sum to 1.
    partitions : tuple of (n_micro,) ndarray of int64
        The microstates in two, three, ... states, -1 outside the connected set; what
        intervals of timescales are made of.
    weighted : bool
        Whether the frames are of biased runs and populations are sums of their
        weights. Then there is no Markov model and no timescale, since these would be
        of the biased dynamics, and `lost_share` is a share of the weight.
    doubts : tuple of Doubt
        What makes the states less certain.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> flips = np.where(rng.random((4, 500)) < 0.02, -1, 1).cumprod(axis=1)
    >>> runs = list(flips[:, :, None] + rng.normal(0, 0.2, (4, 500, 1)))
    >>> from mdgeomfeat.kinetics import build_states
    >>> states = build_states(runs, lag=5, n_samples=5)
    >>> states.n_states, int(states.counts.sum()), states.transition_matrix.shape
    (2, 2000, (2, 2))
    >>> round(float(states.populations.sum()), 6)
    1.0
    """

    lag: int
    n_micro: int
    connected: bool
    lost_share: float
    n_states: int
    dtrajs: list[NDArray[np.int64]]
    microstates: list[NDArray[np.int64]]
    counts: NDArray[np.int64]
    populations: NDArray[np.float64] | None
    populations_lower: NDArray[np.float64] | None
    populations_upper: NDArray[np.float64] | None
    timescales: NDArray[np.float64]
    timescales_lower: NDArray[np.float64]
    timescales_upper: NDArray[np.float64]
    weights: list[NDArray[np.float64]] | None
    representatives: list[NDArray[np.int64]]
    ck: CKTest | None
    unit: str
    model: MarkovModel | None
    assignment: NDArray[np.int64]
    memberships: NDArray[np.float64]
    partitions: tuple[NDArray[np.int64], ...] = ()
    weighted: bool = False
    doubts: tuple[Doubt, ...] = ()

    @property
    def passed(self) -> bool | None:
        """Whether the Chapman-Kolmogorov test passes; None where nothing decides."""
        return None if self.ck is None else self.ck.passed

    @property
    def optimized(self) -> bool:
        """Whether PCCA+ optimised the memberships, as it does for a few states."""
        return self.n_states <= MAX_OPTIMIZED

    @property
    def transition_matrix(self) -> NDArray[np.float64] | None:
        """(n_states, n_states) ndarray: P(state b one lag later | state a), or None."""
        if self.model is None:
            return None
        return coarse_transitions(
            self.model.transition_matrix,
            self.model.stationary,
            self.assignment,
            self.n_states,
        )

    def to_dict(self, frame: float = 1.0) -> dict[str, Any]:
        """Return a JSON-able summary, without the arrays over frames.

        Parameters
        ----------
        frame : float
            Length of a frame, by which lags and timescales are multiplied.
        """
        return {
            "lag": self.lag * frame,
            "lag_frames": self.lag,
            "n_micro": self.n_micro,
            "connected": self.connected,
            "weighted": self.weighted,
            "lost_share": self.lost_share,
            "n_states": self.n_states,
            "counts": self.counts.tolist(),
            "populations": listed(self.populations),
            "populations_lower": listed(self.populations_lower),
            "populations_upper": listed(self.populations_upper),
            "timescales": listed(self.timescales * frame),
            "timescales_lower": listed(self.timescales_lower * frame),
            "timescales_upper": listed(self.timescales_upper * frame),
            "bootstrap_unit": self.unit,
            "transition_matrix": listed(self.transition_matrix),
            "microstates": self._micro_dict(),
            "ck": None if self.ck is None else self.ck.to_dict(frame),
            "doubts": [d.to_dict() for d in self.doubts],
        }

    def _micro_dict(self) -> dict[str, Any] | None:
        if self.model is None:
            return None
        return {
            # states count from 1 for people
            "state": (self.assignment + 1).tolist(),
            "memberships": listed(self.memberships),
            "memberships_optimized": self.optimized,
            "stationary": listed(self.model.stationary),
            "transition_matrix": listed(self.model.transition_matrix),
        }


def discretize(
    cvs: Arrays, n_micro: int | None = None, seed: int = 0
) -> list[NDArray[np.int64]]:
    """Cluster the frames with k-means.

    Parameters
    ----------
    cvs : list of (F, d) ndarrays
        Collective variables.
    n_micro : int, optional
        Number of clusters; by default the square root of the number of frames,
        between 10 and 100.
    seed : int
        Of k-means.

    Returns
    -------
    list of (F,) ndarray of int64
    """
    n_frames = sum(map(len, cvs))
    if n_micro is None:
        n_micro = int(np.clip(np.sqrt(n_frames), 10, 100))
    stride = -(-n_frames // _MAX_FIT_FRAMES)
    sample = np.concatenate([c[::stride] for c in cvs]).astype(np.float64)
    distinct = len(np.unique(sample, axis=0))
    kmeans = KMeans(min(n_micro, distinct), n_init=3, random_state=seed).fit(sample)
    return [kmeans.predict(np.asarray(c, np.float64)).astype(np.int64) for c in cvs]


def build_states(
    cvs: Arrays,
    lag: int,
    *,
    n_states: int | None = None,
    max_processes: int = 5,
    n_micro: int | None = None,
    groups: Sequence[int] | None = None,
    n_samples: int = 40,
    seed: int = 0,
    weights: Sequence[NDArray[np.float64]] | None = None,
    slowest: float | None = None,
) -> StateModel:
    """Build states from collective variables.

    Parameters
    ----------
    cvs : list of (F, d) ndarrays
        Collective variables of every unbroken trajectory.
    lag : int
        Lag in frames.
    n_states : int, optional
        Number of states; by default the timescales above the lag, of the first
        `max_processes`, plus one.
    max_processes : int
        Timescales to look at.
    n_micro : int, optional
        Number of microstates.
    groups : sequence of int, optional
        Equal numbers mark pieces of one run.
    n_samples, seed : int
        Of the bootstrap.
    weights : list of (F,) ndarrays, optional
        Weight of every frame of runs that were not biased: transitions count as much
        as the frames they start in.
    slowest : float, optional
        A timescale that is known otherwise, in frames: blocks of the bootstrap are
        made for the slower of it and that of the Markov model.

    Returns
    -------
    StateModel

    Raises
    ------
    InputError
        If `n_states` is below 2.
    """
    if n_states is not None and n_states < 2:
        raise InputError(f"n_states={n_states} is too few; choose 2 or more.")
    micro = discretize(cvs, n_micro, seed)
    n = max(int(m.max()) for m in micro) + 1
    lengths = [len(m) for m in micro]
    units = make_units(lengths, lag, groups=groups)
    counts = unit_counts(micro, units, lag, n, weights)
    model = estimate_msm(counts.sum(axis=0), lag)
    if model is not None:
        # the blocks should be longer than the slowest process, now that it is known
        own = np.nan_to_num(model.timescales(1)[0], nan=0.0)
        units = make_units(lengths, lag, max(own, slowest or 0.0), groups)
        counts = unit_counts(micro, units, lag, n, weights)
    occupied = np.bincount(np.concatenate(micro), minlength=n)
    inside = 0 if model is None else int(occupied[model.states].sum())
    lost = 1.0 - inside / occupied.sum()
    if model is None or lost > _MAX_LOST:
        return _disconnected(cvs, micro, counts.sum(axis=0), lag, lost, units)

    doubts: list[Doubt] = [FramesOutside(lost)] if lost > _SAID_LOST else []
    timescales = model.timescales(max_processes)
    above = timescales > lag
    # only the leading run: a NaN or a fast one ends it
    resolved = int(np.argmin(above)) if not above.all() else len(above)
    if resolved == 0:
        doubts.append(NothingAboveLag())
    wanted = n_states if n_states is not None else max(resolved, 1) + 1
    assignment, member = metastable_states(model, wanted)
    found = int(assignment.max()) + 1
    if found < wanted:
        doubts.append(FewerStates(found, wanted))
    lookup = np.full(n, -1)
    lookup[model.states] = assignment
    dtrajs = [lookup[m].astype(np.int64) for m in micro]
    weight = np.zeros(n)
    weight[model.states] = model.stationary / occupied[model.states]
    partitions = _partitions(model, n, min(max_processes, MAX_OPTIMIZED - 1))
    spread = _spread(
        counts, model, assignment, partitions, max_processes, n_samples, seed
    )
    ck = ck_test(
        micro,
        model,
        assignment,
        units=units,
        n_samples=n_samples,
        seed=seed,
        weights=weights,
    )
    if ck is None:
        doubts.append(MarkovTestTooShort())
    elif ck.passed is None:
        more = max((ck.uncertainty / DECIDED) ** 2, 1.0)
        doubts.append(MarkovTestUndecided(ck.uncertainty, more))
    elif not ck.passed:
        doubts.append(MarkovTestFailed(ck.largest_deviation))
    return StateModel(
        lag=lag,
        n_micro=n,
        connected=True,
        lost_share=lost,
        n_states=found,
        dtrajs=dtrajs,
        microstates=micro,
        counts=occupancy(dtrajs, found),
        populations=_mass(assignment, model.stationary, found),
        populations_lower=spread[0][:found],
        populations_upper=spread[1][:found],
        timescales=timescales,
        timescales_lower=spread[0][found:],
        timescales_upper=spread[1][found:],
        weights=[weight[m] for m in micro],
        representatives=representatives(cvs, micro, model, assignment, member),
        ck=ck,
        unit=units.kind,
        model=model,
        assignment=assignment,
        memberships=member,
        partitions=partitions,
        doubts=tuple(doubts),
    )


def _partitions(
    model: MarkovModel, n_micro: int, n_most: int
) -> tuple[NDArray[np.int64], ...]:
    """Return the microstates in two, three, ... states; -1 outside the model."""
    found = []
    for n_states in range(2, n_most + 2):
        assignment, _ = metastable_states(model, n_states)
        if int(assignment.max()) + 1 < n_states:
            break
        partition = np.full(n_micro, -1)
        partition[model.states] = assignment
        found.append(partition)
    return tuple(found)


def _spread(
    counts: NDArray[np.float64],
    model: MarkovModel,
    assignment: NDArray[np.int64],
    partitions: Sequence[NDArray[np.int64]],
    k: int,
    n_samples: int,
    seed: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the interval of (populations, timescales), joined.

    It is the wider, at either end, of a bootstrap over units and of the posterior of
    the transitions between the states.
    """
    n = int(assignment.max()) + 1
    state_of = dict(zip(model.states.tolist(), assignment.tolist(), strict=True))
    samples = np.full((n_samples, n + k), np.nan)
    for row, weights in zip(
        samples, bootstrap(len(counts), n_samples, seed), strict=True
    ):
        sample = estimate_msm(
            np.tensordot(weights, counts, axes=1),
            model.lag,
            states=model.states,
            max_error=1e-5,
        )
        if sample is not None:
            of = [state_of[s] for s in sample.states.tolist()]
            row[:n] = np.bincount(of, sample.stationary, minlength=n)
            row[n:] = sample.timescales(k)
    total, known = counts.sum(axis=0), {"n_samples": n_samples, "seed": seed}
    likely = np.full((n_samples, n + k), np.nan)
    shares = population_samples(total, model.lag, model.states, assignment, **known)
    if shares is not None:
        likely[:, :n] = shares
    likely[:, n:] = timescale_samples(total, model, partitions, k, **known)
    return widest(interval(samples), interval(likely))


def _disconnected(
    cvs: Arrays,
    micro: list[NDArray[np.int64]],
    counts: NDArray[np.float64],
    lag: int,
    lost: float,
    units: Units,
) -> StateModel:
    """Return the connected sets of at least 1 % of the frames, with counts only.

    A random walk breaks into dozens of them, of which none means anything.
    """
    _, label = connected_components(counts > 0, directed=True, connection="strong")
    frames = np.bincount(np.concatenate(micro), minlength=len(label))
    mass = np.bincount(label, frames)
    large = int((mass >= 0.01 * mass.sum()).sum())
    n_sets = min(max(large, 1), _MAX_SETS)
    rank = np.argsort(np.argsort(-mass, kind="stable"))
    rank[rank >= n_sets] = -1
    dtrajs = [rank[label[m]].astype(np.int64) for m in micro]
    none = np.full(0, np.nan)
    doubts: list[Doubt] = [Disconnected(lost)]
    if large > n_sets:
        share = float(mass[rank >= 0].sum() / mass.sum())
        doubts.append(ManySets(large, n_sets, share))
    return StateModel(
        lag=lag,
        n_micro=len(label),
        connected=False,
        lost_share=lost,
        n_states=n_sets,
        dtrajs=dtrajs,
        microstates=micro,
        counts=occupancy(dtrajs, n_sets),
        populations=None,
        populations_lower=None,
        populations_upper=None,
        timescales=none,
        timescales_lower=none,
        timescales_upper=none,
        weights=None,
        representatives=central_frames(cvs, dtrajs, n_sets),
        ck=None,
        unit=units.kind,
        model=None,
        assignment=np.zeros(0, dtype=np.int64),
        memberships=np.zeros((0, n_sets)),
        doubts=tuple(doubts),
    )


def _mass(
    assignment: NDArray[np.int64], weights: NDArray[np.float64], n: int
) -> NDArray[np.float64]:
    """Return the weight of every state."""
    return np.bincount(assignment, weights=weights, minlength=n).astype(np.float64)
