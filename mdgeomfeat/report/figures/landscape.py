"""Free energy over the first one or two collective variables."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from mdgeomfeat.report.figures.style import (
    MAGNITUDE_MAP,
    figure,
    figure_style,
    state_color,
)

__all__ = ["draw_landscape", "free_energy"]


def free_energy(probability: np.ndarray, kt: float = 1.0) -> np.ndarray:
    """Return -kT ln p, shifted so that the lowest value is 0; empty cells are NaN."""
    with np.errstate(divide="ignore"):
        energy = -kt * np.log(probability)
    energy[~np.isfinite(energy)] = np.nan
    return energy - np.nanmin(energy)


def draw_landscape(
    cvs: np.ndarray,
    weights: np.ndarray | None,
    *,
    kt: float | None = None,
    representatives: np.ndarray | None = None,
    n_bins: int | None = None,
) -> Figure:
    """Draw -kT ln p on the first two collective variables, or along the only one.

    Parameters
    ----------
    cvs : (F, d) ndarray
        Collective variables of all frames that carry weight.
    weights : (F,) ndarray or None
        Stationary weight of each frame; None counts frames.
    kt : float or None
        kT in kJ/mol; None writes energies in units of kT.
    representatives : (S, d) ndarray or None
        Where the states' central frames lie, marked with the states' numbers.
    n_bins : int, optional
        Bins per axis; by default the cube root of the number of frames, 20 to 80.
    """
    cvs = np.asarray(cvs, dtype=float)
    bins = n_bins or int(np.clip(1.6 * len(cvs) ** (1 / 3), 20, 80))
    unit = "kT" if kt is None else "kJ/mol"
    with figure_style():
        if cvs.shape[1] == 1:
            return _profile(cvs[:, 0], weights, kt or 1.0, unit, representatives, bins)
        return _surface(cvs[:, :2], weights, kt or 1.0, unit, representatives, bins)


def _profile(
    x: np.ndarray,
    weights: np.ndarray | None,
    kt: float,
    unit: str,
    representatives: np.ndarray | None,
    bins: int,
) -> Figure:
    fig = figure(2.8, 5.4)
    ax = fig.subplots()
    histogram, edges = np.histogram(x, bins=bins, weights=weights)
    energy = free_energy(histogram / histogram.sum(), kt)
    ax.plot(0.5 * (edges[1:] + edges[:-1]), energy, drawstyle="steps-mid")
    ax.set_xlabel("CV 1")
    ax.set_ylabel(f"free energy ({unit})")
    ax.set_ylim(bottom=0)
    if representatives is not None:
        for i, row in enumerate(representatives):
            ax.axvline(row[0], color=state_color(i), ls="--", label=f"state {i + 1}")
        ax.legend()
    return fig


def _surface(
    xy: np.ndarray,
    weights: np.ndarray | None,
    kt: float,
    unit: str,
    representatives: np.ndarray | None,
    bins: int,
) -> Figure:
    fig = figure(4.2, 5.4)
    ax = fig.subplots()
    histogram, x, y = np.histogram2d(xy[:, 0], xy[:, 1], bins=bins, weights=weights)
    energy = free_energy(histogram / histogram.sum(), kt)
    top = float(np.nanmax(energy)) or 1.0
    mesh = ax.pcolormesh(x, y, energy.T, cmap=MAGNITUDE_MAP, vmin=0, vmax=top)
    mesh.set_rasterized(True)
    bar = fig.colorbar(mesh, ax=ax, pad=0.02)
    bar.set_label(f"free energy ({unit})")
    bar.outline.set_visible(False)
    if representatives is not None:
        for i, row in enumerate(representatives):
            ax.plot(
                row[0],
                row[1],
                marker="o",
                ms=13,
                mfc="white",
                mec=state_color(i),
                mew=2.0,
            )
            ax.text(row[0], row[1], str(i + 1), ha="center", va="center", fontsize=8)
    ax.set_xlabel("CV 1")
    ax.set_ylabel("CV 2")
    return fig
