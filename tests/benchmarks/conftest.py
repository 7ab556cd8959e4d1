"""Benchmarks are scripts: their folder is put on the path, as it is when they run."""

from __future__ import annotations

import sys
from pathlib import Path

import numba
import pytest
import torch

from mdgeomfeat.gnn import ModelSpec, build_model, save_model

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture(scope="session")
def network(tmp_path_factory) -> str:
    """Return the path of a small network."""
    spec = ModelSpec(
        n_channels=16, n_layers=2, n_heads=2, n_rbf=16, cutoff=4.0, elements=(1, 6, 8)
    )
    path = tmp_path_factory.mktemp("network") / "small.safetensors"
    save_model(build_model(spec, seed=5), path, {})
    return str(path)


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads(), numba.get_num_threads()
    torch.set_num_threads(1)
    numba.set_num_threads(1)
    yield
    torch.set_num_threads(before[0])
    numba.set_num_threads(before[1])


# At the end: a name there must not hide a package, as tables.py would hide PyTables.
if str(BENCHMARKS) not in sys.path:
    sys.path.append(str(BENCHMARKS))
