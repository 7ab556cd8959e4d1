"""Peak memory of an engine, in a process of its own.

The peak is the highest resident memory while the engine is
built and computes one batch of frames, above what the process held when everything was
imported and the weights were loaded. Results of the batch count; so do, for the fast
engine, its tables and kernels.
"""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import numpy as np
import torch

from mdgeomfeat.gnn import Backbone, load_model
from mdgeomfeat.gnn.engine import Engine, make_engine

MEMORY = Path("/proc/self/status")


def build(model: Backbone, name: str) -> Engine:
    """Return an engine by name, torchmd-net's networks among them."""
    if name == "torchmd-net":
        from torchmd import TorchMDEngine

        return TorchMDEngine(model)
    return make_engine(model, engine=name)  # type: ignore[arg-type]


def peak_memory(
    model: str, engine: str, numbers: np.ndarray, frames: np.ndarray
) -> float | None:
    """Return the peak, MB, or None where the system does not tell."""
    if not MEMORY.exists():
        return None
    # Not forked: a child of a process that has run OpenMP threads may hang.
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(_measure, (model, engine, numbers, frames))


def _resident(field: str) -> float:
    for line in MEMORY.read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) / 1024
    raise KeyError(field)


def _measure(name: str, engine: str, numbers: np.ndarray, frames: np.ndarray) -> float:
    torch.set_num_threads(1)
    model = load_model(name)
    # Whatever loads on first use is loaded, and then the record of the peak is cleared.
    build(model, engine).compute(numbers[:2], frames[:1, :2])
    before = _resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    build(model, engine).compute(numbers, frames)
    return _resident("VmHWM") - before
