"""The network of states: populations, fluxes and the committor."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch

from mdgeomfeat.report.figures.style import (
    GREY,
    figure,
    figure_style,
    panel_title,
    state_color,
)
from mdgeomfeat.text import percent

__all__ = ["draw_network"]

#: Shares of the whole flux below this are not drawn.
_LEAST_SHARE = 0.02


def draw_network(
    populations: np.ndarray,
    state_committor: np.ndarray,
    flux: np.ndarray,
    *,
    source: int,
    variable: np.ndarray,
    committor: np.ndarray,
    assignment: np.ndarray,
) -> Figure:
    """Draw states as discs along the committor with the fluxes between them.

    Parameters
    ----------
    populations : (S,) ndarray
        Set the areas of the discs.
    state_committor : (S,) ndarray
        Mean committor of every state.
    flux : (S, S) ndarray
        Net flux from row to column on the way from the first to the last state.
    source : int
        The state where the paths start.
    variable, committor : (m,) ndarray
        Slowest collective variable, and committor, of every microstate.
    assignment : (m,) ndarray of int
        State of every microstate.
    """
    with figure_style():
        fig = figure(3.5)
        left, right = fig.subplots(1, 2, width_ratios=(1.5, 1.0))
        _draw_states(left, populations, state_committor, flux / flux[source].sum())
        for state in np.unique(assignment):
            own = assignment == state
            right.plot(
                variable[own],
                committor[own],
                "o",
                markersize=4,
                color=state_color(int(state)),
            )
        right.set_xlabel("slowest collective variable")
        right.set_ylabel("committor")
        panel_title(right, "microstates")
    return fig


def _draw_states(
    ax: Axes, populations: np.ndarray, along: np.ndarray, share: np.ndarray
) -> None:
    height = _heights(along)
    size = 14 + 26 * np.sqrt(populations / populations.max())
    for i, j in np.argwhere(share >= _LEAST_SHARE):
        ends = (along[i], height[i]), (along[j], height[j])
        ax.add_patch(
            FancyArrowPatch(
                *ends,
                arrowstyle="-|>",
                mutation_scale=12,
                linewidth=0.8 + 4.0 * share[i, j],
                color=GREY,
                shrinkA=size[i] / 2,
                shrinkB=size[j] / 2,
            )
        )
        middle = np.mean(ends, axis=0)
        ax.annotate(
            percent(share[i, j]),
            middle,
            ha="center",
            va="center",
            fontsize=8,
            bbox={"boxstyle": "round,pad=0.15", "facecolor": "white", "linewidth": 0},
        )
    for i, population in enumerate(populations):
        where = along[i], height[i]
        ax.plot(*where, "o", markersize=size[i], color=state_color(i), alpha=0.85)
        ax.annotate(f"{i + 1}", where, ha="center", va="center", color="white")
        ax.annotate(
            percent(population),
            where,
            # away from the arrows, which go to the middle
            xytext=(0, (size[i] / 2 + 3) * (1 if height[i] > 0 else -1)),
            textcoords="offset points",
            ha="center",
            va="bottom" if height[i] > 0 else "top",
            fontsize=8,
        )
    ax.set_xlim(-0.2, 1.2)
    ax.set_ylim(-1.9, 1.7)
    ax.set_yticks([])
    ax.spines["left"].set_visible(False)
    ax.set_xlabel("mean committor of the state")
    panel_title(ax, "states")


def _heights(along: np.ndarray) -> np.ndarray:
    """Spread the states between the two ends over heights, so that none hides another.

    In order of the committor they go up and down, ends in the middle.
    """
    height = np.zeros(len(along))
    between = np.argsort(along)[1:-1]
    for rank, state in enumerate(between):
        step = 1.0 - 0.3 * (rank // 2 % 3)
        height[state] = step if rank % 2 == 0 else -step
    return height
