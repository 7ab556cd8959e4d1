"""Intervals from the transitions between states, against what is known."""

from __future__ import annotations

import numpy as np
import pytest
from chains import markov_chain, two_state
from scipy.stats import beta

from mdgeomfeat.kinetics import estimate_msm, unit_counts
from mdgeomfeat.kinetics.ck import ck_test
from mdgeomfeat.kinetics.msm import bootstrap, make_units
from mdgeomfeat.kinetics.posterior import (
    population_samples,
    probability_spread,
    timescale_samples,
    widest,
)
from mdgeomfeat.kinetics.timescales import interval

STATES = np.arange(2)
COUNTS = np.array([[900.0, 30.0], [30.0, 240.0]])


def test_populations_and_rates_are_those_of_beta_distributions():
    # two states: each row of the transition matrix has a beta distribution
    lag = 3
    model = estimate_msm(COUNTS, lag)
    found = timescale_samples(COUNTS, model, [STATES], 1, n_samples=4000)[:, 0]
    shares = population_samples(COUNTS, lag, STATES, STATES, n_samples=4000)
    rng = np.random.default_rng(0)
    out, back = (rng.beta(30 / lag, stay / lag, 4000) for stay in (900, 240))
    expected = -lag / np.log(1 - out - back)
    np.testing.assert_allclose(
        np.quantile(found, [0.05, 0.5, 0.95]),
        np.quantile(expected, [0.05, 0.5, 0.95]),
        rtol=0.1,
    )
    np.testing.assert_allclose(
        shares[:, 0].mean(), (back / (out + back)).mean(), atol=0.01
    )


def test_a_probability_is_as_sure_as_the_transitions_in_separate_lags():
    found = probability_spread(COUNTS, 10, STATES, STATES)
    expected = beta(3 + 1, 90 + 1).std()
    np.testing.assert_allclose(found[0], expected)
    # a state that nothing is known of: uniform between 0 and 1
    unknown = probability_spread(np.zeros((2, 2)), 10, STATES, STATES)
    np.testing.assert_allclose(unknown, np.sqrt(1 / 12))


def test_intervals_of_few_runs_hold_the_truth():
    """Four runs: a bootstrap's 90 % hold it too rarely, the wider of both do not."""
    matrix, eigenvalue = two_state(0.003, 0.006)
    truth, lag = -1 / np.log(eigenvalue), 5
    held = {"bootstrap": 0, "both": 0}
    n_trials = 0
    for trial in range(60):
        runs = [markov_chain(matrix, 250, 100 * trial + i) for i in range(4)]
        counts = unit_counts(runs, make_units([250] * 4, lag), lag, 2)
        total = counts.sum(axis=0)
        model = estimate_msm(total, lag)
        if model is None:
            continue
        n_trials += 1
        samples = np.full((100, 1), np.nan)
        for row, weights in zip(samples, bootstrap(4, 100, trial), strict=True):
            sample = estimate_msm(np.tensordot(weights, counts, axes=1), lag)
            if sample is not None:
                row[:] = sample.timescales(1)
        drawn = interval(samples)
        known = interval(
            timescale_samples(total, model, [STATES], 1, n_samples=100, seed=trial)
        )
        for name, (low, high) in (("bootstrap", drawn), ("both", widest(drawn, known))):
            held[name] += int(low[0] <= truth <= high[0])
    assert held["bootstrap"] < 0.8 * n_trials
    assert held["both"] >= 0.85 * n_trials


def test_a_state_of_one_run_is_no_evidence_against_the_model():
    """One excursion of exactly 60 frames: no resampling of runs changes its fate.

    Its length is no exponential waiting time, so model and estimate differ, by what one
    visit cannot tell.
    """
    matrix, _ = two_state(0.05, 0.05)
    runs = [markov_chain(matrix, 1000, seed) for seed in range(8)]
    runs[3][400:460] = 2
    lag = 10
    counts = unit_counts(runs, make_units([1000] * 8, lag), lag, 3).sum(axis=0)
    model = estimate_msm(counts, lag)
    test = ck_test(runs, model, np.arange(3))
    assert test.largest_deviation > 0.15
    assert test.passed is None
    # ten such visits of the same length are evidence
    for run in runs:
        for start in range(50, 950, 90):
            run[start : start + 60] = 2
    counts = unit_counts(runs, make_units([1000] * 8, lag), lag, 3).sum(axis=0)
    model = estimate_msm(counts, lag)
    assert ck_test(runs, model, np.arange(3)).passed is False


@pytest.mark.parametrize("seed", [0, 1])
def test_samples_are_the_same_again(seed):
    model = estimate_msm(COUNTS, 3)
    first, again = (
        timescale_samples(COUNTS, model, [STATES], 1, seed=seed) for _ in range(2)
    )
    np.testing.assert_array_equal(first, again)


def test_states_that_are_not_connected_have_no_samples():
    apart = np.diag([10.0, 10.0])
    assert population_samples(apart, 1, STATES, STATES) is None
    assert population_samples(COUNTS, 1, STATES, np.zeros(2, dtype=np.int64)) is None
