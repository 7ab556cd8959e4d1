"""How far two ensembles differ, along the sequence."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mdgeomfeat.report.figures.importance import MAX_LABELS
from mdgeomfeat.report.figures.style import (
    CATEGORY_COLORS,
    GREY,
    figure,
    figure_style,
    panel_title,
)

__all__ = ["draw_ensembles"]

#: Axes reach at least so far, or noise would fill them.
_EFFECTS, _TORSIONS = 0.02, 0.3

_FIRST, _SECOND = CATEGORY_COLORS[0], CATEGORY_COLORS[5]


def draw_ensembles(
    labels: Sequence[str],
    effects: np.ndarray,
    sure: np.ndarray,
    changed: np.ndarray,
    torsions: np.ndarray,
    rmsf: np.ndarray,
) -> Figure:
    """Draw effects of features and torsions as bars, and fluctuations of both.

    Parameters
    ----------
    labels : sequence of N str
    effects, torsions : (N,) ndarray
        NaN is not drawn.
    sure, changed : (N,) ndarray of bool
        Tokens that surely differ, and those that are other residues.
    rmsf : (N, 2) ndarray, Å
    """
    n = len(labels)
    x = np.arange(n)
    known = np.isfinite(rmsf).any()
    with figure_style():
        fig = figure(5.4 if known else 3.8)
        panels = fig.subplots(3 if known else 2, 1, sharex=True)
        _effects(panels[0], effects, sure, changed)
        panels[1].bar(x, torsions, width=0.7, color=GREY)
        panels[1].set_ylim(0, max(_TORSIONS, 1.05 * np.nanmax(torsions, initial=0)))
        panel_title(panels[1], "torsion that differs most, effect")
        if known:
            panels[2].plot(x, rmsf[:, 0], color=_FIRST, label="first")
            panels[2].plot(x, rmsf[:, 1], color=_SECOND, label="second")
            panels[2].set_ylim(bottom=0)
            panels[2].legend(ncols=2)
            panel_title(panels[2], "RMSF, Å")
        step = -(-n // MAX_LABELS)
        shown = np.arange(0, n, step)
        panels[-1].set_xticks(shown, [labels[int(k)] for k in shown], rotation=90)
        panels[-1].set_xlim(-0.7, n - 0.3)
    return fig


def _effects(
    ax: Axes, effects: np.ndarray, sure: np.ndarray, changed: np.ndarray
) -> None:
    x = np.arange(len(effects))
    for own, label, style in (
        (sure, "differs", {"color": _SECOND}),
        (~sure & ~changed, "not sure", {"color": _FIRST, "alpha": 0.45}),
        (changed, "other residue", {"fill": False, "hatch": "///"}),
    ):
        if own.any():
            ax.bar(x[own], effects[own], width=0.7, label=label, **style)
    ax.axhline(0, color=GREY, linewidth=0.6)
    ax.set_ylim(top=max(_EFFECTS, 1.05 * float(effects.max())))
    ax.legend(ncols=3)
    panel_title(ax, "features, effect")
