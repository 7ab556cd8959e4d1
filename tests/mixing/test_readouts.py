"""Read-outs, dropped inputs, merged tokens, and what mixers can tell apart."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from mdgeomfeat.featurespec import FeatureSpec
from mdgeomfeat.featurizer.invariants import compute_invariants
from mdgeomfeat.mixing import READOUTS, MixerSpec, build_mixer
from mdgeomfeat.mixing.inputs import prepare
from mdgeomfeat.mixing.readout import Readout

N, K, D = 5, 12, 3
CASES = [(kind, how) for kind, allowed in READOUTS.items() for how in allowed]


def make(kind, n_tokens=N, **options):
    return build_mixer(kind, n_tokens, K, D, dtype=torch.float64, **options)


def batch(mixer, n=7):
    generator = torch.Generator().manual_seed(1)
    return torch.randn(
        (n, *mixer.spec.input_shape), generator=generator, dtype=torch.float64
    )


@pytest.mark.parametrize(("kind", "how"), CASES)
@pytest.mark.parametrize("merge", [1, 2])
def test_every_input_and_parameter_counts(kind, how, merge):
    mixer = make(kind, readout=how, merge=merge)
    x = batch(mixer).requires_grad_()
    y = mixer(x)
    assert y.shape == (7, D)
    y.square().sum().backward()
    dead = [n for n, p in mixer.named_parameters() if not p.grad.abs().max() > 0]
    assert not dead
    assert (x.grad.abs().flatten(2).amax(dim=(0, 2)) > 0).all()


@pytest.mark.parametrize("how", READOUTS["equivariant"])
@pytest.mark.parametrize("merge", [1, 2])
def test_equivariant_readouts_ignore_rotation_and_see_mirror_images(how, merge):
    mixer = make("equivariant", readout=how, merge=merge)
    x = batch(mixer)
    turned, mirrored = x.clone(), x.clone()
    matrix = torch.from_numpy(Rotation.random(rng=3).as_matrix())
    turned[..., 1:, :] = torch.einsum("xy,bnyc->bnxc", matrix, x[..., 1:, :])
    mirrored[..., 1:, :] *= -1
    y = mixer(x)
    torch.testing.assert_close(mixer(turned), y, rtol=0, atol=1e-12)
    assert (mixer(mirrored) - y).abs().mean() > 1e-3


def test_a_joined_readout_weighs_every_token_by_itself():
    mixer = make("attention", readout="joined")
    assert mixer.readout.in_features == N * mixer.spec.hidden_width
    assert make("attention", readout="class").readout.in_features == 64


def test_a_pooled_readout_is_a_weighted_mean():
    mixer = make("attention", readout="pooled")
    tokens = torch.randn(2, N, 64, dtype=torch.float64)
    weights = torch.softmax(tokens @ mixer.collect.score.weight[0], dim=1)
    expected = torch.einsum("bn,bnc->bc", weights, tokens)
    torch.testing.assert_close(mixer.collect(tokens), expected)
    assert weights.std() > 0


def test_what_is_read_off_tokens():
    tokens = torch.randn(2, N, 64, dtype=torch.float64)
    expected = {
        "joined": torch.cat([tokens[:, n] for n in range(N)], dim=1),
        "mean": sum(tokens[:, n] for n in range(N)) / N,
        "class": tokens[:, 0],
    }
    for how, numbers in expected.items():
        kind = "attention" if how == "class" else "mlp"
        spec = MixerSpec(kind=kind, n_tokens=N, n_features=K, n_outputs=D, readout=how)
        torch.testing.assert_close(Readout(spec, 64)(tokens), numbers)


@pytest.mark.parametrize("kind", list(READOUTS))
def test_inputs_are_dropped_only_in_training(kind):
    mixer = make(kind, input_dropout=0.4)
    x = batch(mixer)
    assert not torch.equal(mixer(x), mixer(x))
    mixer.eval()
    assert torch.equal(mixer(x), mixer(x))


def test_dropped_inputs_keep_the_mean_and_vectors_go_as_a_whole():
    spec = MixerSpec(
        kind="equivariant", n_tokens=50, n_features=40, n_outputs=1, input_dropout=0.3
    )
    x = torch.ones(10, 50, 4, 40)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        dropped = prepare(x, spec, training=True)
    levels = np.unique(dropped)
    # 0.3 is rounded to 1 in 65,536
    np.testing.assert_allclose(levels, [0.0, 1 / 0.7], rtol=2e-5)
    assert torch.equal(dropped[..., 1, :], dropped[..., 2, :])
    assert torch.equal(dropped[..., 1, :], dropped[..., 3, :])
    # scalars and vectors are dropped independently
    assert not torch.equal(dropped[..., 0, :], dropped[..., 1, :])
    for part in (dropped[..., 0, :], dropped[..., 1, :]):
        # 20,000 draws of variance 0.43: five standard errors
        assert float(part.mean()) == pytest.approx(1.0, abs=0.024)
    assert prepare(x, spec, training=False) is x


@pytest.mark.parametrize("p", [0.1, 0.3, 0.75])
def test_each_number_is_dropped_independently_of_its_neighbours(p):
    spec = MixerSpec(
        kind="attention", n_tokens=5, n_features=40_001, n_outputs=1, input_dropout=p
    )
    with torch.random.fork_rng():
        torch.manual_seed(1)
        first, second = (
            prepare(torch.ones(2, *spec.input_shape), spec, training=True).flatten()
            for _ in range(2)
        )
    assert not torch.equal(first, second)
    dropped = (first == 0).double() - p
    n, variance = len(dropped), p * (1 - p)
    assert abs(float(dropped.mean())) < 5 * (variance / n) ** 0.5
    # four numbers share one draw of 64 bits
    for apart in range(1, 9):
        product = float((dropped[:-apart] * dropped[apart:]).mean())
        assert abs(product) < 5 * variance / n**0.5, apart


@pytest.mark.parametrize("kind", ["attention", "equivariant"])
def test_merging_joins_consecutive_tokens_and_fills_up_with_zeros(kind):
    spec = MixerSpec(kind=kind, n_tokens=5, n_features=3, n_outputs=1, merge=2)
    assert (spec.mixed_tokens, spec.mixed_features) == (3, 6)
    x = torch.arange(float(np.prod(spec.input_shape))).reshape(1, *spec.input_shape)
    y = prepare(x, spec, training=False)
    assert y.shape == (1, 3, *spec.input_shape[1:-1], 6)
    for group in range(3):
        for place in range(2):
            part = y[:, group, ..., 3 * place : 3 * place + 3]
            token = 2 * group + place
            expected = x[:, token] if token < 5 else torch.zeros_like(part)
            assert torch.equal(part, expected)


def test_a_first_format_keeps_its_readouts():
    old = {"n_tokens": 2, "n_features": 3, "n_outputs": 1, "width": 8, "depth": 1}
    old |= {"n_heads": 4, "dropout": 0.0, "format": 1}
    found = {k: MixerSpec.from_dict({"kind": k, **old}).readout for k in READOUTS}
    assert found == {
        "flat": "joined",
        "mlp": "mean",
        "attention": "class",
        "equivariant": "class",
    }


def _accuracy(tokens, labels, mixer, steps=150):
    """Train on one half, return the share of the other half that is told right."""
    x = torch.from_numpy(tokens.astype(np.float32))
    y = torch.from_numpy(labels.astype(np.float32))
    half = len(x) // 2
    optimizer = torch.optim.Adam(mixer.parameters(), 3e-3)
    loss_of = torch.nn.functional.binary_cross_entropy_with_logits
    for _ in range(steps):
        optimizer.zero_grad()
        loss_of(mixer(x[:half])[:, 0], y[:half]).backward()
        optimizer.step()
    with torch.no_grad():
        told = mixer.eval()(x[half:])[:, 0] > 0
    return float((told == (y[half:] > 0.5)).float().mean())


def _turned(vectors, rng):
    return np.einsum(
        "bxy,bnyc->bnxc", Rotation.random(len(vectors), rng=rng).as_matrix(), vectors
    )


def _chains(n_tokens, rng, n=400):
    """Chains whose ends point to the same side, or to opposite ones.

    The k-chains of Joshi et al. (2023): what lies between is the same in both.
    """
    labels = np.arange(n) % 2
    vectors = np.zeros((n, n_tokens, 3, 1))
    vectors[:, 0, 0] = 1.0
    vectors[:, -1, 0] = np.where(labels, 1.0, -1.0)[:, None]
    vectors[:, 1:-1, 2] = 1.0
    return _turned(vectors, rng), labels


def _stars(k, rng, n=400):
    """k tokens that point along a k-fold star, which is turned against one more."""
    labels = np.arange(n) % 2
    angles = 2 * np.pi * np.arange(k)[None] / k + np.pi / k * labels[:, None]
    star = np.stack([np.cos(angles), np.sin(angles), np.zeros_like(angles)], axis=-1)
    mark = np.broadcast_to([1.0, 0.0, 0.0], (n, 1, 3))
    vectors = np.concatenate([star, mark], axis=1)[..., None]
    return _turned(vectors, rng), labels


@pytest.mark.parametrize("how", ["class", "joined"])
@pytest.mark.parametrize("n_tokens", [4, 6])
def test_two_layers_of_equivariant_attention_tell_k_chains_apart(how, n_tokens):
    vectors, labels = _chains(n_tokens, np.random.default_rng(0))
    tokens = np.concatenate([np.zeros_like(vectors[:, :, :1]), vectors], axis=2)
    mixer = build_mixer("equivariant", n_tokens, 1, 1, depth=2, readout=how)
    assert _accuracy(tokens, labels, mixer) == 1.0


@pytest.mark.parametrize("kind", ["flat", "attention", "mlp"])
def test_invariants_of_tokens_alone_cannot_tell_k_chains_apart(kind):
    vectors, labels = _chains(6, np.random.default_rng(0))
    following = np.array([1, 2, 3, 4, 5, -1])
    scalars = np.zeros((*vectors.shape[:2], 1))
    features = compute_invariants(scalars, vectors, following, FeatureSpec().decided(3))
    features = features.round(9)
    mixer = build_mixer(kind, 6, features.shape[2], 1)
    assert _accuracy(features, labels, mixer) == 0.5


@pytest.mark.parametrize("k", [2, 3, 5])
def test_equivariant_attention_tells_k_fold_rotations_apart(k):
    vectors, labels = _stars(k, np.random.default_rng(0))
    tokens = np.concatenate([np.zeros_like(vectors[:, :, :1]), vectors], axis=2)
    mixer = build_mixer("equivariant", k + 1, 1, 1, depth=2, readout="joined")
    assert _accuracy(tokens, labels, mixer) == 1.0
