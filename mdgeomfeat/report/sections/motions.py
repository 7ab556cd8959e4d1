"""Sections on the collective variables, their free energy and their timescales."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from mdgeomfeat.report import html
from mdgeomfeat.report.figures import (
    draw_chapman_kolmogorov,
    draw_landscape,
    draw_time_series,
    draw_timescales,
)
from mdgeomfeat.report.gallery import Gallery
from mdgeomfeat.text import Clock, number

if TYPE_CHECKING:
    from mdgeomfeat.kinetics import CKTest, FreeEnergy, ImpliedTimescales, StateModel

__all__ = [
    "landscape_section",
    "no_timescales_section",
    "series_section",
    "timescales_section",
]


def series_section(
    cvs: Sequence[np.ndarray],
    states: StateModel | None,
    clock: Clock,
    gallery: Gallery,
) -> html.Html:
    """Show the collective variables over time."""
    figure = draw_time_series(
        cvs, dt=clock.dt, states=None if states is None else states.dtrajs
    )
    several = len(cvs) > 1
    return gallery.add(
        "time-series",
        figure,
        alt="Collective variables over time, with their histograms.",
        caption="The slowest collective variables (no unit, variance 1) over time"
        + (", one trajectory after another" if several else "")
        + (", coloured by state" if states is not None else "")
        + "; at the right how often each value occurs. A variable that jumps between "
        "levels and stays there is a slow process; one that never returns has been "
        "seen too briefly.",
        kind="png",
    )


def landscape_section(
    surface: FreeEnergy | None,
    cvs: Sequence[np.ndarray],
    states: StateModel,
    temperature: float | None,
    gallery: Gallery,
) -> html.Html:
    """Show the free energy over the first one or two collective variables."""
    if surface is None:
        return html.note(
            "No free energy is drawn, because the Markov model is disconnected and "
            "its weights are unknown."
        )
    n_axes = len(surface.edges)
    marks = np.full((states.n_states, n_axes), np.nan)
    for i, index in enumerate(states.representatives):
        if len(index):
            trajectory, frame = index[0]
            marks[i] = cvs[trajectory][frame, :n_axes]
    figure = draw_landscape(
        surface.energy, surface.edges, surface.unit, representatives=marks
    )
    weights = "Markov model's weights"
    at = f" at {temperature:g} K" if temperature is not None else ""
    hint = (
        ""
        if temperature is not None
        else " Give <code>--temperature</code> for kJ/mol."
    )
    return gallery.add(
        "free-energy",
        figure,
        alt="Free energy over the first collective variables.",
        caption=html.join(
            [
                f"Free energy -kT ln p{at} with the "
                f"{'weights of the frames' if states.weighted else weights}; the "
                f"{'numbers' if n_axes > 1 else 'dashed lines'} mark each state's most "
                "typical frame. Nothing is drawn where no frame was.",
                html.Html(hint),
            ]
        ),
    )


def no_timescales_section() -> html.Html:
    """Say why biased runs have no timescales."""
    return html.note(
        "The runs were biased, so their timescales and transition probabilities are "
        "those of the biased system and are not given; the weights of frames correct "
        "how often conformations are seen, not how fast they change. Timescales need "
        "runs without a bias, for example from the states below."
    )


def timescales_section(
    timescales: ImpliedTimescales | None,
    states: StateModel,
    clock: Clock,
    gallery: Gallery,
) -> html.Html:
    """Show implied timescales over the lag and the Chapman-Kolmogorov test."""
    ck, lag = states.ck, states.lag
    parts: list[html.Child] = []
    if timescales is not None and np.isfinite(timescales.timescales).any():
        figure = draw_timescales(
            timescales.lags,
            timescales.timescales,
            dt=clock.dt,
            low=timescales.lower,
            high=timescales.upper,
            chosen_lag=lag,
        )
        parts.append(
            gallery.add(
                "timescales",
                figure,
                alt="Implied timescales over the lag, with 90 % bands.",
                caption="Implied timescales of Markov models over the lag, with 90 % "
                f"intervals (of a bootstrap over {timescales.unit} and of the "
                "transitions between states, the wider). They can be trusted where "
                "they no longer change with the lag; nothing can be said about "
                "processes in the grey zone, which are over within the lag. At the lag "
                f"of the states, {clock.show(lag)}, the slowest is "
                f"{clock.show(timescales.at(lag))}.",
            )
        )
    else:
        parts.append(html.paragraph("No timescale could be estimated at any lag."))
    if ck is None:
        parts.append(html.paragraph("There is no Chapman-Kolmogorov test."))
    else:
        parts.append(_test(ck, clock, gallery))
    return html.join(parts)


def _test(ck: CKTest, clock: Clock, gallery: Gallery) -> html.Html:
    verdict = {
        True: "The model passes the test",
        False: "The model fails the test",
        None: "The data are too few to decide the test",
    }[ck.passed]
    figure = draw_chapman_kolmogorov(
        ck.lags,
        ck.predicted,
        ck.estimated,
        dt=clock.dt,
        low=ck.estimated_lower,
        high=ck.estimated_upper,
    )
    return gallery.add(
        "chapman-kolmogorov",
        figure,
        alt="Chapman-Kolmogorov test: predicted and estimated probabilities over time.",
        caption="Chapman-Kolmogorov test: the probability to be in one state a while "
        "after having been in another, predicted by the model (line) and estimated "
        "from the data at that lag (points, 90 % band of the bootstrap). "
        f"{verdict}; the largest deviation is {number(ck.largest_deviation)}. "
        "Deviations of more than 0.05 and three standard deviations count against it. "
        f"A standard deviation is {number(ck.uncertainty)} at most here, and wider "
        "than the band where few transitions were seen.",
    )
