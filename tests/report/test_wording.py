"""Sentences for choices and doubts, from records alone."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from mdgeomfeat.kinetics import (
    Choices,
    Doubt,
    Evidence,
    LagReason,
    MarkovLagReason,
    MixerReason,
    reasons,
)
from mdgeomfeat.report import choices_in_words, doubts_in_words, failures_in_words


def study(doubts=(), dt=2.0, n_slow=1, **choices):
    given = {
        "lag": LagReason.CONSTANT,
        "markov_lag": MarkovLagReason.CONSTANT,
        "dim_given": False,
        "mixer": MixerReason.TOKENS,
        "n_tokens": 5,
        "merged": 1,
        "fewer_seeds": False,
    }
    return SimpleNamespace(
        settings=SimpleNamespace(dt=dt, seeds=1),
        lag=4,
        states=SimpleNamespace(lag=2, passed=True, weighted=False),
        dim=1,
        mixer="mlp",
        choices=Choices(**(given | choices)),
        doubts=tuple(doubts),
        lag_scan=SimpleNamespace(n_slow=n_slow),
        cvs=[None] * 4,
        weights=None,
        biased=False,
        folds=[SimpleNamespace(kind="trajectories", gap=0)] * 3,
        scores=[SimpleNamespace(pca=1000, width=2400, input="distances")],
        evidence=Evidence(
            slower_than_lag=False,
            above_chance=False,
            score=1.004,
            error=0.002,
            chance=1.01,
            n_parts=3,
        ),
    )


def test_choices():
    found = choices_in_words(study())
    assert found[0].startswith("A lag of 4 frames (8 ps): the smallest at which")
    assert found[1] == (
        "2 frames for the Markov model (4 ps): its slowest timescale is within 10 % of "
        "its value at the next two lags, and its test does not fail."
    )
    assert found[2].startswith("1 output: the number of TICA processes")
    assert found[3] == "Mixer mlp: 5 tokens."
    assert found[4].startswith("Scores are means over 3 held-out parts made of whole")
    assert found[5].endswith("stopping part): 1,000 for distances.")
    assert all(s.endswith(".") for s in found)
    other = choices_in_words(
        study(
            dt=None,
            n_slow=0,
            lag=LagReason.GIVEN,
            markov_lag=MarkovLagReason.GIVEN,
            mixer=None,
            fewer_seeds=True,
        )
    )
    assert other[0] == (
        "A lag of 4 frames, as given; no process slower than the lag was found."
    )
    assert other[1] == "1 output, although TICA finds no process slower than the lag."
    assert other[2].startswith("Only 1 seed, because the networks are large")


def test_joined_tokens_are_told():
    said = " ".join(choices_in_words(study(n_tokens=3000, merged=12)))
    assert "3,000 tokens. To save time, 12 tokens that follow each other are" in said
    assert "follow each other" not in " ".join(choices_in_words(study()))


def test_weights_are_told_with_what_they_are_worth():
    weighted = study()
    weighted.weights = SimpleNamespace(n_frames=4000, effective_size=812.3)
    (text,) = [s for s in choices_in_words(weighted) if "weighted" in s]
    assert "4,000 frames are worth 812 frames of equal weight" in text
    assert "Koopman reweighting" in text
    weighted.biased = True
    (text,) = [s for s in choices_in_words(weighted) if "weighted" in s]
    assert "Koopman" not in text
    assert "the lag was chosen on the runs as they are" in text


@pytest.mark.parametrize("reason", LagReason)
def test_every_reason_of_the_lag_has_words(reason):
    assert choices_in_words(study(lag=reason))[0].startswith("A lag of 4 frames")


@pytest.mark.parametrize("reason", MixerReason)
def test_every_reason_of_the_mixer_has_words(reason):
    assert choices_in_words(study(mixer=reason))[3].startswith("Mixer mlp")


DOUBTS = {
    "biased_dynamics": (reasons.BiasedDynamics(), "timescales would be those of the"),
    "few_effective": (
        reasons.FewEffective(120.4, 40_000),
        "The weights of 40,000 frames are so unequal that they are worth 120 frames",
    ),
    "separate_sets": (
        reasons.SeparateSets(2, 0.96),
        "the states are the 2 sets that runs do join (96 % of the weight)",
    ),
    "not_established": (reasons.NotEstablished(), "lag of 8 ps in the other half, and"),
    "fewer_outputs": (reasons.FewerOutputs(3, 1), "Only 1 of 3 outputs are"),
    "lag_not_constant": (
        reasons.LagNotConstant(LagReason.SHARE),
        "longer lags are above a third of it",
    ),
    "not_independent": (reasons.NotIndependent(), "not independent"),
    "few_data": (reasons.FewData(1.02, 50.0, 70, True), "are once the slowest"),
    "frames_outside": (reasons.FramesOutside(0.02), "2.0 % of the frames lie outside"),
    "nothing_above_lag": (reasons.NothingAboveLag(), "No timescale"),
    "fewer_states": (reasons.FewerStates(1, 3), "finds 1 state that"),
    "markov_test_too_short": (reasons.MarkovTestTooShort(), "too short"),
    "markov_test_undecided": (
        reasons.MarkovTestUndecided(0.3, 4.0),
        "known to 0.30 only; about 4.0 times as many frames",
    ),
    "no_lag_passes": (
        reasons.NoLagPasses(64, 64),
        "would pass at a lag of 128 ps (--lag), at which nothing faster can be told; "
        "runs of at least 2.56 ns",
    ),
    "markov_test_failed": (reasons.MarkovTestFailed(0.234), "deviation 0.23"),
    "disconnected": (reasons.Disconnected(0.5), "50 % of the frames lie outside"),
    "many_sets": (reasons.ManySets(40, 10, 0.25), "the 10 largest, with 25 %"),
}


@pytest.mark.parametrize("reason", MarkovLagReason)
def test_the_lag_of_the_markov_model_is_told_with_its_reason(reason):
    sentences = choices_in_words(study(markov_lag=reason))
    told = [
        s for s in sentences if s.startswith("2 frames for the Markov model (4 ps)")
    ]
    assert len(told) == (reason is not MarkovLagReason.GIVEN)


def test_a_test_that_passes_nowhere_is_told_with_what_is_needed():
    (sentence,) = doubts_in_words(study([reasons.NoLagPasses(None, 32)]))
    assert "passes at no lag up to 64 ps" in sentence
    # a lag below the one that was asked for costs nothing
    (sentence,) = doubts_in_words(study([reasons.NoLagPasses(1, 2)]))
    assert sentence.endswith("would pass at a lag of 2 ps (--lag).")


@pytest.mark.parametrize("kind", DOUBTS)
def test_every_doubt_has_words(kind):
    doubt, part = DOUBTS[kind]
    assert doubt.to_dict()["kind"] == doubt.kind == kind
    case = study([doubt], lag=LagReason.SHARE)
    (sentence,) = doubts_in_words(case)
    assert part in sentence
    assert sentence.endswith(".")
    assert failures_in_words(case) == []


def test_all_doubts_are_tried_here():
    tried = {type(doubt) for doubt, _ in DOUBTS.values()}
    assert tried == set(Doubt.__subclasses__()) - {reasons.FitsFailed}


def test_doubts_that_depend_on_what_was_asked_for():
    given = study([reasons.LagNotConstant(LagReason.GIVEN)])
    assert doubts_in_words(given)[0].startswith("At the lag given the slowest TICA")
    some = study([reasons.FewData(31.4, 50.0, 70, False)])
    assert doubts_in_words(some)[0].startswith("All data together are 31 times the")
    assert "(100 ps): expect errors" in doubts_in_words(some)[0]


def test_failed_fits_are_told_by_themselves():
    def failed(n, of, reason):
        return reasons.FitsFailed("TICA", "distances", reasons.Failure(n, of, reason))

    case = study([failed(1, 3, "no pairs"), failed(0, 0, "a value is NaN")])
    assert doubts_in_words(case) == []
    assert failures_in_words(case) == [
        "TICA of distances: 1 of 3 fits failed (no pairs).",
        "TICA of distances: a value is NaN.",
    ]
