"""Attention of few tokens by plain products, and of many by torch's kernel."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from mdgeomfeat.mixing.attention import attend


def heads(n_tokens, seed=0):
    """Queries, keys and values (B, N, H, D), with gradients."""
    generator = torch.Generator().manual_seed(seed)
    return [
        torch.randn(6, n_tokens, 4, 8, generator=generator, dtype=torch.float64)
        .mul(2)
        .requires_grad_()
        for _ in range(3)
    ]


@pytest.mark.parametrize("n_tokens", [1, 2, 7, 16, 17, 40])
def test_equals_torch_with_its_gradients(n_tokens):
    ours, theirs = heads(n_tokens), heads(n_tokens)
    mixed = attend(*ours)
    q, k, v = (x.transpose(1, 2) for x in theirs)
    expected = scaled_dot_product_attention(q, k, v).transpose(1, 2)
    torch.testing.assert_close(mixed, expected)
    weight = torch.linspace(-1, 1, mixed.numel(), dtype=mixed.dtype)
    for out in (mixed, expected):
        (out.reshape(-1) * weight).sum().backward()
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a.grad, b.grad)


@pytest.mark.parametrize("n_tokens", [5, 20])
def test_dropped_weights_keep_the_mean(n_tokens):
    q, k, v = (x.detach() for x in heads(n_tokens))
    torch.manual_seed(0)
    kept = attend(q, k, v)
    dropped = torch.stack([attend(q, k, v, 0.4) for _ in range(4000)])
    assert (dropped[0] - kept).abs().max() > 0.1
    error = dropped.std(dim=0) / 4000**0.5
    assert ((dropped.mean(dim=0) - kept).abs() < 5.5 * error + 1e-9).all()
