"""The way along a variable: against all possible ways, and another RMSD."""

from __future__ import annotations

from itertools import pairwise, product

import numpy as np
import pytest
from MDAnalysis.analysis import rms

from mdgeomfeat.explain import smooth_path
from mdgeomfeat.explain.path import squared_rmsd
from mdgeomfeat.testing import random_rotation


@pytest.fixture
def frames():
    """Return 12 shapes of 6 atoms, each turned and moved in a way of its own."""
    rng = np.random.default_rng(3)
    shapes = rng.normal(size=(12, 6, 3)) * 3
    return np.array(
        [x @ random_rotation(k).T + rng.normal(size=3) for k, x in enumerate(shapes)]
    )


def test_squared_rmsd_is_that_of_mdanalysis(frames):
    centred = frames - frames.mean(axis=1, keepdims=True)
    found = squared_rmsd(centred[:5], centred[5:])
    for i, j in np.ndindex(found.shape):
        expected = rms.rmsd(frames[i], frames[5 + j], superposition=True, center=True)
        assert np.sqrt(found[i, j]) == pytest.approx(expected, abs=1e-6)


def test_mirror_images_are_not_alike(frames):
    centred = frames - frames.mean(axis=1, keepdims=True)
    assert squared_rmsd(centred[:1], centred[:1] * [1, 1, -1])[0, 0] > 0.1


def test_no_other_way_changes_less(frames):
    values = np.array([0, 1, 2, 3] * 3) + 0.05 * np.arange(12) / 12
    found = smooth_path(values, lambda rows: frames[rows], n_steps=4)
    apart = {
        (i, j): rms.rmsd(frames[i], frames[j], superposition=True, center=True) ** 2
        for i, j in product(range(12), repeat=2)
    }

    def length(way):
        return sum(apart[pair] for pair in pairwise(way))

    # one frame of each of four intervals, in which there are three each
    low, high = np.quantile(values, [0.001, 0.999])
    inside = (values >= low) & (values <= high)
    layers = [
        np.flatnonzero(inside & (np.round(values - 0.02) == level))
        for level in range(4)
    ]
    ways = list(product(*(layer.tolist() for layer in layers)))
    assert len(ways) > 20
    assert [int(np.round(values[row] - 0.02)) for row in found] == [0, 1, 2, 3]
    assert length(found.tolist()) == pytest.approx(min(map(length, ways)))


def test_values_rise_and_intervals_without_frames_are_left_out(frames):
    values = np.array([0.0, 0.01, 10.0, 9.99] * 3)
    rows = smooth_path(values, lambda rows: frames[rows], n_steps=10)
    assert len(rows) == 2
    assert values[rows[0]] < 1 < 9 < values[rows[1]]


def test_frames_without_a_value_are_never_shown(frames):
    values = np.linspace(0, 1, 12)
    values[4:8] = np.nan
    rows = smooth_path(values, lambda rows: frames[rows], n_steps=6)
    assert not set(rows.tolist()) & {4, 5, 6, 7}


@pytest.mark.parametrize("values", [np.full(12, np.nan), np.ones(12)])
def test_without_a_range_there_is_no_way(frames, values):
    assert len(smooth_path(values, lambda rows: frames[rows])) == np.isfinite(values)[0]
