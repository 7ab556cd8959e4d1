"""From mixed tokens to the outputs."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mdgeomfeat.mixing.spec import MixerSpec

__all__ = ["Readout"]


class Readout(nn.Module):
    """One row of numbers from all tokens of a frame.

    ``"joined"`` puts the tokens end to end, so that every residue has weights of its
    own; ``"pooled"`` averages them with weights that are a softmax over tokens of a
    learnt linear score (attention pooling; Ilse et al., 2018, equation 8 without its
    hidden layer); ``"mean"`` averages them; ``"class"`` takes the first one, which is
    no residue.

    Parameters
    ----------
    spec : MixerSpec
        ``readout`` says which.
    width : int
        Numbers of a token.
    """

    def __init__(self, spec: MixerSpec, width: int) -> None:
        super().__init__()
        self.how = spec.readout
        n_tokens = spec.mixed_tokens if self.how == "joined" else 1
        self.n_features = n_tokens * width
        if self.how == "pooled":
            self.score = nn.Linear(width, 1, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map (B, N, width) to (B, n_features)."""
        if self.how == "joined":
            return tokens.flatten(1)
        if self.how == "class":
            return tokens[:, 0]
        if self.how == "mean":
            return tokens.mean(dim=1)
        weights = torch.softmax(self.score(tokens), dim=1)
        return (weights * tokens).sum(dim=1)
