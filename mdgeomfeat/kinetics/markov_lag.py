"""Choosing the lag of the Markov model, by its own timescales and its test.

The lag of the collective variables is chosen by TICA, which is linear: its timescales
may go on rising with the lag where those of a Markov model on the variables have long
been constant. The model then deserves a shorter lag than its variables, at which it
resolves more and is better known.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mdgeomfeat.kinetics.lag import constant_from, lag_cap
from mdgeomfeat.kinetics.reasons import MarkovLagReason, NoLagPasses
from mdgeomfeat.kinetics.states import StateModel
from mdgeomfeat.kinetics.timescales import implied_timescales, lag_series

__all__ = ["MarkovLag", "choose_markov_lag"]

#: Longer lags leave too few multiples for a test.
_TESTABLE = 8


@dataclass(frozen=True, eq=False)
class MarkovLag:
    """The states at the lag that was chosen for them.

    Attributes
    ----------
    states : StateModel
    reason : MarkovLagReason
        Why that lag.
    """

    states: StateModel
    reason: MarkovLagReason


def choose_markov_lag(
    build: Callable[[int], StateModel],
    lag: int,
    *,
    lengths: Sequence[int],
    groups: Sequence[int] | None = None,
    given: bool = False,
    weights: Sequence[NDArray[np.float64]] | None = None,
) -> MarkovLag:
    """Choose the lag at which the Markov model is made.

    Of 1, 2, 4, ... frames up to 1/20 of the shortest run, those come first at which the
    slowest timescale of the model is within 10 % of its value at the next two lags, the
    shortest of them first; then the lag of the variables; then the others, the longest
    first. The first whose Chapman-Kolmogorov test passes is taken. Where none passes,
    it is the first that the data cannot decide, else the first of all, and a doubt says
    whether a lag beyond would pass.

    Parameters
    ----------
    build : callable
        Makes the states at a lag in frames.
    lag : int
        Of the collective variables, frames.
    lengths : sequence of int
        Frames of every trajectory.
    groups : sequence of int, optional
        Equal numbers mark pieces of one run.
    given : bool
        Whether the lag was asked for; then it is kept.
    weights : sequence of (F,) ndarrays, optional
        Of the frames.

    Returns
    -------
    MarkovLag
    """
    first = build(lag)
    if not first.connected or (given and first.passed):
        return MarkovLag(
            first, MarkovLagReason.GIVEN if given else MarkovLagReason.VARIABLES
        )
    made = {lag: first}

    def states_at(candidate: int) -> StateModel:
        if candidate not in made:
            made[candidate] = build(candidate)
        return made[candidate]

    allowed = lag_series(lag_cap(lengths, groups))
    beyond = [
        tau
        for tau in lag_series(max(lengths) // _TESTABLE)
        if tau > max(allowed[-1], lag)
    ]
    if given:
        return _kept(first, states_at, [*reversed(allowed), *beyond])
    series = lag_series(4 * allowed[-1])
    timescales = implied_timescales(
        first.microstates, series, 1, n_samples=0, weights=weights
    )
    constant = constant_from(series, timescales.timescales[:, 0])
    settled = [tau for tau in allowed if constant[series.index(tau)]]
    order = list(dict.fromkeys([*settled, lag, *reversed(allowed)]))
    undecided = None
    for tau in order:
        states = states_at(tau)
        if states.passed:
            return MarkovLag(states, _reason(tau, lag, settled))
        if undecided is None and states.connected and states.passed is None:
            undecided = tau
    if undecided is not None:
        return MarkovLag(made[undecided], _reason(undecided, lag, settled))
    best = made[order[0]] if made[order[0]].connected else first
    return _doubted(
        best, _reason(best.lag, lag, settled), _passing(states_at, beyond), beyond
    )


def _reason(tau: int, lag: int, settled: Sequence[int]) -> MarkovLagReason:
    if tau in settled:
        return MarkovLagReason.CONSTANT
    return MarkovLagReason.VARIABLES if tau == lag else MarkovLagReason.TEST


def _kept(
    states: StateModel, states_at: Callable[[int], StateModel], others: list[int]
) -> MarkovLag:
    """Keep a lag that was asked for; where its test fails, tell which would pass."""
    if states.ck is None or states.passed is None:
        return MarkovLag(states, MarkovLagReason.GIVEN)
    return _doubted(states, MarkovLagReason.GIVEN, _passing(states_at, others), others)


def _passing(states_at: Callable[[int], StateModel], lags: Sequence[int]) -> int | None:
    """Return the first lag at which the test passes."""
    return next((tau for tau in lags if states_at(tau).passed), None)


def _doubted(
    states: StateModel,
    reason: MarkovLagReason,
    passing: int | None,
    tried: Sequence[int],
) -> MarkovLag:
    doubt = NoLagPasses(passing, int(np.max([states.lag, *tried])))
    return MarkovLag(replace(states, doubts=(*states.doubts, doubt)), reason)
