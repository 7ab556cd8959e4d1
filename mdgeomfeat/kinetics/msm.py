"""Counting, connected sets and reversible Markov models, with a bootstrap.

Transitions are counted unit by unit (a unit is a trajectory, or a block of one), so
that a bootstrap sample is only a weighted sum of count matrices.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from deeptime.markov.tools.estimation import transition_matrix
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components

from mdgeomfeat.kinetics.arrays import Span

__all__ = [
    "MarkovModel",
    "Units",
    "bootstrap",
    "coarse_transitions",
    "connected_set",
    "estimate_msm",
    "make_units",
    "unit_counts",
]

#: Fewer trajectories than this are cut into blocks for the bootstrap.
_MIN_TRAJECTORIES = 4


@dataclass(frozen=True)
class Units:
    """What the bootstrap draws.

    Attributes
    ----------
    spans : tuple of tuples of Span
        The frames of every unit. A pair belongs to the unit in which it starts.
    kind : {"trajectories", "blocks"}
        What the units are.
    """

    spans: tuple[tuple[Span, ...], ...]
    kind: str


@dataclass(frozen=True, eq=False)
class MarkovModel:
    """A reversible maximum-likelihood Markov model on a connected set.

    Attributes
    ----------
    states : (m,) ndarray of int64
        Microstates of the connected set.
    transition_matrix : (m, m) ndarray
        Row-stochastic.
    stationary : (m,) ndarray
        Stationary probabilities.
    lag : int
        Lag in frames.

    Examples
    --------
    >>> import numpy as np
    >>> from mdgeomfeat.kinetics import estimate_msm
    >>> model = estimate_msm(np.array([[90.0, 10.0], [10.0, 40.0]]), lag=1)
    >>> model.transition_matrix.round(3).tolist(), model.stationary.round(3).tolist()
    ([[0.9, 0.1], [0.2, 0.8]], [0.667, 0.333])
    """

    states: NDArray[np.int64]
    transition_matrix: NDArray[np.float64]
    stationary: NDArray[np.float64]
    lag: int

    def timescales(self, k: int) -> NDArray[np.float64]:
        """Return the `k` slowest timescales, (k,) in frames, NaN where there is none.

        Of an eigenvalue l it is ``-lag / ln(l)``.
        """
        values = np.linalg.eigvalsh(self._symmetric())[::-1][1 : k + 1]
        out = np.full(k, np.nan)
        good = (values > 0) & (values < 1 - 1e-12)
        out[: len(values)][good] = -self.lag / np.log(values[good])
        return out

    def eigenvectors(self, k: int) -> NDArray[np.float64]:
        """Return the first `k` right eigenvectors, slowest first, as (m, k) columns.

        They have unit variance under the stationary probabilities; the first is 1.
        """
        vectors = np.linalg.eigh(self._symmetric())[1][:, ::-1][:, :k]
        out = vectors / np.sqrt(self.stationary)[:, None]
        # exactly the constant, of which eigh returns either sign
        out[:, 0] = 1.0
        return out

    def _symmetric(self) -> NDArray[np.float64]:
        """Return a symmetric matrix that is similar to the reversible one."""
        root = np.sqrt(self.stationary)
        symmetric = root[:, None] * self.transition_matrix / root[None, :]
        return (symmetric + symmetric.T) / 2


def make_units(
    lengths: Sequence[int],
    lag: int,
    slowest: float | None = None,
    groups: Sequence[int] | None = None,
) -> Units:
    """Return trajectories as units, or blocks where there are fewer than four.

    Parameters
    ----------
    lengths : sequence of int
        Frames of every trajectory.
    lag : int
        Lag in frames.
    slowest : float, optional
        Slowest timescale, frames. Blocks are five of it, or ten lags, long, as far
        as at least four blocks remain, and there are 20 of them at most.
    groups : sequence of int, optional
        Equal numbers mark pieces of one run, which stay together.
    """
    runs: dict[int, list[Span]] = {}
    for i, n in enumerate(lengths):
        runs.setdefault(i if groups is None else groups[i], []).append(Span(i, 0, n))
    if len(runs) >= _MIN_TRAJECTORIES:
        return Units(tuple(map(tuple, runs.values())), "trajectories")
    total = sum(lengths)
    wanted = max(10 * lag, 5 * (slowest or 0.0), 1.0)
    size = total / np.clip(total / wanted, _MIN_TRAJECTORIES, 20)
    blocks: list[tuple[Span, ...]] = []
    for i, n in enumerate(lengths):
        edges = np.linspace(0, n, max(round(n / size), 1) + 1).astype(int)
        blocks += [(Span(i, int(a), int(b)),) for a, b in pairwise(edges)]
    return Units(tuple(blocks), "blocks")


def unit_counts(
    dtrajs: Sequence[NDArray[np.int64]],
    units: Units,
    lag: int,
    n_states: int,
    weights: Sequence[NDArray[np.float64]] | None = None,
) -> NDArray[np.float64]:
    """Count transitions in every unit with a sliding window.

    Parameters
    ----------
    dtrajs : sequence of (F,) ndarrays of int64
        Microstate of every frame.
    units : Units
        What is counted apart: trajectories or blocks of them.
    lag : int
        Frames.
    n_states : int
    weights : sequence of (F,) ndarrays, optional
        Weight of every frame: a transition counts as much as the frame it starts in,
        in units of the mean weight.

    Returns
    -------
    (U, n_states, n_states) ndarray
    """
    mean = 1.0
    if weights is not None:
        mean = sum(map(np.sum, weights)) / sum(map(len, weights))
    counts = np.zeros((len(units.spans), n_states * n_states))
    for u, spans in enumerate(units.spans):
        for span in spans:
            d = dtrajs[span.trajectory]
            stop = min(span.stop, len(d) - lag)
            if stop > span.start:
                a, b = d[span.start : stop], d[span.start + lag : stop + lag]
                pairs = a * n_states + b
                own = None
                if weights is not None:
                    own = weights[span.trajectory][span.start : stop] / mean
                counts[u] += np.bincount(pairs, own, minlength=n_states**2)
    return counts.reshape(-1, n_states, n_states)


def connected_set(counts: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the strongly connected set that holds the most counts."""
    _, labels = connected_components(counts > 0, directed=True, connection="strong")
    population = np.bincount(labels, weights=counts.sum(axis=0) + counts.sum(axis=1))
    return np.flatnonzero(labels == np.argmax(population)).astype(np.int64)


