"""What was chosen, and why, in sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mdgeomfeat.text import Clock, count, number

if TYPE_CHECKING:
    from mdgeomfeat.kinetics import StudyResult

__all__ = ["choices_in_words", "lag_in_words"]


def choices_in_words(study: StudyResult) -> list[str]:
    """Return what a study chose and why, one sentence for each choice.

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
    >>> from mdgeomfeat.report import choices_in_words
    >>> print(choices_in_words(study)[0])
    A lag of 4 frames: the smallest at which the slowest TICA timescale is within ...
    """
    sentences = [
        lag_in_words(study),
        _markov_lag(study),
        _outputs(study),
        _mixer(study),
        _seeds(study),
        _parts(study),
        _components(study),
        _weights(study),
    ]
    return [s for s in sentences if s]


def lag_in_words(study: StudyResult) -> str:
    """Say how long the lag is, and why."""
    from mdgeomfeat.kinetics import LagReason
    from mdgeomfeat.kinetics.lag import CAP

    lag = f"A lag of {count(study.lag, 'frame')}"
    if study.settings.dt is not None:
        lag += f" ({Clock(study.settings.dt).show(study.lag)})"
    why = {
        LagReason.GIVEN: ", as given",
        LagReason.CONSTANT: ": the smallest at which the slowest TICA timescale is "
        "within 10 % of its value at the next two lags",
        LagReason.LARGEST: ": the slowest TICA timescale does not become constant, so "
        f"this is the largest lag allowed (1/{CAP} of the shortest trajectory)",
        LagReason.SHARE: ": the slowest TICA timescale does not become constant, and "
        "longer lags are above a third of it",
    }[study.choices.lag]
    nothing = "; no process slower than the lag was found"
    return f"{lag}{why}{'' if study.lag_scan.n_slow else nothing}."


def _markov_lag(study: StudyResult) -> str:
    """Say how long the lag of the Markov model is, and why."""
    from mdgeomfeat.kinetics import MarkovLagReason

    states = study.states
    if study.choices.markov_lag is MarkovLagReason.GIVEN or states.weighted:
        return ""
    lag = f"{count(states.lag, 'frame')} for the Markov model"
    if study.settings.dt is not None:
        lag += f" ({Clock(study.settings.dt).show(states.lag)})"
    tested = "" if states.passed is False else ", and its test does not fail"
    return {
        MarkovLagReason.CONSTANT: f"{lag}: its slowest timescale is within 10 % of "
        f"its value at the next two lags{tested}.",
        MarkovLagReason.TEST: f"{lag}: its Chapman-Kolmogorov test does not fail "
        "there, as it does where its slowest timescale is constant.",
        MarkovLagReason.VARIABLES: f"{lag}, the lag of the variables: its timescales "
        "and its test speak for no other.",
    }[study.choices.markov_lag]


def _outputs(study: StudyResult) -> str:
    outputs = count(study.dim, "output")
    if study.choices.dim_given:
        return f"{outputs}, as given."
    if study.lag_scan.n_slow == 0:
        return f"{outputs}, although TICA finds no process slower than the lag."
    return (
        f"{outputs}: the number of TICA processes slower than the lag (1 to 5), with "
        "directions and timescales from different parts of the training data."
    )


def _mixer(study: StudyResult) -> str:
    from mdgeomfeat.kinetics import MixerReason

    reason = study.choices.mixer
    if reason is None:
        return ""
    tokens = count(study.choices.n_tokens, "token")
    why = {
        MixerReason.GIVEN: ", as given",
        MixerReason.NO_TOKENS: ": the input has no tokens",
        MixerReason.VECTORS: ": the input has vector channels",
        MixerReason.TOKENS: f": {tokens}",
    }[reason]
    if study.choices.merged > 1:
        return (
            f"Mixer {study.mixer}{why}. To save time, {study.choices.merged} tokens "
            "that follow each other are joined to one before they are mixed."
        )
    return f"Mixer {study.mixer}{why}."


def _seeds(study: StudyResult) -> str:
    if not study.choices.fewer_seeds:
        return ""
    return (
        f"Only {count(study.settings.seeds or 1, 'seed')}, because the networks are "
        "large; more can be asked for."
    )


def _parts(study: StudyResult) -> str:
    """Say what was held out."""
    first, n = study.folds[0], len(study.folds)
    if first.kind == "trajectories":
        return (
            f"Scores are means over {count(n, 'held-out part')} made of whole "
            f"trajectories ({number(len(study.cvs), 0)} in all); other trajectories "
            "train, and others again stop the training."
        )
    gap = Clock(study.settings.dt).show(first.gap)
    return (
        f"Scores are means over {n} held-out thirds of each trajectory, {gap} apart "
        "from the thirds that train and stop."
    )


def _components(study: StudyResult) -> str:
    """Say where an estimator saw principal components."""
    found = [
        f"{s.pca:,} for {s.input}"
        for s in study.scores
        if s.pca is not None and s.pca < s.width
    ]
    if not found:
        return ""
    return (
        "TICA saw principal components of the training part where an input has over "
        "1,000 columns, or more columns than a tenth of the training pairs (then as "
        f"many as score best on the stopping part): {', '.join(found)}."
    )


def _weights(study: StudyResult) -> str:
    """Say what the weights of frames are worth, and what they enter."""
    weights = study.weights
    if weights is None:
        return ""
    worth = (
        f"Frames are weighted: {count(weights.n_frames, 'frame')} are worth "
        f"{count(round(weights.effective_size), 'frame')} of equal weight (Kish's "
        "effective sample size)."
    )
    if not study.biased:
        return (
            f"{worth} The weights are those under which one lag leaves the density "
            "unchanged (Koopman reweighting), and enter the covariances of TICA and "
            "networks, all scores and the transitions of Markov models."
        )
    return (
        f"{worth} Weights enter the covariances of TICA and networks, all scores, "
        "states, populations and free energies; the lag was chosen on the runs as they "
        "are."
    )
