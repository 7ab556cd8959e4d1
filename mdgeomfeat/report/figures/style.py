"""One look for all figures: sizes, colours, units and the way they are embedded.

Figures are drawn with matplotlib's object-oriented interface on an Agg canvas, so
nothing here touches pyplot's global state and no display is needed. Colours are
safe for colour-blind readers: the Okabe-Ito set for categories (Okabe & Ito 2008),
viridis and cividis for magnitudes, twilight for angles, which wrap around.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import matplotlib as mpl
import numpy as np
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

__all__ = [
    "CATEGORY_COLORS",
    "CYCLIC_MAP",
    "GREY",
    "MAGNITUDE_MAP",
    "TimeUnit",
    "choose_time_unit",
    "figure",
    "figure_style",
    "panel_title",
    "state_color",
    "to_data_uri",
    "to_png",
    "to_svg",
]

CATEGORY_COLORS = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#CC79A7",
    "#56B4E9",
    "#D55E00",
    "#F0E442",
    "#000000",
)
GREY = "#6b7280"
MAGNITUDE_MAP = "viridis"
# twilight's pale middle vanishes on white paper, so it is darkened a little.
CYCLIC_MAP = ListedColormap(
    mpl.colormaps["twilight_shifted"](np.linspace(0.0, 1.0, 256))[:, :3] * 0.86,
    name="dark_twilight",
)
PAGE_WIDTH = 7.2  # inches; the text column of the report

_STYLE: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9.0,
    "axes.titlesize": 9.5,
    "axes.labelsize": 9.0,
    "xtick.labelsize": 8.0,
    "ytick.labelsize": 8.0,
    "legend.fontsize": 8.0,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "axes.edgecolor": "#374151",
    "axes.labelcolor": "#111827",
    "xtick.color": "#374151",
    "ytick.color": "#374151",
    "axes.grid": False,
    "grid.color": "#e5e7eb",
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.4,
    "axes.prop_cycle": cycler(color=CATEGORY_COLORS),
    "image.cmap": MAGNITUDE_MAP,
    "figure.facecolor": "white",
    "axes.formatter.useoffset": False,
    "svg.fonttype": "path",
    "svg.hashsalt": "mdgeomfeat",
    "path.simplify": True,
}


@contextmanager
def figure_style() -> Iterator[None]:
    """Use the report's matplotlib settings inside a ``with`` block only."""
    with mpl.rc_context(_STYLE):
        yield


def figure(height: float, width: float = PAGE_WIDTH) -> Figure:
    """Return an empty figure with a constrained layout and an Agg canvas.

    Parameters
    ----------
    height, width : float
        Size in inches; the default width is that of the report's text column.
    """
    fig = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(fig)
    return fig


def panel_title(ax: Axes, text: str) -> None:
    """Put a left-aligned title over one panel."""
    ax.set_title(text, loc="left", color="#111827")


def state_color(index: int) -> str:
    """Return the colour of a state, the same in every figure."""
    return CATEGORY_COLORS[index % len(CATEGORY_COLORS)]


def to_png(fig: Figure, dpi: int = 160) -> bytes:
    """Return the figure as the bytes of a PNG image.

    Parameters
    ----------
    fig : matplotlib Figure
    dpi : int, optional
    """
    buffer = io.BytesIO()
    with figure_style():
        fig.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
    return buffer.getvalue()


def to_svg(fig: Figure) -> bytes:
    """Return the figure as an SVG file, which keeps lines and text sharp in print.

    Parameters
    ----------
    fig : matplotlib Figure
    """
    buffer = io.BytesIO()
    with figure_style():
        fig.savefig(buffer, format="svg", dpi=200, metadata={"Date": None})
    return buffer.getvalue()


def to_data_uri(picture: bytes, kind: Literal["svg", "png"]) -> str:
    """Return a picture as a ``data:`` address that a page can carry inside.

    Parameters
    ----------
    picture : bytes
        Of :func:`to_svg` or :func:`to_png`.
    kind : {"svg", "png"}
        Which. Figures with thousands of points are smaller as PNG.
    """
    mime = "image/svg+xml" if kind == "svg" else "image/png"
    return f"data:{mime};base64,{base64.b64encode(picture).decode('ascii')}"


@dataclass(frozen=True, kw_only=True)
class TimeUnit:
    """How times are written on axes: a unit and what one frame is in it.

    Attributes
    ----------
    name : str
        ``"ps"``, ``"ns"``, ``"µs"`` or ``"frames"``.
    per_frame : float
        Length of one analysed frame in this unit.
    """

    name: str
    per_frame: float

    def from_frames(self, frames: object) -> np.ndarray:
        """Turn a number of frames, of any shape, into this unit."""
        return np.asarray(frames, dtype=float) * self.per_frame


def choose_time_unit(dt: float | None, n_frames: float) -> TimeUnit:
    """Choose the unit in which ``n_frames`` frames give a readable number.

    Parameters
    ----------
    dt : float or None
        Time between analysed frames, ps; None where the file does not know it.
    n_frames : float
        A typical number of frames on the axis, for example a trajectory's length.
    """
    if dt is None:
        return TimeUnit(name="frames", per_frame=1.0)
    span = dt * n_frames
    for name, size in (("µs", 1e6), ("ns", 1e3)):
        if span >= 2.0 * size:
            return TimeUnit(name=name, per_frame=dt / size)
    return TimeUnit(name="ps", per_frame=dt)
