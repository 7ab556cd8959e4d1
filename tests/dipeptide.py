"""Small networks and models on alanine dipeptide, made in the tests."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import MDAnalysis as mda
import numpy as np
import torch

from mdgeomfeat import GeomGNNFeaturizer
from mdgeomfeat.featurespec import FeatureSpec
from mdgeomfeat.gnn import ModelSpec, build_model
from mdgeomfeat.kinetics import CVModel, make_cv_model
from mdgeomfeat.kinetics.tica import fit_tica
from mdgeomfeat.kinetics.vampnet import TrainingOptions, fit_vampnet
from mdgeomfeat.mixing import MixerSpec
from mdgeomfeat.variables import CollectiveVariables

DATA = Path(__file__).parents[1] / "data" / "ala2"
BOX = (17.0, 18.0, 19.0, 70.0, 80.0, 100.0)
STEP = 200  # between frames, of which there are 100
EVERY = 40  # of these is looked at


@dataclass
class Dipeptide:
    """Alanine dipeptide, a network on it, and models of their features."""

    network: Any
    tokens: str | tuple[int, ...] = "residue"
    runs: dict[str, Any] = field(default_factory=dict)

    def results(self, pool="mean"):
        """Return the features in float64 of a trajectory, without a box."""
        if pool not in self.runs:
            universe = mda.Universe(str(DATA / "ala2.pdb"), str(DATA / "ala2-0.xtc"))
            featurizer = GeomGNNFeaturizer(
                universe,
                model=self.network,
                tokens=self.tokens,
                pool=pool,
                dtype="float64",
                allow_unseen=True,
                periodic=False,
            )
            self.runs[pool] = featurizer.run(step=STEP).results
        return self.runs[pool]

    @property
    def structure(self):
        return self.results().structure

    @property
    def positions(self):
        return np.array(self.results().positions[::EVERY], np.float64)

    def features(self, **options):
        """Return the spec of features that a box may be given for."""
        return FeatureSpec(
            model=self.network,
            tokens=self.tokens,
            allow_unseen=True,
            dtype="float64",
            **options,
        )

    def metadata(self, features):
        structure = self.structure
        return {
            "features": features.to_dict(),
            "model_fingerprint": self.network.fingerprint,
            "structure": {
                "numbers": structure.numbers.tolist(),
                "token_of_atom": structure.token_of_atom.tolist(),
                "labels": structure.token_labels(),
            },
            "states": {"centres": [], "state_of_centre": []},
        }

    def arrays(self, invariants, pool="mean", joined=False):
        results = self.results(pool)
        rows = results.channels if joined else results.invariants(invariants)
        return [np.asarray(rows)]

    def model(
        self, method, invariants="geometric", pool="mean", seeds=1, **mixer
    ) -> CVModel:
        """Return a model: "tica", or the kind of a mixer with options."""
        arrays = self.arrays(invariants, pool, method == "equivariant")
        if method == "tica":
            fitted = fit_tica(arrays, 1, 2, ridge=0.01)
        else:
            spec = MixerSpec(
                kind=method,
                n_tokens=self.structure.n_tokens,
                n_features=arrays[0].shape[-1],
                n_outputs=2,
                **({"width": 16, "depth": 1} | mixer),
            )
            options = TrainingOptions(max_steps=5, n_starts=1, batch_size=50)
            fitted = [
                fit_vampnet(arrays, arrays, 1, spec, seed=seed, options=options).lobe
                for seed in range(seeds)
            ]
        return make_cv_model(
            "tica" if method == "tica" else "vampnet",
            fitted,
            arrays,
            1,
            self.metadata(self.features(invariants=invariants, pool=pool)),
        )

    def variables(self, model, **options) -> CollectiveVariables:
        """Return the variables of a model of :meth:`model`."""
        features = FeatureSpec.from_dict(model.metadata["features"])
        features = replace(features, model=self.network)
        return CollectiveVariables(model, features, self.structure, **options)


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
