"""The CUDA engine: on a device where there is one, else by Triton's interpreter.

The interpreter computes what the kernels say, on the processor: it proves indices,
masks and algebra, and nothing about a device's precision or speed.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import engine_checks
import numpy as np
import pytest
import torch
from engine_checks import BOX, chain_windows, lively, reference, window_reference

from mdgeomfeat.gnn.engine import make_engine
from mdgeomfeat.neighbors import lattice_vectors, neighbor_list, window_edges
from mdgeomfeat.testing import random_rotation, relative_error

HAS_DEVICE = torch.cuda.is_available()
pytest.importorskip("triton", reason="Triton is missing: pip install '.[cuda]'")
from mdgeomfeat.gnn.engine.cpu.pairs import pair_records as numba_records  # noqa: E402
from mdgeomfeat.gnn.engine.cuda import engine as cuda  # noqa: E402
from mdgeomfeat.gnn.engine.cuda.kernels import exact_products  # noqa: E402
from mdgeomfeat.gnn.engine.cuda.pairs import (  # noqa: E402
    COLUMNS,
    ROWS,
    find_pairs,
    pair_records,
)

# The interpreter rounds like a processor; a device has faster ways, which are allowed
# half of what the contract allows.
LIMIT = 5e-6 if HAS_DEVICE else engine_checks.LIMIT
ARCHITECTURES = ("et", "tensornet")
N = 7
PLACES = [
    pytest.param(
        "cpu",
        id="interpreter",
        marks=pytest.mark.skipif(HAS_DEVICE, reason="Triton compiles where it can"),
    ),
    pytest.param(
        "cuda",
        id="device",
        marks=[
            pytest.mark.gpu,
            pytest.mark.skipif(not HAS_DEVICE, reason="no CUDA device here"),
        ],
    ),
]


@pytest.fixture(params=PLACES)
def place(request):
    return request.param


@pytest.fixture(scope="module")
def system():
    rng = np.random.default_rng(0)
    positions = rng.uniform(0, 9, (2, N, 3))
    positions[1, 5] = positions[1, 3]  # coincident atoms have no direction
    return rng.choice([6, 7, 8, 1, 16], N), positions


def assert_close(got, expected, limit=LIMIT):
    engine_checks.assert_close(got, expected, limit)


def small(**options):
    return lively(**({"n_layers": 2} | options))


def fast(model, place, **options):
    return make_engine(model, engine="cuda", device=place, **options)


FORMS = {
    "smooth": {},
    "published": {"smooth": False},
    "no self edges": {"self_edges": False, "cutoff": 5.0},
    "polynomial": {"envelope": "polynomial", "n_layers": 1},
    "one head": {"n_heads": 1, "n_channels": 16},
    "odd width": {"n_heads": 6, "n_channels": 36},
    "64 channels": {"n_channels": 64},
    "128 channels": {"n_channels": 128, "n_heads": 16},
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_form_is_the_network(architecture, form, system, place):
    model = small(architecture=architecture, **FORMS[form])
    got = fast(model, place).compute(*system)
    assert got[0].dtype == got[1].dtype == np.float32
    assert_close(got, reference(model, *system))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_boxes_of_each_frame(architecture, system, place):
    numbers, positions = system
    model = small(architecture=architecture)
    engine = fast(model, place)
    triclinic = engine.compute(numbers, positions, BOX)
    assert_close(triclinic, reference(model, numbers, positions, BOX))
    boxes = np.array([np.zeros(6), BOX])
    mixed = engine.compute(numbers, positions, boxes)
    assert_close(mixed, reference(model, numbers, positions, boxes))


@pytest.mark.parametrize("cap", [None, 2], ids=["all", "nearest"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_window_sees_its_own_atoms_only(architecture, cap, system, place):
    numbers, positions = system[0][:6], system[1][:1, :6]
    windows = chain_windows(np.arange(6) // 2)
    model = small(architecture=architecture)
    engine = fast(model, place, max_neighbors=cap)
    got = engine.compute(numbers, positions, BOX, windows)
    expected = window_reference(model, numbers, positions, windows, BOX, cap)
    assert_close(got, expected)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_only_the_nearest_where_asked(architecture, system, place):
    model = small(architecture=architecture)
    got = fast(model, place, max_neighbors=3).compute(*system, BOX)
    assert_close(got, reference(model, *system, BOX, max_neighbors=3))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_atoms_without_neighbours(architecture, system, place):
    numbers, positions = system
    apart = positions.copy()
    apart[:, ::3] += 100.0 * np.arange(1, 4)[:, None]
    model = small(architecture=architecture)
    got = fast(model, place).compute(numbers, apart)
    assert_close(got, reference(model, numbers, apart))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_more_neighbours_than_a_tile_holds(architecture, place):
    rng = np.random.default_rng(3)
    # At 128 channels a tile holds 4: two whole ones and a part.
    numbers, positions = rng.choice([1, 6, 8], 10), rng.uniform(0, 4, (1, 10, 3))
    model = small(architecture=architecture, n_channels=128, n_layers=1)
    got = fast(model, place).compute(numbers, positions)
    assert_close(got, reference(model, numbers, positions))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("shape", [(0, 4), (3, 0), (2, 1)])
def test_empty_batches_and_single_atoms(shape, architecture, place):
    F, A = shape
    model = small(architecture=architecture)
    positions = np.zeros((F, A, 3), np.float32)
    scalars, vectors = fast(model, place).compute(np.full(A, 6), positions)
    assert scalars.shape == (F, A, 32)
    assert vectors.shape == (F, A, 3, 32)
    assert not vectors.any()
    if scalars.size:
        expected = reference(model, np.full(A, 6), positions)
        assert relative_error(scalars, expected[0]) < LIMIT


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_rotation_permutation_images_and_distance(architecture, system, place):
    numbers, positions = system[0][:6], system[1][:1, :6]
    engine = fast(small(architecture=architecture, n_layers=1), place)
    scalars, vectors = engine.compute(numbers, positions)
    turn = random_rotation(3)
    turned = engine.compute(numbers, positions @ turn.T + [3.0, -20.0, 8.0])
    assert_close(turned, (scalars, np.einsum("ij,fajc->faic", turn, vectors)))
    order = np.random.default_rng(1).permutation(6)
    shuffled = engine.compute(numbers[order], positions[:, order])
    assert_close(shuffled, (scalars[:, order], vectors[:, order]))
    near = positions.astype(np.float32).astype(np.float64)
    far = engine.compute(numbers, near + 4096.0)
    assert_close(far, engine.compute(numbers, near))
    boxed = engine.compute(numbers, positions, BOX)
    shifts = np.random.default_rng(2).integers(-2, 3, positions.shape)
    moved = engine.compute(numbers, positions + shifts @ lattice_vectors(BOX), BOX)
    assert_close(moved, boxed)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_frames_do_not_depend_on_the_batch(architecture, system, place, monkeypatch):
    numbers, positions = system[0][:4], np.concatenate([system[1][:, :4]] * 3)[:5]
    engine = fast(small(architecture=architecture, n_layers=1), place)
    boxes = np.array([BOX, BOX * 1.05, np.zeros(6), BOX, BOX * 1.02])
    whole = engine.compute(numbers, positions, boxes)
    monkeypatch.setattr(cuda, "NODES_AT_ONCE", 8)
    assert_close(engine.compute(numbers, positions, boxes), whole)


# the interpreter of Triton 3.2, with NumPy 1
@pytest.mark.filterwarnings("ignore:Conversion of an array:DeprecationWarning")
@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("kind", [">f4", "<f8", "<f2"])
def test_coordinates_of_any_kind(kind, system, place):
    numbers, positions = system[0][:4], system[1][:, :4].astype(kind)
    engine = fast(small(n_layers=1), place)
    expected = engine.compute(numbers, positions.astype(np.float64))
    positions.setflags(write=False)
    got = engine.compute(numbers, positions[::-1])
    assert_close(got, [part[::-1] for part in expected], 1e-6)


def test_running_out_of_memory_is_told_and_forgotten(system, place, monkeypatch):
    numbers, positions = system[0][:5], np.concatenate([system[1][:, :5]] * 2)
    engine = fast(small(n_layers=1), place)
    whole = engine.compute(numbers, positions)
    monkeypatch.setattr(cuda, "NODES_AT_ONCE", 5)
    run, calls = engine._program.run, []

    def fail_once(*given):
        calls.append(given)
        if len(calls) == 2:
            raise torch.cuda.OutOfMemoryError("no room")
        return run(*given)

    monkeypatch.setattr(engine._program, "run", fail_once)
    with pytest.raises(torch.cuda.OutOfMemoryError, match="no room"):
        engine.compute(numbers, positions)
    assert_close(engine.compute(numbers, positions), whole)


def test_a_device_that_computes_something_else_is_found_out(place, monkeypatch):
    model = small()
    engine = fast(model, place)
    truth = make_engine(model, engine="torch", device="cpu").compute
    monkeypatch.setattr(engine, "compute", truth)
    engine._prove(model)
    monkeypatch.setattr(
        engine, "compute", lambda *given: [1.0001 * part for part in truth(*given)]
    )
    with pytest.raises(RuntimeError, match=r"differ from the network by 1.0e-04"):
        engine._prove(model)
    monkeypatch.setattr(
        engine, "compute", lambda *given: [part * np.nan for part in truth(*given)]
    )
    with pytest.raises(RuntimeError, match="use engine='torch'"):
        engine._prove(model)


def test_what_it_says_of_itself(place):
    described = fast(small(), place, max_neighbors=7).describe()
    assert described == {
        "engine": "cuda",
        "device": place,
        "dtype": "float32",
        "neighbors": "7",
        "reason": "asked for",
    }


def test_products_are_exact_and_the_user_s_choice_comes_back():
    flags = torch.backends.cuda.matmul
    before = torch.get_float32_matmul_precision()
    try:
        for precision in ("high", "highest"):
            torch.set_float32_matmul_precision(precision)
            with exact_products():
                state = getattr(flags, "fp32_precision", None)
                assert state == "ieee" or (state is None and not flags.allow_tf32)
            assert torch.get_float32_matmul_precision() == precision
            with pytest.raises(ZeroDivisionError), exact_products():
                _ = 1 / 0
            assert torch.get_float32_matmul_precision() == precision
    finally:
        torch.set_float32_matmul_precision(before)


@pytest.mark.parametrize("n_nodes", [1, ROWS - 1, ROWS + 1, COLUMNS + 1])
@pytest.mark.parametrize("boxed", [False, True], ids=["no box", "box"])
def test_pairs_are_those_of_the_neighbour_search(n_nodes, boxed, place):
    rng = np.random.default_rng(n_nodes)
    positions = rng.uniform(0, 13, (3, n_nodes, 3))
    boxes = np.array([BOX, np.zeros(6), BOX * 1.1]) if boxed else None
    expected = neighbor_list(
        positions, 6.3, boxes, dtype=torch.float64, backend="torch"
    )
    row_ptr, sender, vector = search(positions, boxes, 6.3, None, place)
    assert torch.equal(row_ptr, expected.row_ptr)
    assert torch.equal(sender, expected.sender)
    torch.testing.assert_close(vector, expected.vector, rtol=0, atol=1e-12)


def test_pairs_stay_inside_their_window(place):
    positions = np.random.default_rng(4).uniform(0, 6, (2, 20, 3))
    windows = chain_windows(np.arange(20) // 3)
    whole = neighbor_list(positions, 4.0, dtype=torch.float64)
    expected, copies = window_edges(whole, windows, 2, 20)
    flat = positions.reshape(-1, 3)[copies.numpy()].reshape(2, -1, 3)
    row_ptr, sender, vector = search(flat, None, 4.0, windows, place)
    assert torch.equal(row_ptr, expected.row_ptr)
    # Inside a window the other search lists senders by atom, and so do copies.
    assert torch.equal(sender, expected.sender)
    torch.testing.assert_close(vector, expected.vector, rtol=0, atol=1e-12)


def search(positions, boxes, cutoff, windows, place):
    n_nodes = positions.shape[1]
    first, last = np.zeros(n_nodes, np.int64), np.full(n_nodes, n_nodes)
    if windows is not None:
        sizes = np.diff(windows.ptr)
        first = np.repeat(windows.ptr[:-1], sizes)
        last = np.repeat(windows.ptr[1:], sizes)
    cells = None
    if boxes is not None:
        frames = cuda.prepare_frames(np.ones(n_nodes), positions, boxes, cutoff)
        cells = tuple(
            torch.from_numpy(part).to(place)
            for part in (frames.lattice, frames.inverse)
        )
    found = find_pairs(
        torch.from_numpy(positions).to(place),
        cells,
        torch.from_numpy(first).to(place),
        torch.from_numpy(last).to(place),
        cutoff,
    )
    return [part.cpu() for part in found]


def test_places_in_the_tables_are_those_of_the_cpu_engine():
    rng = np.random.default_rng(5)
    vector = rng.normal(size=(300, 3))
    r = rng.uniform(0, 6.3, 300)
    vector *= (r / np.linalg.norm(vector, axis=1))[:, None]
    vector[0] = 0.0
    row = np.empty(300, np.int64)
    weights, direction = np.empty(1200, np.float32), np.empty(900, np.float32)
    numba_records(vector, 300, 6.3, 200, row, weights, direction)
    empty = torch.empty(0)
    pairs = pair_records(empty, empty, torch.from_numpy(vector), 6.3, 200)
    np.testing.assert_array_equal(pairs.interval, row)
    last = pairs.place.double().numpy() ** 3 / 6
    np.testing.assert_allclose(last, weights[3::4], atol=1e-7)
    np.testing.assert_allclose(pairs.direction.ravel(), direction, atol=1e-7)


@pytest.mark.gpu
@pytest.mark.skipif(not HAS_DEVICE, reason="no CUDA device here")
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_many_atoms_in_overlapping_batches(architecture, monkeypatch):
    rng = np.random.default_rng(6)
    numbers, positions = rng.choice([6, 7, 8], 700), rng.uniform(0, 22, (8, 700, 3))
    model = lively(architecture=architecture, n_channels=64)
    boxes = np.array([24.0, 25, 26, 90, 80, 100])
    monkeypatch.setattr(cuda, "NODES_AT_ONCE", 1400)
    engine = fast(model, "cuda")
    torch.set_float32_matmul_precision("high")
    try:
        got = engine.compute(numbers, positions, boxes)
    finally:
        torch.set_float32_matmul_precision("highest")
    assert_close(got, reference(model, numbers, positions, boxes))
    again = engine.compute(numbers, positions, boxes)
    np.testing.assert_array_equal(got[0], again[0])
    np.testing.assert_array_equal(got[1], again[1])


@pytest.mark.slow
@pytest.mark.parametrize("capability", [80, 90])
def test_the_kernels_compile_for_a_device(capability, tmp_path):
    script = Path(__file__).with_name("compile_cuda_kernels.py")
    environment = os.environ | {"TRITON_CACHE_DIR": str(tmp_path)}
    environment.pop("TRITON_INTERPRET", None)
    run = subprocess.run(
        [sys.executable, script, str(capability)],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert run.returncode == 0, run.stderr
    kernels = {"_search", "_messages", "_update", "_first_messages"}
    kernels |= {"_open_gates", "_advance", "_norms"}
    lines = [line.split() for line in run.stdout.splitlines()]
    assert {name for name, *_ in lines} == kernels
    assert all(tf32 == "0" for _, tf32, _ in lines)
    assert all(fused == "0" for name, _, fused in lines if name == "_search")
