"""Output heads: from a backbone's features to whatever a task needs."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mdgeomfeat.gnn.base import vector_norm

__all__ = ["GatedEquivariantBlock", "GatedEquivariantHead"]


class GatedEquivariantBlock(nn.Module):
    """Mix scalars with vector lengths, and gate vectors with the result.

    K. Schütt, O. Unke and M. Gastegger, ICML 2021, arXiv:2102.03150, figure 3.

    Parameters
    ----------
    n_channels : int
        Channels of the incoming scalars and vectors.
    n_scalars, n_vectors : int
        Outgoing channels.
    n_hidden : int
        Width in between.
    """

    def __init__(
        self, n_channels: int, n_scalars: int, n_vectors: int, n_hidden: int
    ) -> None:
        super().__init__()
        self.n_scalars = n_scalars
        self.n_vectors = n_vectors
        self.length_proj = nn.Linear(n_channels, n_channels, bias=False)
        self.vector_proj = nn.Linear(n_channels, n_vectors, bias=False)
        self.update = nn.Sequential(
            nn.Linear(2 * n_channels, n_hidden),
            nn.SiLU(),
            nn.Linear(n_hidden, n_scalars + n_vectors),
        )
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, scalars: Tensor, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """Map (M, C), (M, 3, C) to (M, n_scalars), (M, 3, n_vectors).

        Parameters
        ----------
        scalars : (M, C) Tensor
        vectors : (M, 3, C) Tensor

        Returns
        -------
        scalars : (M, n_scalars) Tensor
        vectors : (M, 3, n_vectors) Tensor
        """
        lengths = vector_norm(self.length_proj(vectors), dim=1)
        mixed = self.update(torch.cat([scalars, lengths], dim=1))
        scalars, gates = mixed.split([self.n_scalars, self.n_vectors], dim=1)
        return scalars, gates.unsqueeze(1) * self.vector_proj(vectors)


class GatedEquivariantHead(nn.Module):
    """Two gated blocks, the form of the published denoising heads.

    Parameters
    ----------
    n_channels : int
        Channels C of the backbone.
    n_scalars, n_vectors : int
        Outputs per atom.
    n_hidden : int, optional
        Channels between the blocks, by default ``n_channels // 2`` (at least 1).

    Examples
    --------
    >>> import torch
    >>> from mdgeomfeat.gnn import GatedEquivariantHead
    >>> head = GatedEquivariantHead(n_channels=64, n_scalars=2)
    >>> scalars, vectors = head(torch.zeros(5, 64), torch.zeros(5, 3, 64))
    >>> scalars.shape, vectors.shape
    (torch.Size([5, 2]), torch.Size([5, 3, 1]))
    """

    def __init__(
        self,
        n_channels: int,
        n_scalars: int = 1,
        n_vectors: int = 1,
        n_hidden: int | None = None,
    ) -> None:
        super().__init__()
        middle = n_hidden or max(1, n_channels // 2)
        self.first = GatedEquivariantBlock(n_channels, middle, middle, n_channels)
        self.second = GatedEquivariantBlock(middle, n_scalars, n_vectors, middle)

    def forward(self, scalars: Tensor, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the outputs of every atom.

        Parameters
        ----------
        scalars : (M, C) Tensor
        vectors : (M, 3, C) Tensor

        Returns
        -------
        scalars, vectors : (M, n_scalars) Tensor, (M, 3, n_vectors) Tensor
        """
        scalars, vectors = self.first(scalars, vectors)
        out: tuple[Tensor, Tensor] = self.second(nn.functional.silu(scalars), vectors)
        return out
