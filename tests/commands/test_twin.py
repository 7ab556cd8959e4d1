"""The untrained twin has everything of the network but its training."""

from __future__ import annotations

import MDAnalysis as mda
import numpy as np
import pytest

from mdgeomfeat import GeomGNNFeaturizer
from mdgeomfeat.commands.baselines import gnn_input, twin_of, untrained_twin
from mdgeomfeat.commands.features import featurize
from mdgeomfeat.commands.options import ReadOptions
from mdgeomfeat.commands.progress import SilentReporter
from mdgeomfeat.featurespec import FeatureSpec


@pytest.mark.parametrize("vectors", [False, True])
def test_the_twin_s_features_are_those_of_its_network(
    data, tiny_model, tmp_path, vectors
):
    files = data / "ala2/ala2.pdb", data / "ala2/ala2-0.xtc"
    features = FeatureSpec(model=str(tiny_model), pool="element", invariants_seed=5)
    read = ReadOptions(files=files, features=features, step=2000, engine="torch")
    found = featurize(read, tmp_path, SilentReporter())
    numbers, given = untrained_twin(read, found, SilentReporter(), vectors=vectors)

    twin = twin_of(found)
    assert twin.spec == found.model.spec
    assert twin.fingerprint != found.model.fingerprint
    alone = GeomGNNFeaturizer(
        mda.Universe(*map(str, files)), model=twin, pool="element", invariants_seed=5,
        engine="torch", allow_unseen=True,
    ).run(step=2000)  # fmt: skip
    (mine,) = numbers
    np.testing.assert_allclose(mine, alone.results.invariants(), rtol=1e-4, atol=1e-5)
    assert np.abs(mine - gnn_input(found)[0]).max() > 0.1
    if vectors:
        np.testing.assert_allclose(
            given[0], alone.results.channels, rtol=1e-4, atol=1e-5
        )
    else:
        assert given is numbers
