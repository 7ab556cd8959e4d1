"""Sentences and sections on rates and on convergence."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from mdgeomfeat.kinetics import Convergence, NoRates, Shortfall, TransitionRates
from mdgeomfeat.report import convergence_in_words
from mdgeomfeat.report.sections.convergence import convergence_section
from mdgeomfeat.report.sections.rates import rates_section
from mdgeomfeat.report.wording.rates import rates_in_words, refusal_in_words
from mdgeomfeat.text import Clock


def convergence(*shortfalls, times=320.4, entries=(80, 81), factor=1.0, n_runs=2):
    shares = np.full((2, 2), 0.5)
    runs = np.full((n_runs, 2), 0.5)
    known = None if times is None else 100.0
    return Convergence(
        shortfalls=shortfalls,
        slowest=known,
        times=times,
        entries=np.array(entries),
        exits=np.array(entries),
        halves=shares,
        halves_lower=shares - 0.1,
        halves_upper=shares + 0.1,
        runs=runs,
        runs_lower=runs * np.nan,
        runs_upper=runs * np.nan,
        factor=factor,
    )


def told(found, dt=10.0):
    study = SimpleNamespace(convergence=found, settings=SimpleNamespace(dt=dt))
    return convergence_in_words(study)


def rates(upper=900.0):
    off = 1 - np.eye(2)
    high = np.array([[0, upper], [250, 0]])
    return TransitionRates(
        rate_matrix=np.array([[-1 / 800, 1 / 800], [1 / 200, -1 / 200]]),
        passage_times=np.array([[0.0, 800], [200, 0]]),
        passage_times_lower=off * np.array([[0, 700], [150, 0]]),
        passage_times_upper=high,
        source=0,
        target=1,
        committor=np.array([0.0, 0.4, 1.0]),
        state_committor=np.array([0.1, 1.0]),
        flux=np.array([[0, 0.001], [0, 0]]),
        unit="blocks",
    )


def test_yes_with_its_reasons():
    (text,) = told(convergence())
    assert text.startswith("Is it converged? Yes, as far as these data can tell: all")
    assert "320 times the slowest timescale (1 ns)" in text
    assert "state 1 was entered and left 80 times, the others more often" in text


def test_no_with_what_it_would_take():
    short = Shortfall.FEW_TIMES, Shortfall.FEW_CROSSINGS
    found = convergence(*short, times=31.6, entries=(4, 4), factor=2.5)
    first, second = told(found)
    assert first == (
        "Is it converged? No: all data together are 32 times the slowest timescale "
        "(1 ns), and 70 times would be enough; every state was entered and left 4 "
        "times, and 10 times would be enough."
    )
    assert second.startswith("About 2.5 times as much data would be needed")


@pytest.mark.parametrize("short", [s for s in Shortfall if s is not Shortfall.BIASED])
def test_every_shortfall_has_words(short):
    (text,) = told(convergence(short, factor=None))
    assert text.startswith("Is it converged? No: ")
    assert text.endswith(".")


def test_biased_runs_get_neither():
    (text,) = told(convergence(Shortfall.BIASED, times=None, factor=None))
    assert text.startswith("Is it converged? That is not known: the runs were biased")


def test_a_state_that_was_never_left_is_named():
    (text,) = told(convergence(Shortfall.FEW_CROSSINGS, entries=(0, 5), factor=None))
    assert "state 1 was never both entered and left" in text


def test_the_section_shows_crossings_and_shares():
    page = convergence_section(convergence())
    assert "<td>entered</td>" in page
    assert "50 %<br>(40 % to 60 %)" in page
    assert "run 2" in page
    assert "nan" not in page
    assert "<details>" not in page
    assert "all 9 runs" in convergence_section(convergence(n_runs=9))


def test_passage_times_forth_and_back():
    study = SimpleNamespace(rates=rates(), settings=SimpleNamespace(dt=None))
    assert rates_in_words(study) == [
        "From state 1 to state 2 it takes 800 frames (90 % interval 700 frames to 900 "
        "frames) on average, and back 200 frames (90 % interval 150 frames to 250 "
        "frames)."
    ]
    study.rates = rates(upper=np.nan)
    assert "800 frames (90 % interval above 700 frames)" in rates_in_words(study)[0]
    study.rates = NoRates.DISCONNECTED
    assert rates_in_words(study) == []


@pytest.mark.parametrize("reason", NoRates)
def test_every_refusal_has_words(reason):
    text = refusal_in_words(reason)
    assert text.startswith("No rates are given, because")
    section = rates_section(SimpleNamespace(rates=reason, states=None), None, None)
    assert text.split(",")[0] in section


def test_the_section_shows_times_rates_and_the_matrix():
    figures = []
    gallery = SimpleNamespace(
        add=lambda name, figure, **text: figures.append((name, figure, text)) or ""
    )
    micro = np.array([0, 0, 1, 2, 2])
    states = SimpleNamespace(
        lag=5,
        n_micro=3,
        populations=np.array([0.8, 0.2]),
        transition_matrix=np.array([[0.99, 0.01], [0.04, 0.96]]),
        assignment=np.array([0, 0, 1]),
        microstates=[micro],
        model=SimpleNamespace(states=np.arange(3)),
    )
    study = SimpleNamespace(
        rates=rates(upper=np.nan), states=states, cvs=[micro[:, None] * 1.0]
    )
    page = rates_section(study, Clock(10.0), gallery)
    assert "1 → 2" in page
    assert "8 ns" in page
    assert "above 7 ns" in page
    # once in 8 ns
    assert '<td class="number">125</td>' in page
    assert "below 143" in page
    assert "0.9600" in page
    assert "50 ps later" in page
    ((name, figure, text),) = figures
    assert name == "network"
    assert "from state 1 to state 2" in text["caption"]
    left, right = figure.axes
    drawn = np.concatenate([line.get_xdata() for line in right.lines])
    np.testing.assert_allclose(np.sort(drawn), [0, 1, 2])
    shown = [t.get_text() for t in left.texts]
    assert "100 %" in shown
    assert "80 %" in shown
