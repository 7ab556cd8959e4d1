"""The edges that the graph networks read."""

from __future__ import annotations

from dataclasses import dataclass

import torch

__all__ = ["EdgeList"]


@dataclass(frozen=True, eq=False)
class EdgeList:
    """Directed edges between atoms, sorted by receiver, then by sender.

    Atoms of a batch are numbered through: atom ``a`` of frame ``f`` is
    ``f * n_atoms + a``. There are no self edges.

    Attributes
    ----------
    receiver, sender : (E,) Tensor of int64
        An edge carries a message from sender j to receiver i.
    vector : (E, 3) Tensor, Å
        ``r_j - r_i`` under the minimum image.
    row_ptr : (n_atoms_total + 1,) Tensor of int64
        Edges of receiver ``i`` stand at ``row_ptr[i]:row_ptr[i + 1]``.

    Examples
    --------
    >>> import numpy as np
    >>> from mdgeomfeat.neighbors import neighbor_list
    >>> edges = neighbor_list(np.array([[[0.0, 0, 0], [1.0, 0, 0], [5.0, 0, 0]]]), 2.0)
    >>> edges.receiver.tolist(), edges.sender.tolist(), edges.row_ptr.tolist()
    ([0, 1], [1, 0], [0, 1, 2, 2])
    >>> edges.vector[0].tolist()
    [1.0, 0.0, 0.0]
    """

    receiver: torch.Tensor
    sender: torch.Tensor
    vector: torch.Tensor
    row_ptr: torch.Tensor

    @property
    def distance(self) -> torch.Tensor:
        """Lengths of the edge vectors, (E,) Tensor, Å."""
        lengths: torch.Tensor = torch.linalg.vector_norm(self.vector, dim=-1)
        return lengths

    @property
    def n_edges(self) -> int:
        """Number of directed edges."""
        return self.sender.numel()

    @property
    def n_atoms(self) -> int:
        """Number of atoms in all frames together."""
        return self.row_ptr.numel() - 1

    def to(
        self,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> EdgeList:
        """Return the edges on another device, or with vectors of another dtype.

        Parameters
        ----------
        device : torch.device or str, optional
        dtype : torch.dtype, optional
            Of the vectors.
        """
        return EdgeList(
            receiver=self.receiver.to(device),
            sender=self.sender.to(device),
            vector=self.vector.to(device=device, dtype=dtype),
            row_ptr=self.row_ptr.to(device),
        )
