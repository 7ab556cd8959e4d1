"""Markov models, timescales, states and the Chapman-Kolmogorov test."""

from __future__ import annotations

import json

import numpy as np
import pytest
from chains import THREE, embed, markov_chain, timescales, two_state

from mdgeomfeat.errors import InputError
from mdgeomfeat.kinetics import (
    build_states,
    ck_test,
    estimate_msm,
    free_energy,
    implied_timescales,
    unit_counts,
)
from mdgeomfeat.kinetics.msm import connected_set, make_units
from mdgeomfeat.kinetics.reasons import Disconnected, FramesOutside, ManySets


def stationary(matrix):
    values, vectors = np.linalg.eig(matrix.T)
    pi = vectors[:, np.argmax(values.real)].real
    return pi / pi.sum()


def test_units_are_trajectories_or_blocks_and_count_every_pair_once():
    rng = np.random.default_rng(0)
    dtrajs = [rng.integers(0, 3, n) for n in (500, 300)]
    units = make_units([500, 300], lag=4, slowest=20)
    assert units.kind == "blocks"
    assert 4 <= len(units.spans) <= 20
    counts = unit_counts(dtrajs, units, 4, 3)
    assert counts.sum() == 496 + 296
    assert make_units([100] * 4, lag=4).kind == "trajectories"
    joined = make_units([100] * 5, lag=4, groups=(0, 0, 1, 2, 3))
    assert [len(u) for u in joined.spans] == [2, 1, 1, 1]


def test_implied_timescales_of_a_known_chain():
    states = [markov_chain(THREE, 30_000, seed) for seed in range(4)]
    its = implied_timescales(states, [1, 5, 20], k=2)
    assert its.unit == "trajectories"
    exact = timescales(THREE)
    np.testing.assert_allclose(
        its.timescales, np.broadcast_to(exact, (3, 2)), rtol=0.15
    )
    assert (its.lower <= its.timescales + 1e-9).all()
    assert (its.timescales <= its.upper + 1e-9).all()
    assert (its.upper - its.lower < 0.6 * its.timescales).all()


def test_a_timescale_that_still_grows_is_told():
    """Two wells seen through an error one time in five: Markovian only at long lags."""
    matrix, _ = two_state(0.01, 0.01)
    rng = np.random.default_rng(5)
    hidden = [markov_chain(matrix, 20_000, seed) for seed in range(4)]
    seen = [np.where(rng.random(len(h)) < 0.2, 1 - h, h) for h in hidden]
    lags = [1, 2, 4, 8]
    assert implied_timescales(hidden, lags, k=1).change_after(1) is None
    its = implied_timescales(seen, lags, k=1)
    later = its.change_after(1)
    assert later.lag == 2
    assert later.timescale == its.at(2) > 1.5 * its.at(1)
    # nothing is known of what comes after the last lag
    assert its.change_after(8) is None


def test_reversible_model_has_detailed_balance():
    states = [markov_chain(THREE, 3000, 1)]
    counts = unit_counts(states, make_units([3000], 1), 1, 3).sum(axis=0)
    model = estimate_msm(counts, 1)
    flow = model.stationary[:, None] * model.transition_matrix
    np.testing.assert_allclose(flow, flow.T, atol=1e-8)
    np.testing.assert_allclose(model.transition_matrix.sum(axis=1), 1)


def test_connected_set_is_the_one_with_most_counts():
    counts = np.zeros((5, 5))
    # three states that are hardly visited, two that hold the data
    counts[:3, :3] = 1
    counts[3:, 3:] = 100
    counts[0, 3] = 1
    np.testing.assert_array_equal(connected_set(counts), [3, 4])


def test_states_of_a_known_chain(three_states):
    states, runs = three_states
    model = build_states([r[:, :] for r in runs], lag=5, max_processes=2)
    assert model.connected
    assert model.n_states == 3
    assert model.lost_share == 0
    exact = stationary(THREE)
    np.testing.assert_allclose(model.populations, np.sort(exact)[::-1], atol=0.06)
    assert (model.populations_lower <= model.populations + 1e-9).all()
    assert (model.populations <= model.populations_upper + 1e-9).all()
    np.testing.assert_allclose(model.timescales, timescales(THREE), rtol=0.3)
    # every state is one state of the chain
    truth, found = np.concatenate(states), np.concatenate(model.dtrajs)
    table = np.array(
        [[np.sum((truth == i) & (found == j)) for j in range(3)] for i in range(3)]
    )
    assert table.max(axis=1).sum() > 0.99 * len(truth)
    np.testing.assert_array_equal(model.counts, np.bincount(found))
    assert model.ck.passed is True
    # weights: the stationary distribution, frame by frame
    weights = np.concatenate(model.weights)
    assert weights.sum() == pytest.approx(1)
    np.testing.assert_allclose(
        np.bincount(found, weights), model.populations, atol=1e-12
    )
    for state, rows in enumerate(model.representatives):
        assert len(rows) > 0
        assert all(model.dtrajs[i][t] == state for i, t in rows)
    json.dumps(model.to_dict())


