"""Labelled molecules, a small network, and one thread: for tests that train."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from labelled_molecules import labelled_graph
from torch_geometric.data import Data

from mdgeomfeat.gnn import ModelSpec, build_model, save_model

__all__ = ["graphs", "network", "one_thread"]


@pytest.fixture(autouse=True)
def one_thread():
    """Batches are tiny: threads would spend their time waiting for each other."""
    import numba

    before = torch.get_num_threads(), numba.get_num_threads()
    torch.set_num_threads(1)
    numba.set_num_threads(1)
    yield
    torch.set_num_threads(before[0])
    numba.set_num_threads(before[1])


@pytest.fixture(scope="session")
def graphs() -> list[Data]:
    """48 molecules of 3 to 7 atoms, all of different composition or order."""
    rng = np.random.default_rng(2)
    made, seen = [], set()
    while len(made) < 48:
        z = rng.choice([1, 6, 8], size=rng.integers(3, 8))
        if tuple(z) in seen:
            continue
        seen.add(tuple(z))
        made.append(labelled_graph(z, rng.normal(size=(len(z), 3))))
    return made


@pytest.fixture(scope="session")
def network(tmp_path_factory) -> str:
    """Save a small network, as pre-training would."""
    spec = ModelSpec(
        n_channels=16, n_layers=2, n_heads=2, n_rbf=16, cutoff=4.0, elements=(1, 6, 8)
    )
    path = tmp_path_factory.mktemp("networks") / "small.safetensors"
    save_model(build_model(spec, seed=5), path, {"licence": "MIT"})
    return str(path)
