"""Small networks and models on alanine dipeptide, made in the tests."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import MDAnalysis as mda
import numpy as np
import pytest
import torch

from mdgeomfeat import GeomGNNFeaturizer
from mdgeomfeat.gnn import ModelSpec, build_model
from mdgeomfeat.kinetics import CVModel, make_cv_model
from mdgeomfeat.kinetics.tica import fit_tica
from mdgeomfeat.kinetics.vampnet import TrainingOptions, fit_vampnet
from mdgeomfeat.mixing import MixerSpec

DATA = Path(__file__).parents[2] / "data" / "ala2"
BOX = np.array([17.0, 18.0, 19.0, 70.0, 80.0, 100.0])
FRAMES = 120


@dataclass
class Dipeptide:
    """Alanine dipeptide, a network on it, and models of their features."""

    featurizer: GeomGNNFeaturizer
    network: Any

    @property
    def structure(self):
        return self.featurizer.results.structure

    @property
    def positions(self):
        return np.array(self.featurizer.results.positions[::40], np.float64)

    def metadata(self, **features):
        structure = self.structure
        recipe = {
            "select": None,
            "tokens": "residue",
            "window": None,
            "invariants": "geometric",
            "pool": "mean",
            "model_fingerprint": self.network.fingerprint,
        }
        return {
            "features": recipe | features,
            "structure": {
                "numbers": structure.numbers.tolist(),
                "token_of_atom": structure.token_of_atom.tolist(),
                "labels": structure.token_labels(),
            },
            "states": {"centres": [], "state_of_centre": []},
        }

    def arrays(self, invariants, pool="mean", joined=False):
        run = featurized(self.network, invariants=invariants, pool=pool)
        results = run.results
        if joined:
            parts = [results.scalars[:, :, None], results.vectors]
            return [np.concatenate(parts, axis=2)]
        return [results.features.reshape(FRAMES, self.structure.n_tokens, -1)]

    def model(self, method, invariants="geometric", pool="mean") -> CVModel:
        """Return a model: "tica", or the kind of a mixer."""
        arrays = self.arrays(invariants, pool, method == "equivariant")
        metadata = self.metadata(invariants=invariants, pool=pool)
        if method == "tica":
            fitted = fit_tica(arrays, 2, 2, n_components=8)
        else:
            spec = MixerSpec(
                kind=method,
                n_tokens=self.structure.n_tokens,
                n_features=arrays[0].shape[-1],
                n_outputs=2,
                width=16,
                depth=1,
            )
            options = TrainingOptions(max_steps=5, n_starts=1, batch_size=50)
            fitted = fit_vampnet(arrays, arrays, 2, spec, options=options).lobe
        name = "tica" if method == "tica" else "vamp"
        return make_cv_model(name, fitted, arrays, 2, metadata)


def lively(architecture, **options):
    """Return a small network whose every parameter matters."""
    sizes = {"n_layers": 2, "n_channels": 16, "n_rbf": 12, "n_heads": 4}
    model = build_model(
        ModelSpec(architecture=architecture, **(sizes | options)), seed=1
    )
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for name, values in model.named_parameters():
            if values.dim() == 1 and not name.startswith("basis"):
                values += 0.2 * torch.randn(values.shape, generator=generator)
    return model


def featurized(network, **options):
    universe = mda.Universe(str(DATA / "ala2.pdb"), str(DATA / "ala2-0.xtc"))
    featurizer = GeomGNNFeaturizer(
        universe, model=network, allow_unseen=True, periodic=False, **options
    )
    return featurizer.run(stop=FRAMES)


@pytest.fixture(scope="session")
def dipeptides():
    """Return a function from an architecture to a :class:`Dipeptide`."""
    made: dict[str, Dipeptide] = {}

    def get(architecture):
        if architecture not in made:
            network = lively(architecture)
            made[architecture] = Dipeptide(featurized(network), network)
        return made[architecture]

    return get
