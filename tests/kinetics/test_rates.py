"""Rates between states, against chains whose passage times a linear solve gives."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest
from chains import embed, markov_chain, timescales

from mdgeomfeat.kinetics import (
    NoRates,
    StudySettings,
    build_states,
    estimate_msm,
    run_study,
    transition_rates,
    unit_counts,
)
from mdgeomfeat.kinetics.msm import MarkovModel, make_units
from mdgeomfeat.kinetics.pcca import metastable_states
from mdgeomfeat.kinetics.rates import passage_times, rate_matrix, rates_of

FLOW = np.array([[600.0, 12, 2], [12, 380, 3], [2, 3, 900]])
CHAIN = FLOW / FLOW.sum(axis=1, keepdims=True)
SHARES = FLOW.sum(axis=1) / FLOW.sum()
APART = ~np.eye(3, dtype=bool)
ESTABLISHED = SimpleNamespace(established=True)


def exact(chain):
    """Steps until a chain first is in a state: m = 1 + P m, with m = 0 there."""
    n = len(chain)
    out = np.zeros((n, n))
    for target in range(n):
        rest = np.delete(np.arange(n), target)
        out[rest, target] = np.linalg.solve(
            np.eye(n - 1) - chain[np.ix_(rest, rest)], np.ones(n - 1)
        )
    return out


def model_at(lag, chain=CHAIN, shares=SHARES):
    power = np.linalg.matrix_power(chain, lag)
    return MarkovModel(np.arange(len(chain)), power, shares, lag)


def fit(runs, lag=5, **options):
    units = make_units([len(r) for r in runs], lag, timescales(CHAIN)[0])
    model = estimate_msm(unit_counts(runs, units, lag, 3).sum(axis=0), lag)
    return transition_rates(runs, model, np.eye(3), units=units, **options)


@pytest.mark.parametrize("lag", [1, 5, 25])
def test_passage_times_are_exact_and_do_not_depend_on_the_lag(lag):
    matrix = rate_matrix(model_at(lag), np.eye(3))
    np.testing.assert_allclose(matrix.sum(axis=1), 0, atol=1e-12)
    # the largest is 0 up to rounding, of either sign
    slowest = np.sort(np.linalg.eigvals(matrix).real)[1::-1]
    np.testing.assert_allclose(-1 / slowest, timescales(CHAIN), rtol=1e-6)
    # a chain steps once a frame and misses visits within one, which a rate matrix has:
    # by Kac's formula a state of probability p is found 1 / 2p frames later
    late = np.broadcast_to(0.5 / SHARES, (3, 3))
    np.testing.assert_allclose(
        (passage_times(matrix) + late)[APART], exact(CHAIN)[APART], rtol=1e-3
    )


def test_two_states_share_one_timescale():
    chain = np.array([[0.98, 0.02], [0.01, 0.99]])
    model = model_at(7, chain, np.array([1, 2]) / 3)
    matrix = rate_matrix(model, np.eye(2))
    (slow,) = timescales(chain)
    np.testing.assert_allclose([matrix[0, 1] + matrix[1, 0]], 1 / slow)
    times = passage_times(matrix)
    np.testing.assert_allclose(times[0, 1] / times[1, 0], 0.5)


def test_microstates_that_mix_within_a_state_do_not_make_it_faster():
    """Two wells of ten microstates each, joined by one rare step over a barrier."""
    n = 20
    flow = np.zeros((n, n))
    for i in range(n - 1):
        flow[i, i + 1] = flow[i + 1, i] = 0.002 if i == n // 2 - 1 else 1.0
    np.fill_diagonal(flow, 4.0)
    chain = flow / flow.sum(axis=1, keepdims=True)
    model = model_at(10, chain, flow.sum(axis=1) / flow.sum())
    _, memberships = metastable_states(model, 2)
    times = passage_times(rate_matrix(model, memberships))
    # from the bottom of one well to that of the other, step by step
    steps = exact(chain)[4, 15]
    assert times[0, 1] == pytest.approx(steps, rel=0.05)
    assert times[0, 1] == pytest.approx(2 * model.timescales(1)[0], rel=0.02)


def test_estimates_and_intervals_hold_the_known_times():
    inside, known = [], exact(CHAIN)
    for seed in range(40):
        runs = [markov_chain(CHAIN, 5000, 100 * seed + i) for i in range(4)]
        found = fit(runs)
        upper = np.nan_to_num(found.passage_times_upper, nan=np.inf)
        lower = np.nan_to_num(found.passage_times_lower, nan=0.0)
        inside.append(((lower <= known) & (known <= upper))[APART])
        assert (found.passage_times_lower <= found.passage_times)[APART].all()
    # 90 % nominal; over 40 repeats the share scatters by 3 % or so
    assert 0.82 <= np.mean(inside) <= 0.97


def test_more_data_make_intervals_narrower():
    def width(n):
        found = fit([markov_chain(CHAIN, n, seed) for seed in range(8)])
        upper = found.passage_times_upper[APART]
        return np.log(upper / found.passage_times_lower[APART]).mean()

    # a standard error falls with the root of the number of frames
    assert width(40_000) == pytest.approx(width(5_000) / np.sqrt(8), rel=0.4)


def test_a_state_seen_in_one_run_has_no_upper_end():
    quiet = np.array([[0.98, 0.02, 0], [0.02, 0.98, 0], [0, 0, 1]])
    runs = [markov_chain(quiet[:2, :2], 3000, seed) for seed in range(5)]
    visit = np.concatenate([runs[0][:1500], np.full(800, 2), runs[0][1500:]])
    found = fit([visit, *runs[1:]], lag=1)
    assert np.isnan(found.passage_times_upper[:2, 2]).all()
    assert np.isfinite(found.passage_times[:2, 2]).all()
    assert np.isfinite(found.passage_times_upper[0, 1])


def test_rates_are_reciprocal_times_with_swapped_ends():
    found = fit([markov_chain(CHAIN, 5000, seed) for seed in range(4)])
    np.testing.assert_allclose((found.rates * found.passage_times)[APART], 1)
    assert (found.rates_lower <= found.rates).all()
    assert (found.rates <= found.rates_upper).all()
    content = json.loads(json.dumps(found.to_dict(frame=2.0)))
    np.testing.assert_allclose(content["passage_times"], 2 * found.passage_times)
    np.testing.assert_allclose(content["rates"], found.rates / 2)
    assert {content["source"], content["target"]} == {1, 3}


def test_flux_and_committor_between_the_ends():
    runs = [markov_chain(CHAIN, 30_000, seed) for seed in range(4)]
    found = fit(runs, lag=1)
    a, b = found.source, found.target
    assert (a, b) == (2, 0)
    # the middle state's committor: one linear equation
    stay, to_b = CHAIN[1, 1], CHAIN[1, b]
    assert found.committor[1] == pytest.approx(to_b / (1 - stay), rel=0.1)
    np.testing.assert_array_equal(found.committor[[a, b]], [0, 1])
    np.testing.assert_allclose(found.state_committor, found.committor)
    # what leaves the source reaches the target, and nothing is left on the way
    out, into = found.flux.sum(axis=1), found.flux.sum(axis=0)
    assert out[a] == pytest.approx(into[b])
    assert out[1] == pytest.approx(into[1])
    assert into[a] == out[b] == 0
    exact_flux = SHARES[a] * (CHAIN[a, b] + CHAIN[a, 1] * to_b / (1 - stay))
    assert out[a] == pytest.approx(exact_flux, rel=0.15)
    # per frame, whatever the lag, which misses some that come back within it
    assert fit(runs, lag=4).flux.sum(axis=1)[a] == pytest.approx(exact_flux, rel=0.3)


def test_rates_are_those_of_the_memberships_as_they_are():
    member = np.array([[1.0, 0.0], [0.4, 0.6], [0.0, 1.0]])
    runs = [markov_chain(CHAIN, 5000, seed) for seed in range(4)]
    units = make_units([len(r) for r in runs], 5, timescales(CHAIN)[0])
    model = estimate_msm(unit_counts(runs, units, 5, 3).sum(axis=0), 5)
    found = transition_rates(runs, model, member, units=units, n_samples=4)
    np.testing.assert_allclose(found.rate_matrix, rate_matrix(model, member))
    sharp = rate_matrix(model, np.array([[1.0, 0], [0, 1], [0, 1]]))
    assert np.abs(found.rate_matrix / sharp - 1).min() > 0.02


def test_states_from_frames_have_the_known_times():
    runs = [markov_chain(CHAIN, 10_000, seed) for seed in range(4)]
    states = build_states(embed(runs, width=6, noise=0.2), lag=3, max_processes=2)
    found = rates_of(states, ESTABLISHED)
    # the most populated state first
    order = np.argsort(-SHARES)
    known = exact(CHAIN)[np.ix_(order, order)]
    np.testing.assert_allclose(found.passage_times, known, rtol=0.2)
    assert found.unit == "trajectories"


def test_states_that_change_within_the_lag_have_no_rates():
    chain = np.array([[0.5, 0.5], [0.5, 0.5]])
    runs = [markov_chain(chain, 2000, seed) for seed in range(4)]
    model = model_at(1, chain, np.array([0.5, 0.5]))
    assert transition_rates(runs, model, np.eye(2)) is NoRates.WITHIN_LAG
    same = np.full((2, 2), 0.5)
    assert transition_rates(runs, model, same) is NoRates.WITHIN_LAG


@pytest.mark.parametrize(
    ("change", "established", "reason"),
    [
        ({"weighted": True}, True, NoRates.BIASED),
        ({"connected": False}, True, NoRates.DISCONNECTED),
        ({}, False, NoRates.NOT_ESTABLISHED),
        ({"n_states": 1}, True, NoRates.ONE_STATE),
        ({"ck": SimpleNamespace(passed=False)}, True, NoRates.NOT_MARKOVIAN),
    ],
)
def test_rates_are_refused_with_the_reason(change, established, reason):
    states = SimpleNamespace(
        **{"weighted": False, "connected": True, "n_states": 2, "model": model_at(1)}
        | {"ck": SimpleNamespace(passed=True)}
        | change
    )
    assert rates_of(states, SimpleNamespace(established=established)) is reason


@pytest.mark.filterwarnings("ignore:There are doubts")
def test_a_study_has_rates_and_one_of_noise_has_none():
    runs = [markov_chain(CHAIN, 4000, seed) for seed in range(4)]
    settings = StudySettings(method="tica", lag=3, dim=2, n_bootstrap=10)
    study = run_study({"x": embed(runs, width=5, noise=0.2)}, "x", settings)
    content = json.loads(json.dumps(study.to_dict()))["rates"]
    assert content["refused"] is None
    assert np.shape(content["passage_times_upper"]) == (3, 3)
    rng = np.random.default_rng(0)
    noise = [rng.normal(size=(1000, 4)) for _ in range(4)]
    study = run_study({"x": noise}, "x", StudySettings(method="tica"))
    assert isinstance(study.rates, NoRates)
    assert study.to_dict()["rates"] == {"refused": study.rates.value}
