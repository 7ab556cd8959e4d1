"""Small stick drawings of the representative frames of each state."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from mdgeomfeat.descriptors import superpose
from mdgeomfeat.report.figures.style import (
    figure,
    figure_style,
    panel_title,
    state_color,
)

__all__ = ["draw_structures"]

_ELEMENT_COLORS = {7: "#0072B2", 8: "#D55E00", 16: "#E69F00", 15: "#CC79A7"}


def draw_structures(
    states: Sequence[np.ndarray],
    numbers: np.ndarray,
    bonds: np.ndarray,
    titles: Sequence[str],
    *,
    colors: Sequence[int] | None = None,
    max_overlay: int = 6,
) -> Figure:
    """Draw each state's frames over each other, all seen from one side.

    Parameters
    ----------
    states : sequence of (n_i, A, 3) ndarray, Å
        Representative frames, the most central first.
    numbers : (A,) ndarray of int
        Atomic numbers; atoms other than carbon get a coloured dot.
    bonds : (B, 2) ndarray of int
        Pairs of atoms joined by a stick.
    titles : sequence of str
        One per state.
    colors : sequence of int, optional
        Number of each state, for its colour; by default 0, 1 …
    max_overlay : int
        At most this many frames are drawn for a state.
    """
    target = states[0][0].astype(float)
    view = _view(target - target.mean(0))
    scenes = [superpose(frames[:max_overlay], target) @ view for frames in states]
    drawn = np.concatenate([frame[:, :2] for scene in scenes for frame in scene])
    low, high = drawn.min(axis=0) - 0.6, drawn.max(axis=0) + 0.6
    width, depth = high - low
    columns = min(4, len(states))
    rows = -(-len(states) // columns)
    with figure_style():
        side = min(2.2, 7.2 / columns)
        height = rows * (side * max(depth / width, 0.4) + 0.3)
        fig = figure(height, side * columns)
        axes = fig.subplots(rows, columns, squeeze=False)
        for ax in axes.flat[len(states) :]:
            ax.set_axis_off()
        for index, scene in enumerate(scenes):
            ax = axes.flat[index]
            color = state_color(index if colors is None else colors[index])
            for k in reversed(range(len(scene))):
                _sticks(ax, scene[k], numbers, bonds, color, k == 0)
            ax.set_xlim(low[0], high[0])
            ax.set_ylim(low[1], high[1])
            ax.set_aspect("equal")
            ax.set_axis_off()
            panel_title(ax, titles[index])
    return fig


def _view(target: np.ndarray) -> np.ndarray:
    """Return the rotation (3, 3) that turns the least extent towards the eye.

    The first two principal axes show the most of the molecule; the third makes them a
    rotation, since a reflection would show its mirror image.
    """
    axes = np.linalg.svd(target.T @ target)[2].T
    axes[:, 2] *= np.sign(np.linalg.det(axes))
    return axes


def _sticks(
    ax: Axes,
    frame: np.ndarray,
    numbers: np.ndarray,
    bonds: np.ndarray,
    color: str,
    central: bool,
) -> None:
    """Draw one frame; the central one strong, the others pale behind it."""
    alpha = 1.0 if central else 0.22
    order = np.argsort(frame[bonds].mean(1)[:, 2])
    ax.add_collection(
        LineCollection(
            list(frame[bonds[order]][:, :, :2]),
            colors=color,
            linewidths=2.4 if central else 1.4,
            alpha=alpha,
            capstyle="round",
        )
    )
    if central and len(numbers) <= 200:
        for number, dot in _ELEMENT_COLORS.items():
            chosen = frame[numbers == number]
            ax.plot(chosen[:, 0], chosen[:, 1], "o", ms=4.5, color=dot, mec="white")
