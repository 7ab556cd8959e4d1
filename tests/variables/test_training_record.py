"""What is kept of the frames that a model was learnt from, and how far others are."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from mdgeomfeat.variables import Reach, TrainingRecord, record_training
from mdgeomfeat.variables.training import LEVELS, flat_tokens

CONSTANT = 4


def correlated(n, seed=0):
    """Return frames of eight features: three slopes, noise, and one that is fixed."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 3)) @ np.random.default_rng(9).normal(size=(3, 8))
    x += 0.1 * rng.normal(size=x.shape) + 5
    x[:, CONSTANT] = 1e3 * (1 + 1e-9 * rng.normal(size=n))  # rounding
    return x


def test_the_distance_is_that_of_the_gaussian_with_the_usual_one_as_unit():
    fitting, others, new = correlated(500), correlated(5000, 1), correlated(50, 2)
    new[:25, 0] += 3.0  # off the components, too
    reach = Reach.fit(fitting, others)
    varying = np.delete(np.arange(8), CONSTANT)
    spread = fitting[:, varying].std(axis=0)
    z = [(x[:, varying] - fitting[:, varying].mean(axis=0)) / spread
         for x in (fitting, others, new)]  # fmt: skip
    rank = reach.components.shape[1]
    shares = np.cumsum(PCA().fit(z[0]).explained_variance_ratio_)
    assert rank == int((shares < 0.95).sum()) + 1 < len(varying)
    precision = PCA(rank).fit(z[0]).get_precision()
    squares = [np.einsum("ik,kl,il->i", x, precision, x) for x in z]
    expected = np.sqrt(squares[2] / np.quantile(squares[1], 0.999))
    np.testing.assert_allclose(reach(new), expected, rtol=1e-6)
    assert np.count_nonzero(reach(others) > 1) == 5
    assert reach(new)[:25].min() > 1


def test_the_distance_has_one_value_and_the_right_slope_however_it_is_asked_for():
    reach = Reach.fit(correlated(500), correlated(500, 1))
    x = torch.tensor(correlated(6, 3), requires_grad=True)
    distances = reach.of(x)
    np.testing.assert_allclose(distances.detach(), reach(x.detach()), rtol=1e-12)
    (slopes,) = torch.autograd.grad(distances.sum(), x)
    for frame, slope in zip(x.detach().numpy(), slopes.numpy(), strict=True):
        value, found = reach.slope(frame)
        assert value == pytest.approx(reach(frame[None])[0])
        np.testing.assert_allclose(found, slope, rtol=1e-9, atol=1e-12)
        step = 1e-5 * np.random.default_rng(0).normal(size=8)
        change = reach((frame + step)[None])[0] - reach((frame - step)[None])[0]
        assert change == pytest.approx(2 * found @ step, rel=1e-5)


def test_where_nothing_varies_nothing_is_far():
    same = np.full((30, 4), 2.0)
    assert Reach.fit(same, same)(same + 1).tolist() == [0.0] * 30


def test_one_half_of_the_frames_fits_and_the_other_tells_what_is_usual():
    # more features than frames: those that were fitted are nearer than any other
    x = np.random.default_rng(0).normal(size=(60, 200))
    record = record_training([x], [x[:, :1]], [np.zeros(60, int)], 1, box=False)
    np.testing.assert_array_equal(record.reach(x), Reach.fit(x[::2], x[1::2])(x))
    np.testing.assert_allclose(record.reach.mean, x[::2].mean(axis=0))
    assert record.reach(x[::2]).max() < record.reach(x[1::2]).min()


def test_frames_that_are_looked_at_lie_evenly_over_all_runs():
    rng = np.random.default_rng(0)
    runs = [m + rng.normal(size=(n, 2)) for m, n in ((0, 3000), (10, 1000), (30, 4000))]
    record = record_training(
        runs, [r[:, :1] for r in runs], [np.zeros(len(r), int) for r in runs], 1,
        box=False,
    )  # fmt: skip
    np.testing.assert_allclose(record.reach.mean, 10 / 8 + 30 / 2, atol=0.05)


def test_quantiles_of_all_frames_and_of_states_that_have_fifty(tmp_path):
    rng = np.random.default_rng(1)
    values = [rng.normal(size=(n, 2)) for n in (90, 60)]
    states = [np.repeat([0, 1, -1], [40, 49, 1]), np.repeat([0, 2, -1], [20, 10, 30])]
    record = record_training(values, values, states, 4, box=True)
    joined = np.concatenate(values)
    expected = np.quantile(joined, LEVELS, axis=0).T
    np.testing.assert_allclose(record.quantiles, expected)
    first = np.quantile(joined[np.concatenate(states) == 0], LEVELS, axis=0).T
    np.testing.assert_allclose(record.by_state[0], first)
    assert np.isnan(record.by_state[1:]).all()
    record.save(tmp_path / "record.safetensors")
    loaded = TrainingRecord.load(tmp_path / "record.safetensors")
    assert loaded.box
    np.testing.assert_array_equal(loaded.by_state, record.by_state)
    np.testing.assert_array_equal(loaded.reach(joined), record.reach(joined))


def test_fifty_frames_are_enough():
    x = np.random.default_rng(2).normal(size=(50, 1))
    record = record_training([x], [x], [np.zeros(50, int)], 1, box=False)
    np.testing.assert_array_equal(record.by_state[0], record.quantiles)


def test_joined_channels_are_scalars_and_norms():
    x = np.random.default_rng(0).normal(size=(3, 5, 4, 7))
    found = flat_tokens(x).reshape(3, 5, 14)
    np.testing.assert_array_equal(found[..., :7], x[:, :, 0])
    norms = np.linalg.norm(x[:, :, 1:], axis=2)
    np.testing.assert_allclose(found[..., 7:], norms)
    np.testing.assert_array_equal(flat_tokens(x[:, :, 0]), x[:, :, 0].reshape(3, 35))
