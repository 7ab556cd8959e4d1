"""The headline of a study beside the figure and beside TICA, at the same lag.

Five independent processes that all relax smoothly, mixed: TICA finds them as they are,
while a Markov model of so many dimensions has cells too coarse for the slowest and
calls it faster, as it does for a small protein.
"""

from __future__ import annotations

import html
import re
import warnings

import numpy as np
import pytest
from scipy.signal import lfilter

from mdgeomfeat.errors import MDGeomFeatWarning
from mdgeomfeat.kinetics import StudySettings, run_study
from mdgeomfeat.report import Gallery, Record, findings_in_words, study_page

TIMES = (100.0, 30.0, 25.0, 20.0, 15.0)
LAG = 4


def relaxing(time, n_frames, rng):
    """Return an Ornstein-Uhlenbeck process of variance 1 and a relaxation time."""
    a = np.exp(-1 / time)
    return lfilter([np.sqrt(1 - a**2)], [1, -a], rng.normal(size=n_frames))


@pytest.fixture(scope="module")
def study():
    rng = np.random.default_rng(0)
    run = np.column_stack([relaxing(t, 12_000, rng) for t in TIMES])
    run = run @ rng.normal(size=(5, 5))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MDGeomFeatWarning)
        return run_study(
            {"processes": [run]},
            "processes",
            StudySettings(method="tica", lag=LAG, dim=5, n_bootstrap=20),
        )


def test_the_two_estimates_differ_at_one_lag(study):
    tica, msm = study.lag_scan.slowest, study.states.timescales[0]
    assert study.lag_scan.lag == study.states.lag == LAG
    assert tica == pytest.approx(TIMES[0], rel=0.3)
    assert msm < 0.6 * tica


def test_headline_and_figure_have_one_estimate_and_one_interval(study):
    # of blocks as long as the slower estimate asks for, though states know their own
    states, shown = study.states, study.timescales
    at = list(shown.lags).index(LAG)
    assert (states.unit, shown.unit) == ("blocks", "blocks")
    for one, other in (
        (states.timescales, shown.timescales),
        (states.timescales_lower, shown.lower),
        (states.timescales_upper, shown.upper),
    ):
        np.testing.assert_array_equal(one, other[at])


def test_the_page_says_why_its_timescales_differ(study, tmp_path):
    record = Record(title="five processes", subtitle="", analysed=())
    page = study_page(study, record, Gallery(tmp_path))
    page = html.unescape(re.sub("<[^>]+>", "", page))
    headline = findings_in_words(study)[0]
    tica = round(study.lag_scan.slowest)
    msm = round(study.states.timescales[0])
    assert headline in page
    assert headline.startswith(f"The slowest motion has a timescale of {msm} frames")
    assert f"at the same lag TICA finds {tica} frames" in headline
    assert f"lag of the states, {LAG} frames, the slowest is {msm} frames" in page
