"""Koopman reweighting: short runs of chains whose equilibrium is known."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from chains import THREE, embed, timescales

from mdgeomfeat.errors import InputError, MDGeomFeatWarning
from mdgeomfeat.kinetics import (
    FrameWeights,
    StudySettings,
    WeightOrigin,
    fit_tica,
    koopman_weights,
    run_study,
)

#: Three states that exchange within tens of frames.
FAST = np.linalg.matrix_power(THREE, 8)


def short_runs(start, n, length, seed=0):
    rng = np.random.default_rng(seed)
    edges = np.cumsum(FAST, axis=1)
    edges[:, -1] = 1.0
    runs = np.empty((n, length), dtype=int)
    runs[:, 0] = start
    for t in range(1, length):
        draws = rng.random(n)
        runs[:, t] = (draws[:, None] >= edges[runs[:, t - 1]]).sum(axis=1)
    return list(runs)


@pytest.fixture(scope="module")
def runs():
    states = short_runs(0, 1200, 12)
    return states, embed(states, width=4, noise=0.03)


def exact():
    values, vectors = np.linalg.eig(THREE.T)
    pi = vectors[:, np.argmax(values.real)].real
    return pi / pi.sum()


def shares(states, weights=None):
    joined = np.concatenate(states)
    return np.bincount(joined, weights, minlength=3) / (
        len(joined) if weights is None else weights.sum()
    )


def test_populations_of_runs_that_start_in_one_state(runs):
    states, features = runs
    weights = koopman_weights(features, 1)
    assert weights.origin is WeightOrigin.KOOPMAN
    assert np.abs(shares(states) - exact()).max() > 0.2
    found = shares(states, np.concatenate(weights.values))
    np.testing.assert_allclose(found, exact(), atol=0.03)


def test_timescales_of_runs_that_start_in_one_state(runs):
    _, features = runs
    weights = koopman_weights(features, 1)
    true = timescales(FAST)
    raw = fit_tica(features, 1, 2).timescales
    found = fit_tica(features, 1, 2, weights=weights.values).timescales
    # noise of the features shortens timescales as seen at one lag
    np.testing.assert_allclose(found, true, rtol=0.2)
    assert np.abs(raw - true).sum() > 2 * np.abs(found - true).sum()


def test_frames_in_equilibrium_keep_their_weights():
    rng = np.random.default_rng(1)
    states = short_runs(rng.choice(3, size=2000, p=exact()), 2000, 10, seed=2)
    weights = koopman_weights(embed(states, width=4, noise=0.2), 1)
    assert weights.effective_size > 0.98 * weights.n_frames


def test_every_frame_has_a_weight_and_none_is_below_zero(runs):
    _, features = runs
    x = np.concatenate(features)
    alone, mean = features[0][:1], x.mean(axis=0)
    # the runs start in a state that is rarer in equilibrium: a function that is linear
    # falls below 0 five times as far from the mean
    beyond = mean + 5 * (alone - mean)
    weights = koopman_weights([*features, alone, beyond], 1).values
    assert [len(w) for w in weights] == [*map(len, features), 1, 1]
    assert weights[-2][0] == pytest.approx(weights[0][0], rel=1e-6)
    assert 0 < weights[0][0] < 1 / len(x)
    assert weights[-1][0] == 0
    assert sum(w.sum() for w in weights) == pytest.approx(1)


def test_runs_that_only_leave_have_no_equilibrium():
    rng = np.random.default_rng(3)
    drift = [np.arange(20.0)[:, None] + rng.normal(size=(20, 2)) for _ in range(50)]
    with pytest.raises(InputError, match="do not show where their equilibrium is"):
        koopman_weights(drift, 1)


def test_a_study_that_reweights(runs):
    _, features = runs
    settings = StudySettings(
        method="tica", lag=1, dim=2, n_states=3, n_bootstrap=5, koopman=True
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MDGeomFeatWarning)
        result = run_study({"x": features}, "x", settings)
    assert not result.biased
    np.testing.assert_allclose(
        result.states.populations, np.sort(exact())[::-1], atol=0.05
    )
    # the dynamics is that of the system, so timescales are told
    np.testing.assert_allclose(
        result.states.timescales[:1], timescales(FAST)[0], rtol=0.2
    )
    assert np.isfinite(result.model.rotation.timescales).all()
    assert result.to_dict()["weights"]["origin"] == "koopman"
    assert result.to_dict()["settings"]["koopman"] is True


def test_frames_are_not_weighted_twice(runs):
    _, features = runs
    weights = FrameWeights.from_plain([np.ones(len(f)) for f in features])
    with pytest.raises(InputError, match="leave one out"):
        run_study({"x": features}, "x", StudySettings(koopman=True), weights=weights)


def test_one_column_is_enough_for_two_states():
    # of two states a line through both values is an exact basis
    rng = np.random.default_rng(1)
    leaves = np.array([0.1, 0.2])  # stationary shares: 2/3 and 1/3
    states = np.ones((1500, 12), dtype=int)
    for t in range(1, 12):
        change = rng.random(1500) < leaves[states[:, t - 1]]
        states[:, t] = np.where(change, 1 - states[:, t - 1], states[:, t - 1])
    weights = koopman_weights([s[:, None].astype(float) for s in states], 1)
    assert (states == 0).mean() < 0.52
    w = np.concatenate(weights.values)
    assert w @ (states.ravel() == 0) / w.sum() == pytest.approx(2 / 3, abs=0.02)
