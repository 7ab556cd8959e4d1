"""Small data sets that the tests of this room share."""

from __future__ import annotations

import numpy as np
import pytest

from mdgeomfeat.pretraining.packed import Packed, Source, load_packed, pack

SMILES = ["CCN", "c1ccccc1C", "CC(=O)NC", "OCCO", "CS(=O)C", "FC(F)Cl", "N#CC=C"]


@pytest.fixture(autouse=True)
def _one_thread():
    """Batches are tiny: threads would spend their time waiting for each other."""
    import numba
    import torch

    before = torch.get_num_threads(), numba.get_num_threads()
    torch.set_num_threads(1)
    numba.set_num_threads(1)
    yield
    torch.set_num_threads(before[0])
    numba.set_num_threads(before[1])


@pytest.fixture(scope="session")
def molecules():
    """A few molecules with three conformations each."""
    pytest.importorskip("rdkit")
    from mdgeomfeat.pretraining.conformers import ConformerSettings, conformers

    settings = ConformerSettings(n_conformers=1, snapshots=2, interval=0.02)
    return list(conformers(SMILES, settings).molecules)


@pytest.fixture(scope="session")
def packed(molecules, tmp_path_factory) -> Packed:
    path = tmp_path_factory.mktemp("packed") / "small.npz"
    half = len(molecules) // 2
    sources = [Source("one", molecules[:half]), Source("two", molecules[half:])]
    pack(sources, path, exclude=frozenset())
    return load_packed(path)


@pytest.fixture
def rng():
    return np.random.default_rng(7)
