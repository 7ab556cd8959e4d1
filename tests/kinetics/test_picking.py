"""Picks of frames to start from: what is rare, and a loop on a known landscape."""

from __future__ import annotations

import numpy as np
import pytest

from mdgeomfeat.errors import InputError
from mdgeomfeat.kinetics import Why, pick_frames


def basins(seed=0):
    """Return three runs in a basin, of which one visits a small one at x = 6 once."""
    rng = np.random.default_rng(seed)
    runs = [rng.normal(0, 0.5, (400, 2)) for _ in range(3)]
    runs[1][100:120] += [6.0, 0.0]
    states = [np.zeros(400, dtype=int) for _ in range(3)]
    states[1][100:120] = 1
    return runs, states


def test_a_state_that_was_visited_once_comes_first():
    runs, states = basins()
    picks = pick_frames(runs, 5, states=states)
    assert picks[0].why is Why.SEEN_ONCE
    assert (picks[0].which, picks[0].n_alike) == (1, 20)
    assert 500 <= picks[0].row < 520
    # what was visited twice was seen more than once
    states[2][:10] = 1
    assert all(p.why is not Why.SEEN_ONCE for p in pick_frames(runs, 5, states=states))


def test_ends_that_hold_few_frames_are_picked():
    x = np.concatenate([np.linspace(-1, 1, 2000), np.linspace(1.1, 3, 10)])
    picks = pick_frames([np.stack([x, np.zeros_like(x)], axis=1)], 8)
    ends = [p for p in picks if p.why is Why.END]
    assert [p.row for p in ends] == [len(x) - 1]
    assert ends[0].n_alike == (x >= x.max() - 0.05 * 4).sum()


def test_the_rarest_cells_come_first_and_no_two_are_alike():
    rng = np.random.default_rng(1)
    crowd = rng.normal(0, 0.3, (5000, 2))
    alone = np.array([[4, 4], [-4, 4], [4, -4], [-4, -4]], dtype=float)
    points = np.concatenate([crowd, alone])
    picks = pick_frames([points], 4, n_variables=0)
    assert {p.row for p in picks} == set(range(5000, 5004))
    assert all(p.n_alike == 1 for p in picks)
    many = pick_frames([points], 50)
    assert len({p.row for p in many}) == 50


@pytest.mark.parametrize("n", [1, 3, 7])
def test_as_many_as_asked_for_even_if_there_are_few_places(n):
    points = np.repeat(np.arange(7.0), 30)[:, None]
    rows = [p.row for p in pick_frames([points], n)]
    assert len({float(points[r, 0]) for r in rows}) == n


def test_equal_input_gives_equal_picks():
    runs, states = basins()
    assert pick_frames(runs, 9, states=states) == pick_frames(runs, 9, states=states)


def walk(start, rng, n=150, dt=0.004):
    """Diffuse from a place in a landscape with three wells in a row, and noise."""
    x = np.array(start, dtype=float)
    path = np.empty((n, 2))
    for k in range(n):
        # wells at -2, 0 and 2, some 5 kT between them
        force = np.array([2.5 * np.pi * np.sin(np.pi * (x[0] + 1)), -8 * x[1]])
        if abs(x[0]) > 2.5:
            force[0] = -20 * np.sign(x[0]) * (abs(x[0]) - 2.5)
        x = x + dt * force + np.sqrt(2 * dt) * rng.normal(size=2)
        path[k] = x
    return path


def explored(choose, seed, n_rounds=5, n_starts=5):
    """Return how far along the landscape rounds of short runs have come."""
    rng = np.random.default_rng(seed)
    runs = [walk([-2.0, 0.0], rng) for _ in range(n_starts)]
    for _ in range(n_rounds):
        places = np.concatenate(runs)
        runs += [walk(places[row], rng) for row in choose(runs, n_starts, rng)]
    return np.concatenate(runs)[:, 0].max()


def test_picks_explore_a_landscape_faster_than_frames_at_random():
    def picked(runs, n, rng):
        return [p.row for p in pick_frames(runs, n)]

    def uniform(runs, n, rng):
        return rng.integers(sum(map(len, runs)), size=n)

    seeds = range(8)
    ours = np.array([explored(picked, seed) for seed in seeds])
    theirs = np.array([explored(uniform, seed) for seed in seeds])
    # how many of eight loops have left the first well
    assert (ours > -0.5).sum() >= 6
    assert (theirs > -0.5).sum() <= 3


@pytest.mark.parametrize(
    ("cvs", "n", "said"),
    [
        ([np.zeros((50, 1))], 2, "2 picks out of 1 different frames"),
        ([np.arange(5.0)[:, None]], 0, "ask for 1 to 5"),
        ([np.full((5, 1), np.nan)], 1, "not finite"),
        ([np.zeros((5, 1)), np.zeros((5, 2))], 1, "the same d"),
        ([], 1, "one .frames, d. array"),
    ],
)
def test_what_cannot_be_picked_from_is_refused(cvs, n, said):
    with pytest.raises(InputError, match=said):
        pick_frames(cvs, n)


def test_states_of_other_frames_are_refused():
    with pytest.raises(InputError, match="4 states for 5 frames"):
        pick_frames([np.arange(5.0)[:, None]], 1, states=[np.zeros(4, dtype=int)])


def test_what_was_picked_for_its_end_is_not_picked_again():
    x = np.repeat([0.0, 1.0, 10.0], [100, 100, 1])[:, None]
    picks = pick_frames([x], 3)
    assert picks[0].why is Why.END
    assert sorted(float(x[p.row, 0]) for p in picks) == [0.0, 1.0, 10.0]
