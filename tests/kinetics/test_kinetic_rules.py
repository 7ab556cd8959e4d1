"""Rules of lag, folds, scores, states and models that whole studies hide."""

from __future__ import annotations

import warnings
from math import ceil, exp

import numpy as np
import pytest
from chains import THREE, embed, markov_chain, two_state
from test_lag_choice import square_waves

from mdgeomfeat.errors import MDGeomFeatWarning
from mdgeomfeat.kinetics import (
    StudySettings,
    TrainingOptions,
    build_states,
    choose_lag,
    ck_test,
    estimate_msm,
    free_energy,
    make_folds,
    run_study,
    unit_counts,
    vamp2_score,
)
from mdgeomfeat.kinetics.arrays import Span, cut
from mdgeomfeat.kinetics.ck import _verdict
from mdgeomfeat.kinetics.lag import CAP, constant_from
from mdgeomfeat.kinetics.msm import bootstrap, coarse_transitions, make_units
from mdgeomfeat.kinetics.reasons import LagNotConstant, LagReason
from mdgeomfeat.kinetics.scores import ceiling, null_score
from mdgeomfeat.kinetics.scoring import InputScorer
from mdgeomfeat.kinetics.splits import Fold
from mdgeomfeat.kinetics.standardize import fit_standardizer, flat_features
from mdgeomfeat.kinetics.tica import fit_tica
from mdgeomfeat.kinetics.timescales import interval, lag_series
from mdgeomfeat.mixing import MixerSpec


def quiet_study(inputs, primary, **settings):
    settings = {"method": "tica", "n_bootstrap": 5, **settings}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MDGeomFeatWarning)
        return run_study(inputs, primary, StudySettings(**settings))


# --- the lag --------------------------------------------------------------------


def test_the_lag_is_the_first_from_which_the_timescale_is_constant():
    # two wells seen without error: constant from the first lag on
    matrix, _ = two_state(0.02, 0.02)
    runs = embed([markov_chain(matrix, 6000, s) for s in range(4)], 3, noise=0.05)
    scan = choose_lag(runs)
    t = scan.timescales[:, 0]
    constant = [
        lag
        for i, lag in enumerate(scan.lags[:-2])
        if t[i] > lag and all(abs(t[i + 1 : i + 3] - t[i]) <= 0.1 * t[i + 1 : i + 3])
    ]
    allowed = [lag for lag in constant if lag <= len(runs[0]) / CAP]
    assert scan.reason is LagReason.CONSTANT
    assert scan.lag == allowed[0] < allowed[-1]
    assert scan.lags[:3].tolist() == lag_series(4) == [1, 2, 4]


def test_a_timescale_is_constant_above_its_lag_and_over_two_more():
    lags = np.array([1, 2, 4, 8])
    assert constant_from(lags, np.array([9.0, 9.5, 9.2, 9.3])) == [
        True,
        True,
        False,
        False,
    ]
    assert constant_from(lags, np.full(4, 0.5)) == [False] * 4
    assert constant_from(lags, np.array([9.0, 9.5, 12.0, 12.0])) == [False] * 4
    assert constant_from(lags, np.array([9.0, 10.2, 9.1, 9.0])) == [False] * 4


def test_either_half_gives_the_directions(three_states):
    # the second and third run change places: what finds and what measures, too
    a, b, c = (r[:2000] for r in three_states[1][:3])
    one, other = choose_lag([a, b, c], lag=5), choose_lag([a, c, b], lag=5)
    np.testing.assert_allclose(one.timescales, other.timescales, rtol=1e-6)


def test_no_more_than_five_processes_are_looked_for():
    matrix, _ = two_state(0.01, 0.01)
    runs = [
        np.stack([markov_chain(matrix, 3000, 10 * k + s) for k in range(7)], axis=1)
        for s in range(3)
    ]
    scan = choose_lag([r + 0.0 for r in runs], lag=5)
    assert (scan.dim, scan.timescales.shape[1]) == (5, 5)


def test_a_lag_without_a_constant_timescale_is_a_doubt():
    result = quiet_study({"x": square_waves(4, 0.8)}, "x", dim=1)
    assert LagNotConstant(LagReason.SHARE) in result.doubts


# --- folds and scores -----------------------------------------------------------


def test_a_third_holds_at_least_three_lags():
    # 2 gaps of 100 frames leave thirds of 40 and of 67 frames
    assert not make_folds([320], lag=20)[0].independent
    assert make_folds([401], lag=20)[0].independent


def test_parts_that_are_scored_are_the_slowest_timescale_apart():
    (run,) = embed([markov_chain(THREE, 6000, 3)], width=4, noise=0.2)
    result = quiet_study({"x": [run]}, "x", lag=4, dim=2)
    slowest = max(result.lag_scan.slowest, result.states.timescales[0])
    assert slowest > 5 * result.lag
    assert {fold.gap for fold in result.folds} == {ceil(slowest)}


