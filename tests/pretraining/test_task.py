import numpy as np
import pytest

from mdgeomfeat.errors import InputError
from mdgeomfeat.pretraining.config import DataConfig, TaskConfig
from mdgeomfeat.pretraining.evaluate import denoising_error, rigid_freedom
from mdgeomfeat.pretraining.task import (
    Batch,
    Sampler,
    make_batch,
    remove_rigid_motion,
)


def batch_of(packed, rng, mode=0, sigma=0.2, n=None):
    indices = np.arange(len(packed))[:n]
    full = np.ones(len(indices))
    return make_batch(packed, indices, (full * mode).astype(int), full * sigma, rng)


def test_noise_has_unit_variance_and_moves_by_sigma(packed, rng):
    noise = np.concatenate([batch_of(packed, rng).noise for _ in range(20)])
    assert abs(noise.std() - 1.0) < 0.02
    batch = batch_of(packed, rng, sigma=0.3)
    clean = np.concatenate([packed.positions(i) for i in range(len(packed))])
    np.testing.assert_allclose(batch.positions - clean, 0.3 * batch.noise, atol=1e-6)


def test_modes_choose_atoms(packed, rng):
    every = batch_of(packed, rng, 0)
    heavy = batch_of(packed, rng, 1)
    some = batch_of(packed, rng, 2)
    assert (heavy.numbers > 1).all()
    assert len(heavy.numbers) == (every.numbers > 1).sum()
    assert (some.numbers > 1).sum() == len(heavy.numbers)
    assert len(heavy.numbers) < len(some.numbers) < len(every.numbers)
    # Hydrogens are dropped from molecules in different shares.
    kept = [
        (some.numbers[a:b] == 1).sum() / (every.numbers[c:d] == 1).sum()
        for a, b, c, d in zip(
            some.graph_ptr[:-1],
            some.graph_ptr[1:],
            every.graph_ptr[:-1],
            every.graph_ptr[1:],
            strict=True,
        )
        if (every.numbers[c:d] == 1).any()
    ]
    assert np.std(kept) > 0.15


def test_no_rigid_motion_is_left_in_the_target(packed, rng):
    batch = batch_of(packed, rng)
    target = remove_rigid_motion(batch)
    for a, b in zip(batch.graph_ptr[:-1], batch.graph_ptr[1:], strict=True):
        x = batch.positions[a:b] - batch.positions[a:b].mean(0)
        assert np.abs(target[a:b].sum(0)).max() < 1e-4
        assert np.abs(np.cross(x, target[a:b]).sum(0)).max() < 1e-3


def test_internal_noise_stays_as_it_is(rng):
    """A stretched and bent triangle has no rigid part, nor have atoms on a line."""
    x = np.array([[0.0, 0, 0], [2, 0, 0], [1, 1.5, 0]], np.float32)
    along = x - x.mean(0)
    batch = Batch(np.full(3, 6), x, along, np.array([0, 3]))
    np.testing.assert_allclose(remove_rigid_motion(batch), along, atol=1e-5)
    line = np.array([[0.0, 0, 0], [0, 0, 1.1], [0, 0, 2.3]], np.float32)
    stretch = np.array([[0, 0, -1.0], [0, 0, 0], [0, 0, 1.0]], np.float32)
    batch = Batch(np.full(3, 6), line, stretch, np.array([0, 3]))
    np.testing.assert_allclose(remove_rigid_motion(batch), stretch, atol=1e-5)
    single = Batch(np.array([6]), x[:1], along[:1], np.array([0, 1]))
    np.testing.assert_array_equal(remove_rigid_motion(single), 0.0)


def test_removed_share_is_the_floor(packed, rng):
    removed = kept = 0.0
    for _ in range(60):
        batch = batch_of(packed, rng, sigma=0.02)
        removed += float(((batch.noise - remove_rigid_motion(batch)) ** 2).sum())
        kept += float((batch.noise**2).sum())
    error = denoising_error(
        lambda z, x, ptr: np.zeros_like(x), packed, np.arange(len(packed))
    )
    assert abs(removed / kept - error.floor) < 0.01
    assert abs(error.mse - 1.0) < 0.1


def test_rigid_freedom():
    assert rigid_freedom(np.zeros((1, 3))) == 3
    assert rigid_freedom(np.array([[0.0, 0, 0], [0, 1, 2]])) == 5
    assert rigid_freedom(np.arange(12.0).reshape(4, 3)) == 5
    assert rigid_freedom(np.eye(3)) == 6


def test_error_against_a_hand_calculation(packed):
    """Half of the noise is predicted for carbon, nothing for the rest."""
    seen = {}

    def predict(numbers, positions, graph_ptr):
        rng = np.random.default_rng(11)
        clean = make_batch(
            packed, np.arange(len(packed)), np.zeros(len(packed), int),
            np.zeros(len(packed)), rng,
        )  # fmt: skip
        noise = (positions - clean.positions) / 0.1
        seen["noise"], seen["z"] = noise, numbers
        return np.where((numbers == 6)[:, None], 0.5 * noise, 0.0)

    error = denoising_error(predict, packed, np.arange(len(packed)), sigma=0.1)
    square = (seen["noise"] ** 2).mean(axis=1)
    carbon = seen["z"] == 6
    by_hand = (0.25 * square[carbon].sum() + square[~carbon].sum()) / len(square)
    assert error.mse == pytest.approx(by_hand, rel=1e-4)
    assert error.by_element[6] == pytest.approx(0.25 * square[carbon].mean(), rel=1e-3)
    sizes = packed.sizes
    assert error.floor == pytest.approx(6 * len(sizes) / (3 * sizes.sum()))
    assert error.explained == pytest.approx((1 - error.mse) / (1 - error.floor))


def test_batches_depend_on_seed_step_and_rank_only(packed):
    def positions(step, seed=1, rank=0):
        sampler = Sampler(
            packed, DataConfig(validation=0.0), TaskConfig(), atoms=200, seed=seed,
            rank=rank,
        )  # fmt: skip
        return sampler.batch(step).positions

    np.testing.assert_array_equal(positions(5), positions(5))
    for other in (positions(6), positions(5, seed=2), positions(5, rank=1)):
        assert other.shape != positions(5).shape or (other != positions(5)).any()


def test_batches_are_filled_and_weighted(packed):
    config = DataConfig(validation=0.0, weights={"one": 0.0})
    sampler = Sampler(packed, config, TaskConfig(), atoms=400, seed=0)
    only = {int(m) for m in np.flatnonzero(packed.source_of == 1)}
    drawn = set()
    for step in range(5):
        batch = sampler.batch(step)
        assert 250 < len(batch.numbers) < 600
    for group, p in zip(sampler.members, sampler.source_weights, strict=True):
        if p:
            drawn |= {int(packed.mol_of[sampler.first[g]]) for g in group}
    assert drawn == only


def test_validation_molecules_are_not_drawn(packed):
    sampler = Sampler(
        packed, DataConfig(validation=0.5), TaskConfig(), atoms=100, seed=0
    )
    held = set(packed.mol_of[packed.indices("validation", 0.5)].tolist())
    used = set(packed.mol_of[sampler.first].tolist())
    assert held
    assert used
    assert not held & used


def test_wrong_tasks_are_refused():
    with pytest.raises(InputError, match="equally many"):
        TaskConfig(sigmas=(0.1, 0.2))
    with pytest.raises(InputError, match="positive lengths"):
        TaskConfig(sigmas=(0.0,))
    with pytest.raises(InputError, match="not all zero"):
        TaskConfig(all_atoms=0, heavy_only=0, some_hydrogens=0)
