"""The section on how fast the states change into each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from mdgeomfeat.report import html
from mdgeomfeat.report.figures import draw_network
from mdgeomfeat.report.gallery import Gallery
from mdgeomfeat.report.wording.rates import refusal_in_words
from mdgeomfeat.text import Clock, number

if TYPE_CHECKING:
    from mdgeomfeat.kinetics import StateModel, StudyResult, TransitionRates

__all__ = ["rates_section"]


def rates_section(study: StudyResult, clock: Clock, gallery: Gallery) -> html.Html:
    """Show passage times between states, the fluxes, and the transition matrix.

    Parameters
    ----------
    study : StudyResult
    clock : Clock
    gallery : Gallery
        Receives the figure.
    """
    from mdgeomfeat.kinetics import NoRates

    rates, states = study.rates, study.states
    if isinstance(rates, NoRates):
        return html.note(refusal_in_words(rates))
    parts: list[html.Child] = [_passage_times(rates, clock)]
    if states.populations is not None and states.model is not None:
        figure = draw_network(
            states.populations,
            rates.state_committor,
            rates.flux,
            source=rates.source,
            variable=_variable(study, states.model.states),
            committor=rates.committor,
            assignment=states.assignment,
        )
        parts.append(_network(figure, rates, gallery))
    matrix = states.transition_matrix
    if matrix is not None:
        parts.append(_transitions(matrix, states, clock))
    return html.join(parts)


def _passage_times(rates: TransitionRates, clock: Clock) -> html.Html:
    n = len(rates.passage_times)
    rows: list[list[html.Child]] = []
    for i, j in ((i, j) for i in range(n) for j in range(n) if i != j):
        low, high = rates.passage_times_lower[i, j], rates.passage_times_upper[i, j]
        rows.append(
            [
                f"{i + 1} → {j + 1}",
                clock.show(rates.passage_times[i, j]),
                _ends(low, high, clock),
                _rate(rates.rates[i, j], clock),
                _rate_ends(rates.rates_lower[i, j], rates.rates_upper[i, j], clock),
            ]
        )
    unit = "per frame" if clock.dt is None else "per µs"
    return html.table(
        [
            "from → to",
            "mean first-passage time",
            "90 % interval",
            f"rate ({unit})",
            "90 % interval",
        ],
        rows,
        caption="How long it takes on average to get from one state to another, by "
        "any path, and its reciprocal. Both come from the rate matrix of the PCCA+ "
        "memberships, whose relaxation times are the slow timescales; intervals by a "
        f"bootstrap over {rates.unit}.",
        numeric=range(1, 5),
    )


def _network(figure: Figure, rates: TransitionRates, gallery: Gallery) -> html.Html:
    first, last = rates.source + 1, rates.target + 1
    return gallery.add(
        "network",
        figure,
        alt="Network of the states with fluxes, and the committor of microstates.",
        caption=f"The slowest change, from state {first} to state {last}, by "
        "transition path theory. Left: states at their mean committor, which is the "
        f"probability to reach state {last} before state {first}; discs grow with "
        "population, and arrows tell which share of the flux goes that way (2 % or "
        "more). Right: the committor of every microstate along the slowest collective "
        "variable; a good variable of this change gives one rising curve.",
    )


def _variable(study: StudyResult, own: np.ndarray) -> np.ndarray:
    """Return the mean slowest collective variable of the model's own microstates."""
    states = study.states
    micro = np.concatenate(states.microstates)
    slowest = np.concatenate([c[:, 0] for c in study.cvs])
    total = np.bincount(micro, slowest, minlength=states.n_micro)
    number_of = np.bincount(micro, minlength=states.n_micro)
    means: np.ndarray = total[own] / number_of[own]
    return means


def _transitions(matrix: np.ndarray, states: StateModel, clock: Clock) -> html.Html:
    names = [str(i + 1) for i in range(len(matrix))]
    rows = [
        [f"from {name}", *(number(p, 4) for p in row)]
        for name, row in zip(names, matrix, strict=True)
    ]
    return html.details(
        "Transition matrix",
        html.table(
            ["", *(f"to {name}" for name in names)],
            rows,
            caption=f"Probability to be in a state {clock.show(states.lag)} later.",
            numeric=range(1, len(matrix) + 1),
        ),
    )


def _ends(low: float, high: float, clock: Clock) -> str:
    if np.isfinite(low) and not np.isfinite(high):
        return f"above {clock.show(low)}"
    return (
        f"{clock.show(low)} to {clock.show(high)}" if np.isfinite(low) else number(None)
    )


def _rate(rate: float, clock: Clock) -> str:
    if not np.isfinite(rate):
        return number(None)
    value = rate if clock.dt is None else rate / clock.dt * 1e6
    return f"{float(f'{value:.3g}'):,.9g}"


def _rate_ends(low: float, high: float, clock: Clock) -> str:
    if not np.isfinite(high):
        return number(None)
    if not np.isfinite(low):
        return f"below {_rate(high, clock)}"
    return f"{_rate(low, clock)} to {_rate(high, clock)}"
