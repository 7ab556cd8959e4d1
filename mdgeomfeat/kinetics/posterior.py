"""Intervals of a Markov model from the transitions between its states.

A bootstrap draws runs. Where there are few of them, or where a state was visited in one
of them only, every sample holds much the same transitions, and the intervals are too
narrow (measured in docs/results.md). The Bayesian posterior of a transition matrix
knows from the number of transitions alone how far a rate can be trusted. On a hundred
microstates it is useless, since nearly all of their rates rest on less than one
independent transition; so it is taken between metastable states, of which there are
few, with transitions counted as independent once for each lag. How far that moves a
timescale is then applied to that of the microstate model.

References
----------
Trendelkamp-Schroer, Wu, Paul & Noé, J. Chem. Phys. 143, 174101 (2015).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from deeptime.markov.tools.estimation.dense.tmat_sampling.sampler_rev import SamplerRev
from numpy.typing import NDArray

from mdgeomfeat.kinetics.msm import MarkovModel, connected_set, estimate_msm

__all__ = [
    "population_samples",
    "probability_spread",
    "timescale_samples",
    "widest",
]

#: Gibbs sweeps between two samples, which follow each other closely.
_SWEEPS = 10


def population_samples(
    counts: NDArray[np.float64],
    lag: int,
    states: NDArray[np.int64],
    assignment: NDArray[np.int64],
    *,
    n_samples: int = 40,
    seed: int = 0,
) -> NDArray[np.float64] | None:
    """Sample the stationary probabilities that the counts between states allow.

    Parameters
    ----------
    counts : (M, M) ndarray
        Counts of a sliding window between all microstates.
    lag : int
        At which they were counted, frames.
    states : (m,) ndarray of int64
        The microstates of the model.
    assignment : (m,) ndarray of int64
        Metastable state of each of them, 0 ... n-1.
    n_samples, seed : int
        Of the sampler.

    Returns
    -------
    (S, n) ndarray or None
        None if there is one state, or the counts do not connect all of them.
    """
    sampled = _sample(counts, lag, states, assignment, n_samples, seed)
    return None if sampled is None else np.stack([m.stationary for m in sampled[1]])


def timescale_samples(
    counts: NDArray[np.float64],
    model: MarkovModel,
    partitions: Sequence[NDArray[np.int64]],
    k: int,
    *,
    n_samples: int = 40,
    seed: int = 0,
) -> NDArray[np.float64]:
    """Sample the slowest timescales that the counts allow.

    The first is that of two metastable states, the second that of three, and so on: the
    fewer states there are, the more transitions each rate rests on.

    Parameters
    ----------
    counts : (M, M) ndarray
        Counts of a sliding window between all microstates.
    model : MarkovModel
        Made of them.
    partitions : sequence of (M,) ndarray of int64
        Two, three, ... metastable states; -1 for microstates that are in none.
    k : int
        Number of timescales.
    n_samples, seed : int
        Of the sampler.

    Returns
    -------
    (S, k) ndarray
        Frames; NaN where the counts do not connect the states.
    """
    timescales = model.timescales(k)
    out = np.full((n_samples, k), np.nan)
    for i, partition in enumerate(partitions[:k]):
        assigned = partition[model.states]
        if (assigned < 0).any():
            continue
        sampled = _sample(counts, model.lag, model.states, assigned, n_samples, seed)
        if sampled is None or sampled[0].timescales(i + 1).size <= i:
            continue
        likely, models = sampled
        found = np.stack([m.timescales(i + 1)[i] for m in models])
        out[:, i] = timescales[i] * found / likely.timescales(i + 1)[i]
    return out


def _sample(
    counts: NDArray[np.float64],
    lag: int,
    states: NDArray[np.int64],
    assignment: NDArray[np.int64],
    n_samples: int,
    seed: int,
) -> tuple[MarkovModel, list[MarkovModel]] | None:
    """Return the most likely model between states, and samples of its posterior."""
    between = _state_counts(counts, lag, states, assignment)
    n = len(between)
    if n < 2 or len(connected_set(between)) < n:
        return None
    likely = estimate_msm(between, lag)
    if likely is None:
        return None
    # what deeptime's tmatrix_sampler wraps, which takes no seed
    sampler = SamplerRev(between, likely.transition_matrix, seed=seed)
    models = []
    for _ in range(n_samples):
        matrix, weights = sampler.sample(_SWEEPS, return_statdist=True)
        models.append(MarkovModel(likely.states, matrix, weights, lag))
    return likely, models


def _state_counts(
    counts: NDArray[np.float64],
    lag: int,
    states: NDArray[np.int64],
    assignment: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Return the (n, n) independent transitions between states.

    Neighbouring windows share all but one frame, so that a lag holds one transition.
    """
    member = np.zeros((len(states), int(assignment.max()) + 1))
    member[np.arange(len(assignment)), assignment] = 1.0
    return member.T @ counts[np.ix_(states, states)] @ member / lag


def probability_spread(
    counts: NDArray[np.float64],
    lag: int,
    states: NDArray[np.int64],
    assignment: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Return how uncertain the probabilities of transitions between states are.

    Parameters
    ----------
    counts, lag, states, assignment
        As for :func:`population_samples`.

    Returns
    -------
    (n, n) ndarray
        Standard deviation of the beta distribution of each probability, by itself, with
        a uniform prior: 0.29 for a state that was never seen to do anything.
    """
    between = _state_counts(counts, lag, states, assignment)
    here = between.sum(axis=1, keepdims=True)
    hits, misses = between + 1.0, here - between + 1.0
    total = here + 2.0
    deviation: NDArray[np.float64] = np.sqrt(hits * misses / (total**2 * (total + 1.0)))
    return deviation


def widest(
    *bounds: tuple[NDArray[np.float64], NDArray[np.float64]],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the interval that holds all of several, which may be NaN."""
    lower = np.fmin.reduce([low for low, _ in bounds])
    upper = np.fmax.reduce([high for _, high in bounds])
    return lower, upper
