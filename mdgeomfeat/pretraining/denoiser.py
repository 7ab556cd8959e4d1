"""A backbone with the head that predicts the noise."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..gnn import Backbone
from ..gnn.heads import GatedEquivariantHead
from .forward import atom_features

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
        features = atom_features(
            self.backbone,
            torch.from_numpy(np.ascontiguousarray(numbers)),
            torch.from_numpy(np.ascontiguousarray(positions)),
            graph_ptr,
            fast=fast,
        )
        noise: Tensor = self.head(*features)[1][..., 0]
        return noise
