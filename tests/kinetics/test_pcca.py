"""Metastable states of chains whose blocks are known."""

from __future__ import annotations

import time

import numpy as np
import pytest
from chains import markov_chain

from mdgeomfeat.kinetics import MarkovModel, build_states, estimate_msm, unit_counts
from mdgeomfeat.kinetics.msm import make_units
from mdgeomfeat.kinetics.pcca import cores, inner_simplex, metastable_states

PER = 3  # microstates of a block


def blocks(n, seed=0, leave=0.03):
    """A chain that mixes within a block and seldom leaves it."""
    rng = np.random.default_rng(seed)
    same = np.kron(np.eye(n), np.ones((PER, PER)))
    inside = same * rng.uniform(0.5, 1.5, same.shape)
    outside = rng.uniform(0, 1, same.shape)
    inside, outside = (x / x.sum(axis=1, keepdims=True) for x in (inside, outside))
    return (1 - leave) * inside + leave * outside


def sampled(n, n_frames=40_000):
    """A Markov model counted in a run of that chain."""
    chain = [markov_chain(blocks(n), n_frames, seed=1)]
    units = make_units([n_frames], 1)
    return estimate_msm(unit_counts(chain, units, 1, n * PER).sum(axis=0), 1)


@pytest.mark.parametrize("n", [2, 3, 6, 7, 12, 20, 40])
def test_blocks_of_a_chain_are_its_states(n):
    model = sampled(n)
    started = time.perf_counter()
    assignment, memberships = metastable_states(model, n)
    assert time.perf_counter() - started < 10
    assert set(assignment) == set(range(n))
    block = model.states // PER
    for state in range(n):
        assert len(set(block[assignment == state])) == 1
    np.testing.assert_allclose(memberships.sum(axis=1), 1)
    assert memberships.min() >= -1e-9
    own = memberships[np.arange(len(block)), assignment]
    assert own.min() > 0.5
    # the most populated state first
    mass = np.bincount(assignment, model.stationary)
    assert (np.diff(mass) <= 0).all()


def test_the_simplex_agrees_with_the_optimised_memberships():
    model = sampled(5)
    assignment, optimised = metastable_states(model, 5)
    simplex = inner_simplex(model, 5)
    # corners come in another order
    matched = [simplex[assignment == s].mean(axis=0).argmax() for s in range(5)]
    assert sorted(matched) == list(range(5))
    np.testing.assert_allclose(simplex[:, matched], optimised, atol=0.25)
    np.testing.assert_array_equal(simplex[:, matched].argmax(axis=1), assignment)


def test_memberships_of_a_transition_state_are_its_chances_to_end():
    """Three wells around a saddle: a third each, from the eigenvectors alone."""
    out = 0.01
    matrix = np.diag([1 - out] * 3 + [0.0])
    matrix[:3, 3] = out
    matrix[3, :3] = 1 / 3
    weight = np.array([1.0, 1.0, 1.0, 3 * out])
    model = MarkovModel(np.arange(4), matrix, weight / weight.sum(), 1)
    found = inner_simplex(model, 3)
    np.testing.assert_allclose(found[3], 1 / 3, atol=1e-9)
    np.testing.assert_allclose(np.sort(found[:3], axis=1), [[0, 0, 1]] * 3, atol=1e-9)


def test_eigenvectors_are_those_of_the_transition_matrix():
    model = sampled(4)
    vectors = model.eigenvectors(4)
    values = np.append(1.0, np.exp(-1 / model.timescales(3)))
    np.testing.assert_allclose(
        model.transition_matrix @ vectors, vectors * values, atol=1e-7
    )
    overlap = vectors.T @ (model.stationary[:, None] * vectors)
    np.testing.assert_allclose(overlap, np.eye(4), atol=1e-7)


def test_no_more_states_than_microstates():
    model = sampled(4)
    assignment, memberships = metastable_states(model, 40)
    assert sorted(assignment) == list(range(4 * PER))
    assert memberships.shape == (4 * PER, 4 * PER)


def test_a_study_with_forty_states_ends():
    """On 5,000 frames, where the optimisation had not ended after minutes."""
    chain = markov_chain(blocks(40, leave=0.2), 5000, seed=2)
    places = np.random.default_rng(3).normal(size=(40 * PER, 2))
    run = places[chain] + 0.01 * np.random.default_rng(4).normal(size=(5000, 2))
    started = time.perf_counter()
    model = build_states([run], 1, n_states=40, n_samples=5)
    assert time.perf_counter() - started < 60
    assert model.n_states == 40
    assert model.memberships.shape == (len(model.model.states), 40)


def test_a_core_is_what_is_beyond_doubt_and_at_least_half_of_its_state():
    sure = np.array([1.0, 0.95, 0.6, 0.05, 0.3, 0.2, 0.4])
    memberships = np.stack([sure, 1 - sure], axis=1)
    stationary = np.array([0.2, 0.05, 0.15, 0.02, 0.1, 0.18, 0.3])
    # of the second state, 0.02 are beyond doubt, and 0.02 + 0.18 + 0.1 are half of it
    np.testing.assert_array_equal(
        cores(memberships, stationary), [0, 0, -1, 1, 1, 1, -1]
    )