def test_shifts_of_the_null_are_longer_than_five_lags_and_three_timescales():
    x = np.random.default_rng(0).normal(size=(500, 2))
    assert null_score([x], 60) is None
    assert null_score([x], 5, slowest=90) is None
    assert null_score([x], 5, slowest=60) is not None


def test_the_ceiling_counts_the_outputs_only():
    expected = 1 + exp(-2 * 10 / 100) + exp(-2 * 10 / 50)
    assert ceiling([100, 50, 20], 10, 2) == pytest.approx(expected)
    assert ceiling([100, np.nan], 10, 2) == pytest.approx(1 + exp(-2 * 10 / 100))


def compared(held_out, *names, method="vampnet"):
    """Score a slow input and noise; one part is held out."""
    matrix, _ = two_state(0.02, 0.02)
    rng = np.random.default_rng(1)
    slow = [
        (markov_chain(matrix, 1000, s)[:, None] + 0.3 * rng.normal(size=(1000, 3)))
        for s in range(2)
    ]
    noise = [rng.normal(size=(1000, 3)) for _ in range(2)]
    arrays = {
        "slow": [r.astype(np.float32) for r in (*slow, held_out)],
        "noise": [r.astype(np.float32) for r in (*noise, held_out)],
    }
    arrays = {name: arrays[name] for name in names}
    spans = [(Span(i, 0, 1000),) for i in range(3)]
    roles = [(0, 1, 2), (1, 0, 2)][: len(names)]
    folds = [
        Fold(*(spans[i] for i in r), kind="trajectories", independent=True)
        for r in roles
    ]
    mixer = MixerSpec(kind="flat", n_tokens=1, n_features=3, n_outputs=1)
    training = TrainingOptions(max_steps=40, n_starts=1)
    scorer = InputScorer(
        arrays=arrays,
        failures={},
        primary="slow",
        folds=folds,
        lag=3,
        dim=1,
        mixers=dict.fromkeys(arrays, mixer),
        slowest=None,
        settings=StudySettings(method=method, seeds=1, training=training),
    )
    found = scorer.run(lambda _: None)
    return {(s.input, s.method): s for s in found}


def test_what_is_held_out_is_scored_and_teaches_nothing():
    rng = np.random.default_rng(2)
    plain, shifted = (
        compared(s * rng.normal(size=(1000, 3)) + s, "slow") for s in (1.0, 50.0)
    )
    for key in (("slow", "VAMPNet"), ("slow", "TICA")):
        # the held-out part holds nothing, however well the rest is learnt
        assert plain[key].train > 1.4
        assert plain[key].score < 1.1
        assert plain[key].train == shifted[key].train
    assert plain["slow", "VAMPNet"].pca is None


@pytest.mark.parametrize("method", ["tica", "vampnet"])
def test_the_model_of_a_part_has_its_score(method):
    matrix, _ = two_state(0.03, 0.03)
    runs = embed([markov_chain(matrix, 300, s) for s in range(3)], 4, noise=0.5)
    tokens = [run.reshape(len(run), 2, 2).astype(np.float32) for run in runs]
    study = quiet_study({"x": tokens}, "x", method=method, lag=2, dim=1, seeds=2)
    (score,) = (s for s in study.scores if s.method.lower() == method)
    for k, fold in enumerate(study.folds):
        model = study.fold_models["x"][k]
        again = vamp2_score(model.transform(cut(tokens, fold.score)), 2)
        assert score.by_fold[k] == pytest.approx(again, abs=1e-5)
        learnt = vamp2_score(model.transform(cut(tokens, fold.train)), 2)
        assert learnt != pytest.approx(again, abs=1e-3)


def test_differences_and_spreads_are_those_of_the_parts():
    matrix, _ = two_state(0.02, 0.02)
    held_out = markov_chain(matrix, 1000, 9)[:, None] + np.zeros(3)
    rng = np.random.default_rng(3)
    held_out = held_out + 0.3 * rng.normal(size=(1000, 3))
    found = compared(held_out, "slow", "noise", method="tica")
    ours, other = found["slow", "TICA"], found["noise", "TICA"]
    means = np.mean(other.values, axis=1)
    assert ours.score > other.score
    assert other.minus_primary == pytest.approx(other.score - ours.score)
    assert other.sd_folds == pytest.approx(np.std(means, ddof=1))
    assert ours.minus_primary is None
    assert ours.sd_folds == pytest.approx(np.std(ours.by_fold, ddof=1)) != 0


# --- width and scale ------------------------------------------------------------


def test_a_thousand_columns_are_taken_whole_and_more_as_a_thousand_components():
    x = np.random.default_rng(4).normal(size=(1050, 1005)).astype(np.float32)
    wide = fit_tica([x], 1, 1)
    assert (wide.pca, wide.width) == (1000, 1000)
    whole = fit_tica([x[:, :300]], 1, 1)
    assert (whole.pca, whole.width) == (None, 300)


