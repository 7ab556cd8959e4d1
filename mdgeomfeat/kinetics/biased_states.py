"""States of biased runs: populations from the frames' weights, without kinetics.

A Markov model of biased runs has the populations and the timescales of the bias. Here
every transition counts as much as the geometric mean of the weights of its two frames,
and both directions are averaged, which is the square-root approximation of the unbiased
chain (Lie, Fackeldey & Weber, SIAM J. Matrix Anal. Appl. 34, 738 (2013)): a barrier
that the bias has flattened is a barrier again, since its frames weigh little. That
chain divides conformations into states, and is then forgotten.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components

from mdgeomfeat.errors import InputError
from mdgeomfeat.kinetics.arrays import Arrays
from mdgeomfeat.kinetics.msm import (
    MarkovModel,
    Units,
    bootstrap,
    make_units,
)
from mdgeomfeat.kinetics.pcca import metastable_states
from mdgeomfeat.kinetics.reasons import (
    Doubt,
    FewerStates,
    FramesOutside,
    SeparateSets,
)
from mdgeomfeat.kinetics.states import StateModel, discretize
from mdgeomfeat.kinetics.timescales import interval
from mdgeomfeat.kinetics.typical import central_frames, occupancy, representatives
from mdgeomfeat.kinetics.weights import FrameWeights

__all__ = ["build_biased_states"]

#: If a larger share of the weight lies outside the largest connected set, the sets
#: themselves are the states; at least this share makes a set, ten at most.
_MAX_LOST, _LEAST, _MAX_SETS = 0.1, 0.01, 10

#: Up to this share nothing depends on it.
_SAID_LOST = 0.001


def build_biased_states(
    cvs: Arrays,
    lag: int,
    weights: FrameWeights,
    *,
    n_states: int | None = None,
    max_processes: int = 5,
    n_micro: int | None = None,
    groups: Sequence[int] | None = None,
    n_samples: int = 40,
    seed: int = 0,
) -> StateModel:
    """Build states of biased runs from collective variables.

    Parameters
    ----------
    cvs : list of (F, d) ndarrays
        Collective variables of every unbroken trajectory.
    lag : int
        Lag in frames.
    weights : FrameWeights
        Of the same frames.
    n_states : int, optional
        Number of states; by default the processes of the weighted chain that are
        slower than the lag, of the first `max_processes`, plus one.
    max_processes : int
        Processes to look at.
    n_micro : int, optional
        Number of microstates.
    groups : sequence of int, optional
        Equal numbers mark pieces of one run.
    n_samples, seed : int
        Of the bootstrap.

    Returns
    -------
    StateModel
        Its populations are sums of weights; it has no Markov model, no timescales and
        no Chapman-Kolmogorov test.

    Raises
    ------
    InputError
        If `n_states` is below 2, or weights and frames do not match.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> flips = np.where(rng.random((4, 500)) < 0.02, -1, 1).cumprod(axis=1)
    >>> runs = list(flips[:, :, None] + rng.normal(0, 0.2, (4, 500, 1)))
    >>> from mdgeomfeat.kinetics import FrameWeights, build_biased_states
    >>> weights = FrameWeights.from_plain([np.ones(500)] * 4)
    >>> states = build_biased_states(runs, 5, weights, n_states=2, n_samples=5)
    >>> states.n_states, states.weighted, states.model is None
    (2, True, True)
    """
    if n_states is not None and n_states < 2:
        raise InputError(f"n_states={n_states} is too few; choose 2 or more.")
    lengths = [len(c) for c in cvs]
    weights.require(lengths)
    micro = discretize(cvs, n_micro, seed)
    n = max(int(m.max()) for m in micro) + 1
    units = make_units(lengths, lag, groups=groups)
    counts = _weighted_counts(micro, weights, lag, n)
    mass = _mass(micro, weights, n)
    label = connected_components(counts > 0, directed=False)[1]
    share = np.bincount(label, mass).astype(np.float64)
    chain = _chain(counts, np.flatnonzero(label == np.argmax(share)), lag)
    if chain is not None:
        slowest = np.nan_to_num(chain.timescales(1)[0], nan=0.0)
        units = make_units(lengths, lag, slowest, groups)
    lost = max(1.0 - float(share.max()), 0.0)
    doubts: list[Doubt] = []
    assignment, member = np.zeros(0, np.int64), np.zeros((0, 0))
    if chain is None or lost > _MAX_LOST:
        chain = None
        lookup, found = _sets(label, share)
        kept = share[np.argsort(-share, kind="stable")[:found]]
        doubts.append(SeparateSets(found, float(kept.sum())))
    else:
        if lost > _SAID_LOST:
            doubts.append(FramesOutside(lost))
        wanted = _number(chain, lag, max_processes) if n_states is None else n_states
        assignment, member = metastable_states(chain, wanted)
        found = int(assignment.max()) + 1
        if found < wanted:
            doubts.append(FewerStates(found, wanted))
        lookup = np.full(n, -1)
        lookup[chain.states] = assignment
    dtrajs = [lookup[m].astype(np.int64) for m in micro]
    lower, upper = _spread(dtrajs, weights, units, found, n_samples, seed)
    none = np.zeros(0)
    return StateModel(
        lag=lag,
        n_micro=n,
        connected=chain is not None,
        lost_share=lost,
        n_states=found,
        dtrajs=dtrajs,
        microstates=micro,
        counts=occupancy(dtrajs, found),
        populations=_populations(_mass(dtrajs, weights, found)),
        populations_lower=lower,
        populations_upper=upper,
        timescales=none,
        timescales_lower=none,
        timescales_upper=none,
        weights=list(weights.values),
        representatives=central_frames(cvs, dtrajs, found)
        if chain is None
        else representatives(cvs, micro, chain, assignment, member),
        ck=None,
        unit=units.kind,
        model=None,
        assignment=assignment,
        memberships=member,
        weighted=True,
        doubts=tuple(doubts),
    )


def _weighted_counts(
    micro: Sequence[NDArray[np.int64]], weights: FrameWeights, lag: int, n: int
) -> NDArray[np.float64]:
    """Count transitions (n, n) by the geometric mean of the frames' weights."""
    counts = np.zeros(n * n)
    for m, w in zip(micro, weights.values, strict=True):
        if len(m) > lag:
            geometric = np.sqrt(w[:-lag] * w[lag:])
            counts += np.bincount(m[:-lag] * n + m[lag:], geometric, minlength=n * n)
    return counts.reshape(n, n)


