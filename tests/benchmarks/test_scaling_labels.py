"""What the benchmarks of labels and of pre-training data do to their data."""

from __future__ import annotations

import label_noise
import numpy as np
import pretraining_data
import pytest
import scaling_probe
import torch
from torch_geometric.data import Data

from mdgeomfeat.finetuning import from_graphs
from mdgeomfeat.pretraining.molecules import Molecule


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    graphs = [
        Data(
            z=torch.tensor([6, 8, 1]),
            pos=torch.from_numpy(rng.normal(size=(3, 3))),
            y=torch.tensor([[float(i)]]),
        )
        for i in range(6)
    ]
    return from_graphs(graphs, kind="intensive", unit="eV")


def test_only_the_labels_that_are_trained_on_are_replaced(data):
    noisy = label_noise.relabelled(data, np.arange(6) + 0.5, np.array([1, 4]))
    assert [float(g.y) for g in noisy.graphs] == [0.0, 1.5, 2.0, 3.0, 4.5, 5.0]
    assert [float(g.y) for g in data.graphs] == list(range(6))
    assert all(
        torch.equal(a.pos, b.pos) and torch.equal(a.z, b.z)
        for a, b in zip(noisy.graphs, data.graphs, strict=True)
    )


def test_the_ridge_is_the_solution_of_its_normal_equations():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(60, 5)) * [1.0, 10.0, 0.1, 3.0, 0.0] + 4.0
    y = x @ [0.5, -0.1, 3.0, 0.2, 0.0] + rng.normal(size=60)
    train, validation, test = np.split(np.arange(60), [30, 45])
    errors = []
    for ridge in scaling_probe.RIDGES:
        z = (x - x[train].mean(0))[:, :4] / x[train].std(0)[:4]
        left = z[train].T @ z[train] + ridge * len(train) * np.eye(4)
        shift = y[train].mean()
        weights = np.linalg.solve(left, z[train].T @ (y[train] - shift))
        guess = z @ weights + shift
        errors.append([np.abs(guess - y)[part].mean() for part in (validation, test)])
    expected = min(errors)[1]
    parts = {"train": train, "validation": validation, "test": test}
    np.testing.assert_allclose(scaling_probe.ridge_error(x, y, parts), expected)


def test_features_are_means_over_the_atoms_of_each_molecule(data):
    from mdgeomfeat import load_model

    network = load_model("et-64")
    both = scaling_probe.features(network, data)
    assert both.shape == (6, 128)
    turn = torch.linalg.qr(torch.randn(3, 3, generator=torch.manual_seed(2)))[0]
    for g in data.graphs:
        g.pos = (g.pos @ turn)[[2, 0, 1]]
        g.z = g.z[[2, 0, 1]]
    np.testing.assert_allclose(scaling_probe.features(network, data), both, atol=2e-3)


def test_kinds_of_data_differ_in_the_conformations_only():
    molecules = [
        Molecule(
            np.array([6, 1], np.uint8),
            np.full((3, 2, 3), [[[k]], [[k + 0.1]], [[k + 0.2]]], np.float32),
            f"molecule {k}",
        )
        for k in range(4)
    ]
    places = {
        kind: [
            round(float(m.positions[0, 0, 0]), 1)
            for m in pretraining_data.chosen(molecules, kind)
        ]
        for kind in pretraining_data.KINDS
    }
    assert places == {
        "equilibrium": [0.0, 1.0, 2.0, 3.0],
        "500 K": [0.2, 1.2, 2.2, 3.2],
        "mixed": [0.0, 1.2, 2.0, 3.2],
    }
    keys = [m.key for m in pretraining_data.chosen(molecules, "mixed")]
    assert keys == [m.key for m in molecules]


def test_changes_by_noise_are_paired_by_seed():
    rows = [
        {"size": "et-8x1", "level": level, "seed": seed, "noise": noise,
         "mae": 1.0, "rmse": base + change}
        for seed, base in ((0, 100.0), (1, 300.0))
        for level, noise, change in ((0, 0.0, 0.0), (2.0, 40.0, 10.0))
    ]  # fmt: skip
    text = label_noise.table(rows)
    assert "| +10 ± 0 |" in text
    assert "| 210 ± 141 |" in text
