"""Self-attention over tokens."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout, scaled_dot_product_attention

from mdgeomfeat.mixing.inputs import prepare
from mdgeomfeat.mixing.mlp import feed_forward, token_embedding
from mdgeomfeat.mixing.readout import Readout
from mdgeomfeat.mixing.spec import MixerSpec

__all__ = ["AttentionMixer"]


#: Tokens up to which plain products take less time than torch's kernel for attention.
_FEW_TOKENS = 16


def attend(queries: Tensor, keys: Tensor, values: Tensor, p: float = 0.0) -> Tensor:
    """Return scaled dot-product attention (Vaswani et al., 2017, equation 1).

    Parameters
    ----------
    queries, keys, values : (B, N, H, D) Tensor
        Of B frames, N tokens, H heads.
    p : float
        Probability with which a weight is dropped.

    Returns
    -------
    (B, N, H, D) tensor
    """
    if queries.shape[1] > _FEW_TOKENS:
        q, k, v = (x.transpose(1, 2) for x in (queries, keys, values))
        return scaled_dot_product_attention(q, k, v, dropout_p=p).transpose(1, 2)
    scale = queries.shape[-1] ** -0.5
    scores = torch.einsum("bnhd,bmhd->bnmh", queries * scale, keys)
    weights = scores.softmax(dim=2)
    if p:
        weights = dropout(weights, p)
    return torch.einsum("bnmh,bmhd->bnhd", weights, values)


class _EncoderBlock(nn.Module):
    """Pre-norm transformer encoder block: attention, then a perceptron."""

    def __init__(self, width: int, n_heads: int, dropout: float) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.dropout = dropout
        self.attention_norm = nn.LayerNorm(width)
        self.query_key_value = nn.Linear(width, 3 * width, bias=False)
        self.merge = nn.Linear(width, width)
        self.mlp_norm = nn.LayerNorm(width)
        self.mlp = feed_forward(width, width, width, dropout)

    def forward(self, x: Tensor) -> Tensor:
        batch, n_tokens, width = x.shape
        joined = self.query_key_value(self.attention_norm(x))
        heads = (batch, n_tokens, self.n_heads, width // self.n_heads)
        q, k, v = (part.view(heads) for part in joined.chunk(3, dim=-1))
        mixed = attend(q, k, v, self.dropout if self.training else 0.0)
        x = x + self.merge(mixed.reshape(batch, n_tokens, width))
        out: Tensor = x + self.mlp(self.mlp_norm(x))
        return out


class AttentionMixer(nn.Module):
    """Transformer encoder over tokens.

    Tokens are embedded linearly, each gets a learnt embedding (attention alone could
    not tell residues apart), and after the pre-norm blocks (Vaswani et al., 2017,
    equation 1; pre-norm: Xiong et al., 2020) the outputs are a linear map of what is
    read off the tokens, see :class:`mdgeomfeat.mixing.readout.Readout`. A class token,
    where one is read, belongs to no residue: it starts from the same learnt state in
    every frame and collects what it attends to (Devlin et al., 2019).

    Parameters
    ----------
    spec : MixerSpec
        ``depth`` blocks of ``width`` channels in ``n_heads`` heads.

    Examples
    --------
    >>> import torch
    >>> from mdgeomfeat.mixing import AttentionMixer, MixerSpec
    >>> spec = MixerSpec(kind="attention", n_tokens=5, n_features=16, n_outputs=2)
    >>> AttentionMixer(spec)(torch.zeros(8, 5, 16)).shape
    torch.Size([8, 2])
    """

    def __init__(self, spec: MixerSpec) -> None:
        super().__init__()
        self.spec = spec
        width = spec.hidden_width
        self.embed = nn.Linear(spec.mixed_features, width)
        self.token_embedding = token_embedding(spec)
        if spec.readout == "class":
            self.class_token = nn.Parameter(0.1 * torch.randn(width))
        self.blocks = nn.Sequential(
            *(
                _EncoderBlock(width, spec.n_heads, spec.dropout)
                for _ in range(spec.hidden_depth)
            )
        )
        self.norm = nn.LayerNorm(width)
        self.collect = Readout(spec, width)
        self.readout = nn.Linear(self.collect.n_features, spec.n_outputs)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map (B, N, K) to (B, d)."""
        tokens = prepare(tokens, self.spec, training=self.training)
        x = self.embed(tokens) + self.token_embedding
        if self.spec.readout == "class":
            first = self.class_token.expand(len(x), 1, -1)
            x = torch.cat([first, x], dim=1)
        out: Tensor = self.readout(self.collect(self.norm(self.blocks(x))))
        return out
