"""How the rate of an engine changes with the number of atoms and of neighbours."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from floor import count_pairs
from matplotlib.figure import Figure
from memory import build
from timed_systems import packing

from mdgeomfeat.gnn import load_model
from mdgeomfeat.report.figures.style import figure, figure_style, state_color, to_png

ATOMS = (10, 30, 100, 300, 1000, 3000, 10_000, 20_000)
# Slopes are those of molecules that do not end within the cutoff everywhere.
BULK = 300
# Atoms per cubic Å, and the number of atoms for it.
DENSITIES = (0.0125, 0.025, 0.05, 0.1)
MANY = 2000
MARKS = {"cpu": "o-", "torch": "s--"}
Curves = dict[str, dict[str, dict[str, list[float]]]]


def measure_growth(
    models: list[str], measure: Callable[..., Any], args: argparse.Namespace
) -> Curves:
    """Measure and draw atom-frames per CPU second against size and neighbours.

    Parameters
    ----------
    models : list of str
    measure : callable
        ``measure_rates`` of ``engines.py``.
    args : Namespace
        With ``engines``, ``seconds``, ``rounds`` and ``out``.
    """
    curves: Curves = {"atoms": {}, "neighbors": {}}
    for name in models:
        model = load_model(name)
        engines = {key: build(model, key) for key in args.engines if key in MARKS}
        for kind, systems in (
            ("atoms", [packing(n, 2) for n in ATOMS]),
            ("neighbors", [packing(MANY, 2, density=d) for d in DENSITIES]),
        ):
            found = {key: {"x": [], "rate": []} for key in engines}
            for system in systems:
                n = len(system[0])
                pairs = count_pairs(system[1], model.spec.cutoff)
                rates = measure(engines, system, args.seconds, min(3, args.rounds))
                for (key, _), per_cpu in rates.per_cpu.items():
                    found[key]["x"].append(n if kind == "atoms" else 2 * pairs / n)
                    found[key]["rate"].append(per_cpu)
            for key, curve in found.items():
                curves[kind][f"{Path(name).stem}, {key}"] = curve
            print(kind, name, found, flush=True)
    for kind, drawn in (("atoms", draw_atoms), ("neighbors", draw_neighbors)):
        (args.out / f"{kind}.png").write_bytes(to_png(drawn(curves[kind])))
    return curves


def slope(curve: dict[str, list[float]], least: float = 0.0) -> float:
    """Return the exponent of the time of a frame, from points beyond `least`."""
    x, rate = np.array(curve["x"]), np.array(curve["rate"])
    kept = x >= least
    return float(np.polyfit(np.log(x[kept]), -np.log(rate[kept]), 1)[0])


def draw_atoms(curves: dict[str, dict[str, list[float]]]) -> Figure:
    """Draw rates against the number of atoms."""
    return _draw(curves, f"atoms (packings; slopes from {BULK} atoms on)", BULK)


def draw_neighbors(curves: dict[str, dict[str, list[float]]]) -> Figure:
    """Draw rates against the number of neighbours."""
    return _draw(curves, f"neighbours of an atom (packings of {MANY:,} atoms)", 0.0)


def _draw(
    curves: dict[str, dict[str, list[float]]], label: str, least: float
) -> Figure:
    names = list(dict.fromkeys(title.rsplit(", ", 1)[0] for title in curves))
    with figure_style():
        fig = figure(3.4)
        ax = fig.add_subplot()
        for title, curve in curves.items():
            name, engine = title.rsplit(", ", 1)
            ax.loglog(
                curve["x"],
                curve["rate"],
                MARKS[engine],
                markersize=3.5,
                color=state_color(names.index(name)),
                label=f"{title}: time ∝ n^{slope(curve, least):.2f}",
            )
        ax.set_xlabel(label)
        ax.set_ylabel("frames per CPU second")
        ax.grid(True, which="major")
        ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return fig
