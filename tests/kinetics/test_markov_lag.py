"""The lag of the Markov model, chosen by its own timescales and its test."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from chains import markov_chain, two_state

from mdgeomfeat.kinetics import MarkovLagReason, build_states
from mdgeomfeat.kinetics.markov_lag import choose_markov_lag
from mdgeomfeat.kinetics.reasons import NoLagPasses

LENGTHS = [2000] * 4


@pytest.fixture(scope="module")
def markovian():
    """States of a chain whose timescale is the same at every lag."""
    matrix, _ = two_state(0.01, 0.02)
    runs = [markov_chain(matrix, n, seed) for seed, n in enumerate(LENGTHS)]
    noise = np.random.default_rng(0)
    cvs = [(r + 0.01 * noise.normal(size=len(r)))[:, None] for r in runs]

    def build(lag):
        return build_states(cvs, lag, n_micro=2, max_processes=1, n_samples=10)

    return build


def verdicts(build, passed):
    """Make the test of every lag say what it is told, and count what is asked."""
    asked = []

    def states(lag):
        asked.append(lag)
        made = build(lag)
        return replace(made, ck=replace(made.ck, passed=passed(lag)))

    return states, asked


def test_a_chain_gets_the_shortest_lag_that_passes(markovian):
    found = choose_markov_lag(markovian, 32, lengths=LENGTHS)
    assert found.reason is MarkovLagReason.CONSTANT
    assert found.states.lag == 1
    assert found.states.passed


def test_a_lag_whose_test_fails_is_not_taken(markovian):
    build, _ = verdicts(markovian, lambda lag: lag >= 8)
    found = choose_markov_lag(build, 2, lengths=LENGTHS)
    assert found.states.lag == 8
    assert not any(isinstance(d, NoLagPasses) for d in found.states.doubts)


def test_undecided_is_better_than_failed(markovian):
    build, _ = verdicts(markovian, lambda lag: None if lag == 4 else False)
    assert choose_markov_lag(build, 2, lengths=LENGTHS).states.lag == 4


def test_where_none_passes_the_one_beyond_that_would_is_told(markovian):
    # up to 2000 / 20 = 100 frames may be chosen
    build, asked = verdicts(markovian, lambda lag: lag > 100)
    found = choose_markov_lag(build, 2, lengths=LENGTHS)
    assert found.states.lag <= 100
    assert found.states.doubts[-1] == NoLagPasses(128, 128)
    assert len(asked) == len(set(asked))
    never, _ = verdicts(markovian, lambda lag: False)
    assert choose_markov_lag(never, 2, lengths=LENGTHS).states.doubts[-1] == (
        NoLagPasses(None, 128)
    )


def test_a_lag_that_was_asked_for_is_kept(markovian):
    found = choose_markov_lag(markovian, 16, lengths=LENGTHS, given=True)
    assert (found.states.lag, found.reason) == (16, MarkovLagReason.GIVEN)
    build, _ = verdicts(markovian, lambda lag: lag == 4)
    found = choose_markov_lag(build, 16, lengths=LENGTHS, given=True)
    assert found.states.lag == 16
    # the longest that passes, short or long
    assert found.states.doubts[-1].passing == 4
