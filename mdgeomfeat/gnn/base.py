"""What all backbones share: the interface, edge geometry and identity."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from mdgeomfeat.gnn.spec import ModelSpec

if TYPE_CHECKING:
    from mdgeomfeat.neighbors import EdgeList

__all__ = ["Backbone", "EdgeGeometry", "edge_geometry", "sum_edges", "vector_norm"]


@dataclass(frozen=True, eq=False)
class EdgeGeometry:
    """Edges in the form that a backbone computes with.

    Attributes
    ----------
    receiver, sender : (E,) Tensor of int64
    distance : (E,) Tensor, Å
    direction : (E, 3) Tensor
        Unit vector from receiver to sender; zero for coincident atoms.
    """

    receiver: Tensor
    sender: Tensor
    distance: Tensor
    direction: Tensor

    def with_self_edges(self, n_atoms: int) -> EdgeGeometry:
        """Append one edge from each atom to itself (distance 0, no direction)."""
        atoms = torch.arange(n_atoms, device=self.receiver.device)
        return EdgeGeometry(
            torch.cat([self.receiver, atoms]),
            torch.cat([self.sender, atoms]),
            torch.cat([self.distance, self.distance.new_zeros(n_atoms)]),
            torch.cat([self.direction, self.direction.new_zeros(n_atoms, 3)]),
        )

    def first(self, n_edges: int) -> EdgeGeometry:
        """Return the first `n_edges` edges."""
        return EdgeGeometry(
            self.receiver[:n_edges],
            self.sender[:n_edges],
            self.distance[:n_edges],
            self.direction[:n_edges],
        )


def edge_geometry(edges: EdgeList, dtype: torch.dtype) -> EdgeGeometry:
    """Split edge vectors into distance and direction.

    The gradient with respect to the vector of a coincident pair is zero, not NaN.

    Parameters
    ----------
    edges : EdgeList
    dtype : torch.dtype
        Floating-point type of the network.

    Returns
    -------
    EdgeGeometry
    """
    vector = edges.vector.to(dtype)
    square = (vector * vector).sum(dim=-1)
    apart = square > 0
    safe = torch.where(apart, square, torch.ones_like(square)).sqrt()
    distance = torch.where(apart, safe, torch.zeros_like(safe))
    return EdgeGeometry(
        edges.receiver, edges.sender, distance, vector / safe.unsqueeze(-1)
    )


def sum_edges(messages: Tensor, receiver: Tensor, n_atoms: int) -> Tensor:
    """Sum the messages that each atom receives.

    Parameters
    ----------
    messages : (E, ...) Tensor
    receiver : (E,) Tensor of int64
        Fast when sorted, correct either way.
    n_atoms : int

    Returns
    -------
    (n_atoms, ...) Tensor
    """
    zeros = messages.new_zeros((n_atoms, *messages.shape[1:]))
    return zeros.index_add(0, receiver, messages)


def vector_norm(vectors: Tensor, dim: int) -> Tensor:
    """Return Euclidean norms whose gradient at zero is zero, not NaN."""
    square = (vectors * vectors).sum(dim=dim)
    positive = square > 0
    root = torch.where(positive, square, torch.ones_like(square)).sqrt()
    return torch.where(positive, root, torch.zeros_like(root))


class Backbone(nn.Module, ABC):
    """A network from atoms and edges to scalars and vectors.

    Attributes
    ----------
    spec : ModelSpec
    card : dict
        What is known about the weights; empty for a fresh network.

    Examples
    --------
    >>> import numpy as np
    >>> import torch
    >>> from mdgeomfeat import load_model
    >>> from mdgeomfeat.neighbors import neighbor_list
    >>> model = load_model()
    >>> positions = np.array([[[0.0, 0.0, 0.0], [1.2, 0.0, 0.0]]])  # CO, one frame, Å
    >>> edges = neighbor_list(positions, model.spec.cutoff)
    >>> scalars, vectors = model(torch.tensor([6, 8]), edges)
    >>> scalars.shape, vectors.shape
    (torch.Size([2, 64]), torch.Size([2, 3, 64]))
    >>> model.unseen([6, 8, 92])
    (92,)
    """

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.spec = spec
        self.card: dict[str, Any] = {}

    @abstractmethod
    def forward(self, numbers: Tensor, edges: EdgeList) -> tuple[Tensor, Tensor]:
        """Compute the features of every atom.

        Parameters
        ----------
        numbers : (M,) Tensor of int64
            Atomic numbers of all atoms of all graphs of the batch.
        edges : EdgeList
            Pairs within ``spec.cutoff``; indices into `numbers`.

        Returns
        -------
        scalars : (M, C) Tensor
        vectors : (M, 3, C) Tensor
        """

    @property
    def dtype(self) -> torch.dtype:
        """Floating-point type of the weights."""
        return next(self.parameters()).dtype

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        return next(self.parameters()).device

    @property
    def n_parameters(self) -> int:
        """Number of trainable values."""
        return sum(p.numel() for p in self.parameters())

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the spec and the weights as float32: who this network is.

        It does not depend on the device, nor on a cast from float32 to float64.
        """
        digest = hashlib.sha256()
        digest.update(json.dumps(self.spec.to_dict(), sort_keys=True).encode())
        for name, tensor in sorted(self.state_dict().items()):
            values = tensor.detach().to("cpu", torch.float32).contiguous()
            digest.update(f"\n{name} {tuple(values.shape)}\n".encode())
            digest.update(values.numpy().astype("<f4", copy=False).tobytes())
        return digest.hexdigest()

    def unseen(self, numbers: Iterable[int]) -> tuple[int, ...]:
        """Return the atomic numbers that the weights were not trained on, sorted.

        Numbers outside the embedding table count as unseen even where the
        training elements are not known.
        """
        seen = self.spec.elements or range(1, self.spec.max_z)
        return tuple(sorted({int(z) for z in numbers} - set(seen)))
