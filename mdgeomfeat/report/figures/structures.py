"""Still pictures of the representative frames of each state, seen from one side.

Long chains are drawn as thick lines along their alpha carbons or phosphorus atoms,
coloured from one end to the other. Everything else is drawn as sticks: a ligand, the
residues around it (thin), and molecules too small for a ribbon. What is in front covers
what is behind it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mdgeomfeat.report.figures.style import (
    figure,
    figure_style,
    panel_title,
    state_color,
)
from mdgeomfeat.report.molecule import Drawing, Molecule, Role, drawings

__all__ = ["draw_structures"]

_ELEMENT_COLORS: Final = {7: "#2563eb", 8: "#dc2626", 16: "#ca8a04", 15: "#ea580c"}
_LIGAND: Final = "#D55E00"
_LINING: Final = "#6b7280"
#: How wide things are drawn, Å, and the least of that in points.
_WIDTHS: Final = {
    "ribbon": (1.2, 1.8),
    "ligand": (0.7, 2.2),
    "sticks": (0.55, 1.6),
    "thin": (0.22, 0.6),
}
#: The white rim of a piece, points, and how far it lies behind that, Å.
_RIM: Final = 1.6
_BEHIND: Final = 1.5
#: What stands in front of all else, as if it were so much nearer, Å.
_FRONT: Final = 1000.0
#: Points of a trace between two residues.
_FINENESS: Final = 6
#: Share of white in what is farthest from the eye.
_HAZE: Final = 0.55
#: Frames of a state that are shown palely behind the central one.
_PALE: Final = 3


@dataclass
class _Lines:
    """Pieces of lines, to be sorted by depth."""

    ends: list[NDArray[np.float64]] = field(default_factory=list)
    colors: list[NDArray[np.float64]] = field(default_factory=list)
    kinds: list[NDArray[np.str_]] = field(default_factory=list)

    def add(
        self, ends: NDArray[np.float64], colors: NDArray[np.float64], kind: str
    ) -> None:
        """Add pieces (n, 2, 3) with their colours (n, 3)."""
        self.ends.append(ends)
        self.colors.append(colors)
        self.kinds.append(np.full(len(ends), kind, dtype="U6"))


def draw_structures(
    states: Sequence[NDArray[np.floating]],
    molecule: Molecule,
    titles: Sequence[str],
    *,
    colors: Sequence[int] | None = None,
) -> Figure:
    """Draw each state's most central frame, with others palely behind it.

    Parameters
    ----------
    states : sequence of (n_i, A, 3) ndarray, Å
        Representative frames, the most central first, superposed; the eye looks
        along z.
    molecule : Molecule
    titles : sequence of str
        One per state.
    colors : sequence of int, optional
        Number of each state, for its colour; by default 0, 1 …
    """
    drawn = drawings(molecule, np.array([frames[0] for frames in states]))
    scenes = [frames[: 1 + _PALE] for frames in states]
    seen = np.concatenate([scene[0][:, :2] for scene in scenes])
    low, high = seen.min(axis=0) - 1.0, seen.max(axis=0) + 1.0
    width, depth = high - low
    columns = min(4 if not molecule.traced else 3, len(states))
    rows = -(-len(states) // columns)
    with figure_style():
        side = min(3.4, 7.2 / columns)
        height = rows * (side * max(depth / width, 0.4) + 0.3)
        fig = figure(height, side * columns)
        axes = fig.subplots(rows, columns, squeeze=False)
        for ax in axes.flat[len(states) :]:
            ax.set_axis_off()
        points = 72 * side / width
        for index, scene in enumerate(scenes):
            ax = axes.flat[index]
            color = state_color(index if colors is None else colors[index])
            for frame in scene[:0:-1]:
                _put(ax, _lines(molecule, drawn, frame, color, pale=True), points, True)
            _put(ax, _lines(molecule, drawn, scene[0], color), points, False)
            ax.set_xlim(low[0], high[0])
            ax.set_ylim(low[1], high[1])
            ax.set_aspect("equal")
            ax.set_axis_off()
            panel_title(ax, titles[index])
    return fig


def _lines(
    molecule: Molecule,
    drawn: tuple[Drawing, ...],
    frame: NDArray[np.float64],
    color: str,
    *,
    pale: bool = False,
) -> _Lines:
    """Return what is drawn of a frame; of pale ones only traces, or else sticks."""
    lines = _Lines()
    for part in molecule.traced:
        share = part / max(molecule.n_residues - 1, 1)
        ends, along = _trace(frame[molecule.guide[part]], share)
        lines.add(ends, mpl.colormaps["viridis"](along)[:, :3], "ribbon")
    if pale and molecule.traced:
        return lines
    kinds = _kinds(molecule, drawn)[molecule.residue]
    for kind in ("thin", "sticks", "ligand"):
        of_kind = (kinds == kind) & (molecule.numbers > 1)
        bonds = molecule.bonds[of_kind[molecule.bonds].all(axis=1)]
        middle = frame[bonds].mean(axis=1)
        for end in (0, 1):
            atoms = bonds[:, end]
            ends = np.stack([frame[atoms], middle], axis=1)
            lines.add(ends, _atom_colors(molecule, atoms, kind, color), kind)
    return lines


def _kinds(molecule: Molecule, drawn: tuple[Drawing, ...]) -> NDArray[np.str_]:
    """Return which sticks each residue (R,) is drawn with, "" for none."""
    polymer = any(role is not Role.OTHER for role in molecule.roles)
    kinds = {Drawing.LINING: "thin", Drawing.THIN: "thin", Drawing.STICKS: "sticks"}
    found = [
        "ligand"
        if polymer and role is Role.OTHER and drawing is Drawing.STICKS
        else kinds.get(drawing, "")
        for role, drawing in zip(molecule.roles, drawn, strict=True)
    ]
    return np.array(found, dtype="U6")


def _trace(
    points: NDArray[np.float64], share: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return pieces (m, 2, 3) of a curve through points, and where along it each is.

    Catmull-Rom splines pass through all points with continuous slopes.
    """
    padded = np.concatenate(
        [2 * points[:1] - points[1:2], points, 2 * points[-1:] - points[-2:-1]]
    )
    t = np.linspace(0, 1, _FINENESS, endpoint=False)[:, None, None]
    a, b, c, d = padded[:-3], padded[1:-2], padded[2:-1], padded[3:]
    curve = 0.5 * (
        2 * b
        + (c - a) * t
        + (2 * a - 5 * b + 4 * c - d) * t**2
        + (3 * b - a - 3 * c + d) * t**3
    )
    curve = np.concatenate([curve.swapaxes(0, 1).reshape(-1, 3), points[-1:]])
    places = np.arange(len(curve) - 1) / _FINENESS
    along = np.interp(places, np.arange(len(share)), share)
    return np.stack([curve[:-1], curve[1:]], axis=1), along