def _chain(
    counts: NDArray[np.float64], states: NDArray[np.int64], lag: int
) -> MarkovModel | None:
    """Return the reversible chain of weighted transitions in either direction."""
    flow = counts[np.ix_(states, states)]
    flow = (flow + flow.T) / 2
    # microstates whose frames have no weight have no flow in either direction
    states, flow = states[flow.any(axis=1)], flow[np.ix_(*2 * [flow.any(axis=1)])]
    mass = flow.sum(axis=1)
    if len(states) < 2:
        return None
    return MarkovModel(states, flow / mass[:, None], mass / mass.sum(), lag)


def _number(chain: MarkovModel, lag: int, k: int) -> int:
    """Return one more than the leading processes that are slower than the lag."""
    above = np.nan_to_num(chain.timescales(k), nan=0.0) > lag
    return max(int(np.argmin([*above, False])), 1) + 1


def _sets(
    label: NDArray[np.int32], share: NDArray[np.float64]
) -> tuple[NDArray[np.int64], int]:
    """Return the state of every microstate where connected sets are the states."""
    large = int((share >= _LEAST * share.sum()).sum())
    found = min(max(large, 1), _MAX_SETS)
    rank = np.argsort(np.argsort(-share, kind="stable"))
    rank[rank >= found] = -1
    return rank[label].astype(np.int64), found


def _mass(
    dtrajs: Sequence[NDArray[np.int64]], weights: FrameWeights, n: int
) -> NDArray[np.float64]:
    """Return the weight of every state; -1 is none of them."""
    joined, weight = np.concatenate(dtrajs), np.concatenate(weights.values)
    inside = joined >= 0
    mass = np.bincount(joined[inside], weight[inside], minlength=n)
    return mass.astype(np.float64)


def _populations(mass: NDArray[np.float64]) -> NDArray[np.float64]:
    """Divide weights by their sum; NaN where that is 0."""
    total = mass.sum(axis=-1, keepdims=True)
    means: NDArray[np.float64] = np.divide(
        mass, total, out=np.full_like(mass, np.nan), where=total > 0
    )
    return means


def _spread(
    dtrajs: Sequence[NDArray[np.int64]],
    weights: FrameWeights,
    units: Units,
    n: int,
    n_samples: int,
    seed: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the bootstrap interval of the populations over whole units."""
    by_unit = np.zeros((len(units.spans), n))
    for u, spans in enumerate(units.spans):
        for span in spans:
            rows = slice(span.start, span.stop)
            state = dtrajs[span.trajectory][rows]
            own = weights.values[span.trajectory][rows]
            by_unit[u] += np.bincount(state[state >= 0], own[state >= 0], minlength=n)
    draws = np.stack(list(bootstrap(len(by_unit), n_samples, seed)))
    return interval(_populations(draws @ by_unit))