def estimate_msm(
    counts: NDArray[np.float64],
    lag: int,
    *,
    states: NDArray[np.int64] | None = None,
    max_error: float = 1e-8,
) -> MarkovModel | None:
    """Estimate the reversible model of maximum likelihood.

    Parameters
    ----------
    counts : (n, n) ndarray
        Transition counts.
    lag : int
        Lag in frames.
    states : (m,) ndarray of int64, optional
        Only these states are considered; the largest connected set among them is
        used.
    max_error : float
        Convergence of the stationary vector.

    Returns
    -------
    MarkovModel or None
        None if fewer than two states are connected.
    """
    allowed = np.arange(len(counts)) if states is None else states
    connected = allowed[connected_set(counts[np.ix_(allowed, allowed)])]
    if len(connected) < 2:
        return None
    matrix, stationary = transition_matrix(
        counts[np.ix_(connected, connected)],
        reversible=True,
        return_statdist=True,
        maxerr=max_error,
        warn_not_converged=False,
    )
    return MarkovModel(connected, matrix, stationary, lag)


def coarse_transitions(
    matrix: NDArray[np.float64],
    stationary: NDArray[np.float64],
    assignment: Sequence[int] | NDArray[np.int64],
    n: int,
) -> NDArray[np.float64]:
    """Return P(state b later | state a now), from stationary starts.

    Parameters
    ----------
    matrix : (m, m) ndarray
        Transition matrix between microstates.
    stationary : (m,) ndarray
        Stationary probabilities.
    assignment : (m,) ndarray of int
        State of every microstate.
    n : int
        Number of states.

    Returns
    -------
    (n, n) ndarray
        Rows sum to 1, or are NaN for states without microstates.
    """
    member = np.zeros((len(stationary), n))
    member[np.arange(len(member)), assignment] = 1.0
    weighted = stationary[:, None] * member
    mass = weighted.sum(axis=0)[:, None]
    flow = weighted.T @ matrix @ member
    coarse: NDArray[np.float64] = np.divide(
        flow, mass, out=np.full((n, n), np.nan), where=mass > 0
    )
    return coarse


def bootstrap(
    n_units: int, n_samples: int, seed: int = 0
) -> Iterator[NDArray[np.float64]]:
    """Yield how often each unit is drawn, sample by sample."""
    rng = np.random.default_rng(seed)
    for _ in range(n_samples):
        yield rng.multinomial(n_units, np.full(n_units, 1 / n_units)).astype(float)
