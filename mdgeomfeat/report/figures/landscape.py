"""Free energy over one or two coordinates."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import wrap

import numpy as np
from matplotlib.axis import Axis
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
    labels: Sequence[str] = ("CV 1", "CV 2"),
    periods: Sequence[tuple[float, float] | None] = (None, None),
) -> Figure:
    """Draw a free energy on a grid, over one or two coordinates.

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
    labels : sequence of str
        What stands along each axis.
    periods : sequence of (low, high) or None
        Where axes that are periodic begin and end; they are shown in full.
    """
    marks = np.empty((0, 2)) if representatives is None else representatives
    with figure_style():
        if energy.ndim == 1:
            fig = _profile(energy, edges[0], unit, marks)
        else:
            fig = _surface(energy, edges, unit, marks)
        ax = fig.axes[0]
        ax.set_xlabel(_folded(labels[0]))
        _show_period(ax.xaxis, periods[0])
        if energy.ndim > 1:
            ax.set_ylabel(_folded(labels[1]))
            _show_period(ax.yaxis, periods[1])
        return fig


def _folded(label: str) -> str:
    """Break a long label into lines."""
    return "\n".join(wrap(label, 44))


def _show_period(axis: Axis, period: tuple[float, float] | None) -> None:
    """Show the whole of a periodic axis, with ticks at its quarters."""
    if period is not None:
        axis.set_view_interval(*period, ignore=True)
        axis.set_ticks(np.linspace(*period, 5))


def _profile(
    energy: np.ndarray, edges: np.ndarray, unit: str, marks: np.ndarray
) -> Figure:
    fig = figure(2.8, 5.4)
    ax = fig.subplots()
    ax.stairs(energy, edges, baseline=None, lw=1.4)
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
    return fig
