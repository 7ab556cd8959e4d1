"""How much every token matters, along the sequence."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mdgeomfeat.report.figures.style import (
    CATEGORY_COLORS,
    GREY,
    figure,
    figure_style,
    panel_title,
)

__all__ = ["draw_importance"]

#: Labels under an axis; where there are more tokens, some of them are left out.
MAX_LABELS = 40

_BAR, _GRADIENT = CATEGORY_COLORS[0], CATEGORY_COLORS[5]


def draw_importance(
    titles: Sequence[str],
    labels: Sequence[str],
    values: np.ndarray,
    spread: np.ndarray,
    untrained: np.ndarray,
    gradients: np.ndarray | None,
    gradient_spread: np.ndarray | None,
) -> Figure:
    """Draw one panel for each quantity: bars, and gradients on an axis of their own.

    Parameters
    ----------
    titles : sequence of R str
    labels : sequence of N str
    values, spread, untrained : (R, N) ndarray
        Effects of permutations, their standard deviation, and those of an untrained
        network; NaN is not drawn.
    gradients, gradient_spread : (R, N) ndarray or None
        Mean norms, 1/Å, and their standard deviation.
    """
    n = len(labels)
    with figure_style():
        fig = figure(0.7 + 1.15 * len(titles))
        panels = fig.subplots(len(titles), 1, sharex=True, squeeze=False)[:, 0]
        for r, ax in enumerate(panels):
            _panel(ax, values[r], spread[r], untrained[r])
            if gradients is not None and gradient_spread is not None:
                _dots(ax, gradients[r], gradient_spread[r])
            panel_title(ax, titles[r])
        step = -(-n // MAX_LABELS)
        shown = np.arange(0, n, step)
        panels[-1].set_xticks(shown, [labels[int(k)] for k in shown], rotation=90)
        panels[-1].set_xlim(-0.7, n - 0.3)
        handles: dict[str, Artist] = {}
        for ax in fig.axes:
            for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
                handles.setdefault(label, handle)
        fig.legend(
            list(handles.values()), list(handles), loc="outside upper right", ncols=3
        )
    return fig


def _panel(
    ax: Axes, values: np.ndarray, spread: np.ndarray, untrained: np.ndarray
) -> None:
    x = np.arange(len(values))
    ax.bar(
        x,
        values,
        width=0.7,
        color=_BAR,
        alpha=0.75,
        yerr=np.nan_to_num(spread),
        error_kw={"elinewidth": 0.9, "ecolor": GREY},
        label="permutation",
    )
    if np.isfinite(untrained).any():
        ax.plot(x, untrained, "_", color="black", label="untrained network")
    ax.axhline(0, color=GREY, linewidth=0.6)


def _dots(ax: Axes, slopes: np.ndarray, spread: np.ndarray) -> None:
    if not np.isfinite(slopes).any():
        return
    right = ax.twinx()
    right.errorbar(
        np.arange(len(slopes)),
        slopes,
        np.nan_to_num(spread),
        fmt="o",
        markersize=3,
        elinewidth=0.9,
        color=_GRADIENT,
        label="gradient (right, 1/Å)",
    )
    right.set_ylim(bottom=0)
    right.spines["right"].set_visible(True)
    right.tick_params(axis="y", colors=_GRADIENT)
