"""Chapman-Kolmogorov test: what the model predicts and what the data say."""

from __future__ import annotations

from typing import cast

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mdgeomfeat.report.figures.style import (
    CATEGORY_COLORS,
    choose_time_unit,
    figure,
    figure_style,
    panel_title,
)

__all__ = ["draw_chapman_kolmogorov"]


def draw_chapman_kolmogorov(
    lags: np.ndarray,
    predicted: np.ndarray,
    estimated: np.ndarray,
    *,
    dt: float | None,
    low: np.ndarray | None = None,
    high: np.ndarray | None = None,
    max_states: int = 4,
) -> Figure:
    """Draw the probability to be in state j after a time, having started in i.

    Parameters
    ----------
    lags : (L,) ndarray
        Times in frames.
    predicted : (L, S, S) ndarray
        Powers of the model's transition matrix between states.
    estimated : (L, S, S) ndarray
        The same from models made at those lags.
    dt : float or None
        Time between frames, ps.
    low, high : (L, S, S) ndarray or None
        Bootstrapped bounds of the estimates.
    max_states : int
        With more states than this only the diagonal (staying) is drawn.
    """
    n_states = predicted.shape[1]
    pairs = _panels(n_states, max_states)
    unit = choose_time_unit(dt, float(np.max(lags)))
    x = unit.from_frames(lags)
    n_rows, n_columns = len(pairs), len(pairs[0])
    with figure_style():
        width = min(7.2, 1.1 + 1.55 * n_columns)
        fig = figure(0.75 + 1.3 * n_rows, width)
        axes = fig.subplots(n_rows, n_columns, sharex=True, sharey=True, squeeze=False)
        for row, column in np.ndindex(n_rows, n_columns):
            ax = cast(Axes, axes[row, column])
            pair = pairs[row][column]
            if pair is None:
                ax.set_axis_off()
                continue
            i, j = pair
            if low is not None and high is not None:
                ax.fill_between(
                    x, low[:, i, j], high[:, i, j], color=CATEGORY_COLORS[4], alpha=0.35
                )
            ax.plot(x, estimated[:, i, j], "o", ms=3.5, color=CATEGORY_COLORS[0])
            ax.plot(x, predicted[:, i, j], "--", color=CATEGORY_COLORS[5])
            panel_title(ax, f"{i + 1} → {j + 1}")
            ax.set_ylim(-0.03, 1.03)
        axes[0, 0].plot([], [], "o", ms=3.5, color=CATEGORY_COLORS[0], label="estimate")
        axes[0, 0].plot([], [], "--", color=CATEGORY_COLORS[5], label="prediction")
        fig.supxlabel(f"time ({unit.name})", fontsize=9)
        fig.supylabel("probability", fontsize=9)
        fig.legend(loc="outside upper right", ncols=2)
    return fig


def _panels(n_states: int, max_states: int) -> list[list[tuple[int, int] | None]]:
    """Return which transition each panel shows."""
    if n_states <= max_states:
        return [[(i, j) for j in range(n_states)] for i in range(n_states)]
    columns = min(4, n_states)
    cells: list[tuple[int, int] | None] = [(i, i) for i in range(n_states)]
    cells += [None] * (-n_states % columns)
    return [cells[k : k + columns] for k in range(0, len(cells), columns)]
