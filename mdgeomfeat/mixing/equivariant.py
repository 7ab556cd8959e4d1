"""Attention over tokens that carry scalars and vectors; the outputs are invariant.

Every token is one row of scalars s and three rows of vectors v. Rotating the frame
rotates all v and nothing else. Attention weights come from scalars and from dot
products of vectors, values are mixed linearly, so v stays a vector throughout; what
leaves v for s are dot products and triple products, which a rotation does not change.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from mdgeomfeat.mixing.inputs import prepare
from mdgeomfeat.mixing.mlp import feed_forward, token_embedding
from mdgeomfeat.mixing.readout import Readout
from mdgeomfeat.mixing.spec import MixerSpec

__all__ = ["EquivariantMixer"]

#: Channel mixes whose dot and triple products are formed, at most.
_N_PRODUCTS = 16


class _VectorNorm(nn.Module):
    """Divide the vectors of a token by the root mean square of their lengths."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, v: Tensor) -> Tensor:
        mean_square = v.square().sum(dim=-2, keepdim=True).mean(dim=-1, keepdim=True)
        return v * torch.rsqrt(mean_square + 1e-6) * self.weight


class _Invariants(nn.Module):
    """Scalars joined with dot and triple products of learnt channel mixes.

    For mixes a, b, c of the vectors: a . b is even and (a x b) . c odd under mirror
    reflection; the latter is what tells a structure from its mirror image.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.n_products = min(_N_PRODUCTS, width)
        self.n_invariants = width + 2 * self.n_products
        self.mixes = nn.Linear(width, 3 * self.n_products, bias=False)

    def forward(self, s: Tensor, v: Tensor) -> Tensor:
        a, b, c = self.mixes(v).split(self.n_products, dim=-1)
        dots = (a * b).sum(dim=-2)
        triples = (torch.linalg.cross(a, b, dim=-2) * c).sum(dim=-2)
        return torch.cat([s, dots, triples], dim=-1)


class _EquivariantBlock(nn.Module):
    """Attention on scalars and vectors together, then a gated perceptron."""

    def __init__(self, width: int, n_heads: int, dropout: float) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.dropout = dropout
        self.scalar_norm = nn.LayerNorm(width)
        self.vector_norm = _VectorNorm(width)
        self.scalar_qkv = nn.Linear(width, 3 * width, bias=False)
        self.vector_qkv = nn.Linear(width, 3 * width, bias=False)
        self.scalar_merge = nn.Linear(width, width)
        self.vector_merge = nn.Linear(width, width, bias=False)
        self.mlp_scalar_norm = nn.LayerNorm(width)
        self.mlp_vector_norm = _VectorNorm(width)
        self.invariants = _Invariants(width)
        self.mlp = feed_forward(self.invariants.n_invariants, width, 2 * width, dropout)
        self.vector_mix = nn.Linear(width, width, bias=False)

    def _attend(self, s: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        batch, n_tokens, width = s.shape
        scalars = self.scalar_qkv(self.scalar_norm(s)).unsqueeze(-2)
        vectors = self.vector_qkv(self.vector_norm(v))
        # Scalars and the three components side by side make q . k the sum of the
        # scalar product and the dot products of the vectors, and one set of weights
        # then mixes both kinds of values.
        q, k, x = (
            torch.cat([scalars, vectors], dim=-2)
            .view(batch, n_tokens, 4, 3, self.n_heads, width // self.n_heads)
            .permute(3, 0, 4, 1, 2, 5)
            .flatten(-2)
        )
        dropout = self.dropout if self.training else 0.0
        mixed = (
            scaled_dot_product_attention(q, k, x, dropout_p=dropout)
            .view(batch, self.n_heads, n_tokens, 4, -1)
            .permute(0, 2, 3, 1, 4)
            .reshape(batch, n_tokens, 4, width)
        )
        return (
            s + self.scalar_merge(mixed[..., 0, :]),
            v + self.vector_merge(mixed[..., 1:, :]),
        )

    def forward(self, s: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        s, v = self._attend(s, v)
        normed = self.mlp_vector_norm(v)
        update, gate = self.mlp(self.invariants(self.mlp_scalar_norm(s), normed)).chunk(
            2, dim=-1
        )
        return s + update, v + self.vector_mix(normed) * gate.unsqueeze(-2)


class EquivariantMixer(nn.Module):
    """Self-attention on (B, N, 4, C) tokens with rotation-invariant outputs.

    The outputs are a perceptron of scalars, dot and triple products that are read off
    the tokens (:class:`mdgeomfeat.mixing.readout.Readout`), by default off a learnt
    class token (scalars; its vectors start at zero, since no fixed vector would be
    equivariant) that collects scalars and vectors from the others. Because of the
    triple products the outputs **can** tell a structure from its mirror image. Inputs
    are to be standardised without a shift of the vectors and with one scale for their
    three components, else a turned frame is no turned input. Attention and gates follow
    the equivariant transformer (Thölke & De Fabritiis, 2022) in spirit; joint weights
    on scalars and vectors and the class token are ours.

    Parameters
    ----------
    spec : MixerSpec
        ``depth`` blocks of ``width`` channels in ``n_heads`` heads.

    Examples
    --------
    >>> import torch
    >>> from mdgeomfeat.mixing import EquivariantMixer, MixerSpec
    >>> from mdgeomfeat.testing import random_rotation
    >>> spec = MixerSpec(kind="equivariant", n_tokens=5, n_features=16, n_outputs=2)
    >>> mixer = EquivariantMixer(spec).eval().double()
    >>> tokens = torch.randn(8, 5, 4, 16).double()
    >>> turned = tokens.clone()
    >>> rotation = torch.tensor(random_rotation())
    >>> turned[:, :, 1:] = torch.einsum("xy,bnyc->bnxc", rotation, tokens[:, :, 1:])
    >>> bool(torch.allclose(mixer(turned), mixer(tokens)))
    True
    """

    def __init__(self, spec: MixerSpec) -> None:
        super().__init__()
        self.spec = spec
        width = spec.hidden_width
        self.embed_scalars = nn.Linear(spec.mixed_features, width)
        self.embed_vectors = nn.Linear(spec.mixed_features, width, bias=False)
        self.token_embedding = token_embedding(spec)
        if spec.readout == "class":
            self.class_token = nn.Parameter(0.1 * torch.randn(width))
        self.blocks = nn.ModuleList(
            _EquivariantBlock(width, spec.n_heads, spec.dropout)
            for _ in range(spec.hidden_depth)
        )
        self.scalar_norm = nn.LayerNorm(width)
        self.vector_norm = _VectorNorm(width)
        self.invariants = _Invariants(width)
        self.collect = Readout(spec, self.invariants.n_invariants)
        self.readout = feed_forward(self.collect.n_features, width, spec.n_outputs, 0.0)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map (B, N, 4, C), scalars first, to (B, d)."""
        tokens = prepare(tokens, self.spec, training=self.training)
        s = self.embed_scalars(tokens[..., 0, :]) + self.token_embedding
        v = self.embed_vectors(tokens[..., 1:, :])
        if self.spec.readout == "class":
            s = torch.cat([self.class_token.expand(len(s), 1, -1), s], dim=1)
            v = torch.cat([torch.zeros_like(v[:, :1]), v], dim=1)
        for block in self.blocks:
            s, v = block(s, v)
        if self.spec.readout == "class":
            s, v = s[:, :1], v[:, :1]
        numbers = self.invariants(self.scalar_norm(s), self.vector_norm(v))
        out: Tensor = self.readout(self.collect(numbers))
        return out
