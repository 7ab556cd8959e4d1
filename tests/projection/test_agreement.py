"""Held-out ridge agreement of features with descriptors."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from mdgeomfeat.errors import InputError
from mdgeomfeat.projection import agreement
from mdgeomfeat.projection.agreement import ALPHAS, _ridge_r2, _trajectories_held_out


def runs(lengths=(300, 300, 300), width=20, noise=0.0, seed=0):
    """Features, a linear, a noisy-linear and an unrelated target."""
    rng = np.random.default_rng(seed)
    mix = rng.normal(size=(width, 2))
    x = [rng.normal(size=(n, width)) * 3 + 5 for n in lengths]
    y = []
    for part in x:
        linear = part @ mix + noise * rng.normal(size=(len(part), 2))
        y.append(np.concatenate([linear, rng.normal(size=(len(part), 1))], axis=1))
    return x, y


def test_linear_targets_are_found_and_noise_is_not():
    x, y = runs()
    result = agreement(x, y, ["a", "b", "noise"])
    assert result.r2[:2].min() > 0.9999
    assert -0.1 < result.r2[2] < 0.05
    assert result.independent
    assert (result.n_train, result.n_test) == (600, 300)
    assert "tested on the last 1" in result.note
    assert result.mean == pytest.approx(result.r2.mean())


def test_more_columns_than_frames():
    x, y = runs(lengths=(60, 40), width=300)
    latent = [part[:, :3] for part in x]
    wide = [part @ np.random.default_rng(1).normal(size=(3, 300)) for part in latent]
    assert agreement(wide, latent).r2.min() > 0.999
    # Unrelated wide features learn the training part by heart; held out shows it.
    assert agreement(x, [part[:, 2:] for part in y]).r2[0] < 0.1


@pytest.mark.parametrize("shape", [(50, 8), (20, 40)])
def test_ridge_equals_scikit_learn(shape):
    rng = np.random.default_rng(0)
    x, x_test = rng.normal(size=shape), rng.normal(size=(30, shape[1]))
    weight = rng.normal(size=(shape[1], 2))
    y, y_test = x @ weight, x_test @ weight
    z = (x - x.mean(axis=0)) / x.std(axis=0)
    z_test = (x_test - x.mean(axis=0)) / x.std(axis=0)
    penalty = np.square(z).sum() / min(shape)
    found = _ridge_r2(x, y, x_test, y_test, ALPHAS[[3, 10]])
    for row, alpha in zip(found, ALPHAS[[3, 10]], strict=True):
        model = Ridge(alpha * penalty).fit(z, y)
        predicted = model.predict(z_test)
        expected = 1 - np.square(y_test - predicted).sum(axis=0) / np.square(
            y_test - y_test.mean(axis=0)
        ).sum(axis=0)
        np.testing.assert_allclose(row, expected, rtol=1e-6)


def test_test_trajectories_are_not_trained_on():
    # The relation turns round in the last trajectory: if any of it had been used for
    # training, its R² could not be this bad.
    x, y = runs()
    y[2] = 2 * y[2].mean(axis=0) - y[2]
    assert agreement(x, y).r2[:2].max() < -2


def test_one_trajectory_is_split_in_time_and_says_so():
    x, y = runs(lengths=(900,))
    result = agreement(x, y)
    assert not result.independent
    assert "not independent" in result.note
    assert result.n_test == 300
    assert result.n_train == 600 - 45
    assert result.r2[:2].min() > 0.9999


@pytest.mark.parametrize("lengths", [(900, 30), (30, 900)])
def test_a_fragment_is_no_held_out_trajectory(lengths):
    x, y = runs(lengths=lengths)
    result, alone = agreement(x, y), agreement(*runs(lengths=(900,)))
    assert not result.independent
    assert (result.note, result.n_test) == (alone.note, 300)


def test_rounding_of_a_constant_column_tells_nothing():
    x, y = runs()
    # float32 knows 1e4 to 5e-4: differences of that size are no features
    hidden = [1e4 + 1e-3 * p[:, :1] / np.abs(p[:, :1]).max() for p in y]
    blind = [np.random.default_rng(3).normal(size=(len(p), 1)) for p in x]
    both = [np.concatenate(c, axis=1) for c in zip(hidden, blind, strict=True)]
    assert agreement(both, [p[:, :1] for p in y]).r2[0] < 0.1
    seen = [100 * (p - 1e4) + 1 for p in hidden]
    assert agreement(seen, [p[:, :1] for p in y]).r2[0] > 0.8


def test_what_does_not_vary_where_it_is_tested_has_no_r2():
    x, y = runs()
    y[2][:, 0] = 4.0
    result = agreement(x, y)
    assert np.isnan(result.r2[0])
    assert result.r2[1] > 0.9999
    assert np.isfinite(result.mean)


def test_thinning_and_constant_columns():
    x, y = runs(lengths=(1000, 500))
    x = [np.concatenate([p, np.full((len(p), 2), 1e4)], axis=1) for p in x]
    y = [np.concatenate([p, np.ones((len(p), 1))], axis=1) for p in y]
    result = agreement(x, y, max_frames=200)
    assert (result.n_train, result.n_test) == (200, 167)
    assert result.r2[:2].min() > 0.999
    assert np.isnan(result.r2[3])
    assert np.isfinite(result.mean)
    assert np.isfinite(result.median)


@pytest.mark.parametrize(
    ("lengths", "held"),
    [([5], 0), ([5, 5], 1), ([5] * 3, 1), ([5] * 8, 3), ([1, 1, 98], 1)],
)
def test_about_a_third_of_the_frames_is_held_out(lengths, held):
    assert _trajectories_held_out(lengths) == held


def test_bad_input_is_named():
    x, y = runs()
    with pytest.raises(InputError, match="same frames"):
        agreement(x, y[:2])
    with pytest.raises(InputError, match="same frames"):
        agreement(x, [part[:-1] for part in y])
    with pytest.raises(InputError, match="2 names were given for 3 targets"):
        agreement(x, y, ["a", "b"])
    with pytest.raises(InputError, match="8 training and 4 test frames are too few"):
        agreement([p[:4] for p in x], [p[:4] for p in y])
    x[1][3, 3] = np.nan
    with pytest.raises(InputError, match=r"features of trajectory 1 .* not finite"):
        agreement(x, y)
