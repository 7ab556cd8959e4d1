"""Envelopes, geometry, identity and reading of networks, one rule at a time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from mdgeomfeat.errors import InputError
from mdgeomfeat.gnn import ModelSpec, build_model, random_twin, save_model, torch_files
from mdgeomfeat.gnn.base import edge_geometry
from mdgeomfeat.gnn.checkpoints import read_model
from mdgeomfeat.gnn.engine import make_engine
from mdgeomfeat.gnn.radial import cosine_envelope, polynomial_envelope
from mdgeomfeat.neighbors import neighbor_list

SPEC = ModelSpec(
    architecture="et", n_channels=8, n_layers=1, n_heads=2, n_rbf=8, cutoff=5.0
)


@pytest.mark.parametrize("envelope", [cosine_envelope, polynomial_envelope])
def test_envelopes_begin_at_one_and_end_flat_at_the_cutoff(envelope):
    r = torch.linspace(0, 6, 601, dtype=torch.float64)
    w = envelope(r, 5.0)
    slope = torch.gradient(w, spacing=0.01)[0]
    assert w[0] == 1
    assert not w[r >= 5.0].any()
    assert (w[r < 4.9] > 0).all()
    assert slope.max() < 1e-9
    assert slope[498:503].abs().max() < 0.01


def test_directions_are_unit_vectors_to_the_sender():
    edges = neighbor_list(np.array([[[0.0, 0, 0], [0, 0, 2.5]]]), 5.0)
    geometry = edge_geometry(edges, torch.float64)
    assert geometry.receiver.tolist() == [0, 1]
    assert geometry.sender.tolist() == [1, 0]
    assert geometry.direction.tolist() == [[0, 0, 1], [0, 0, -1]]
    assert geometry.distance.tolist() == [2.5, 2.5]


def test_a_fingerprint_is_of_spec_and_weights():
    model = build_model(SPEC, seed=1)
    other = build_model(replace(SPEC, cutoff=5.5), seed=1)
    other.load_state_dict(model.state_dict())
    assert other.fingerprint != model.fingerprint
    with torch.no_grad():
        list(other.parameters())[-1][-1] += 1
    changed = other.fingerprint
    assert changed not in (model.fingerprint, build_model(SPEC, seed=1).fingerprint)


def test_a_twin_is_untrained():
    model = build_model(SPEC, seed=1)
    twin = random_twin(model, seed=2)
    assert twin.spec == model.spec
    assert twin.fingerprint not in (
        model.fingerprint,
        random_twin(model, 3).fingerprint,
    )
    assert random_twin(model, 2).fingerprint == twin.fingerprint


def test_weights_alone_are_read_of_a_checkpoint(tmp_path, monkeypatch):
    torch.save({"a": torch.zeros(3)}, tmp_path / "a.pth")
    asked = []
    load = torch.load

    def watched(*arguments, **options):
        asked.append(options)
        return load(*arguments, **options)

    monkeypatch.setattr(torch_files.torch, "load", watched)
    assert list(torch_files.read_state_dict(tmp_path / "a.pth")) == ["a"]
    assert [options["weights_only"] for options in asked] == [True]


def test_weights_that_are_no_numbers_are_refused(tmp_path):
    model = build_model(SPEC, seed=1)
    with torch.no_grad():
        model.embedding.weight[3, 3] = np.nan
    save_model(model, tmp_path / "a")
    with pytest.raises(InputError, match=r"embedding\.weight that are not finite"):
        read_model(tmp_path / "a.safetensors")


@pytest.mark.parametrize("name", ["torch", "cpu"])
def test_engines_refuse_a_box_below_twice_the_cutoff(name):
    engine = make_engine(build_model(SPEC, seed=1), engine=name, device="cpu")
    positions = np.random.default_rng(0).uniform(0, 9, (1, 4, 3))
    boxes = np.array([[9.9, 30, 30, 90, 90, 90]])
    with pytest.raises(InputError, match="over half the shortest box height"):
        engine.compute(np.array([6, 6, 7, 8]), positions, boxes=boxes)
