"""Held-out scores of the features and of every baseline, as a dot plot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mdgeomfeat.report.figures.style import (
    CATEGORY_COLORS,
    GREY,
    figure,
    figure_style,
)

__all__ = ["ScoreBar", "draw_scores"]

_MARKERS = {
    "VAMPNet": ("o", CATEGORY_COLORS[0]),
    "SPIB": ("o", CATEGORY_COLORS[0]),
    "TICA": ("D", CATEGORY_COLORS[1]),
}


@dataclass(frozen=True, kw_only=True)
class ScoreBar:
    """One score: where it stands, how far it spreads and what chance would give."""

    label: str
    method: str
    mean: float
    spread: float | None
    null: float | None
    independent: bool


def draw_scores(
    bars: Sequence[ScoreBar],
    *,
    ceiling: float | None,
    upper: float | None,
    score_name: str = "VAMP-2",
) -> Figure:
    """Draw one row per input with the scores of each method on it.

    Parameters
    ----------
    bars : sequence of ScoreBar
        Rows keep the order in which their labels first appear.
    ceiling : float or None
        Score of a perfect model, where the reference timescales are trusted.
    upper : float or None
        The largest value the score can take, d + 1.
    score_name : str
        Name on the axis.
    """
    labels = list(dict.fromkeys(bar.label for bar in bars))
    methods = list(dict.fromkeys(bar.method for bar in bars))
    with figure_style():
        fig = figure(1.3 + 0.42 * max(1, len(labels)))
        ax = fig.subplots()
        offsets = np.linspace(-0.16, 0.16, len(methods)) if len(methods) > 1 else [0.0]
        for bar in bars:
            marker, color = _MARKERS.get(bar.method, ("s", CATEGORY_COLORS[2]))
            y = labels.index(bar.label) + offsets[methods.index(bar.method)]
            if bar.null is not None:
                ax.plot([bar.null], [y], marker="|", ms=8, mew=1.6, color=GREY, ls="")
            ax.errorbar(
                bar.mean,
                y,
                xerr=bar.spread,
                fmt=marker,
                ms=6,
                color=color,
                mfc=color if bar.independent else "white",
                elinewidth=1.2,
                capsize=2.5,
            )
        _legend(fig, ax, bars, methods, ceiling)
        ax.set_yticks(range(len(labels)), labels)
        ax.set_ylim(len(labels) - 0.5, -0.5)
        ax.grid(axis="x")
        ax.set_axisbelow(True)
        limit = "" if upper is None else f" (1 = nothing found, at most {upper:g})"
        ax.set_xlabel(f"held-out {score_name}{limit}")
    return fig


def _legend(
    fig: Figure,
    ax: Axes,
    bars: Sequence[ScoreBar],
    methods: Sequence[str],
    ceiling: float | None,
) -> None:
    """Explain markers that are on the plot, and only those."""
    for method in methods:
        marker, color = _MARKERS.get(method, ("s", CATEGORY_COLORS[2]))
        ax.plot([], [], marker=marker, ls="", color=color, label=method)
    if any(not bar.independent for bar in bars):
        ax.plot(
            [], [], marker="o", ls="", mfc="white", color=GREY, label="not independent"
        )
    if any(bar.null is not None for bar in bars):
        ax.plot([], [], marker="|", ms=8, mew=1.6, ls="", color=GREY, label="null")
    if ceiling is not None:
        ax.axvline(ceiling, color=GREY, ls="--", lw=1.1, label="ceiling")
    fig.legend(loc="outside upper right", ncols=5, handletextpad=0.4, columnspacing=1.2)
