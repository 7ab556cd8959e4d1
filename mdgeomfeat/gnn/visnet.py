"""ViSNet, without its vertex update.

Y. Wang et al., Nat. Commun. 15, 313 (2024), arXiv:2210.16518, equations 4 to 10.
Features of degree 1 and, with ``lmax=2``, of degree 2 are carried side by side as
(M, L, C) with L = 3 or 8; the degree-1 part is what comes out as vectors.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from mdgeomfeat.gnn.base import (
    Backbone,
    EdgeGeometry,
    edge_geometry,
    sum_edges,
    vector_norm,
)
from mdgeomfeat.gnn.irreps import spherical_harmonics
from mdgeomfeat.gnn.radial import ExpNormBasis, envelope
from mdgeomfeat.gnn.spec import ModelSpec

if TYPE_CHECKING:
    from mdgeomfeat.neighbors import EdgeList

__all__ = ["ViSNet"]

# Softens the "rms" norm where vectors vanish; a channel's typical length after one
# layer is near 1.
_RMS_FLOOR = 1e-2


def _linear(n_in: int, n_out: int, *, bias: bool = True) -> nn.Linear:
    """Make a Linear whose square blocks are initialised as separate projections."""
    layer = nn.Linear(n_in, n_out, bias=bias)
    for block in layer.weight.detach().split(min(n_in, n_out)):
        nn.init.xavier_uniform_(block)
    if bias:
        nn.init.zeros_(layer.bias)
    return layer


class VectorNorm(nn.Module):
    """Normalise equivariant features over the channels, degree by degree.

    Parameters
    ----------
    spec : ModelSpec
        ``vector_norm`` "max_min" maps lengths to 0 … 1 as published; "rms" divides
        by the softened root mean square length; "none" only weighs channels.
    """

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.kind = spec.vector_norm
        self.weight = nn.Parameter(torch.ones(spec.n_channels))

    def forward(self, vectors: Tensor) -> Tensor:
        """Map (M, L, C) to (M, L, C)."""
        if self.kind != "none":
            degrees = vectors.split([3, 5] if vectors.shape[1] == 8 else [3], dim=1)
            scale = self._max_min if self.kind == "max_min" else self._rms
            vectors = torch.cat([scale(part) for part in degrees], dim=1)
        return vectors * self.weight

    @staticmethod
    def _max_min(vectors: Tensor) -> Tensor:
        length = vector_norm(vectors, dim=1).clamp(min=1e-12)
        low = length.amin(dim=1, keepdim=True)
        span = length.amax(dim=1, keepdim=True) - low
        span = torch.where(span == 0, torch.ones_like(span), span)
        return vectors * ((length - low) / (span * length)).unsqueeze(1)

    @staticmethod
    def _rms(vectors: Tensor) -> Tensor:
        square = (vectors * vectors).sum(dim=1).mean(dim=1)
        return vectors * torch.rsqrt(square + _RMS_FLOOR)[:, None, None]


class NeighborEmbedding(nn.Module):
    """Start atoms from their own element and those around them (equation 4)."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        C = spec.n_channels
        self.element = nn.Embedding(spec.max_z, C)
        self.filter_proj = _linear(spec.n_rbf, C)
        self.combine = nn.Linear(2 * C, C)
        nn.init.xavier_uniform_(self.combine.weight)
        nn.init.zeros_(self.combine.bias)

    def forward(
        self,
        numbers: Tensor,
        scalars: Tensor,
        geometry: EdgeGeometry,
        basis: Tensor,
        window: Tensor,
    ) -> Tensor:
        """Return the starting scalars, (M, C); `geometry` has no self edges."""
        sent = self.element(numbers).index_select(0, geometry.sender)
        message = sent * (self.filter_proj(basis) * window)
        around = sum_edges(message, geometry.receiver, len(numbers))
        embedded: Tensor = self.combine(torch.cat([scalars, around], dim=1))
        return embedded


