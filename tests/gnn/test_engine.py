"""Engines: every one gives the network's own answer."""

from __future__ import annotations

import logging
import time

import numba
import numpy as np
import pytest
import torch
from engine_checks import (
    BOX,
    LIMIT,
    assert_close,
    chain_windows,
    lively,
    reference,
    window_reference,
)

from mdgeomfeat.errors import InputError, MDGeomFeatWarning
from mdgeomfeat.gnn.base import Backbone
from mdgeomfeat.gnn.engine import make_engine, resolve_device
from mdgeomfeat.gnn.engine.choice import choose_engine
from mdgeomfeat.neighbors import lattice_vectors
from mdgeomfeat.testing import random_rotation, relative_error

ARCHITECTURES = ("et", "tensornet", "visnet")
# ViSNet's edges take differences of large products in the published order.
TORCH_LIMIT = {"et": LIMIT, "tensornet": LIMIT, "visnet": 1e-5}
N = 45


@pytest.fixture(scope="module")
def system():
    rng = np.random.default_rng(0)
    positions = rng.uniform(0, 12, (5, N, 3))
    positions[1, 7] = positions[1, 3]  # coincident atoms have no direction
    return rng.choice([6, 7, 8, 1, 16], N), positions


@pytest.fixture(scope="module")
def windows():
    return chain_windows(np.arange(N) // 5)


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


class Unknown(Backbone):
    """A network of somebody else's."""

    def forward(self, numbers, edges):
        raise NotImplementedError


def limit_of(engine, architecture):
    return TORCH_LIMIT[architecture] if engine == "torch" else LIMIT


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
@pytest.mark.parametrize("boxes", [None, BOX], ids=["no box", "box"])
def test_a_window_sees_its_own_atoms_only(engine, boxes, architecture, system, windows):
    numbers, positions = system[0], system[1][:2]
    model = lively(architecture=architecture)
    fast = make_engine(model, engine=engine)
    got = fast.compute(numbers, positions, boxes, windows)
    expected = window_reference(model, numbers, positions, windows, boxes)
    assert_close(got, expected, limit_of(engine, architecture))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("engine", ["torch", "cpu"])
def test_windows_do_not_depend_on_how_many_fit_the_cache(
    engine, architecture, system, windows, monkeypatch
):
    fast = make_engine(lively(architecture=architecture), engine=engine)
    whole = fast.compute(*system, None, windows)
    if engine == "cpu":
        from mdgeomfeat.gnn.engine.cpu import engine as cpu

        monkeypatch.setattr(cpu, "NODES_AT_ONCE", 20)
    else:
        fast._edges_at_once = 1
    limit = limit_of(engine, architecture)
    assert_close(fast.compute(*system, None, windows), whole, limit)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("engine", ["torch", "cpu"])
def test_only_the_nearest_where_asked(engine, architecture, system):
    model = lively(architecture=architecture)
    fast = make_engine(model, engine=engine, max_neighbors=6)
    got = fast.compute(*system, BOX)
    expected = reference(model, *system, BOX, max_neighbors=6)
    assert_close(got, expected, limit_of(engine, architecture))
    everything = make_engine(model, engine=engine).compute(*system, BOX)
    assert relative_error(got[0], everything[0]) > 1e-3


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_nearest_inside_windows_is_the_same_in_both_engines(
    architecture, system, windows
):
    model = lively(architecture=architecture)
    got = [
        make_engine(model, engine=engine, max_neighbors=6).compute(
            *system, BOX, windows
        )
        for engine in ("cpu", "torch")
    ]
    assert_close(*got, TORCH_LIMIT[architecture])


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
    order = np.random.default_rng(1).permutation(N)
    shuffled = fast.compute(numbers[order], positions[:, order])
    assert_close(shuffled, (scalars[:, order], vectors[:, order]), limit)

    boxed = fast.compute(numbers, positions, BOX)
    shifts = np.random.default_rng(2).integers(-2, 3, (3, N, 3))
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


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_auto_takes_the_fast_engine_where_it_can(architecture, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    model = lively(architecture=architecture)
    fast = make_engine(model)
    assert fast.name == "cpu"
    described = fast.describe()
    assert described["reason"] == f"the fastest for {architecture} on a CPU"
    assert described["dtype"] == "float32"
    assert described["neighbors"] == "all"
    assert described["instructions"] in {"AVX-512", "AVX", "SSE"}
    exact = make_engine(model, dtype="float64")
    assert exact.name == "torch"
    assert "float32" in exact.describe()["reason"]
    other = make_engine(Unknown(model.spec))
    assert other.name == "torch"
    assert "does not support Unknown" in other.describe()["reason"]


def test_compiling_is_said_and_loading_is_not(monkeypatch, caplog):
    from mdgeomfeat.gnn.engine.cpu import engine as cpu

    heard = []
    monkeypatch.setattr(cpu.CpuEngine, "compute", lambda *_: time.sleep(0.1))
    make_engine(lively(), engine="cpu", notify=heard.append)
    assert heard == []

    def compile_two(*_):
        numba.njit(lambda x: x + 1)(1)
        numba.njit(lambda x: x + 2)(1)

    monkeypatch.setattr(cpu.CpuEngine, "compute", compile_two)
    make_engine(lively(), engine="cpu", notify=heard.append)
    assert len(heard) == 1
    assert "Compiling" in heard[0]
    with caplog.at_level(logging.INFO, "mdgeomfeat"):
        make_engine(lively(), engine="cpu")
    assert "Compiling" in caplog.text


def test_mistakes_are_named(system):
    numbers, positions = system
    model = lively()
    with pytest.raises(
        InputError, match=r"engine='fast' is unknown.*'torch', 'cpu', 'cuda'"
    ):
        make_engine(model, engine="fast")
    with pytest.raises(InputError, match="dtype='float16'"):
        make_engine(model, dtype="float16")
    with pytest.raises(InputError, match=r"not support Unknown.*engine='torch'"):
        make_engine(Unknown(model.spec), engine="cpu")
    with pytest.raises(InputError, match="computes in float32"):
        make_engine(model, engine="cpu", dtype="float64")
    with pytest.raises(InputError, match="max_neighbors is 0"):
        make_engine(model, max_neighbors=0)
    for name in ("torch", "cpu"):
        fast = make_engine(model, engine=name)
        with pytest.raises(InputError, match="n_frames, n_atoms, 3"):
            fast.compute(numbers, positions[0])
        with pytest.raises(InputError, match="44 atomic numbers do not fit"):
            fast.compute(numbers[:-1], positions)
        with pytest.raises(InputError, match="Atomic number 100 is outside"):
            fast.compute(np.full(N, 100), positions)
        with pytest.raises(InputError, match="over half the shortest box height"):
            fast.compute(numbers, positions, [14.0, 20, 20, 90, 90, 90])
        boxes = np.tile([20.0, 20, 20, 90, 90, 90], (len(positions), 1))
        boxes[2, 1], boxes[1, 0] = 13.0, 14.0
        with pytest.raises(
            InputError, match=r"shortest box height, 13\.000 Å in frame 2"
        ):
            fast.compute(numbers, positions, boxes)
        bad = positions.copy()
        bad[2, 5] = np.inf
        with pytest.raises(InputError, match="Atom 5 of frame 2"):
            fast.compute(numbers, bad)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_cuda_engine_says_what_is_missing(architecture, monkeypatch):
    from mdgeomfeat.gnn.engine.cuda import engine as cuda

    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    model = lively(architecture=architecture)
    with pytest.raises(InputError, match=r"torch sees none; use engine='auto', or"):
        make_engine(model, engine="cuda")
    if architecture == "visnet":
        with pytest.raises(InputError, match=r"not support ViSNet; use engine='torch'"):
            make_engine(model, engine="cuda", device="cpu")
        return
    with pytest.raises(InputError, match=r"does not run on cpu; use engine='torch' or"):
        make_engine(model, engine="cuda", device="cpu")
    with pytest.raises(InputError, match="torch sees 0 CUDA devices"):
        make_engine(model, engine="cuda", device="cuda")
    with pytest.raises(InputError, match="computes in float32"):
        make_engine(model, engine="cuda", device="cpu", dtype="float64")
    with pytest.raises(InputError, match=r"does not run on cpu; use engine='torch'"):
        cuda.CudaEngine(model, torch.device("cpu"))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_auto_takes_the_engine_of_the_device(architecture, monkeypatch):
    from mdgeomfeat.gnn.engine.cuda import engine as cuda

    found = {"capability": (9, 0), "triton": True}
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(
        torch.cuda, "get_device_capability", lambda _: found["capability"]
    )
    monkeypatch.setattr(cuda, "find_spec", lambda _: found["triton"] or None)
    model = lively(architecture=architecture)
    if architecture == "visnet":
        name, device, reason = choose_engine(model)
        assert (name, device.type) == ("torch", "cuda")
        assert "does not support ViSNet" in reason
        return
    assert choose_engine(model) == (
        "cuda",
        torch.device("cuda"),
        f"fused kernels for {architecture} on a CUDA device",
    )
    assert choose_engine(model, "cuda", "cuda:0")[2] == "asked for"
    assert choose_engine(model, device="cpu")[0] == "cpu"
    assert choose_engine(model, dtype="float64")[0] == "torch"
    found["capability"] = (7, 5)
    name, _, reason = choose_engine(model)
    assert name == "torch"
    assert "capability 8.0, and cuda has 7.5" in reason
    found |= {"capability": (8, 0), "triton": False}
    name, _, reason = choose_engine(model)
    assert name == "torch"
    assert "pip install 'mdgeomfeat[cuda]'" in reason
    with pytest.raises(InputError, match=r"needs Triton \(pip install"):
        make_engine(model, engine="cuda")


def test_auto_does_without_kernels_that_do_not_run(system, monkeypatch):
    from mdgeomfeat.gnn.engine import choice, cuda

    def fail(*_):
        raise RuntimeError("failed to find a C compiler")

    def run_out(*_):
        raise torch.cuda.OutOfMemoryError

    model = lively()
    planned = "cuda", torch.device("cpu"), "a device as it might be"
    monkeypatch.setattr(choice, "choose_engine", lambda *_: planned)
    monkeypatch.setattr(cuda, "CudaEngine", fail)
    with pytest.warns(MDGeomFeatWarning, match="instead of 'cuda'.* a C compiler"):
        engine = make_engine(model)
    assert engine.name == "torch"
    assert "do not run here (failed to find" in engine.describe()["reason"]
    with pytest.raises(RuntimeError, match="C compiler"):
        make_engine(model, engine="cuda")
    monkeypatch.setattr(cuda, "CudaEngine", run_out)
    with pytest.raises(torch.cuda.OutOfMemoryError):
        make_engine(model)


def test_devices_are_resolved_with_an_explanation(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert resolve_device("auto").type == "cpu"
    assert resolve_device(torch.device("cpu")).type == "cpu"
    with pytest.raises(InputError, match="torch sees 0 CUDA devices"):
        resolve_device("cuda:1")
    with pytest.raises(InputError, match="device='gpu' is unknown"):
        resolve_device("gpu")
    with pytest.raises(InputError, match="not supported"):
        resolve_device("meta")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_the_reference_engine_on_a_gpu(system):
    model = lively()
    fast = make_engine(model, engine="torch")
    assert fast.device.type == "cuda"
    assert_close(fast.compute(*system, BOX), reference(model, *system, BOX))