def test_rounding_of_a_large_constant_is_no_motion():
    rng = np.random.default_rng(5)
    x = rng.normal(size=(500, 2))
    x[:, 1] = 1234.5 + 1e-4 * x[:, 1]
    x = x.astype(np.float32)
    assert np.ptp(x[:, 1]) > 0
    np.testing.assert_array_equal(fit_standardizer([x]).factor > 0, [True, False])


def test_vectors_keep_their_direction():
    rng = np.random.default_rng(6)
    x = rng.normal(size=(300, 2, 4, 3)).astype(np.float32)
    x[:, :, 1:] += [[5.0], [0.0], [0.0]]  # all of them point the same way
    s = fit_standardizer([x])
    z = s(x)
    cosine = (z[:, :, 1:] * x[:, :, 1:]).sum(axis=2)
    norms = np.linalg.norm(z[:, :, 1:], axis=2) * np.linalg.norm(x[:, :, 1:], axis=2)
    np.testing.assert_allclose(cosine, norms, rtol=1e-5)
    np.testing.assert_allclose(z[:, :, 0].mean(axis=0), 0, atol=1e-5)
    assert flat_features(z).shape == (300, 2 * 2 * 3)


# --- states ---------------------------------------------------------------------


def test_a_process_within_the_lag_makes_no_state(three_states):
    # the second process, of some 15 frames, is over within a lag of 30
    model = build_states(three_states[1], lag=30, max_processes=2, n_samples=2)
    assert model.n_states == 2


def test_blocks_hold_five_slowest_timescales():
    assert len(make_units([2000], lag=1).spans) == 20
    assert len(make_units([2000], lag=1, slowest=50).spans) == 8
    assert len(make_units([2000], lag=1, slowest=500).spans) == 4


def test_the_bootstrap_draws_with_replacement():
    draws = np.array(list(bootstrap(6, 200)))
    assert (draws.sum(axis=1) == 6).all()
    # each unit is left out of a sample with a chance of (5/6)^6
    assert (draws == 0).mean() == pytest.approx((5 / 6) ** 6, abs=0.05)
    assert len(np.unique(draws, axis=0)) > 100


def test_intervals_hold_ninety_per_cent():
    lower, upper = interval(np.linspace(0, 1, 101)[:, None])
    np.testing.assert_allclose([lower[0], upper[0]], [0.05, 0.95])


def test_the_verdict_weighs_deviations_against_their_errors():
    def verdict(deviation, spread, unsure=0.01):
        return _verdict(*(np.array([v]) for v in (deviation, spread, unsure)))

    assert verdict(0.04, 0.001) is True
    assert verdict(0.08, 0.05) is True
    assert verdict(0.08, 0.02) is False
    assert verdict(0.08, 0.05, unsure=0.2) is None
    assert verdict(np.nan, np.nan) is None


@pytest.mark.parametrize(("rate", "longest"), [(0.01, 50), (0.3, 5), (0.04, 13)])
def test_the_markov_test_reaches_out_to_the_slowest_timescale(rate, longest):
    # timescales of 49.5, 1.1 and 12 frames; at least 5 lags
    matrix, _ = two_state(rate, rate)
    states = [markov_chain(matrix, 20_000, seed) for seed in range(4)]
    counts = unit_counts(states, make_units([20_000] * 4, 1), 1, 2).sum(axis=0)
    model = estimate_msm(counts, 1)
    found = ck_test(states, model, np.array([0, 1]), n_samples=3)
    assert found.lags[-1] == pytest.approx(longest, abs=1)


def test_transitions_between_states_start_from_the_stationary_distribution():
    matrix = np.array([[0.9, 0.1, 0.0], [0.2, 0.6, 0.2], [0.0, 0.3, 0.7]])
    values, vectors = np.linalg.eig(matrix.T)
    pi = vectors[:, np.argmax(values.real)].real
    pi /= pi.sum()
    found = coarse_transitions(matrix, pi, [0, 0, 1], 2)
    leaving = pi[1] * 0.2 / (pi[0] + pi[1])
    np.testing.assert_allclose(found, [[1 - leaving, leaving], [0.3, 0.7]])


def test_free_energies_of_a_study_have_the_weights_of_its_model():
    # every run begins in the rare state, so that raw counts are not stationary
    matrix, _ = two_state(0.002, 0.01)
    runs = []
    for seed in range(4):
        states = markov_chain(matrix, 4000, seed)
        states = states[np.argmax(states == 1) :][:1500]
        noise = np.random.default_rng(seed).normal(size=(len(states), 1))
        runs.append(states[:, None] + 0.05 * noise)
    result = quiet_study({"x": runs}, "x", lag=2, dim=1)
    (profile,) = result.profiles
    x, w = np.concatenate(result.cvs)[:, 0], np.concatenate(result.states.weights)
    bins = len(profile.edges[0]) - 1
    expected = free_energy(x, weights=w, bins=bins).energy
    np.testing.assert_allclose(profile.energy, expected)
    # of one variable the landscape is its profile
    np.testing.assert_array_equal(result.free_energy.energy, profile.energy)
    plain = free_energy(x, bins=bins).energy
    assert np.nanmax(np.abs(plain - expected)) > 0.05
