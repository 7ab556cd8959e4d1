"""What was found, in a few plain sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mdgeomfeat.report.wording.rates import rates_in_words
from mdgeomfeat.text import Clock, count, enumerate_words, number, percent

if TYPE_CHECKING:
    from mdgeomfeat.kinetics import Score, StateModel, StudyResult

__all__ = ["RANDOM", "findings_in_words"]

#: Name of the untrained network among the inputs.
RANDOM = "random weights"


def findings_in_words(study: StudyResult) -> list[str]:
    """Return what was found as sentences, the most important first.

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
    >>> from mdgeomfeat.report import findings_in_words
    >>> print(findings_in_words(study)[1])
    2 states can be told apart, holding 58 % and 42 % of the stationary population.
    """
    clock = Clock(study.settings.dt)
    motions = _weighted(study) if study.biased else _motions(study, clock)
    return [*motions, *_scores(study)]


def _weighted(study: StudyResult) -> list[str]:
    """Say what frames of biased runs tell, and what they cannot."""
    weights, states = study.weights, study.states
    if weights is None or states.populations is None:
        return []
    shares = enumerate_words([percent(p) for p in states.populations])
    text = (
        f"Frames of biased runs, reweighted ({count(weights.n_frames, 'frame')} worth "
        f"{count(round(weights.effective_size), 'frame')} of equal weight), fall into "
        f"{count(states.n_states, 'state')} that hold {shares} of the population"
    )
    if not study.evidence.established:
        text += (
            "; held-out data of these runs show no motion slower than the lag, so the "
            "states may be arbitrary"
        )
    return [
        f"{text}.",
        "No timescale is given, because the runs were biased: weights correct how "
        "often conformations are seen, not how fast they change.",
    ]


def _motions(study: StudyResult, clock: Clock) -> list[str]:
    """Say how slow the motions are and between how many states, or why not.

    Timescales and states are only told of motions that held-out data establish, and
    states only where a timescale separates them.
    """
    evidence, states = study.evidence, study.states
    if not states.connected and (evidence.established or study.lag_scan.n_slow):
        text = (
            "Slow changes are seen, but too rarely for a timescale: the trajectories "
            "do not connect all regions that they visit, so there are no populations"
        )
        if not evidence.established:
            text += ", and no slow motion could be established on held-out data"
        return [f"{text}."]
    lag = clock.show(study.lag)
    if evidence.above_chance and not evidence.slower_than_lag:
        return [
            f"No motion slower than the lag of {lag} could be established on held-out "
            "data."
        ]
    if not evidence.established:
        return [
            f"No slow motion could be established on held-out data at a lag of {lag}."
        ]
    above = np.nan_to_num(states.timescales, nan=0.0) > states.lag
    # only the leading run: one that is not known ends it
    slow = states.timescales[: np.argmin([*above, False])].tolist()
    if not slow or states.populations is None:
        return [
            "Held-out data show a slow motion, but the Markov model gives no timescale "
            f"above its lag of {clock.show(states.lag)} for it."
        ]
    return [
        _timescales(study, slow, clock),
        _states(states.populations),
        *rates_in_words(study),
    ]


def _timescales(study: StudyResult, slow: list[float], clock: Clock) -> str:
    """Tell the timescale and, in the same breath, what speaks against it."""
    states = study.states
    text = "The slowest motion has a timescale of " + clock.interval(
        slow[0], states.timescales_lower[0], states.timescales_upper[0]
    )
    if len(slow) > 1:
        others = [clock.show(t) for t in slow[1:]]
        text += f", the next {enumerate_words(others)}"
    against = _against(study, slow[0], clock)
    if against:
        text += f". This is not certain: {'; '.join(against)}"
    return text + "."


def _against(study: StudyResult, slowest: float, clock: Clock) -> list[str]:
    """Return what speaks against the slowest timescale, the gravest first."""
    states, found = study.states, []
    if states.ck is None:
        found.append("the trajectories are too short to test the Markov model")
    elif states.ck.passed is None:
        found.append("the data are too few to decide the Chapman-Kolmogorov test")
    elif not states.ck.passed:
        found.append(
            "the Markov model fails its Chapman-Kolmogorov test (largest deviation "
            f"{number(states.ck.largest_deviation)})"
        )
    its = study.timescales
    later = None if its is None else its.change_after(states.lag)
    if later is not None:
        found.append(
            f"at a lag of {clock.show(later.lag)} it is {clock.show(later.timescale)}, "
            "so it does not level off"
        )
    linear = study.lag_scan
    # those of a model that is not linear may have levelled off long before
    if linear.n_slow and not linear.levels_off and not _settled(study):
        found.append("the TICA timescale levels off at no lag")
    tica = study.lag_scan.slowest
    if tica is not None and _elsewhere(tica, slowest, states):
        where = (
            "the same lag"
            if study.lag == states.lag
            else f"a lag of {clock.show(study.lag)}"
        )
        found.append(
            f"at {where} TICA finds {clock.show(tica)}, in frames that it was not "
            "fitted to"
        )
    return found


def _settled(study: StudyResult) -> bool:
    """Whether the Markov model's own timescale is constant and its test passes."""
    from mdgeomfeat.kinetics import MarkovLagReason

    return bool(study.states.passed) and (
        study.choices.markov_lag is MarkovLagReason.CONSTANT
    )