class ViSNetLayer(nn.Module):
    """One layer of vector-scalar message passing (equations 5 to 10).

    Parameters
    ----------
    spec : ModelSpec
    last : bool
        The last layer leaves the edges as they are.
    """

    def __init__(self, spec: ModelSpec, *, last: bool) -> None:
        super().__init__()
        C = spec.n_channels
        self.spec = spec
        self.norm = nn.LayerNorm(C)
        self.vector_norm = VectorNorm(spec)
        self.node_proj = _linear(C, 3 * C)  # query | key | value
        self.filter_proj = _linear(C, 2 * C)  # key | value, of the edge
        self.message_proj = _linear(C, 2 * C)  # vector | direction
        self.vector_proj = _linear(C, 3 * C, bias=False)
        self.output_proj = _linear(C, 3 * C)
        self.edge_gate = None if last else _linear(C, C)
        # Receiver | sender, of the edge update.
        self.edge_vector_proj = None if last else _linear(C, 2 * C, bias=False)

    def forward(
        self,
        scalars: Tensor,
        vectors: Tensor,
        edge_scalars: Tensor,
        geometry: EdgeGeometry,
        harmonics: Tensor,
        window: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Compute the updates of scalars, vectors and edge scalars.

        Parameters
        ----------
        scalars : (M, C) Tensor
        vectors : (M, L, C) Tensor
        edge_scalars : (E, C) Tensor
        geometry : EdgeGeometry
        harmonics : (E, L) Tensor
        window : (E, 1) Tensor

        Returns
        -------
        scalars, vectors, edge_scalars : (M, C), (M, L, C), (E, C) Tensor or None
        """
        M, C = scalars.shape
        receiver, sender = geometry.receiver, geometry.sender
        vectors = self.vector_norm(vectors)
        projected = self.node_proj(self.norm(scalars))
        sent = projected[:, C:].index_select(0, sender)
        sent = sent * silu(self.filter_proj(edge_scalars))
        query = projected[:, :C].index_select(0, receiver)

        shape = (-1, self.spec.n_heads, C // self.spec.n_heads)
        weight = silu((query * sent[:, :C]).reshape(shape).sum(dim=2, keepdim=True))
        value = (sent[:, C:].reshape(shape) * weight).reshape(-1, C) * window
        gathered = sum_edges(value, receiver, M)

        along = silu(self.message_proj(value))
        if self.spec.smooth:
            along = along * window
        by_vector, by_direction = along.split(C, dim=1)
        pull = vectors.index_select(0, sender) * by_vector.unsqueeze(1)
        pull = pull + by_direction.unsqueeze(1) * harmonics.unsqueeze(2)
        vector_update = sum_edges(pull, receiver, M)

        vector_gate, dot_gate, scalar_update = self.output_proj(gathered).split(C, 1)
        left, right, gated = self.vector_proj(vectors).split(C, dim=2)
        scalar_update = scalar_update + (left * right).sum(dim=1) * dot_gate
        vector_update = vector_update + gated * vector_gate.unsqueeze(1)
        edge_update = self._edge_update(vectors, edge_scalars, geometry, harmonics)
        return scalar_update, vector_update, edge_update

    def _edge_update(
        self,
        vectors: Tensor,
        edge_scalars: Tensor,
        geometry: EdgeGeometry,
        harmonics: Tensor,
    ) -> Tensor | None:
        """Gate edges by the dot product of what is orthogonal to them at both ends.

        With Y·Y = lmax, (a - (a·Y) Y)·(b - (b·Y) Y) = a·b + (lmax - 2) (a·Y)(b·Y);
        self edges have Y = 0.
        """
        if self.edge_gate is None or self.edge_vector_proj is None:
            return None
        at_receiver, at_sender = self.edge_vector_proj(vectors).chunk(2, dim=2)
        a = at_receiver.index_select(0, geometry.receiver)
        b = at_sender.index_select(0, geometry.sender)
        overlap = (a * b).sum(dim=1)
        if self.spec.lmax == 1:
            along = harmonics.unsqueeze(2)
            overlap = overlap - (a * along).sum(dim=1) * (b * along).sum(dim=1)
        change: Tensor = silu(self.edge_gate(edge_scalars)) * overlap
        return change


class ViSNet(Backbone):
    """ViSNet backbone.

    Parameters
    ----------
    spec : ModelSpec
        With ``architecture="visnet"``.
    """

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__(spec)
        C = spec.n_channels
        self.embedding = nn.Embedding(spec.max_z, C)
        self.basis = ExpNormBasis(spec.cutoff, spec.n_rbf)
        self.neighbor_embedding = NeighborEmbedding(spec)
        self.edge_embedding = _linear(spec.n_rbf, C)
        last = spec.n_layers - 1
        self.layers = nn.ModuleList(
            ViSNetLayer(spec, last=n == last) for n in range(spec.n_layers)
        )
        self.output_norm = nn.LayerNorm(C)
        self.output_vector_norm = VectorNorm(spec)

    def forward(self, numbers: Tensor, edges: EdgeList) -> tuple[Tensor, Tensor]:
        """Compute the features of every atom (see :class:`Backbone`)."""
        spec = self.spec
        geometry = edge_geometry(edges, self.dtype)
        n_pairs = geometry.distance.shape[0]  # a length would be fixed in a trace
        if spec.self_edges:
            geometry = geometry.with_self_edges(len(numbers))
        basis = self.basis(geometry.distance)
        window = envelope(spec.envelope, geometry.distance, spec.cutoff).unsqueeze(1)
        harmonics = spherical_harmonics(geometry.direction, spec.lmax)

        scalars = self.neighbor_embedding(
            numbers,
            self.embedding(numbers),
            geometry.first(n_pairs),
            basis[:n_pairs],
            window[:n_pairs],
        )
        ends = scalars.index_select(0, geometry.receiver) + scalars.index_select(
            0, geometry.sender
        )
        edge_scalars = ends * self.edge_embedding(basis)
        vectors = scalars.new_zeros(len(numbers), harmonics.shape[1], spec.n_channels)
        for layer in self.layers:
            change = layer(scalars, vectors, edge_scalars, geometry, harmonics, window)
            scalars = scalars + change[0]
            vectors = vectors + change[1]
            if change[2] is not None:
                edge_scalars = edge_scalars + change[2]
        return (
            self.output_norm(scalars),
            self.output_vector_norm(vectors)[:, :3].contiguous(),
        )
