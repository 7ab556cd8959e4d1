"""The section on whether the data are enough: populations by half and by run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mdgeomfeat.report import html
from mdgeomfeat.text import percent

if TYPE_CHECKING:
    from mdgeomfeat.kinetics import Convergence

__all__ = ["convergence_section"]

#: More runs than this are folded away.
_MANY = 8


def convergence_section(found: Convergence) -> html.Html:
    """Show crossings, and the share of frames in each state by half and by run.

    Parameters
    ----------
    found : Convergence
    """
    names = [f"state {i + 1}" for i in range(len(found.entries))]
    head = ["", *names]
    numeric = range(1, len(head))
    crossed = [
        ["entered", *map(str, found.entries)],
        ["left", *map(str, found.exits)],
    ]
    halves = _rows(
        ["first halves", "second halves"],
        (found.halves, found.halves_lower, found.halves_upper),
    )
    runs = _rows(
        [f"run {i + 1}" for i in range(len(found.runs))],
        (found.runs, found.runs_lower, found.runs_upper),
    )
    by_run = html.table(head, runs, numeric=numeric)
    if len(runs) > _MANY:
        by_run = html.details(f"Populations of all {len(runs)} runs", by_run)
    return html.join(
        [
            html.table(
                head,
                crossed,
                caption="How often each state was entered and left, counted from core "
                "to core. Frames on a border are therefore not crossings.",
                numeric=numeric,
            ),
            html.table(
                head,
                halves,
                caption="Share of the frames in each state, with 90 % intervals that "
                "count one independent frame for every two slowest timescales. "
                "Short runs that start off equilibrium may differ from each other.",
                numeric=numeric,
            ),
            by_run,
        ]
    )


def _rows(
    names: list[str], shares: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> list[list[html.Child]]:
    return [
        [name, *(_share(*cell) for cell in zip(*rows, strict=True))]
        for name, *rows in zip(names, *shares, strict=True)
    ]


def _share(share: float, low: float, high: float) -> html.Child:
    if not np.isfinite(low):
        return percent(share)
    # two lines, so that a table of many states is no wider than the page
    interval = f"({percent(low)} to {percent(high)})"
    return html.join([percent(share), html.Html("<br>"), interval])
