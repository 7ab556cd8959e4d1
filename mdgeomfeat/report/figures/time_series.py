"""Collective variables over time, coloured by state, with their distributions."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from mdgeomfeat.report.figures.style import (
    GREY,
    choose_time_unit,
    figure,
    figure_style,
    state_color,
)

__all__ = ["draw_time_series"]


def draw_time_series(
    cvs: Sequence[np.ndarray],
    *,
    dt: float | None,
    states: Sequence[np.ndarray] | None = None,
    max_cvs: int = 3,
    max_points: int = 20_000,
) -> Figure:
    """Draw the collective variables of all trajectories, one after another.

    Parameters
    ----------
    cvs : sequence of (F_i, d) ndarray
        One array per unbroken trajectory, dimensionless.
    dt : float or None
        Time between frames, ps; None draws frames.
    states : sequence of (F_i,) ndarray of int or None
        State of each frame, -1 for frames outside the model.
    max_cvs : int
        At most this many rows.
    max_points : int
        Longer series are thinned evenly for drawing (not for the histogram).
    """
    lengths = [len(cv) for cv in cvs]
    total = sum(lengths)
    joined = np.concatenate([np.asarray(cv, dtype=float) for cv in cvs])
    unit = choose_time_unit(dt, total)
    n_cvs = min(max_cvs, joined.shape[1])
    every = max(1, int(np.ceil(total / max_points)))
    where = np.arange(0, total, every)
    colors = _colors(states, where)
    starts = np.concatenate([[0], np.cumsum(lengths)])
    with figure_style():
        fig = figure(0.7 + 1.35 * n_cvs)
        axes = fig.subplots(
            n_cvs, 2, sharey="row", sharex="col", width_ratios=[6, 1], squeeze=False
        )
        for row in range(n_cvs):
            ax, side = axes[row]
            ax.scatter(
                unit.from_frames(where),
                joined[where, row],
                s=float(np.clip(9000.0 / len(where), 1.2, 5.0)),
                c=colors,
                linewidths=0,
                rasterized=True,
            )
            for edge in starts[1:-1]:
                ax.axvline(unit.from_frames(edge), color=GREY, lw=0.8, ls=":")
            ax.set_ylabel(f"CV {row + 1}")
            ax.set_xlim(0, unit.from_frames(total))
            side.hist(
                joined[:, row], bins=60, orientation="horizontal", color="#9ca3af"
            )
            side.tick_params(labelleft=False, labelbottom=False, bottom=False)
        if len(lengths) > 1 and len(lengths) <= 12:
            for i, (a, b) in enumerate(itertools.pairwise(starts)):
                axes[0, 0].text(
                    unit.from_frames((a + b) / 2),
                    1.02,
                    str(i + 1),
                    transform=axes[0, 0].get_xaxis_transform(),
                    ha="center",
                    va="bottom",
                    fontsize=8,
                    color=GREY,
                )
        name = "frame" if unit.name == "frames" else f"time ({unit.name})"
        many = ", trajectories one after another" if len(lengths) > 1 else ""
        axes[-1, 0].set_xlabel(name + many)
        axes[-1, 1].set_xlabel("frequency")
    return fig


def _colors(states: Sequence[np.ndarray] | None, where: np.ndarray) -> object:
    """Return one colour for all points, or that of each point's state."""
    if states is None:
        return "#0072B2"
    joined = np.concatenate([np.asarray(s) for s in states])[where]
    return ["#d1d5db" if s < 0 else state_color(int(s)) for s in joined]
