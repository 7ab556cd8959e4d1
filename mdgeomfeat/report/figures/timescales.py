"""Implied timescales over the lag, with their bands and the zone nobody can read."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from mdgeomfeat.report.figures.style import (
    CATEGORY_COLORS,
    GREY,
    choose_time_unit,
    figure,
    figure_style,
)

__all__ = ["draw_timescales"]


def draw_timescales(
    lags: np.ndarray,
    timescales: np.ndarray,
    *,
    dt: float | None,
    low: np.ndarray | None = None,
    high: np.ndarray | None = None,
    chosen_lag: int | None = None,
    max_processes: int = 5,
) -> Figure:
    """Draw timescales against the lag on logarithmic axes.

    Parameters
    ----------
    lags : (L,) ndarray
        Lags in frames.
    timescales : (L, n) ndarray
        Implied timescales in frames, slowest first; NaN where there is none.
    dt : float or None
        Time between frames, ps.
    low, high : (L, n) ndarray or None
        Bootstrapped bounds in frames.
    chosen_lag : int or None
        The lag of the model, marked by a vertical line.
    max_processes : int
        How many timescales are drawn.
    """
    lags = np.asarray(lags)
    values = np.atleast_2d(np.asarray(timescales, dtype=float))[:, :max_processes]
    finite = values[np.isfinite(values)]
    slowest = float(finite.max()) if finite.size else float(lags.max())
    unit = choose_time_unit(dt, slowest)
    x = unit.from_frames(lags)
    with figure_style():
        fig = figure(3.2, 6.2)
        ax = fig.subplots()
        floor = 0.5 * min(x.min(), unit.from_frames(_smallest(finite, lags)))
        ax.fill_between(
            x,
            floor,
            x,
            color="#d1d5db",
            lw=0,
            alpha=0.75,
            zorder=2.5,  # over the curves: there they say nothing
            label="faster than the lag",
        )
        for i in range(values.shape[1]):
            color = CATEGORY_COLORS[i % len(CATEGORY_COLORS)]
            if low is not None and high is not None and i < np.shape(low)[1]:
                ax.fill_between(
                    x,
                    unit.from_frames(np.asarray(low)[:, i]),
                    unit.from_frames(np.asarray(high)[:, i]),
                    color=color,
                    alpha=0.22,
                    lw=0,
                )
            ax.plot(
                x,
                unit.from_frames(values[:, i]),
                marker="o",
                ms=3.5,
                color=color,
                label=f"process {i + 1}",
            )
        if chosen_lag is not None:
            ax.axvline(
                float(unit.from_frames(chosen_lag)),
                color=GREY,
                ls="--",
                label="lag used",
            )
        ax.set_xscale("log")
        ax.set_yscale("log")
        ax.set_xlim(x.min(), x.max())
        ax.set_ylim(bottom=floor)
        ax.set_xlabel(f"lag ({unit.name})")
        ax.set_ylabel(f"implied timescale ({unit.name})")
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
            axis.set_major_formatter("{x:g}")
            axis.set_minor_formatter(NullFormatter())
        ax.grid(which="major")
        fig.legend(loc="outside right upper")
    return fig


def _smallest(finite: np.ndarray, lags: np.ndarray) -> float:
    """Return the lowest value worth an axis: never far below the first lag."""
    lowest = float(finite.min()) if finite.size else float(lags.min())
    return max(lowest, 0.3 * float(lags.min()))
