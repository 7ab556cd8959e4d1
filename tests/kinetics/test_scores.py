"""VAMP-2 against deeptime, against theory, and its null."""

from __future__ import annotations

import numpy as np
import pytest
from chains import markov_chain, two_state
from deeptime.covariance import Covariance
from deeptime.decomposition import VAMP

from mdgeomfeat.kinetics import ScoreError, ceiling, null_score, vamp2_score


def indicator(states):
    return states[:, None].astype(float)


@pytest.mark.parametrize(("a", "b", "lag"), [(0.02, 0.03, 5), (0.1, 0.01, 2)])
def test_two_state_chain_scores_one_plus_eigenvalue_squared(a, b, lag):
    matrix, eigenvalue = two_state(a, b)
    states = [markov_chain(matrix, 40_000, seed) for seed in range(3)]
    score = vamp2_score([indicator(s) for s in states], lag)
    assert score == pytest.approx(1 + eigenvalue ** (2 * lag), abs=0.02)
    limit = ceiling([-1 / np.log(eigenvalue)], lag, dim=1)
    assert limit == pytest.approx(1 + eigenvalue ** (2 * lag))


@pytest.mark.parametrize("d", [1, 3, 8])
def test_equals_deeptime(d):
    rng = np.random.default_rng(d)
    runs = [np.cumsum(rng.normal(size=(n, d)), axis=0) for n in (400, 700)]
    runs = [r @ rng.normal(size=(d, d)) + 5 for r in runs]
    covariance = Covariance(
        lagtime=3,
        compute_c00=True,
        compute_c0t=True,
        compute_ctt=True,
        remove_data_mean=True,
    )
    for r in runs:
        covariance.partial_fit((r[:-3], r[3:]))
    model = VAMP(epsilon=1e-12).fit_from_covariances(covariance).fetch_model()
    assert vamp2_score(runs, 3) == pytest.approx(model.score(2), rel=1e-8)


def test_does_not_depend_on_linear_maps_nor_duplicates():
    rng = np.random.default_rng(1)
    x = np.cumsum(rng.normal(size=(2000, 3)), axis=0)
    score = vamp2_score([x], 5)
    assert vamp2_score([1e-4 * x @ rng.normal(size=(3, 3)) + 1e3], 5) == pytest.approx(
        score, rel=1e-6
    )
    assert vamp2_score([np.hstack([x, x[:, :1], np.ones((2000, 1))])], 5) == (
        pytest.approx(score, rel=1e-6)
    )


def test_independent_frames_score_one():
    rng = np.random.default_rng(2)
    x = [rng.normal(size=(20_000, 4))]
    assert vamp2_score(x, 5) == pytest.approx(1, abs=0.005)
    assert null_score(x, 5) == pytest.approx(1, abs=0.005)


def test_one_covariance_is_not_a_mean_of_batches():
    rng = np.random.default_rng(3)
    x = rng.normal(size=(4000, 10))
    batches = np.mean([vamp2_score([b], 1) for b in np.split(x, 80)])
    assert batches > 2.5
    assert vamp2_score([x], 1) < 1.1


def test_null_of_slow_outputs_shows_the_finite_sample():
    matrix, eigenvalue = two_state(0.002, 0.002)
    x = [indicator(markov_chain(matrix, 20_000, 5))]
    slowest = -1 / np.log(eigenvalue)
    null = null_score(x, 10, slowest)
    assert vamp2_score(x, 10) > 1.8
    # 80 timescales are far fewer than 20 000 independent frames, but not nothing
    assert 1.0 < null < 1.1


def test_null_is_unknown_where_no_shift_is_long_enough():
    x = [np.random.default_rng(0).normal(size=(300, 2))]
    assert null_score(x, 5, slowest=100) is None


def test_pairs_stay_inside_trajectories():
    # constant in each run: every pair inside a run is equal, so the score is 2
    runs = [np.full((50, 1), float(i)) for i in range(4)]
    assert vamp2_score(runs, 10) == pytest.approx(2)


def test_what_has_no_score():
    with pytest.raises(ScoreError, match="do not vary"):
        vamp2_score([np.ones((100, 2))], 1)
    with pytest.raises(ScoreError, match="No trajectory is longer"):
        vamp2_score([np.ones((10, 2))], 10)
    with pytest.raises(ScoreError, match="too few"):
        vamp2_score([np.random.default_rng(0).normal(size=(10, 6))], 4)
    bad = np.random.default_rng(0).normal(size=(100, 2))
    bad[3, 0] = np.nan
    with pytest.raises(ScoreError, match="not finite"):
        vamp2_score([bad], 1)
