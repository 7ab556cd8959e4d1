"""Shapes, symmetries, seeds and learning of the token mixers."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from mdgeomfeat.errors import InputError
from mdgeomfeat.mixing import (
    KINDS,
    MixerSpec,
    build_mixer,
    count_parameters,
)

N, K, D = 5, 12, 3


def make(kind, **options):
    return build_mixer(kind, N, K, D, dtype=torch.float64, **options)


def batch(mixer, n=7, seed=1):
    generator = torch.Generator().manual_seed(seed)
    shape = (n, *mixer.spec.input_shape)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def rotate(tokens, matrix):
    out = tokens.clone()
    matrix = torch.as_tensor(matrix, dtype=tokens.dtype)
    out[..., 1:, :] = torch.einsum("xy,bnyc->bnxc", matrix, tokens[..., 1:, :])
    return out


@pytest.mark.parametrize("kind", KINDS)
def test_maps_a_batch_to_outputs_frame_by_frame(kind):
    mixer = make(kind).eval()
    x = batch(mixer)
    y = mixer(x)
    assert y.shape == (7, D)
    assert y.std(dim=0).min() > 1e-3
    torch.testing.assert_close(mixer(x[3:4]), y[3:4])


@pytest.mark.parametrize("kind", KINDS)
def test_gradient_reaches_every_parameter_and_input(kind):
    mixer = make(kind)
    x = batch(mixer).requires_grad_()
    mixer(x).square().sum().backward()
    dead = [n for n, p in mixer.named_parameters() if not p.grad.abs().max() > 0]
    assert not dead
    assert (x.grad.flatten(2).abs().amax(dim=(0, 2)) > 0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_one_token_and_one_output(kind):
    mixer = build_mixer(kind, 1, 4, 1)
    assert mixer(torch.randn(2, *mixer.spec.input_shape)).shape == (2, 1)


@pytest.mark.parametrize("kind", KINDS)
def test_seed_fixes_the_weights_and_leaves_the_global_state(kind):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    one, same, other = make(kind, seed=1), make(kind, seed=1), make(kind, seed=2)
    single = build_mixer(kind, N, K, D, seed=1)
    assert torch.equal(before, torch.get_rng_state())
    for p, q, s in zip(
        one.parameters(), same.parameters(), single.parameters(), strict=True
    ):
        assert torch.equal(p, q)
        assert torch.equal(p.to(torch.float32), s)
    x = batch(one)
    assert not torch.allclose(one(x), other(x))


@pytest.mark.parametrize("kind", KINDS)
def test_a_spec_survives_json_and_rebuilds_the_mixer(kind):
    mixer = make(kind, width=8, depth=1, n_heads=2)
    spec = MixerSpec.from_dict(json.loads(json.dumps(mixer.spec.to_dict())))
    assert spec == mixer.spec
    rebuilt = build_mixer(spec, seed=9, dtype=torch.float64)
    rebuilt.load_state_dict(mixer.state_dict())
    x = batch(mixer)
    assert torch.equal(mixer(x), rebuilt(x))


def test_default_sizes():
    flat = build_mixer("flat", 5, 112, 3)
    assert count_parameters(flat) == (560 + 1) * 64 + 65 * 64 + 65 * 3
    for kind in KINDS:
        n_features = 64 if kind == "equivariant" else 112
        n = count_parameters(build_mixer(kind, 5, n_features, 3))
        assert count_parameters(flat) / 2 < n < count_parameters(flat) * 2


def test_dropout_acts_only_in_training():
    for kind in KINDS:
        mixer = make(kind, dropout=0.5)
        x = batch(mixer)
        assert not torch.equal(mixer(x), mixer(x))
        mixer.eval()
        assert torch.equal(mixer(x), mixer(x))


def test_flat_takes_joined_tokens():
    mixer = make("flat")
    x = batch(mixer)
    assert torch.equal(mixer(x), mixer(x.flatten(1)))


@pytest.mark.parametrize("kind", ["attention", "equivariant"])
def test_attention_knows_tokens_only_by_their_embedding(kind):
    mixer = make(kind, readout="class")
    x = batch(mixer)
    y = mixer(x)
    order = torch.tensor([3, 0, 4, 1, 2])
    assert not torch.allclose(mixer(x[:, order]), y, rtol=1e-3)
    with torch.no_grad():
        mixer.token_embedding.copy_(mixer.token_embedding[order])
    torch.testing.assert_close(mixer(x[:, order]), y)


@pytest.mark.parametrize("kind", ["attention", "equivariant"])
def test_the_class_token_is_no_residue(kind):
    # The read-out token holds nothing of the first residue: two residues with the
    # same embedding may trade places, the first one too.
    mixer = make(kind, readout="class")
    with torch.no_grad():
        mixer.token_embedding[0] = mixer.token_embedding[3]
    x = batch(mixer)
    y = mixer(x)
    torch.testing.assert_close(mixer(x[:, [3, 1, 2, 0, 4]]), y)
    with torch.no_grad():
        mixer.class_token.add_(torch.linspace(-1, 1, len(mixer.class_token)))
    assert not torch.allclose(mixer(x), y, rtol=1e-3)


def test_mlp_mixer_mixes_across_tokens():
    # With the blocks cut out, the map would be a sum over tokens and this second
    # difference would vanish.
    mixer = make("mlp")
    x = batch(mixer, 1)
    a, b = torch.zeros_like(x), torch.zeros_like(x)
    a[:, 0], b[:, 4] = 1.0, 1.0
    cross = mixer(x + a + b) - mixer(x + a) - mixer(x + b) + mixer(x)
    assert cross.abs().max() > 1e-4


def test_mlp_mixer_knows_tokens_by_their_embedding_as_well():
    # Without the perceptron across tokens nothing else tells one from another.
    mixer = make("mlp")
    x = batch(mixer)
    order = torch.tensor([3, 0, 4, 1, 2])
    with torch.no_grad():
        for block in mixer.blocks:
            for parameter in block.token_mlp.parameters():
                parameter.zero_()
    y = mixer(x)
    assert not torch.allclose(mixer(x[:, order]), y, rtol=1e-3)
    with torch.no_grad():
        mixer.token_embedding.copy_(mixer.token_embedding[order])
    torch.testing.assert_close(mixer(x[:, order]), y)


@pytest.mark.parametrize("seed", range(3))
def test_equivariant_outputs_ignore_rotation(seed):
    mixer = make("equivariant", seed=seed)
    x = batch(mixer, seed=seed)
    matrix = Rotation.random(rng=seed).as_matrix()
    torch.testing.assert_close(mixer(rotate(x, matrix)), mixer(x), rtol=0, atol=1e-12)


def test_equivariant_outputs_see_vectors_and_mirror_images():
    mixer = make("equivariant")
    x = batch(mixer)
    y = mixer(x)
    twisted = x.clone()
    twisted[:, 1] = rotate(x[:, 1:2], Rotation.random(rng=1).as_matrix())[:, 0]
    assert (mixer(twisted) - y).abs().mean() > 1e-3
    assert (mixer(rotate(x, -np.eye(3))) - y).abs().mean() > 1e-3


def test_equivariant_attention_survives_zero_vectors():
    mixer = make("equivariant")
    x = batch(mixer)
    x[..., 1:, :] = 0.0
    x.requires_grad_()
    mixer(x).sum().backward()
    assert torch.isfinite(x.grad).all()
    assert all(torch.isfinite(p.grad).all() for p in mixer.parameters())


def test_equivariant_mixer_learns_handedness_that_scalars_hide():
    # One token each carries three nearly orthogonal vectors, left- or right-handed,
    # randomly turned: dot products and scalars have the same distribution.
    rng = np.random.default_rng(0)
    n = 400
    hand = np.where(rng.random(n) < 0.5, 1.0, -1.0)
    frame = np.tile(np.eye(3), (n, 1, 1)) + 0.2 * rng.normal(size=(n, 3, 3))
    frame[..., 2] *= hand[:, None]
    hand = np.sign(np.linalg.det(frame))
    frame = Rotation.random(n, rng=rng).as_matrix() @ frame
    x = np.zeros((n, 2, 4, 3), dtype=np.float32)
    x[:, 0, 1:] = frame
    x[:, :, 0] = rng.normal(size=(n, 2, 3))
    x, target = torch.from_numpy(x), torch.from_numpy(hand).float()
    mixer = build_mixer("equivariant", 2, 3, 1)
    optimizer = torch.optim.Adam(mixer.parameters(), 3e-3)
    for _ in range(100):
        optimizer.zero_grad()
        loss = (mixer(x[:200])[:, 0] - target[:200]).square().mean()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        right = (mixer(x[200:])[:, 0].sign() == target[200:]).float().mean()
    assert right > 0.97


@pytest.mark.parametrize(
    ("kind", "options", "match"),
    [
        ("gnn", {}, "Mixer 'gnn' is unknown; choose one of flat, mlp"),
        ("attention", {"width": 30}, "not divisible by n_heads=4"),
        ("mlp", {"depth": 0}, "depth=0 is too small"),
        ("flat", {"dropout": 1.0}, "dropout=1.0"),
        ("flat", {"input_dropout": -0.1}, "input_dropout=-0.1"),
        ("mlp", {"readout": "class"}, "readout='class' is not known for 'mlp'"),
        ("mlp", {"merge": 0}, "merge=0 must be at least 1"),
        ("flat", {"width": 0}, "width=0 must be at least 1"),
    ],
)
def test_bad_options_are_named(kind, options, match):
    with pytest.raises(InputError, match=match):
        make(kind, **options)


def test_bad_calls_are_named():
    with pytest.raises(InputError, match="needs n_tokens, n_features and n_outputs"):
        build_mixer("flat", 3)
    spec = MixerSpec(kind="flat", n_tokens=1, n_features=1, n_outputs=1)
    with pytest.raises(InputError, match="holds all sizes already"):
        build_mixer(spec, 3)
    with pytest.raises(InputError, match=r"built for \(batch, 5, 12\)"):
        make("attention")(torch.zeros(2, 4, 12, dtype=torch.float64))
    with pytest.raises(InputError, match="format 7, but"):
        MixerSpec.from_dict({"format": 7})
    values = {**spec.to_dict(), "colour": 1}
    del values["n_outputs"]
    with pytest.raises(InputError, match="missing fields: colour, n_outputs"):
        MixerSpec.from_dict(values)
