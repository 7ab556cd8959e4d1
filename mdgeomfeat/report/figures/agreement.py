"""How well classical descriptors can be read from each input, as a grid of numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from mdgeomfeat.report.figures.style import figure, figure_style
from mdgeomfeat.text import explained

__all__ = ["draw_agreement"]


def draw_agreement(
    values: np.ndarray,
    rows: Sequence[str],
    columns: Sequence[str],
    *,
    label: str,
) -> Figure:
    """Draw coefficients of determination as a shaded table with the numbers in it.

    Parameters
    ----------
    values : (n_rows, n_columns) ndarray
        R²; NaN is left blank, and what is not above 0 is "none".
    rows, columns : sequence of str
        Names of the inputs and of the targets.
    label : str
        What the numbers are, written at the colour bar.
    """
    values = np.asarray(values, dtype=float)
    with figure_style():
        fig = figure(1.0 + 0.34 * len(rows), min(7.2, 2.6 + 0.62 * len(columns)))
        ax = fig.subplots()
        image = ax.imshow(
            np.clip(values, 0.0, 1.0), cmap="cividis", vmin=0, vmax=1, aspect="auto"
        )
        for r, c in np.ndindex(values.shape):
            if np.isfinite(values[r, c]):
                ax.text(
                    c,
                    r,
                    explained(float(values[r, c])),
                    ha="center",
                    va="center",
                    fontsize=8,
                    color="black" if values[r, c] > 0.55 else "white",
                )
        ax.set_xticks(range(len(columns)), columns, rotation=35, ha="right")
        ax.set_yticks(range(len(rows)), rows)
        ax.tick_params(length=0)
        ax.spines[:].set_visible(False)
        bar = fig.colorbar(image, ax=ax, pad=0.02, fraction=0.03)
        bar.set_label(label)
        bar.outline.set_visible(False)
    return fig
