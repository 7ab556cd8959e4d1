"""New frames over those of training, in the variables that were learnt there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from matplotlib.figure import Figure

from mdgeomfeat.report.figures.style import GREY, figure, figure_style, state_color

__all__ = ["UNSEEN_COLOR", "draw_old_map"]

#: Of frames that lie far from the training data.
UNSEEN_COLOR = "#D55E00"
_TRAINING_COLOR = "#d1d5db"
_POINTS: Final = 5000  # of the new frames
_BINS: Final = 80


def draw_old_map(
    cvs: Sequence[np.ndarray],
    states: Sequence[np.ndarray],
    n_states: int,
    *,
    sample: np.ndarray | None = None,
    unseen: Sequence[np.ndarray] | None = None,
) -> Figure:
    """Draw new frames over those of training, in the first one or two variables.

    Parameters
    ----------
    cvs : sequence of (F_i, d) ndarray
    states : sequence of (F_i,) ndarray of int
        State of each frame, -1 for none.
    n_states : int
    sample : (M, d) ndarray, optional
        Variables of training frames.
    unseen : sequence of (F_i,) ndarray of bool, optional
        Frames that get a circle.
    """
    points, labels = np.concatenate(cvs), np.concatenate(states)
    drawn = [(s, state_color(s), f"state {s + 1}") for s in range(n_states)]
    if (labels < 0).any():
        drawn.append((-1, GREY, "no state"))
    with figure_style():
        if points.shape[1] == 1:
            return _histograms(points[:, 0], labels, sample, drawn)
        return _scatter(points, labels, sample, unseen, drawn)


def _scatter(
    points: np.ndarray,
    labels: np.ndarray,
    sample: np.ndarray | None,
    unseen: Sequence[np.ndarray] | None,
    drawn: list[tuple[int, str, str]],
) -> Figure:
    n = len(points)
    rows = np.unique(np.linspace(0, n - 1, min(_POINTS, n)).astype(int))
    fig = figure(4.6, 5.4)
    ax = fig.subplots()
    if sample is not None:
        ax.plot(*sample[:, :2].T, ".", ms=3, mew=0, color=_TRAINING_COLOR)
    for state, color, name in drawn:
        own = rows[labels[rows] == state]
        ax.plot(
            *points[own, :2].T, ".", ms=3, mew=0, color=color, alpha=0.6, label=name
        )
    if unseen is not None:
        far = rows[np.concatenate(unseen)[rows]]
        ax.plot(
            *points[far, :2].T, "o", ms=4, mfc="none", mew=0.5, color=UNSEEN_COLOR,
            label="unseen",
        )  # fmt: skip
    ax.set_xlabel("CV 1")
    ax.set_ylabel("CV 2")
    fig.legend(loc="outside upper right", ncols=5, markerscale=2)
    return fig


def _histograms(
    values: np.ndarray,
    labels: np.ndarray,
    sample: np.ndarray | None,
    drawn: list[tuple[int, str, str]],
) -> Figure:
    """Draw how often each value occurs, here by state and in training."""
    every = values if sample is None else np.concatenate([values, sample[:, 0]])
    edges = np.linspace(every.min(), every.max() + 1e-9, _BINS + 1).tolist()
    fig = figure(2.8, 5.4)
    ax = fig.subplots()
    if sample is not None:
        weights = np.full(len(sample), 1 / len(sample))
        ax.hist(
            sample[:, 0], edges, weights=weights, color=_TRAINING_COLOR,
            label="training",
        )  # fmt: skip
    for state, color, name in drawn:
        own = values[labels == state]
        weights = np.full(len(own), 1 / len(values))
        ax.hist(
            own, edges, weights=weights, histtype="step", lw=1.4, color=color,
            label=name,
        )  # fmt: skip
    ax.set_xlabel("CV 1")
    ax.set_ylabel("share of the frames")
    fig.legend(loc="outside upper right", ncols=5)
    return fig
