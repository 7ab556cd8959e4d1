"""Saved networks come back exactly, and damaged ones not at all."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from published_layout import save_random
from safetensors.torch import load_file, save_file

import mdgeomfeat.gnn.registry as registry
from mdgeomfeat.errors import InputError
from mdgeomfeat.gnn import (
    ModelSpec,
    build_model,
    describe_model,
    import_checkpoint,
    list_models,
    load_model,
    save_model,
    user_models,
    verify_model,
)
from mdgeomfeat.testing import compute_features

SPEC = ModelSpec(
    n_channels=16, n_layers=2, n_heads=4, n_rbf=8, cutoff=5.0, elements=(1, 6, 7, 8)
)


@pytest.fixture(autouse=True)
def folders(tmp_path, monkeypatch):
    """Keep the user's and the shipped models out of the tests."""
    monkeypatch.setenv("MDGEOMFEAT_MODELS", str(tmp_path / "user"))
    monkeypatch.setattr(registry, "_SHIPPED", tmp_path / "shipped")
    return tmp_path


@pytest.fixture
def saved(tmp_path):
    model = build_model(SPEC, seed=5)
    path = tmp_path / "tiny.safetensors"
    save_model(model, path, {"description": "a test", "license": "MIT"})
    return model, path


def edit_card(path, **changes):
    card_path = path.with_suffix(".json")
    card = json.loads(card_path.read_text())
    card.update(changes)
    card_path.write_text(json.dumps(card))


@pytest.mark.parametrize(
    "spec",
    [
        SPEC,
        ModelSpec(architecture="visnet", lmax=2, vector_norm="rms", n_layers=2),
        ModelSpec(architecture="tensornet", n_layers=2, n_channels=8, max_z=20),
    ],
)
def test_round_trip(spec, tmp_path):
    model = build_model(spec, seed=5)
    card = save_model(model, tmp_path / "m", {"training": {"noise": 0.2}})
    back = load_model(tmp_path / "m.safetensors")
    assert back.spec == spec
    assert back.card == card == json.loads((tmp_path / "m.json").read_text())
    assert back.card["training"] == {"noise": 0.2}
    assert back.fingerprint == model.fingerprint == card["fingerprint"]
    assert not back.training
    assert all(p.requires_grad for p in back.parameters())
    for name, tensor in model.state_dict().items():
        assert torch.equal(back.state_dict()[name], tensor)
    numbers, positions = np.array([6, 1, 8]), np.eye(3)[None] * 1.4
    for a, b in zip(
        compute_features(model, numbers, positions),
        compute_features(back, numbers, positions),
        strict=True,
    ):
        np.testing.assert_array_equal(a, b)
    assert verify_model(tmp_path / "m.safetensors") == []
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m.json", "m.safetensors"]


def test_saving_and_checking_leave_the_generator_alone(saved):
    before = torch.get_rng_state()
    assert verify_model(saved[1]) == []
    load_model(saved[1])
    assert torch.equal(before, torch.get_rng_state())


def test_missing_extra_and_misshapen_tensors(saved):
    _, path = saved
    # copies: those of the file are parts of it, and it is written anew below
    tensors = {name: tensor.clone() for name, tensor in load_file(path).items()}
    for change, message in (
        ({"output_norm.bias": None}, "lacks tensors output_norm.bias"),
        ({"extra.weight": torch.zeros(2)}, "has the unknown tensors extra.weight"),
        (
            {"output_norm.bias": torch.zeros(17)},
            r"output_norm.bias with shape \(17,\) where its card asks for \(16,\)",
        ),
        ({"output_norm.bias": torch.full((16,), torch.nan)}, "not finite float32"),
        ({"output_norm.bias": torch.zeros(16, dtype=torch.float64)}, "float32"),
        ({"output_norm.bias": torch.ones(16)}, "does not hold the weights that tiny"),
    ):
        changed = {k: v for k, v in {**tensors, **change}.items() if v is not None}
        save_file(changed, path)
        with pytest.raises(InputError, match=message):
            load_model(path)
        assert len(verify_model(path)) == 1


