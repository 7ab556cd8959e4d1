"""What makes a study less certain, in sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mdgeomfeat.errors import sentence
from mdgeomfeat.report.wording.choices import lag_in_words
from mdgeomfeat.text import Clock, count, number, percent

if TYPE_CHECKING:
    from mdgeomfeat.kinetics import Doubt, Evidence, StudyResult
    from mdgeomfeat.kinetics.reasons import FewData

__all__ = ["doubts_in_words", "failures_in_words"]


def doubts_in_words(study: StudyResult) -> list[str]:
    """Return what a reader must know before believing a study, the gravest first.

    Parameters
    ----------
    study : StudyResult

    Examples
    --------
    >>> import numpy as np
    >>> from mdgeomfeat.kinetics import StudySettings, run_study
    >>> from mdgeomfeat.report import doubts_in_words
    >>> rng = np.random.default_rng(0)
    >>> noise = [rng.normal(size=(300, 3)) for _ in range(4)]
    >>> settings = StudySettings(method="tica", n_bootstrap=5)
    >>> study = run_study({"noise": noise}, "noise", settings)
    >>> print(doubts_in_words(study)[0])
    Directions found in one half of the training data show no process slower than ...
    """
    from mdgeomfeat.kinetics.reasons import FitsFailed

    return [_worded(d, study) for d in study.doubts if not isinstance(d, FitsFailed)]


def failures_in_words(study: StudyResult) -> list[str]:
    """Return which fits of which inputs failed, which concerns single scores only.

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
    >>> from mdgeomfeat.report import failures_in_words
    >>> failures_in_words(study)
    []
    """
    from mdgeomfeat.kinetics.reasons import FitsFailed

    return [_worded(d, study) for d in study.doubts if isinstance(d, FitsFailed)]


def _worded(doubt: Doubt, study: StudyResult) -> str:
    from mdgeomfeat.kinetics import reasons

    clock = Clock(study.settings.dt)
    match doubt:
        case reasons.BiasedDynamics():
            return (
                "The runs were biased. Weights give populations and free energies of "
                "the unbiased system, but not how fast it moves: timescales would be "
                "those of the biased runs, so none is given."
            )
        case reasons.FewEffective(effective, frames):
            return (
                f"The weights of {count(frames, 'frame')} are so unequal that they are "
                f"worth {count(round(effective), 'frame')} of equal weight; "
                "populations are rough."
            )
        case reasons.NotEstablished():
            return _not_established(study.evidence, clock.show(study.lag))
        case reasons.LagNotConstant(reason):
            if reason is not reasons.LagReason.GIVEN:
                return lag_in_words(study)
            return (
                "At the lag given the slowest TICA timescale is not within 10 % of its "
                "value at the next two lags."
            )
        case reasons.NotIndependent():
            return (
                "The scores are not independent: the trajectories are too short for "
                "parts that are five lags and the slowest timescale apart."
            )
        case reasons.FewData():
            return _few_data(doubt, clock)
        case reasons.FewerOutputs(wanted, rank):
            return (
                f"Only {rank} of {count(wanted, 'output')} are independent of each "
                f"other; there {_be(rank)} {count(rank, 'collective variable')}."
            )
        case reasons.FitsFailed(method, name, failure):
            if failure.n_fits == 0:
                return f"{method} of {name}: {failure.reason}."
            return (
                f"{method} of {name}: {failure.n_failed} of "
                f"{count(failure.n_fits, 'fit')} failed ({failure.reason})."
            )
    return _of_states(doubt, study, clock)


def _of_states(doubt: Doubt, study: StudyResult, clock: Clock) -> str:
    from mdgeomfeat.kinetics import reasons

    match doubt:
        case reasons.FramesOutside(share):
            return (
                f"{percent(share)} of the frames lie outside the largest connected set "
                "of microstates and have no stationary weight."
            )
        case reasons.SeparateSets(n_sets, share):
            return (
                "No run joins all conformations, so the states are the "
                f"{count(n_sets, 'set')} that runs do join ({percent(share)} of the "
                "weight); how populated one is beside another rests on the weights of "
                "different runs alone."
            )
        case reasons.NothingAboveLag():
            return "No timescale of the Markov model is above the lag."
        case reasons.FewerStates(found, wanted):
            return (
                f"PCCA+ finds {count(found, 'state')} that hold frames, not {wanted}."
            )
        case reasons.MarkovTestTooShort():
            return "The trajectories are too short for a Chapman-Kolmogorov test."
        case reasons.MarkovTestUndecided(uncertainty, more):
            text = "The data are too few to decide the Chapman-Kolmogorov test"
            if more > 1:
                text += (
                    ": a probability of transition is known to "
                    f"{number(uncertainty)} only; about {more:.1f} times as many "
                    "frames would decide it"
                )
            return f"{text}."
        case reasons.MarkovTestFailed(deviation):
            return (
                "The Chapman-Kolmogorov test fails (largest deviation "
                f"{number(deviation)}): the model is not Markovian at this lag."
            )
        case reasons.NoLagPasses(passing, longest):
            if passing is None:
                return (
                    "The Chapman-Kolmogorov test passes at no lag up to "
                    f"{clock.show(longest)}; variables that separate the states "
                    "better, or runs of at least 20 times a longer lag, are needed."
                )
            text = (
                "The Chapman-Kolmogorov test would pass at a lag of "
                f"{clock.show(passing)} (--lag)"
            )
            if passing > study.states.lag:
                text += (
                    ", at which nothing faster can be told; runs of at least "
                    f"{clock.show(20 * passing)} would suit it"
                )
            return f"{text}."
        case reasons.Disconnected(share):
            return (
                f"The Markov model is disconnected: {percent(share)} of the frames lie "
                "outside its largest connected set, so populations, free energies and "
                "timescales cannot be given; simulate until every state is left and "
                "entered again, or use a shorter lag."
            )
        case reasons.ManySets(large, shown, share):
            return (
                f"{count(large, 'connected set')} hold at least 1 % of the frames "
                f"each; the {shown} largest, with {percent(share)} of the frames, are "
                "shown as states."
            )
    raise TypeError(f"no sentence for {type(doubt).__name__}")


def _not_established(evidence: Evidence, lag: str) -> str:
    why = []
    if not evidence.slower_than_lag:
        why.append(
            "directions found in one half of the training data show no process slower "
            f"than the lag of {lag} in the other half"
        )
    if evidence.score is None:
        why.append("no held-out part has a score")
    elif not evidence.above_chance:
        error = ""
        if evidence.error is not None:
            error = f" (standard error {number(evidence.error, 3)})"
        why.append(
            f"the held-out score of {number(evidence.score, 3)}{error} is not clearly "
            f"above the {number(evidence.chance, 3)} that chance gives"
        )
    # the headline has said that nothing is established; here is why
    return (
        f"{sentence(', and '.join(why))} Timescales, states and free energies are of "
        "the frames that the collective variables were fitted to, where noise looks "
        "slow as well; simulate longer, or look at a shorter lag if there is one."
    )


def _few_data(doubt: FewData, clock: Clock) -> str:
    times = f"{doubt.ratio:.2g}"
    start = (
        f"All data together are {'once' if times == '1' else f'{times} times'} the "
        f"slowest timescale found ({clock.show(doubt.slowest)}): "
    )
    if doubt.unusable:
        return (
            f"{start}too few to trust its value, the populations, or a comparison of "
            f"scores; {doubt.needed} times would be needed."
        )
    return f"{start}expect errors of 30-60 % in timescales and populations."


def _be(n: int) -> str:
    return "is" if n == 1 else "are"
