"""Which frames belong to each state, and which are typical of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mdgeomfeat.kinetics.arrays import Arrays
from mdgeomfeat.kinetics.msm import MarkovModel

__all__ = ["central_frames", "occupancy", "representatives"]


def representatives(
    cvs: Arrays,
    micro: Sequence[NDArray[np.int64]],
    model: MarkovModel,
    assignment: NDArray[np.int64],
    member: NDArray[np.float64],
    n: int = 10,
) -> list[NDArray[np.int64]]:
    """Return frames near the centre of each state's most typical microstate.

    Typical means a high product of membership and stationary probability.

    Parameters
    ----------
    cvs : list of (F, d) ndarrays
    micro : list of (F,) ndarray of int64
        Microstate of every frame.
    model : MarkovModel
    assignment : (m,) ndarray of int64
        State of the model's microstates.
    member : (m, S) ndarray
        Their memberships.
    n : int
        Frames of each state at most.

    Returns
    -------
    list of (R, 2) ndarray of int64
        Trajectory and frame, the most central first.
    """
    joined = np.concatenate(micro)
    points = np.concatenate([np.asarray(c, np.float64) for c in cvs])
    index = _frame_index(micro)
    out = []
    for state in range(int(assignment.max()) + 1):
        worth = member[:, state] * model.stationary * (assignment == state)
        rows = np.flatnonzero(joined == model.states[np.argmax(worth)])
        distance = np.linalg.norm(points[rows] - points[rows].mean(axis=0), axis=1)
        out.append(index[rows[np.argsort(distance, kind="stable")[:n]]])
    return out


def central_frames(
    cvs: Arrays, dtrajs: Sequence[NDArray[np.int64]], n_states: int, n: int = 10
) -> list[NDArray[np.int64]]:
    """Return the frames nearest the mean of each state, as representatives.

    A state without frames has none.

    Parameters
    ----------
    cvs : list of (F, d) ndarrays
    dtrajs : list of (F,) ndarray of int64
        State of every frame.
    n_states, n : int
        How many states, and frames of each at most.

    Returns
    -------
    list of (R, 2) ndarray of int64
        Trajectory and frame, the most central first.
    """
    index, joined = _frame_index(dtrajs), np.concatenate(dtrajs)
    points = np.concatenate([np.asarray(c, np.float64) for c in cvs])
    found = []
    for state in range(n_states):
        rows = np.flatnonzero(joined == state)
        mean = points[rows].sum(axis=0) / max(len(rows), 1)
        distance = np.linalg.norm(points[rows] - mean, axis=1)
        found.append(index[rows[np.argsort(distance, kind="stable")[:n]]])
    return found


def occupancy(dtrajs: Sequence[NDArray[np.int64]], n: int) -> NDArray[np.int64]:
    """Return the frames of each of `n` states; -1 is none of them."""
    joined = np.concatenate(dtrajs)
    return np.bincount(joined[joined >= 0], minlength=n).astype(np.int64)


def _frame_index(micro: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    return np.concatenate(
        [
            np.stack([np.full(len(m), i), np.arange(len(m))], axis=1)
            for i, m in enumerate(micro)
        ]
    ).astype(np.int64)
