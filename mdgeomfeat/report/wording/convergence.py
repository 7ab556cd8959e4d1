"""Whether a simulation is converged, in sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mdgeomfeat.text import Clock, count, enumerate_words

if TYPE_CHECKING:
    from mdgeomfeat.kinetics import Convergence, StudyResult
    from mdgeomfeat.kinetics.convergence import Shortfall

__all__ = ["convergence_in_words"]


def convergence_in_words(study: StudyResult) -> list[str]:
    """Return whether the data are enough, why, and what it would take.

    Parameters
    ----------
    study : StudyResult

    Examples
    --------
    >>> import numpy as np
    >>> from mdgeomfeat.kinetics import StudySettings, run_study
    >>> rng = np.random.default_rng(0)
    >>> flips = np.where(rng.random((4, 500)) < 0.02, -1, 1).cumprod(axis=1)
    >>> runs = list(flips[:, :, None] + rng.normal(0, 0.2, (4, 500, 1)))
    >>> settings = StudySettings(method="tica", n_bootstrap=5)
    >>> study = run_study({"x": runs}, "x", settings)
    >>> from mdgeomfeat.report import convergence_in_words
    >>> print(convergence_in_words(study)[0])
    Is it converged? Yes, as far as these data can tell: all data together are 100 ...
    """
    found, clock = study.convergence, Clock(study.settings.dt)
    if found.converged:
        agree = "the two halves" + (" and the runs" if len(found.runs) > 1 else "")
        return [
            "Is it converged? Yes, as far as these data can tell: "
            f"{_data(found, clock)}, {_crossed(found)}, {agree} agree on the "
            "populations, and the Chapman-Kolmogorov test is passed. A state that no "
            "run has visited is not excluded."
        ]
    if found.converged is None:
        return [
            "Is it converged? That is not known: the runs were biased, so crossings "
            "and timescales are those of the bias; compare the states by run below."
        ]
    why = [_reason(s, found, clock) for s in found.shortfalls]
    sentences = [f"Is it converged? No: {'; '.join(why)}."]
    if found.factor is not None:
        sentences.append(
            f"About {_times(found.factor)} times as much data would be needed, if the "
            "slowest motion seen is the slowest there is."
        )
    return sentences


def _reason(short: Shortfall, found: Convergence, clock: Clock) -> str:
    from mdgeomfeat.kinetics.convergence import (
        ENOUGH_CROSSINGS,
        ENOUGH_TIMES,
        Shortfall,
    )

    match short:
        case Shortfall.NOT_ESTABLISHED:
            return (
                "either nothing here is slow, or the slow changes were not seen often "
                "enough to tell them from chance"
            )
        case Shortfall.DISCONNECTED:
            return (
                "some states were not left and entered again; simulate until each has "
                f"been entered and left about {ENOUGH_CROSSINGS} times"
            )
        case Shortfall.NOT_MARKOVIAN:
            return (
                "the Chapman-Kolmogorov test fails, so the states may hide a slower "
                "motion, which more data or a longer lag may show"
            )
        case Shortfall.UNTESTED:
            return "the data are too few for the Chapman-Kolmogorov test"
        case Shortfall.FEW_TIMES:
            return f"{_data(found, clock)}, and {ENOUGH_TIMES} times would be enough"
        case Shortfall.FEW_CROSSINGS:
            return f"{_crossed(found)}, and {ENOUGH_CROSSINGS} times would be enough"
        case Shortfall.HALVES:
            return (
                "the first and second halves of the runs differ in populations by "
                "more than chance"
            )
        case Shortfall.RUNS:
            return "the runs differ in populations by more than chance"
    raise ValueError(f"no sentence for {short}")


def _data(found: Convergence, clock: Clock) -> str:
    times = _times(found.times or 0.0)
    slowest = clock.show(found.slowest)
    return f"all data together are {times} times the slowest timescale ({slowest})"


def _times(value: float) -> str:
    """Write a factor with two digits.

    >>> _times(2.04), _times(327.2)
    ('2', '330')
    """
    return f"{float(f'{value:.2g}'):,.9g}"


def _crossed(found: Convergence) -> str:
    """Name the states that were entered or left least often."""
    least = [int(min(a, b)) for a, b in zip(found.entries, found.exits, strict=True)]
    fewest = min(least)
    which = [str(i + 1) for i, n in enumerate(least) if n == fewest]
    if len(which) == len(least):
        names = "every state was"
    elif len(which) == 1:
        names = f"state {which[0]} was"
    else:
        names = f"states {enumerate_words(which)} were"
    if fewest == 0:
        never = "a state was never" if len(which) == len(least) else f"{names} never"
        return f"{never} both entered and left"
    return f"{names} entered and left {_at_least(fewest, len(which), len(least))}"


def _at_least(fewest: int, n_fewest: int, n_states: int) -> str:
    text = "once" if fewest == 1 else count(fewest, "time")
    return text if n_fewest == n_states else f"{text}, the others more often"