def _elsewhere(tica: float, slowest: float, states: StateModel) -> bool:
    """Whether TICA finds a slower motion, or one that is not half as slow.

    It may find a somewhat faster one, since it is linear.
    """
    low, high = states.timescales_lower[0], states.timescales_upper[0]
    return bool(tica > np.fmax(high, slowest) or tica < np.fmin(low, slowest / 2))


def _states(populations: NDArray[np.float64]) -> str:
    shares = [percent(p) for p in populations]
    return (
        f"{count(len(shares), 'state').capitalize()} can be told apart, holding "
        f"{enumerate_words(shares)} of the stationary population."
    )


def _scores(study: StudyResult) -> list[str]:
    """Compare the features with the baselines, by the study's own estimator."""
    scores = [s for s in study.scores if s.score is not None]
    if not scores:
        return []
    method = scores[0].method
    same = [s for s in scores if s.method == method]
    first = next((s for s in same if s.primary), None)
    others = [s for s in same if not s.primary]
    if first is None:
        return []
    top = study.ceiling
    ceiling = f" of at most about {number(top)}" if top is not None else ""
    text = (
        f"On held-out data the {study.primary} score {number(first.score)}{ceiling} "
        f"(VAMP-2, {method}; 1 is nothing{_chance(study)})"
    )
    if others:
        text += ", beside " + enumerate_words(
            [f"{number(s.score)} for {s.input}" for s in others]
        )
    sentences = [text + "."]
    if not first.independent:
        sentences.append("These scores are not independent of the training data.")
    best = max(same, key=lambda s: s.score or 0.0)
    twin = next((s for s in others if s.input == RANDOM), None)
    if twin is not None and not _loses(twin):
        sentences.append(
            "Any lead over a network that was never trained is within its "
            "uncertainty, so these scores give pre-training no credit."
        )
    if not best.primary and best.input != RANDOM and _clearly(best):
        if best.input.endswith(f" + {study.primary}"):
            sentences.append(
                f"Here {best.input}, behind one linear map, do better than the "
                f"{study.primary} alone: with as few data as these, join them."
            )
        else:
            sentences.append(
                f"Here {best.input} do better: if they are at hand, use them for this "
                "system."
            )
    return sentences


def _chance(study: StudyResult) -> str:
    """Name what chance gives where the score has to be compared with it."""
    evidence = study.evidence
    if evidence.above_chance:
        return ""
    return f", and chance gives {number(evidence.chance)}"


def _loses(score: Score) -> bool:
    """Whether an input stays behind the features by twice its standard error."""
    if score.minus_primary is None:
        return True
    error = (score.minus_primary_sd or 0.0) / np.sqrt(score.n_folds)
    return bool(score.minus_primary < -2 * error)


def _clearly(score: Score) -> bool:
    """Whether an input beats the features by more than twice its standard error."""
    from mdgeomfeat.kinetics import sure_lead

    if score.minus_primary is None or score.minus_primary_sd is None:
        return False
    if sure_lead(score) <= 0:  # better than nothing at nothing
        return False
    error = score.minus_primary_sd / np.sqrt(score.n_folds)
    return bool(score.minus_primary > max(2 * error, 0.01))
