"""Which engine is taken, what is said of it, and what it refuses."""

from __future__ import annotations

import logging
import time

import numba
import numpy as np
import pytest
import torch
from engine_checks import ARCHITECTURES, N_ATOMS, lively, random_system

from mdgeomfeat.errors import InputError, MDGeomFeatWarning
from mdgeomfeat.gnn.base import Backbone
from mdgeomfeat.gnn.engine import make_engine, resolve_device
from mdgeomfeat.gnn.engine.choice import choose_engine


@pytest.fixture(scope="module")
def system():
    return random_system()


class Unknown(Backbone):
    """A network of somebody else's."""

    def forward(self, numbers, edges):
        raise NotImplementedError


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
            fast.compute(np.full(N_ATOMS, 100), positions)
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
