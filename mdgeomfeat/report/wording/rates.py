"""How fast the states change into each other, in sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mdgeomfeat.text import Clock

if TYPE_CHECKING:
    from mdgeomfeat.kinetics import NoRates, StudyResult, TransitionRates

__all__ = ["rates_in_words", "refusal_in_words"]


def rates_in_words(study: StudyResult) -> list[str]:
    """Return how long the slowest change takes, forth and back, if it is known.

    Parameters
    ----------
    study : StudyResult
    """
    from mdgeomfeat.kinetics import NoRates

    rates, clock = study.rates, Clock(study.settings.dt)
    if isinstance(rates, NoRates):
        return []
    a, b = rates.source, rates.target
    forth, back = _time(rates, a, b, clock), _time(rates, b, a, clock)
    return [
        f"From state {a + 1} to state {b + 1} it takes {forth} on average, and back "
        f"{back}."
    ]


def _time(rates: TransitionRates, a: int, b: int, clock: Clock) -> str:
    low, high = rates.passage_times_lower[a, b], rates.passage_times_upper[a, b]
    text = clock.interval(rates.passage_times[a, b], low, high)
    if np.isfinite(low) and not np.isfinite(high):
        text += f" (90 % interval above {clock.show(low)})"
    return text


def refusal_in_words(reason: NoRates) -> str:
    """Return why no rates are given.

    Parameters
    ----------
    reason : NoRates
    """
    from mdgeomfeat.kinetics import NoRates

    return {
        NoRates.BIASED: "No rates are given, because the runs were biased: weights "
        "correct how often conformations are seen, not how fast they change.",
        NoRates.NOT_ESTABLISHED: "No rates are given, because no motion is known to "
        "be slow.",
        NoRates.DISCONNECTED: "No rates are given, because the Markov model is "
        "disconnected: some states were never left and entered again.",
        NoRates.ONE_STATE: "No rates are given, because there is only one state.",
        NoRates.NOT_MARKOVIAN: "No rates are given, because the Chapman-Kolmogorov "
        "test fails: how long a state lasts depends on what was before it, so that "
        "there is no rate at this lag.",
        NoRates.WITHIN_LAG: "No rates are given, because the states change into each "
        "other within about the lag of the Markov model; use a shorter lag or fewer "
        "states.",
    }[reason]
