"""Populations of the states, stationary beside raw counts."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from mdgeomfeat.report.figures.style import figure, figure_style, state_color

__all__ = ["draw_populations"]


def draw_populations(
    stationary: np.ndarray | None,
    raw: np.ndarray,
    *,
    low: np.ndarray | None = None,
    high: np.ndarray | None = None,
) -> Figure:
    """Draw stationary probabilities with their bootstrap bounds, and raw counts.

    Parameters
    ----------
    stationary : (S,) ndarray or None
        Stationary probabilities of the model; None where there is none.
    raw : (S,) ndarray
        Share of the frames in each state.
    low, high : (S,) ndarray or None
        Bootstrapped bounds of the stationary probabilities.
    """
    n_states = len(raw)
    positions = np.arange(n_states)
    colors = [state_color(i) for i in range(n_states)]
    with figure_style():
        fig = figure(2.5, min(7.2, 2.6 + 0.8 * n_states))
        ax = fig.subplots()
        if stationary is not None:
            error = None
            if low is not None and high is not None:
                error = np.clip([stationary - low, high - stationary], 0.0, None)
            ax.bar(
                positions - 0.19,
                stationary,
                width=0.36,
                color=colors,
                yerr=error,
                error_kw={"elinewidth": 1.1, "capsize": 3},
                label="stationary",
            )
        ax.bar(
            positions + (0.19 if stationary is not None else 0.0),
            raw,
            width=0.36,
            color="white",
            edgecolor=colors,
            hatch="////",
            label="frames",
        )
        ax.set_xticks(positions, [f"state {i + 1}" for i in range(n_states)])
        ax.set_ylabel("population")
        ax.set_ylim(bottom=0)
        fig.legend(loc="outside upper right", ncols=2)
    return fig
