"""Fixtures of the tests of features and stores: small networks, small systems."""

from __future__ import annotations

import warnings

import MDAnalysis as mda
import pytest
import torch
from feature_systems import peptide

from mdgeomfeat.gnn import ModelSpec, build_model


@pytest.fixture(scope="session")
def model():
    """Return a small smooth ET with random weights, loud enough to hear neighbours.

    With fresh weights a change of surroundings moves features by 1e-5, and no test of
    invariance could fail.
    """
    spec = ModelSpec(
        n_channels=16,
        n_layers=2,
        n_heads=4,
        n_rbf=16,
        cutoff=5.0,
        smooth=True,
        elements=(1, 6, 7, 8, 16),
    )
    network = build_model(spec, seed=7)
    with torch.no_grad():
        for name, weight in network.named_parameters():
            if "proj.weight" in name:
                weight.mul_(2.0)
    return network


@pytest.fixture
def options(model):
    """Return what every featurizer of these tests is given."""
    return {"model": model, "engine": "torch", "device": "cpu"}


@pytest.fixture
def chain():
    return peptide()


@pytest.fixture
def gly2(data):
    """Two of the glycine dipeptide's trajectories in one Universe."""
    folder = data / "gly2"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return mda.Universe(
            folder / "gly2.pdb", [folder / "gly2-0.xtc", folder / "gly2-1.xtc"]
        )
