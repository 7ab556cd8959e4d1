"""Which tokens differ between two sets of runs: exact numbers, stated chances."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from mdgeomfeat.errors import InputError
from mdgeomfeat.explain import compare_ensembles, run_distances


def slow_run(rng, length, n_tokens=5, width=3, rho=0.9) -> np.ndarray:
    """Return (F, N, K) numbers in equilibrium, each alike to the one before."""
    x = rng.normal(size=(length, n_tokens, width))
    for t in range(1, length):
        x[t] = rho * x[t - 1] + np.sqrt(1 - rho**2) * x[t]
    return x


def slow_runs(seed, n, length=40, **options) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [slow_run(rng, length, **options) for _ in range(n)]


def second(a, b) -> np.ndarray:
    return np.arange(a + b) >= a


def mean_distance(x, y) -> float:
    return float(cdist(x, y).mean())


@pytest.fixture(scope="module")
def unlike() -> list[np.ndarray]:
    """Return runs of different lengths; three differ from the others in one token."""
    rng = np.random.default_rng(1)
    runs = [slow_run(rng, n, rho=0.5) for n in (30, 50, 20, 45, 35, 40, 25)]
    for run in runs[4:]:
        run[:, 2] = 2 * run[:, 2] + 3
    return runs


def standardized(runs, token) -> list[np.ndarray]:
    """Divide by the standard deviation of a mixture in which every run is as likely."""
    means = np.mean([run[:, token].mean(axis=0) for run in runs], axis=0)
    squares = np.mean(
        [((run[:, token] - means) ** 2).mean(axis=0) for run in runs], axis=0
    )
    return [(run[:, token] - means) / np.sqrt(squares) for run in runs]


def test_distances_of_runs_against_loops(unlike):
    found = run_distances(unlike)
    for token in (0, 2):
        x = standardized(unlike, token)
        want = [[mean_distance(a, b) for b in x] for a in x]
        np.testing.assert_allclose(found[token], want, atol=1e-6)


def test_features_that_do_not_vary_say_nothing(unlike):
    constant = [np.concatenate([r, np.full_like(r, 3.0)], axis=2) for r in unlike]
    np.testing.assert_allclose(run_distances(constant), run_distances(unlike))


def test_effects_are_energy_distances_of_different_runs(unlike):
    found = compare_ensembles(run_distances(unlike), second(4, 3)).effects
    for token in range(5):
        x = standardized(unlike, token)
        between = np.mean([mean_distance(a, b) for a in x[:4] for b in x[4:]])
        within = [
            np.mean([mean_distance(a, b) for a, b in combinations(side, 2)])
            for side in (x[:4], x[4:])
        ]
        want = (2 * between - sum(within)) / (2 * between)
        assert found[token] == pytest.approx(want, abs=1e-6)


def ratio(x, sides) -> float:
    """Anderson's ratio, from squared distances of the runs' distributions."""
    n = len(x)
    own = [mean_distance(a, a) for a in x]
    d = np.array(
        [
            [2 * mean_distance(a, b) - own[i] - own[j] for j, b in enumerate(x)]
            for i, a in enumerate(x)
        ]
    )
    total = sum(d[i, j] for i, j in combinations(range(n), 2)) / n
    within = sum(
        sum(d[i, j] for i, j in combinations(side, 2)) / len(side) for side in sides
    )
    return (total - within) / (within / (n - 2))


def test_p_is_the_share_of_divisions_that_are_as_large(unlike):
    found = compare_ensembles(run_distances(unlike), second(4, 3))
    assert found.exact
    assert found.n_divisions == 35
    assert found.smallest == pytest.approx(1 / 35)
    ratios = []
    for chosen in combinations(range(7), 3):
        rest = [i for i in range(7) if i not in chosen]
        ratios.append(
            [ratio(standardized(unlike, t), (rest, list(chosen))) for t in range(5)]
        )
    every = np.array(ratios)
    true = every[[c == (4, 5, 6) for c in combinations(range(7), 3)].index(True)]
    assert found.p_values == pytest.approx((every >= true - 1e-9).mean(axis=0))
    largest = every.max(axis=1, keepdims=True)
    assert found.corrected == pytest.approx((largest >= true - 1e-9).mean(axis=0))
    assert found.different.tolist() == [2]


def test_halves_of_equal_size_are_counted_once():
    runs = slow_runs(0, 8)
    found = compare_ensembles(run_distances(runs), second(4, 4))
    assert found.n_divisions == 35  # and not 70
    other = compare_ensembles(run_distances(runs), ~second(4, 4))
    np.testing.assert_allclose(found.p_values, other.p_values)
    np.testing.assert_allclose(found.corrected, other.corrected)
    np.testing.assert_allclose(found.effects, other.effects)


def test_three_and_three_runs_decide_nothing():
    runs = slow_runs(0, 6)
    for run in runs[3:]:
        run += 100.0
    found = compare_ensembles(run_distances(runs), second(3, 3))
    assert found.smallest == pytest.approx(0.1)
    np.testing.assert_allclose(found.p_values, 0.1)
    assert not found.decidable
    assert found.different.size == 0
    assert found.effects.min() > 0.9
    assert found.shown.max() == 100  # coloured, but not called different


def test_divisions_are_drawn_where_there_are_many():
    runs = slow_runs(3, 18, length=20, n_tokens=3, rho=0.5)
    for run in runs[9:]:
        run[:, 1, 0] += 0.35
    found = compare_ensembles(run_distances(runs), second(9, 9))
    assert not found.exact
    assert found.n_divisions == 10_000
    # against all 24,310, in a computation of its own for one token
    d = run_distances(runs)[1]
    own = np.diag(d)
    square = 2 * d - own[:, None] - own
    sides = np.array(
        [np.isin(np.arange(18), c) for c in combinations(range(18), 9) if 0 in c]
    )
    spread = [sum(square[np.ix_(s, s)].sum() / 18 for s in (z, ~z)) for z in sides]
    true = spread[int(np.flatnonzero((sides == ~second(9, 9)).all(axis=1))[0])]
    exact = np.mean(np.array(spread) <= true + 1e-9)
    assert found.p_values[1] == pytest.approx(exact, abs=4 * np.sqrt(exact / 10_000))
    assert found.p_values[1] >= 1e-4


def test_chances_are_as_stated_although_runs_are_slow():
    """A run moves little, so that frames of it are no independent observations."""
    found = [
        compare_ensembles(run_distances(slow_runs(seed, 10)), second(5, 5))
        for seed in range(300)
    ]
    n_tokens = 5 * 300
    p = np.array([one.p_values for one in found])
    for level in (0.05, 0.25, 0.5):
        allowed = np.floor(level * 126) / 126
        error = np.sqrt(allowed * (1 - allowed) / n_tokens)
        assert (p <= level).mean() == pytest.approx(allowed, abs=4 * error)
    named = np.mean([len(one.different) > 0 for one in found])
    assert named == pytest.approx(0.05, abs=4 * np.sqrt(0.05 * 0.95 / 300))
    # effects scatter about 0, whatever the correlation in time
    effects = np.array([one.effects for one in found])
    assert abs(effects.mean()) < 3 * effects.std() / np.sqrt(300)


def test_frames_taken_for_independent_would_be_called_different():
    """Why runs are exchanged: halves of the frames of one run seem to differ."""
    called = 0
    for seed in range(20):
        (run,) = slow_runs(seed, 1, length=200, n_tokens=1, rho=0.98)
        pieces = np.split(run, 10)  # as if each were a run of its own
        called += compare_ensembles(run_distances(pieces), second(5, 5)).p_values[0] < (
            0.05
        )
    assert called > 5


@pytest.mark.parametrize("n", [4, 6])
def test_one_shift_among_fifty_tokens_is_found(n):
    named = []
    for seed in range(10):
        runs = slow_runs(seed, 2 * n, length=60, n_tokens=50, width=4, rho=0.7)
        for run in runs[n:]:
            run[:, 31, 1] += 1.5
        found = compare_ensembles(run_distances(runs), second(n, n))
        assert found.effects.argmax() == 31
        named.append(found.different.tolist())
    assert sum(31 in one for one in named) >= 9
    assert sum(one != [31] for one in named) <= 2


def test_what_is_not_tested_has_no_say():
    runs = slow_runs(5, 8, rho=0.3)
    for run in runs[4:]:
        run[:, 0] += 3
        run[:, 1, 0] += 1
    tested = np.array([False, True, True, True, True])
    distances = run_distances(runs)
    found = compare_ensembles(distances, second(4, 4), tested=tested)
    alone = compare_ensembles(distances[1:], second(4, 4))
    assert np.isnan(found.corrected[0])
    assert found.effects.argmax() == 0
    np.testing.assert_allclose(found.corrected[1:], alone.corrected)
    assert 0 not in found.different
    assert found.shown[0] == 0


def test_parts_of_one_run_have_effects_and_no_p(unlike):
    distances = run_distances(unlike)
    found = compare_ensembles(distances, second(4, 3), independent=False)
    np.testing.assert_array_equal(
        found.effects, compare_ensembles(distances, second(4, 3)).effects
    )
    assert found.p_values is None
    assert found.corrected is None
    assert found.smallest is None
    assert not found.decidable


def test_a_set_of_one_run_is_refused(unlike):
    with pytest.raises(InputError, match=r"6 and 1 runs.*at least two of each"):
        compare_ensembles(run_distances(unlike), second(6, 1))


def test_runs_that_are_copies_do_not_differ():
    (run,) = slow_runs(0, 1)
    found = compare_ensembles(run_distances([run] * 8), second(4, 4))
    assert (found.p_values == 1).all()
    np.testing.assert_allclose(found.effects, 0, atol=1e-6)
