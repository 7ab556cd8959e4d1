"""Free energy over the first one or two collective variables."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from mdgeomfeat.report.figures.style import (
    MAGNITUDE_MAP,
    figure,
    figure_style,
    state_color,
)

__all__ = ["draw_landscape"]


def draw_landscape(
    energy: np.ndarray,
    edges: Sequence[np.ndarray],
    unit: str,
    *,
    representatives: np.ndarray | None = None,
) -> Figure:
    """Draw a free energy on a grid, over one or two collective variables.

    Parameters
    ----------
    energy : (X,) or (X, Y) ndarray
        Zero at its minimum, NaN in empty cells.
    edges : sequence of one or two ndarray
        Edges of the cells along each axis.
    unit : str
        Unit of the energy.
    representatives : (S, d) ndarray or None
        Where the states' most typical frames lie, marked with the states' numbers;
        NaN rows are left out.
    """
    marks = np.empty((0, 2)) if representatives is None else representatives
    with figure_style():
        if energy.ndim == 1:
            return _profile(energy, edges[0], unit, marks)
        return _surface(energy, edges, unit, marks)


def _profile(
    energy: np.ndarray, edges: np.ndarray, unit: str, marks: np.ndarray
) -> Figure:
    fig = figure(2.8, 5.4)
    ax = fig.subplots()
    ax.stairs(energy, edges, baseline=None, lw=1.4)
    ax.set_xlabel("CV 1")
    ax.set_ylabel(f"free energy ({unit})")
    ax.set_ylim(bottom=0)
    for i, row in enumerate(marks):
        if np.isfinite(row[0]):
            ax.axvline(row[0], color=state_color(i), ls="--", label=f"state {i + 1}")
    if len(marks):
        fig.legend(loc="outside upper right", ncols=5)
    return fig


def _surface(
    energy: np.ndarray, edges: Sequence[np.ndarray], unit: str, marks: np.ndarray
) -> Figure:
    fig = figure(4.2, 5.4)
    ax = fig.subplots()
    mesh = ax.pcolormesh(*edges, energy.T, cmap=MAGNITUDE_MAP, vmin=0)
    mesh.set_rasterized(True)
    bar = fig.colorbar(mesh, ax=ax, pad=0.02)
    bar.set_label(f"free energy ({unit})")
    bar.outline.set_visible(False)
    for i, (x, y, *_) in enumerate(marks):
        if not np.isfinite([x, y]).all():
            continue
        ax.plot(x, y, "o", ms=13, mfc="white", mec=state_color(i), mew=2.0)
        ax.text(x, y, str(i + 1), ha="center", va="center_baseline", fontsize=8)
    ax.set_xlabel("CV 1")
    ax.set_ylabel("CV 2")
    return fig
