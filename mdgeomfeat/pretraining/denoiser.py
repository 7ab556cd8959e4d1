"""A backbone with the head that predicts the noise."""

from __future__ import annotations

from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..gnn import Backbone
from ..gnn.et import ET
from ..gnn.heads import GatedEquivariantHead
from ..neighbors import EdgeList
from .fused import fused_forward, pair_list, supports

__all__ = ["Denoiser"]


class Denoiser(nn.Module):
    """Backbone and noise head.

    Parameters
    ----------
    backbone : Backbone
    head : GatedEquivariantHead, optional
        A fresh one by default.
    """

    def __init__(
        self, backbone: Backbone, head: GatedEquivariantHead | None = None
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head or GatedEquivariantHead(backbone.spec.n_channels)

    def forward(
        self,
        numbers: NDArray[np.int64],
        positions: NDArray[np.float32],
        graph_ptr: NDArray[np.int64],
        *,
        fast: bool = True,
    ) -> Tensor:
        """Predict the noise in units of its standard deviation.

        Parameters
        ----------
        numbers : ndarray, shape (M,)
        positions : ndarray, shape (M, 3), Å
        graph_ptr : ndarray, shape (G + 1,)
        fast : bool
            Use the compiled path where there is one.

        Returns
        -------
        (M, 3) Tensor
        """
        model = self.backbone
        pairs = pair_list(positions, graph_ptr, model.spec.cutoff)
        z = torch.from_numpy(np.ascontiguousarray(numbers)).to(model.device)
        if fast and supports(model):
            scalars, vectors = fused_forward(cast("ET", model), z, pairs)
        else:
            edges = _edges(positions, pairs.first, pairs.second, model)
            scalars, vectors = model(z, edges)
        return self.head(scalars, vectors)[1][..., 0]


def _edges(
    positions: NDArray[np.float32],
    first: NDArray[np.int32],
    second: NDArray[np.int32],
    model: Backbone,
) -> EdgeList:
    """Both directions of each pair, sorted by receiver."""
    receiver = np.concatenate([first, second]).astype(np.int64)
    sender = np.concatenate([second, first]).astype(np.int64)
    order = np.argsort(receiver, kind="stable")
    receiver, sender = receiver[order], sender[order]
    vector = positions[sender] - positions[receiver]
    counts = np.bincount(receiver, minlength=len(positions))
    row_ptr = np.concatenate([[0], np.cumsum(counts)])
    device = model.device
    return EdgeList(
        receiver=torch.from_numpy(receiver).to(device),
        sender=torch.from_numpy(sender).to(device),
        vector=torch.from_numpy(vector).to(device, model.dtype),
        row_ptr=torch.from_numpy(row_ptr).to(device),
    )
