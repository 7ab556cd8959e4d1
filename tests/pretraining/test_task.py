import numpy as np
import pytest

from mdgeomfeat.errors import InputError
from mdgeomfeat.pretraining.config import DataConfig, TaskConfig
from mdgeomfeat.pretraining.evaluate import (
    denoising_error,
    errors_by_source,
    rigid_freedom,
)
from mdgeomfeat.pretraining.packed import Packed
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


def test_each_molecule_has_one_scale_of_noise(packed, rng):
    sigmas = np.linspace(0.1, 0.5, len(packed))
    batch = make_batch(
        packed, np.arange(len(packed)), np.zeros(len(packed), int), sigmas, rng
    )
    clean = np.concatenate([packed.positions(i) for i in range(len(packed))])
    moved = (batch.positions - clean) / batch.noise
    wanted = np.repeat(sigmas, packed.sizes)[:, None]
    np.testing.assert_allclose(moved / wanted, 1, rtol=2e-3)


def two_molecules(*counts):
    """Return data of molecules of one atom each, with so many conformations.

    Conformation k of a molecule stands k Å from the origin.
    """
    n = len(counts)
    return Packed(
        z=np.arange(6, 6 + n, dtype=np.uint8),
        pos=np.concatenate(
            [[(1000 * k, 0, 0) for k in range(c)] for c in counts]
        ).astype(np.int16),
        mol_ptr=np.arange(n + 1),
        mol_of=np.repeat(np.arange(n), counts).astype(np.int32),
        source_of=np.zeros(n, np.int16),
        keys=np.array([f"m{i}" for i in range(n)]),
        manifest={"sources": [{"name": "s"}], "sha256": ""},
    )


def drawn(data, **task):
    """Return what 40 batches hold: atomic numbers and places along x."""
    config = {"sigmas": (1e-4,), "all_atoms": 1, "heavy_only": 0, "some_hydrogens": 0}
    sampler = Sampler(
        data, DataConfig(validation=0.0), TaskConfig(**{**config, **task}), atoms=50,
        seed=3,
    )  # fmt: skip
    batches = [sampler.batch(step) for step in range(40)]
    return (
        np.concatenate([b.numbers for b in batches]),
        np.concatenate([b.positions[:, 0] for b in batches]),
    )


def test_molecules_are_drawn_evenly_and_then_their_conformations():
    numbers, places = drawn(two_molecules(1, 9))
    assert abs((numbers == 6).mean() - 0.5) < 0.05
    which = np.rint(places[numbers == 7]).astype(int)
    assert np.bincount(which, minlength=9).min() > 60


def test_scales_of_noise_follow_their_weights():
    _, places = drawn(two_molecules(1, 1), sigmas=(0.1, 5.0), sigma_weights=(1.0, 0.0))
    assert 0.08 < places.std() < 0.12


def test_modes_are_drawn_as_often_as_asked_for(packed):
    for modes, share in (((0, 1, 0), 0.0), ((1, 0, 0), None)):
        names = ("all_atoms", "heavy_only", "some_hydrogens")
        sampler = Sampler(
            packed, DataConfig(validation=0.0),
            TaskConfig(**dict(zip(names, modes, strict=True))), atoms=400, seed=0,
        )  # fmt: skip
        numbers = sampler.batch(0).numbers
        if share is None:
            share = (packed.z == 1).mean()
        assert (numbers == 1).mean() == pytest.approx(share, abs=0.1)


def test_shares_of_hydrogens_differ_from_molecule_to_molecule(packed, rng):
    """Uniform shares spread by 1/12, and chance adds a share of it for n hydrogens."""
    index = int(np.argmax([(packed.numbers(i) == 1).sum() for i in range(len(packed))]))
    n = (packed.numbers(index) == 1).sum()
    indices = np.full(600, index)
    batch = make_batch(packed, indices, np.full(600, 2), np.full(600, 0.1), rng)
    kept = np.add.reduceat(batch.numbers == 1, batch.graph_ptr[:-1]) / n
    assert kept.var() == pytest.approx(1 / 12 + 1 / (6 * n), rel=0.2)


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


def test_networks_are_compared_on_the_same_noise(packed):
    def nothing(numbers, positions, graph_ptr):
        return np.zeros_like(positions)

    errors = [
        denoising_error(nothing, packed, np.arange(len(packed)), seed=seed).mse
        for seed in (2, 2, 3)
    ]
    assert errors[0] == errors[1] != errors[2]


def test_sources_are_measured_on_their_own_part(packed):
    def nothing(numbers, positions, graph_ptr):
        return np.zeros_like(positions)

    for split in ("validation", "train"):
        inside = packed.indices(split, 0.5)
        source = packed.source_of[packed.mol_of[inside]]
        wanted = {
            name: int((source == number).sum())
            for number, name in enumerate(packed.sources)
        }
        rows = errors_by_source(nothing, packed, split=split, validation=0.5)
        assert sum(wanted.values()) < len(packed)
        found = {row["source"]: row["graphs"] for row in rows}
        assert found == {name: n for name, n in wanted.items() if n}


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
