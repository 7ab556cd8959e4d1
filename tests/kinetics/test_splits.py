"""Parts never overlap, keep their distance, and pairs never leave a trajectory."""

from __future__ import annotations

import numpy as np
import pytest

from mdgeomfeat.errors import InputError
from mdgeomfeat.kinetics import make_folds
from mdgeomfeat.kinetics.arrays import (
    cut,
    gather_pairs,
    lagged_chunks,
    lagged_index,
    n_pairs,
    nonfinite_frame,
)


def frames(spans):
    return {(s.trajectory, t) for s in spans for t in range(s.start, s.stop)}


@pytest.mark.parametrize("lengths", [[500] * 3, [500] * 4, [900, 400, 500, 450, 300]])
def test_whole_trajectories_are_the_parts(lengths):
    folds = make_folds(lengths, lag=10)
    assert len(folds) == min(len(lengths), 4)
    scored = [frames(f.score) for f in folds]
    for fold in folds:
        assert fold.kind == "trajectories"
        assert fold.independent
        parts = [fold.train, fold.stop, fold.score]
        owners = [{s.trajectory for s in p} for p in parts]
        assert all(owners)
        assert sum(map(len, owners)) == len(lengths)
        assert set.union(*owners) == set(range(len(lengths)))
        assert all(s.start == 0 and s.stop == lengths[s.trajectory] for s in fold.train)
    # no frame is scored twice
    assert sum(map(len, scored)) == len(set.union(*scored))


def test_every_trajectory_is_scored_once_where_folds_allow():
    folds = make_folds([300] * 4, lag=5)
    assert {s.trajectory for f in folds for s in f.score} == {0, 1, 2, 3}


@pytest.mark.parametrize(("lag", "slowest", "gap"), [(10, 30, 50), (10, 120.5, 121)])
def test_thirds_keep_five_lags_or_the_slowest_timescale_apart(lag, slowest, gap):
    folds = make_folds([3000], lag=lag, slowest=slowest)
    assert len(folds) == 3
    for fold in folds:
        assert fold.independent
        assert fold.gap == gap
        parts = [{t for _, t in frames(p)} for p in (fold.train, fold.stop, fold.score)]
        for i in range(3):
            for j in range(i):
                apart = min(
                    abs(a - b)
                    for a in (min(parts[i]), max(parts[i]))
                    for b in (min(parts[j]), max(parts[j]))
                )
                assert apart > gap
    roles = [frames(f.score) for f in folds]
    assert sum(map(len, roles)) == len(set.union(*roles))


def test_two_trajectories_are_both_cut():
    fold = make_folds([1000, 800], lag=5, slowest=20)[0]
    assert fold.kind == "thirds"
    assert {s.trajectory for s in fold.train} == {0, 1}
    assert not frames(fold.train) & frames(fold.score)


def test_too_short_for_the_gap_is_flagged():
    folds = make_folds([200], lag=5, slowest=150)
    assert not folds[0].independent
    assert not frames(folds[0].train) & frames(folds[0].score)


def test_fragments_beside_one_long_run_are_not_parts():
    assert make_folds([20_000, 300, 300], lag=5)[0].kind == "thirds"


def test_pieces_of_one_run_stay_together():
    folds = make_folds([400, 100, 500, 500], lag=5, groups=(0, 0, 1, 2))
    for fold in folds:
        for part in (fold.train, fold.stop, fold.score):
            owners = {s.trajectory for s in part}
            assert (0 in owners) == (1 in owners)


def test_thirds_of_a_run_in_pieces_follow_its_time():
    fold = make_folds([600, 400], lag=5, slowest=10, groups=(7, 7))[0]
    assert {s.trajectory for s in fold.train} == {0}
    assert {s.trajectory for s in fold.score} == {1}


def test_lag_longer_than_trajectories():
    with pytest.raises(InputError, match="not shorter than the longest trajectory"):
        make_folds([100, 120], lag=150)
    with pytest.raises(InputError, match="leaves no lagged pairs in the thirds"):
        make_folds([100], lag=60)


def test_no_pair_crosses_a_trajectory():
    lag, lengths = 7, [30, 5, 50, 8]
    # the value tells trajectory and frame
    arrays = [
        (1000.0 * i + np.arange(n))[:, None].astype(np.float32)
        for i, n in enumerate(lengths)
    ]
    index = lagged_index(arrays, lag)
    assert len(index) == n_pairs(arrays, lag) == 23 + 0 + 43 + 1
    order = np.random.default_rng(0).permutation(len(index))
    x, y = gather_pairs(arrays, index[order], lag)
    np.testing.assert_array_equal(y - x, lag)
    chunks = list(lagged_chunks(arrays, lag))
    assert sum(len(a) for a, _ in chunks) == len(index)
    assert all((b - a == lag).all() for a, b in chunks)


def test_cut_does_not_copy():
    arrays = [np.zeros((100, 2))]
    assert np.shares_memory(cut(arrays, make_folds([100], 2)[0].train)[0], arrays[0])


def test_nonfinite_value_is_found():
    arrays = [np.zeros((50, 3)), np.zeros((50, 3))]
    assert nonfinite_frame(arrays) is None
    arrays[1][17, 2] = np.inf
    assert nonfinite_frame(arrays) == (1, 17)