def test_card_problems(saved, tmp_path):
    _, path = saved
    good = path.with_suffix(".json").read_text()
    for change, message in (
        ({"format": 7}, "card of format 7 and this version reads 1"),
        (
            {"spec": {**SPEC.to_dict(), "n_channels": 10**12}},
            "n_channels=1000000000000",
        ),
        ({"spec": {**SPEC.to_dict(), "n_layers": 3}}, "lacks tensors layers.2"),
        ({"spec": {**SPEC.to_dict(), "cutoff": 6.0}}, "does not hold the weights"),
        ({"spec": "et"}, "JSON object, not str"),
        ({"fingerprint": 3}, "does not hold the weights"),
    ):
        edit_card(path, **change)
        with pytest.raises(InputError, match=message):
            load_model(path)
        path.with_suffix(".json").write_text(good)
    path.with_suffix(".json").write_text("not json")
    with pytest.raises(InputError, match="is not JSON"):
        load_model(path)
    path.with_suffix(".json").write_text('{"format": 1}')
    with pytest.raises(InputError, match="lacks name, spec, fingerprint"):
        load_model(path)
    path.with_suffix(".json").unlink()
    with pytest.raises(InputError, match=r"needs its card tiny.json beside it"):
        load_model(path)


def test_not_safetensors(saved):
    _, path = saved
    for content in (b"", b"junk" * 10, b"\xff" * 64):
        path.write_bytes(content)
        with pytest.raises(InputError, match="is not a safetensors file"):
            load_model(path)


def test_verify_finds_each_difference(saved):
    _, path = saved
    edit_card(path, sha256="0" * 64)
    (problem,) = verify_model(path)
    assert "another SHA-256" in problem
    reference = json.loads(path.with_suffix(".json").read_text())["reference"]
    reference["features"][3] += 0.01
    edit_card(path, reference=reference)
    assert [p for p in verify_model(path) if "differ by" in p]
    reference["numbers"][0] = 10**6
    edit_card(path, reference=reference)
    assert [p for p in verify_model(path) if "wrong shape" in p]
    edit_card(path, reference=None)
    assert [p for p in verify_model(path) if "malformed reference" in p]


def test_names(saved, tmp_path):
    model, path = saved
    assert list_models() == []
    with pytest.raises(InputError, match=r"no model 'default' \(none is"):
        load_model()
    save_model(model, tmp_path / "shipped" / "et-64")
    save_model(build_model(SPEC, seed=6), tmp_path / "user" / "mine")
    save_model(build_model(SPEC, seed=7), tmp_path / "user" / "et-64")
    assert list_models() == ["et-64", "mine"]
    # A user's file cannot stand in for a shipped model.
    assert load_model("default").fingerprint == model.fingerprint
    assert load_model("et-64").fingerprint == model.fingerprint
    assert load_model("mine").fingerprint != model.fingerprint
    assert load_model(model) is model
    shipped, mine, file = map(describe_model, ("default", "mine", path))
    assert (shipped["origin"], shipped["alias"]) == ("shipped", "default")
    assert (mine["origin"], mine["alias"]) == ("imported", None)
    # The owner's name, although the card was made from another model's.
    save_model(build_model(SPEC, seed=8), tmp_path / "user" / "ours", {"name": "et-64"})
    assert describe_model("ours")["name"] == load_model("ours").card["name"] == "ours"
    assert file["origin"] == "file"
    assert file["license"] == "MIT"
    assert "reference" not in file
    assert file["n_parameters"] == model.n_parameters
    with pytest.raises(InputError, match=r"no model 'et-46' \(default, et-64, mine"):
        load_model("et-46")
    with pytest.raises(InputError, match=r"gone.safetensors does not exist"):
        load_model("gone.safetensors")


def test_user_folder(monkeypatch, tmp_path):
    assert user_models() == tmp_path / "user"
    monkeypatch.delenv("MDGEOMFEAT_MODELS")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "xdg"))
    assert user_models() == tmp_path / "xdg" / "mdgeomfeat" / "models"


def test_import_keeps_under_a_name(tmp_path):
    source = save_random("tensornet", tmp_path / "tensornet_l3_h64_rbf32_r5.pth")
    model, card = import_checkpoint(source, "tn")
    assert list_models() == ["tn"]
    assert load_model("tn").fingerprint == model.fingerprint
    assert load_model(source).fingerprint == model.fingerprint
    assert verify_model("tn") == []
    assert card["source"]["file"] == source.name
    assert describe_model(source)["origin"] == "file"
    import_checkpoint(source, out=tmp_path / "out")
    assert (
        load_model(tmp_path / "out" / f"{source.stem}.safetensors").spec == model.spec
    )
    with pytest.raises(InputError, match="import it first"):
        verify_model(source)
    for name, message in (
        ("../up", "cannot name a model"),
        ("default", "means a shipped model"),
    ):
        with pytest.raises(InputError, match=message):
            import_checkpoint(source, name)