def _atom_colors(
    molecule: Molecule, atoms: NDArray[np.int64], kind: str, color: str
) -> NDArray[np.float64]:
    """Return colours (n, 3): carbon by what it belongs to, others by element."""
    carbon = {"thin": _LINING, "ligand": _LIGAND}.get(kind, color)
    own = np.tile(to_rgb(carbon), (len(atoms), 1))
    for number, dot in _ELEMENT_COLORS.items():
        own[molecule.numbers[atoms] == number] = to_rgb(dot)
    return own


def _put(ax: Axes, lines: _Lines, points: float, pale: bool) -> None:
    """Draw pieces from the back to the front, each with a white rim."""
    if not lines.ends:
        return
    ends = np.concatenate(lines.ends)
    colors = np.concatenate(lines.colors)
    kinds = np.concatenate(lines.kinds)
    height = ends[:, :, 2].mean(axis=1)
    nearness = (height - height.min()) / max(float(np.ptp(height)), 1e-9)
    haze = _HAZE * (1 - nearness)[:, None]
    colors = colors + (1 - colors) * haze
    widths = np.zeros(len(ends))
    for kind, (size, least) in _WIDTHS.items():
        widths[kinds == kind] = max(size * points, least)
    if pale:
        ax.add_collection(
            LineCollection(
                list(ends[:, :, :2]),
                colors=list(colors + (1 - colors) * 0.75),
                linewidths=0.45 * widths,
                capstyle="round",
            )
        )
        return
    # rims lie a little behind, so that they cut what is farther away, not neighbours
    depth = np.concatenate([height - _BEHIND, height])
    depth += np.where(np.tile(kinds, 2) == "ligand", _FRONT, 0.0)
    order = np.argsort(depth, kind="stable")
    both = np.concatenate([np.ones_like(colors), colors])[order]
    ax.add_collection(
        LineCollection(
            list(np.concatenate([ends, ends])[order][:, :, :2]),
            colors=list(both),
            linewidths=list(np.concatenate([widths + _RIM, widths])[order]),
            capstyle="round",
        )
    )
