"""Whether data are enough: chains long and short, and runs that are stuck."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest
from chains import embed, markov_chain, timescales

from mdgeomfeat.kinetics import (
    Shortfall,
    StudySettings,
    build_states,
    run_study,
    transition_rates,
)
from mdgeomfeat.kinetics.convergence import converged, crossings

FLOW = np.array([[600.0, 12, 2], [12, 380, 3], [2, 3, 900]])
CHAIN = FLOW / FLOW.sum(axis=1, keepdims=True)
SLOW = timescales(CHAIN)[0]
PAIR = np.array([[0.98, 0.02], [0.02, 0.98]])

pytestmark = pytest.mark.filterwarnings("ignore:There are doubts")


def judge(runs, **options):
    settings = StudySettings(method="tica", n_bootstrap=10, lag=3, **options)
    return run_study({"x": embed(runs, 6, 0.1)}, "x", settings).convergence


def states_of(dtrajs, n_states=2, passed=True):
    """States that are their own cores."""
    return SimpleNamespace(
        weighted=False,
        connected=True,
        n_states=n_states,
        n_micro=n_states,
        model=SimpleNamespace(
            states=np.arange(n_states), stationary=np.full(n_states, 1 / n_states)
        ),
        memberships=np.eye(n_states),
        assignment=np.arange(n_states),
        microstates=dtrajs,
        dtrajs=dtrajs,
        ck=SimpleNamespace(passed=passed),
    )


ESTABLISHED = SimpleNamespace(established=True)


@pytest.mark.parametrize("n_runs", [1, 4])
def test_a_long_chain_is_converged(n_runs):
    runs = [markov_chain(CHAIN, 32_000 // n_runs, 100 + i) for i in range(n_runs)]
    found = judge(runs)
    assert found.converged is True
    assert found.shortfalls == ()
    assert found.factor == 1
    assert found.times == pytest.approx(32_000 / SLOW, rel=0.3)
    assert found.halves.shape == (2, 3)
    assert found.runs.shape == (n_runs, 3)
    assert (found.halves_lower <= found.halves).all()
    assert (found.halves <= found.halves_upper).all()
    content = json.loads(json.dumps(found.to_dict(2.0)))
    assert content["converged"] is True
    assert content["slowest"] == pytest.approx(2 * found.slowest)


def test_a_short_chain_is_not_and_says_what_it_would_take():
    found = judge([markov_chain(CHAIN, 800, 40 + i) for i in range(4)])
    assert found.converged is False
    assert Shortfall.FEW_TIMES in found.shortfalls
    # so many times the data would hold 70 slowest timescales, and 10 crossings
    fewest = min(found.entries.min(), found.exits.min())
    assert found.factor == pytest.approx(max(70 / found.times, 10 / fewest))


def test_a_state_that_is_rarely_entered_is_not_converged_however_long_the_data():
    rare = np.array([[0.9996, 0.0004], [0.1, 0.9]])
    runs = [markov_chain(rare, 3000, seed) for seed in range(4)]
    found = converged(states_of(runs), ESTABLISHED, timescales(rare)[0])
    assert found.times > 1000
    assert 1 < min(found.entries.min(), found.exits.min()) < 10
    assert Shortfall.FEW_CROSSINGS in found.shortfalls


def test_one_run_stuck_in_a_state_is_not_converged():
    runs = [markov_chain(PAIR, 3000, i) for i in range(3)]
    found = judge([*runs, np.full(3000, 2)])
    assert found.converged is False
    assert found.shortfalls == (Shortfall.DISCONNECTED,)
    assert found.factor is None


def test_a_run_that_never_leaves_its_state_shows_nothing_slow():
    found = judge([np.zeros(3000, dtype=int)])
    assert found.converged is False
    assert found.shortfalls == (Shortfall.NOT_ESTABLISHED,)


def test_crossings_count_from_core_to_core():
    """Brute force; the third microstate is the border, of state 1 by a hair."""
    border = SimpleNamespace(
        n_states=2,
        n_micro=3,
        model=SimpleNamespace(
            states=np.arange(3), stationary=np.array([0.4, 0.4, 0.2])
        ),
        memberships=np.array([[1, 0], [0, 1], [0.4, 0.6]]),
        assignment=np.array([0, 1, 1]),
        microstates=[np.array([0, 2, 0, 2, 2, 1, 2, 1, 0, 0]), np.array([1, 2, 1])],
        dtrajs=[],
    )
    border.dtrajs = [border.assignment[m] for m in border.microstates]
    entries, exits = crossings(border)
    np.testing.assert_array_equal(entries, [1, 1])
    np.testing.assert_array_equal(exits, [1, 1])


def test_crossings_of_a_known_chain():
    runs = [markov_chain(PAIR, 20_000, seed) for seed in range(3)]
    entries, exits = crossings(states_of(runs))
    seen = sum(int(((a == 0) & (b == 1)).sum()) for a, b in _pairs(runs))
    assert entries[1] == exits[0] == seen
    assert abs(int(entries[0]) - seen) <= 3


def test_states_that_shade_into_each_other_are_crossed_as_often_as_rates_tell():
    """A single well: hardly any frame is of one of its two halves beyond doubt."""
    rng = np.random.default_rng(0)
    kept, n_runs, length = np.exp(-1 / 20), 8, 5000
    x = np.zeros((n_runs, length, 1))
    x[:, 0] = rng.normal(size=(n_runs, 1))
    for t in range(1, length):
        kick = rng.normal(size=(n_runs, 1))
        x[:, t] = kept * x[:, t - 1] + np.sqrt(1 - kept**2) * kick
    states = build_states(list(x), lag=5, n_states=2, n_samples=5)
    found = transition_rates(
        states.microstates, states.model, states.memberships, n_samples=5
    )
    times = found.passage_times
    there_and_back = n_runs * length / (times[0, 1] + times[1, 0])
    # the slowest process is not alone, so that only the order of magnitude is known
    entries, exits = crossings(states)
    assert there_and_back / 4 < entries.min()
    assert exits.max() < there_and_back


def _pairs(runs):
    return [(run[:-1], run[1:]) for run in runs]


def test_halves_that_differ_are_found_and_those_of_one_chain_are_not():
    (slow,) = timescales(PAIR)
    false_alarms = 0
    for seed in range(100):
        runs = [markov_chain(PAIR, 4000, 10 * seed + i) for i in range(3)]
        found = converged(states_of(runs), ESTABLISHED, slow)
        false_alarms += bool({Shortfall.HALVES, Shortfall.RUNS} & {*found.shortfalls})
    # one time in a hundred for each of two tests
    assert false_alarms <= 6
    tilted = np.array([[0.995, 0.005], [0.02, 0.98]])
    pieces = [
        np.concatenate([markov_chain(PAIR, 2000, i), markov_chain(tilted, 2000, i)])
        for i in range(3)
    ]
    found = converged(states_of(pieces), ESTABLISHED, slow)
    assert found.shortfalls == (Shortfall.HALVES,)
    unlike = [markov_chain(PAIR, 4000, i) for i in range(3)]
    unlike.append(markov_chain(tilted, 4000, 5))
    found = converged(states_of(unlike), ESTABLISHED, slow)
    assert found.shortfalls == (Shortfall.RUNS,)


def test_intervals_of_a_run_hold_the_population():
    (slow,) = timescales(PAIR)
    inside = []
    for seed in range(100):
        runs = [markov_chain(PAIR, 3000, 10 * seed + i) for i in range(3)]
        found = converged(states_of(runs), ESTABLISHED, slow)
        inside.append((found.runs_lower <= 0.5) & (found.runs_upper >= 0.5))
    assert 0.85 <= np.mean(inside) <= 0.95


def test_pieces_of_one_run_are_one_run():
    runs = [markov_chain(PAIR, 2000, seed) for seed in range(3)]
    found = converged(states_of(runs), ESTABLISHED, 25.0, groups=(0, 0, 1))
    assert len(found.runs) == 2
    np.testing.assert_allclose(
        found.runs[0], np.bincount(np.concatenate(runs[:2])) / 4000
    )


@pytest.mark.parametrize(
    ("passed", "missing"),
    [(False, Shortfall.NOT_MARKOVIAN), (None, Shortfall.UNTESTED)],
)
def test_without_a_passed_test_nothing_is_converged(passed, missing):
    runs = [markov_chain(PAIR, 4000, seed) for seed in range(3)]
    found = converged(states_of(runs, passed=passed), ESTABLISHED, 25.0)
    assert found.converged is False
    assert found.shortfalls == (missing,)
    assert found.factor is None


def test_biased_runs_do_not_tell():
    states = states_of([markov_chain(PAIR, 400, 0)])
    states.weighted = True
    found = converged(states, ESTABLISHED, None)
    assert found.converged is None
    assert found.factor is found.times is None
