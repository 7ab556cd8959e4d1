"""Which frames are compared: evenly spaced ones of every state, in two halves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mdgeomfeat.errors import InputError

__all__ = ["MIN_FRAMES", "Sample", "draw_sample"]

#: Frames of one state and half; more would cost time and change little, since frames
#: that follow each other are much alike.
MAX_FRAMES = 500
#: With fewer frames than this in one half, a state is not compared there.
MIN_FRAMES = 10


@dataclass(frozen=True, eq=False, kw_only=True)
class Sample:
    """Frames of states, drawn from two halves of the data.

    Attributes
    ----------
    rows : (n,) ndarray of int64
        Which frames, ascending.
    states, halves : (n,) ndarrays of int64
        State of each, and the half (0 or 1) that it is from.
    weights : (n,) ndarray
        Weight of each, above 0.
    n_states : int
    split : {"trajectories", "times"}
        What a half is: whole trajectories, or the first and second half of the only
        one.
    counts : (S, 2) ndarray of int64
        Frames of each state in each half, before any were left out.

    Examples
    --------
    >>> from mdgeomfeat.explain import draw_sample
    >>> states = [0, 0, 0, 1, 1, 1, 0, 0]
    >>> sample = draw_sample(states, [0, 0, 0, 0, 1, 1, 1, 1], 2)
    >>> sample.rows[sample.of(1)].tolist(), sample.weights.shape
    ([3, 4, 5], (8,))
    """

    rows: NDArray[np.int64]
    states: NDArray[np.int64]
    halves: NDArray[np.int64]
    weights: NDArray[np.float64]
    n_states: int
    split: str
    counts: NDArray[np.int64]

    def of(self, state: int, half: int | None = None) -> NDArray[np.int64]:
        """Return the places (n,) in the sample of a state's frames.

        Parameters
        ----------
        state : int
        half : int, optional
            Those of one half only.
        """
        chosen = self.states == state
        if half is not None:
            chosen &= self.halves == half
        return np.flatnonzero(chosen)


def draw_sample(
    states: ArrayLike,
    trajectory: ArrayLike,
    n_states: int,
    *,
    weights: ArrayLike | None = None,
    max_frames: int = MAX_FRAMES,
) -> Sample:
    """Draw evenly spaced frames of every state from two halves of the data.

    Whole trajectories make the halves, so that a state which one trajectory visits
    once is not in both. They are dealt out by how many frames of each state they
    hold, the longest first, never by what is compared afterwards. A single trajectory
    is cut in the middle.

    Parameters
    ----------
    states : (F,) array_like of int
        State of every frame, -1 where it belongs to none.
    trajectory : (F,) array_like of int
        Trajectory of every frame.
    n_states : int
        Number of states S.
    weights : (F,) array_like, optional
        Weight of every frame; equal if None. Frames of weight 0 are not drawn.
    max_frames : int
        Most frames of one state and half.

    Returns
    -------
    Sample

    Raises
    ------
    InputError
        If the arrays differ in length, or a state is not one of the `n_states`.

    Examples
    --------
    >>> from mdgeomfeat.explain import draw_sample
    >>> states = [0, 0, 0, 1, 1, 1, 0, 0]
    >>> sample = draw_sample(states, [0, 0, 0, 0, 1, 1, 1, 1], 2)
    >>> sample.split, sample.counts.tolist()
    ('trajectories', [[2, 3], [2, 1]])
    """
    states = np.asarray(states, dtype=np.int64)
    trajectory = np.asarray(trajectory)
    w = np.ones(len(states)) if weights is None else np.asarray(weights, np.float64)
    if not len(states) == len(trajectory) == len(w):
        raise InputError(
            f"There are {len(states)} states, {len(trajectory)} trajectory numbers and "
            f"{len(w)} weights; give one of each for every frame."
        )
    if len(states) and states.max() >= n_states:
        raise InputError(
            f"State {states.max()} is not among {n_states}; count them from 0."
        )
    halves, split = _halves(states, trajectory, n_states)
    known = (states >= 0) & (w > 0)
    counts = np.zeros((n_states, 2), dtype=np.int64)
    rows: list[NDArray[np.int64]] = [np.empty(0, np.int64)]
    for state in range(n_states):
        for half in range(2):
            found = np.flatnonzero(known & (states == state) & (halves == half))
            counts[state, half] = len(found)
            n = min(len(found), max_frames)
            rows.append(found[np.linspace(0, len(found) - 1, n).astype(np.int64)])
    chosen = np.sort(np.concatenate(rows))
    return Sample(
        rows=chosen,
        states=states[chosen],
        halves=halves[chosen],
        weights=w[chosen],
        n_states=n_states,
        split=split,
        counts=counts,
    )


def _halves(
    states: NDArray[np.int64], trajectory: NDArray[np.int64], n_states: int
) -> tuple[NDArray[np.int64], str]:
    """Return the half of every frame, and what makes the halves."""
    names, member = np.unique(trajectory, return_inverse=True)
    if len(names) < 2:
        return (2 * np.arange(len(states)) >= len(states)).astype(np.int64), "times"
    inside = states >= 0
    held = np.zeros((len(names), n_states))
    np.add.at(held, (member[inside], states[inside]), 1)
    # a state counts by the share of it that a trajectory holds, however rare it is
    shares = held / np.maximum(held.sum(axis=0), 1)
    side = np.zeros(len(names), dtype=np.int64)
    taken = np.zeros((2, n_states))
    for name in np.argsort(-shares.sum(axis=1), kind="stable"):
        ahead = taken[0] - taken[1]
        side[name] = int(
            np.abs(ahead + shares[name]).sum() > np.abs(ahead - shares[name]).sum()
        )
        taken[side[name]] += shares[name]
    if len(set(side.tolist())) < 2:
        # nobody has frames of states: any other half is as good
        side[1::2] = 1 - side[0]
    return side[member], "trajectories"
