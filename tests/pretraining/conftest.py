"""Small data sets that the tests of this room share."""

from __future__ import annotations

import numpy as np
import pytest
from label_fixtures import one_thread

from mdgeomfeat.pretraining.packed import Packed, Source, load_packed, pack

__all__ = ["one_thread"]

SMILES = ["CCN", "c1ccccc1C", "CC(=O)NC", "OCCO", "CS(=O)C", "FC(F)Cl", "N#CC=C"]


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
