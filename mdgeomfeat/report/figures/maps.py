"""Two-dimensional maps of the inputs, coloured by what should vary over them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, Normalize
from matplotlib.figure import Figure

from mdgeomfeat.report.figures.style import (
    CYCLIC_MAP,
    GREY,
    MAGNITUDE_MAP,
    figure,
    figure_style,
    panel_title,
)

__all__ = ["ColorBy", "NamedMap", "draw_maps"]


@dataclass(frozen=True, kw_only=True)
class NamedMap:
    """A map and the frames it shows.

    Attributes
    ----------
    name : str
    embedding : (n, 2) ndarray
    frames : (n,) ndarray of int
        Row of each point in the arrays that colour it.
    """

    name: str
    embedding: np.ndarray
    frames: np.ndarray


@dataclass(frozen=True, kw_only=True)
class ColorBy:
    """What colours a column of maps.

    Attributes
    ----------
    label : str
        With the unit, for example ``"phi ALA2 (°)"``.
    values : (F,) ndarray
        One value per frame; degrees where ``cyclic``.
    cyclic : bool
        True for angles, which get a colour map that closes on itself.
    """

    label: str
    values: np.ndarray
    cyclic: bool = False


def draw_maps(maps: Sequence[NamedMap], columns: Sequence[ColorBy]) -> Figure:
    """Draw a grid: one row per map, one column per colouring.

    Points are drawn in random order, so that no group hides another; in grey where
    there is nothing to colour them by.

    Parameters
    ----------
    maps : sequence of NamedMap
    columns : sequence of ColorBy
    """
    n_rows, n_columns = len(maps), max(1, len(columns))
    side = min(2.3, 6.6 / n_columns)
    with figure_style():
        fig = figure(0.75 + side * n_rows, min(7.2, 0.6 + side * n_columns))
        axes = fig.subplots(n_rows, n_columns, squeeze=False)
        for c, column in enumerate(columns or [None]):
            for r, entry in enumerate(maps):
                ax = axes[r, c]
                order = np.random.default_rng(0).permutation(len(entry.frames))
                ax.scatter(
                    *entry.embedding[order].T,
                    **_colors(column, entry.frames[order]),
                    s=_size(len(order)),
                    linewidths=0,
                    rasterized=True,
                )
                ax.set_xticks([])
                ax.set_yticks([])
                ax.spines[["left", "bottom"]].set_color("#d1d5db")
                if c == 0:
                    ax.set_ylabel(entry.name)
            if column is None:
                continue
            panel_title(axes[0, c], column.label)
            bar = fig.colorbar(
                ScalarMappable(*_scale(column)),
                ax=axes[:, c],
                location="bottom",
                fraction=0.04,
                pad=0.02,
                aspect=25,
            )
            bar.outline.set_visible(False)
            if column.cyclic:
                bar.set_ticks([-120, 0, 120])
    return fig


def _colors(column: ColorBy | None, frames: np.ndarray) -> dict[str, Any]:
    """Return what tells ``scatter`` how to colour some frames."""
    if column is None:
        return {"color": GREY}
    norm, cmap = _scale(column)
    return {"c": np.asarray(column.values)[frames], "norm": norm, "cmap": cmap}


def _scale(column: ColorBy) -> tuple[Normalize, Colormap | str]:
    """Return the colour scale: whole turns for angles, else 1st to 99th percentile."""
    if column.cyclic:
        return Normalize(-180.0, 180.0), CYCLIC_MAP
    values = np.asarray(column.values, dtype=float)
    low, high = np.nanpercentile(values, [1, 99])
    return Normalize(low, high if high > low else low + 1.0), MAGNITUDE_MAP


def _size(n_points: int) -> float:
    """Return a marker area that neither fills the panel nor vanishes."""
    return float(np.clip(6000.0 / max(1, n_points), 1.0, 14.0))
