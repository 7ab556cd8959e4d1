"""From token features to collective variables, as a differentiable module."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from mdgeomfeat.featurizer.invariants import channel_mixes, token_invariants
from mdgeomfeat.gnn.base import vector_norm

if TYPE_CHECKING:
    from mdgeomfeat.featurespec import FeatureSpec
    from mdgeomfeat.kinetics import CVModel
    from mdgeomfeat.structure import Structure
    from mdgeomfeat.variables.training import Reach

__all__ = ["TokenOutputs"]


class TokenOutputs(nn.Module):
    """The d outputs of a saved model as a function of token features.

    Parameters
    ----------
    model : CVModel
    features : FeatureSpec
        What made its features.
    structure : Structure
        Its tokens.
    n_channels : int
        Channels of a token, C.
    dtype : torch.dtype
        Of invariants and lobe; the linear map is float64.
    reach : Reach, optional
        Adds the distance from the training data as one more output, the last.

    Attributes
    ----------
    dim : int
        Number of outputs d, the distance included.
    joined : bool
        Whether the model takes scalars and vectors in place of invariants.
    spatial : bool
        Whether it takes the surroundings of tokens.
    """

    mixes: Tensor
    shift: Tensor
    factor: Tensor
    matrix: Tensor
    offset: Tensor

    def __init__(
        self,
        model: CVModel,
        features: FeatureSpec,
        structure: Structure,
        n_channels: int,
        dtype: torch.dtype,
        reach: Reach | None = None,
    ) -> None:
        super().__init__()
        self.joined = len(model.input_shape) == 3
        self.spatial = features.invariants == "spatial" and not self.joined
        self.features = features
        self.next_token = structure.next_token
        self.reach = reach
        self.dim = model.dim + (reach is not None)
        self.lobe = None
        if model.lobe is not None:
            self.lobe = copy.deepcopy(model.lobe).to(dtype).eval().requires_grad_(False)
        rotation = model.rotation
        for name, values, kind in (
            ("mixes", channel_mixes(n_channels, features.invariants_seed), dtype),
            ("shift", rotation.standardizer.shift, torch.float64),
            ("factor", rotation.standardizer.factor, torch.float64),
            ("matrix", rotation.matrix, torch.float64),
            ("offset", rotation.offset, torch.float64),
        ):
            self.register_buffer(name, torch.tensor(np.array(values)).to(kind))

    def forward(
        self, scalars: Tensor, vectors: Tensor, shells: Tensor | None = None
    ) -> Tensor:
        """Compute the outputs.

        Parameters
        ----------
        scalars : (F, N, C) Tensor
        vectors : (F, N, 3, C) Tensor
        shells : (F, N, 8) Tensor, optional
            Where `spatial` is true.

        Returns
        -------
        (F, d) float64 Tensor
        """
        if self.joined:
            return self.from_features(torch.cat([scalars.unsqueeze(2), vectors], dim=2))
        return self.from_features(
            token_invariants(
                scalars,
                vectors,
                self.next_token,
                self.features,
                self.mixes,
                shells,
                torch,
            )
        )

    def from_features(self, features: Tensor) -> Tensor:
        """Compute the outputs from what the model was trained on.

        Parameters
        ----------
        features : (F, N, K) or (F, N, 4, C) Tensor

        Returns
        -------
        (F, d) float64 Tensor
        """
        flat = features
        if features.ndim == 4 and (self.lobe is None or self.reach is not None):
            norms = vector_norm(features[:, :, 1:], dim=2)
            flat = torch.cat([features[:, :, 0], norms], dim=-1)
        seen = flat.flatten(1).to(torch.float64)
        outputs = seen
        if self.lobe is not None:
            outputs = self.lobe(features).flatten(1).to(torch.float64)
        values = ((outputs - self.shift) * self.factor) @ self.matrix + self.offset
        if self.reach is None:
            return values
        return torch.cat([values, self.reach.of(seen)[:, None]], dim=1)
