"""Engines: every one gives the network's own answer."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from engine_checks import (
    ARCHITECTURES,
    BOX,
    N_ATOMS,
    assert_close,
    limit_of,
    lively,
    random_system,
    reference,
)

from mdgeomfeat.gnn.engine import make_engine
from mdgeomfeat.neighbors import lattice_vectors
from mdgeomfeat.testing import random_rotation, relative_error


@pytest.fixture(scope="module")
def system():
    return random_system()


ENGINES = [("torch", "float32"), ("torch", "float64"), ("cpu", "float32")]
SHARED_SPECS = {
    "published": {"smooth": False},
    "no self edges": {"self_edges": False, "cutoff": 5.0},
    "polynomial": {"envelope": "polynomial", "n_layers": 1},
    "odd width": {"n_channels": 36, "n_heads": 6},
}
VISNET_SPECS = {
    "degree 2": {"lmax": 2},
    "degree 2, published": {"lmax": 2, "smooth": False, "vector_norm": "max_min"},
    "max_min": {"smooth": False, "vector_norm": "max_min"},
    "rms": {"lmax": 2, "vector_norm": "rms"},
    "two layers": {"n_layers": 2},
}
SPECS = [
    *((kind, options) for kind in ARCHITECTURES for options in SHARED_SPECS.items()),
    *(("visnet", options) for options in VISNET_SPECS.items()),
]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize(("engine", "dtype"), ENGINES)
@pytest.mark.parametrize("boxes", [None, BOX], ids=["no box", "box"])
def test_engines_are_the_network(engine, dtype, boxes, architecture, system):
    model = lively(architecture=architecture)
    fast = make_engine(model, engine=engine, dtype=dtype)
    got = fast.compute(*system, boxes)
    assert got[0].dtype == got[1].dtype == np.dtype(dtype)
    limit = 1e-12 if dtype == "float64" else limit_of(engine, architecture)
    assert_close(got, reference(model, *system, boxes), limit)


@pytest.mark.parametrize(
    ("architecture", "form"), SPECS, ids=[f"{kind}, {form[0]}" for kind, form in SPECS]
)
def test_the_cpu_engine_knows_every_form(architecture, form, system):
    model = lively(architecture=architecture, **form[1])
    fast = make_engine(model, engine="cpu")
    assert_close(fast.compute(*system), reference(model, *system))


@pytest.mark.parametrize(
    "options",
    [
        {"architecture": "tensornet"},
        *(
            {"architecture": "visnet"} | VISNET_SPECS[form]
            for form in ("max_min", "rms")
        ),
    ],
    ids=["tensornet", "max_min", "rms"],
)
def test_atoms_without_neighbours(options, system):
    numbers, positions = system
    apart = positions.copy()
    apart[:, ::9] += 100.0 * np.arange(1, 6)[:, None]
    model = lively(**options)
    fast = make_engine(model, engine="cpu")
    assert_close(fast.compute(numbers, apart), reference(model, numbers, apart))


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize(
    ("n_channels", "n_heads"),
    [(16, 1), (24, 3), (40, 4), (64, 32), (96, 2), (128, 64), (256, 8)],
)
def test_the_cpu_engine_knows_every_width(n_channels, n_heads, architecture, system):
    model = lively(
        architecture=architecture, n_channels=n_channels, n_heads=n_heads, n_layers=2
    )
    for cap in (None, 8):
        fast = make_engine(model, engine="cpu", max_neighbors=cap)
        expected = reference(model, *system, max_neighbors=cap)
        assert_close(fast.compute(*system), expected)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("engine", ["torch", "cpu"])
def test_rotation_permutation_and_images(engine, architecture, system):
    numbers, positions = system
    # Coincident atoms would get a direction from the rounding of their images.
    positions = positions[2:]
    fast = make_engine(lively(architecture=architecture), engine=engine)
    limit = limit_of(engine, architecture)
    scalars, vectors = fast.compute(numbers, positions)
    turn = random_rotation(3)
    turned = fast.compute(numbers, positions @ turn.T + [3.0, -20.0, 8.0])
    assert_close(turned, (scalars, np.einsum("ij,fajc->faic", turn, vectors)), limit)
    mirrored = fast.compute(numbers, -positions)
    assert_close(mirrored, (scalars, -vectors), limit)
    order = np.random.default_rng(1).permutation(N_ATOMS)
    shuffled = fast.compute(numbers[order], positions[:, order])
    assert_close(shuffled, (scalars[:, order], vectors[:, order]), limit)

    boxed = fast.compute(numbers, positions, BOX)
    shifts = np.random.default_rng(2).integers(-2, 3, (3, N_ATOMS, 3))
    moved = fast.compute(numbers, positions + shifts @ lattice_vectors(BOX), BOX)
    assert_close(moved, boxed, limit)
    assert relative_error(boxed[0], scalars) > 1e-4


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("engine", ["torch", "cpu"])
def test_a_frame_does_not_depend_on_the_batch(engine, architecture, system):
    numbers, positions = system
    boxes = np.array([BOX, BOX * 1.05, np.zeros(6), BOX, BOX * 1.02])
    fast = make_engine(lively(architecture=architecture), engine=engine)
    limit = limit_of(engine, architecture) / 2
    whole = fast.compute(numbers, positions, boxes)
    for f in range(5):
        one = fast.compute(numbers, positions[f : f + 1], boxes[f])
        assert_close(one, [part[f : f + 1] for part in whole], limit)
    if engine == "torch":
        fast._edges_at_once = 1
        assert_close(fast.compute(numbers, positions, boxes), whole, limit)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_threads_do_not_change_a_bit(architecture, system, monkeypatch):
    from mdgeomfeat.gnn.engine.cpu import engine as cpu

    numbers, positions = system
    many = np.concatenate([positions] * 8)
    fast = make_engine(lively(architecture=architecture), engine="cpu")
    monkeypatch.setattr(cpu, "n_threads", lambda: 1)
    alone = fast.compute(numbers, many)
    monkeypatch.setattr(cpu, "n_threads", lambda: 3)
    for _ in range(3):
        together = fast.compute(numbers, many)
        np.testing.assert_array_equal(alone[0], together[0])
        np.testing.assert_array_equal(alone[1], together[1])


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_order_of_frames_is_kept_when_chunks_are_ragged(architecture, system):
    numbers, positions = system
    many = np.concatenate([positions, positions[::-1], positions[:2]])
    fast = make_engine(lively(architecture=architecture), engine="cpu")
    five = fast.compute(numbers, positions)
    got = fast.compute(numbers, many)
    for part, whole in zip(five, got, strict=True):
        expected = np.concatenate([part, part[::-1], part[:2]])
        assert relative_error(whole, expected) < 1e-6


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("engine", ["torch", "cpu"])
@pytest.mark.parametrize("shape", [(0, 4), (3, 0), (2, 1)])
def test_empty_batches_and_single_atoms(engine, shape, architecture):
    F, A = shape
    fast = make_engine(lively(architecture=architecture), engine=engine)
    positions = np.zeros((F, A, 3), np.float32)
    scalars, vectors = fast.compute(np.full(A, 6), positions)
    assert scalars.shape == (F, A, 32)
    assert vectors.shape == (F, A, 3, 32)
    assert np.isfinite(scalars).all()
    assert not vectors.any()


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_far_from_the_origin_precision_stays(architecture, system):
    numbers, positions = system
    near = positions.astype(np.float32).astype(np.float64)
    fast = make_engine(lively(architecture=architecture), engine="cpu")
    assert_close(fast.compute(numbers, near + 4096.0), fast.compute(numbers, near))


@pytest.mark.parametrize("architecture", ["et", "tensornet"])
def test_the_table_of_filters_is_exact_enough(architecture):
    from mdgeomfeat.gnn.engine.cpu.pairs import pair_records
    from mdgeomfeat.gnn.engine.filters import filter_table

    model = lively(architecture=architecture, smooth=False).double()
    table = filter_table(model.radial_filters, model.spec.cutoff, 1e-6)
    r = np.random.default_rng(0).uniform(0, model.spec.cutoff, 500)
    r[:2] = 0.0, np.nextafter(model.spec.cutoff, 0)
    vector = np.zeros((500, 3))
    vector[:, 1] = r
    row = np.empty(500, np.int64)
    weights, direction = np.empty(2000, np.float32), np.empty(1500, np.float32)
    cutoff, intervals = model.spec.cutoff, table.intervals
    pair_records(vector, 500, cutoff, intervals, row, weights, direction)
    assert (weights > -1e-9).all()
    knots = np.stack([table.rows[:, row + k] for k in range(4)], axis=2)
    got = np.einsum("eh,lehc->lec", weights.reshape(500, 4).astype(float), knots)
    exact = model.radial_filters(torch.from_numpy(r)).detach().numpy()
    assert np.abs(got - exact).max() < 2e-6 * np.abs(exact).max()
    if architecture == "et":
        # At the cutoff the published vector filters have not vanished.
        assert np.abs(exact[:, 1, -32:]).max() > 1e-3


def test_engines_can_be_made_in_several_threads(system):
    from concurrent.futures import ThreadPoolExecutor

    model = lively(architecture="et")
    expected = make_engine(model, engine="cpu").compute(*system)

    def made(_):
        return make_engine(model, engine="cpu").compute(*system)

    with ThreadPoolExecutor(4) as pool:
        for got in pool.map(made, range(12)):
            for a, b in zip(got, expected, strict=True):
                np.testing.assert_array_equal(a, b)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_the_reference_engine_on_a_gpu(system):
    model = lively()
    fast = make_engine(model, engine="torch")
    assert fast.device.type == "cuda"
    assert_close(fast.compute(*system, BOX), reference(model, *system, BOX))