def test_number_of_states_can_be_given(three_states):
    _, runs = three_states
    assert build_states(runs, lag=5, n_states=2, n_samples=5).n_states == 2
    with pytest.raises(InputError, match="choose 2 or more"):
        build_states(runs, lag=5, n_states=1)


def observe(states):
    counts = unit_counts(states, make_units([len(s) for s in states], 1), 1, 2)
    model = estimate_msm(counts.sum(axis=0), 1)
    return ck_test(states, model, np.array([0, 1]))


def test_ck_passes_for_a_markov_chain_and_fails_for_a_lumped_one():
    matrix, _ = two_state(0.05, 0.1)
    hidden = [markov_chain(matrix, 20_000, seed) for seed in range(4)]
    good = observe(hidden)
    assert good.passed is True
    assert good.largest_deviation < 0.05
    np.testing.assert_allclose(good.predicted[0], good.estimated[0], atol=1e-6)
    # the same chain seen through a window that is wrong one time in five
    rng = np.random.default_rng(9)
    seen = [np.where(rng.random(len(h)) < 0.2, 1 - h, h) for h in hidden]
    bad = observe(seen)
    assert bad.passed is False
    assert bad.largest_deviation > 0.05


def test_ck_is_undecided_with_few_data():
    matrix, _ = two_state(0.006, 0.006)
    result = observe([markov_chain(matrix, 150, seed) for seed in range(4)])
    assert result is None or result.passed is not True


def test_disconnected_data_give_counts_only():
    rng = np.random.default_rng(10)
    runs = [rng.normal(10 * i, 1, size=(500, 2)) for i in range(2)]
    model = build_states(runs, lag=5)
    assert not model.connected
    assert model.populations is None
    assert model.weights is None
    assert model.ck is None
    assert model.n_states == 2
    np.testing.assert_array_equal(model.counts, [500, 500])
    assert model.doubts == (Disconnected(lost_share=0.5),)
    json.dumps(model.to_dict())


def test_a_random_walk_gives_ten_connected_sets_at_most():
    # forty places, one after another, and none is seen again
    runs = [np.repeat(np.arange(20.0) + 20 * i, 50)[:, None] for i in range(2)]
    model = build_states(runs, lag=5, n_micro=40)
    assert not model.connected
    assert model.n_states == len(model.representatives) == len(model.counts) == 10
    assert max(d.max() for d in model.dtrajs) == 9
    assert (np.concatenate(model.dtrajs) == -1).sum() == 30 * 50
    assert ManySets(n_large=40, n_shown=10, share=0.25) in model.doubts


def test_small_lost_share_is_said():
    states = [markov_chain(THREE, 4000, seed) for seed in range(4)]
    runs = embed(states, width=2 + 1, noise=0.2)
    # a place that is entered once and never left
    runs[0][-40:] = 30
    model = build_states(runs, lag=5, max_processes=2, n_samples=5)
    assert model.connected
    assert 0 < model.lost_share < 0.01
    assert (model.dtrajs[0][-30:] == -1).all()
    assert (model.weights[0][-30:] == 0).all()
    assert FramesOutside(model.lost_share) in model.doubts


def test_free_energy_of_a_gaussian():
    rng = np.random.default_rng(11)
    x = rng.normal(size=400_000)
    f = free_energy(x, bins=40)
    centres = (f.edges[0][1:] + f.edges[0][:-1]) / 2
    near = np.abs(centres) < 2
    np.testing.assert_allclose(f.energy[near], centres[near] ** 2 / 2, atol=0.06)
    assert f.unit == "kT"
    warm = free_energy(x, bins=40, temperature=300)
    assert warm.unit == "kJ/mol"
    np.testing.assert_allclose(warm.energy[near], 2.494 * f.energy[near], rtol=1e-3)
    # reweighting shifts the minimum
    tilted = free_energy(x, weights=np.exp(x), bins=40)
    assert abs(centres[np.nanargmin(tilted.energy)] - 1) < 0.4
    assert free_energy(x, x, bins=10).energy.shape == (10, 10)
    wide = free_energy(x, x, bins=10, ranges=[(-9, 9), None]).edges
    assert (wide[0][0], wide[0][-1]) == (-9, 9)
    assert (wide[1][0], wide[1][-1]) == (x.min(), x.max())


def test_free_energy_messages():
    with pytest.raises(InputError, match="one or two axes"):
        free_energy()
    with pytest.raises(InputError, match="not above 0 K"):
        free_energy([1.0, 2.0], temperature=0)
    with pytest.raises(InputError, match="No frame has a weight"):
        free_energy([1.0, 2.0], weights=[0, 0])
