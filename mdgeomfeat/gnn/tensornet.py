"""TensorNet with O(3) equivariance.

G. Simeon and G. De Fabritiis, NeurIPS 2023, arXiv:2306.06482, equations 5 to 13.
The vectors that come out are the antisymmetric part of the final tensors, the
scalars the normalised squared norms of their parts passed through one layer.

Every message carries the envelope already in the published form, so ``smooth``
changes nothing here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, silu

from mdgeomfeat.gnn.base import Backbone, EdgeGeometry, edge_geometry, sum_edges
from mdgeomfeat.gnn.irreps import Irreps, matrix_product, symmetric_outer
from mdgeomfeat.gnn.radial import ExpNormBasis, envelope
from mdgeomfeat.gnn.spec import ModelSpec

if TYPE_CHECKING:
    from mdgeomfeat.neighbors import EdgeList

__all__ = ["TensorNet"]


class PartwiseLinear(nn.Module):
    """One projection of the channels for each irreducible part, without bias."""

    def __init__(self, n_channels: int) -> None:
        super().__init__()
        self.scalar = nn.Linear(n_channels, n_channels, bias=False)
        self.vector = nn.Linear(n_channels, n_channels, bias=False)
        self.symmetric = nn.Linear(n_channels, n_channels, bias=False)

    def forward(self, parts: Irreps) -> Irreps:
        """Project each part."""
        return Irreps(
            self.scalar(parts.scalar),
            self.vector(parts.vector),
            self.symmetric(parts.symmetric),
        )


class TensorEmbedding(nn.Module):
    """Tensors from elements, distances and directions (equations 5 to 8)."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        C = spec.n_channels
        self.element = nn.Embedding(spec.max_z, C)
        self.pair_proj = nn.Linear(2 * C, C)
        self.filter_proj = nn.Linear(spec.n_rbf, 3 * C)
        self.norm = nn.LayerNorm(C)
        self.gate = nn.Sequential(
            nn.Linear(C, 2 * C), nn.SiLU(), nn.Linear(2 * C, 3 * C), nn.SiLU()
        )
        self.mix = PartwiseLinear(C)

    def filters(self, basis: Tensor, window: Tensor) -> Tensor:
        """Return scalar | vector | symmetric filters, (E, 3 C)."""
        filters: Tensor = self.filter_proj(basis) * window
        return filters

    def forward(
        self, numbers: Tensor, geometry: EdgeGeometry, filters: Tensor
    ) -> Irreps:
        """Return the initial tensor of every atom."""
        element = self.element(numbers)
        M, C = element.shape
        weight = self.pair_proj.weight
        as_receiver = linear(element, weight[:, :C], self.pair_proj.bias)
        as_sender = linear(element, weight[:, C:])
        pair = as_receiver.index_select(0, geometry.receiver)
        pair = pair + as_sender.index_select(0, geometry.sender)

        scalar, vector, symmetric = (pair * block for block in filters.split(C, dim=1))
        direction = geometry.direction
        outer = symmetric_outer(direction)
        parts = Irreps(
            sum_edges(scalar, geometry.receiver, M),
            sum_edges(
                vector.unsqueeze(1) * direction.unsqueeze(2), geometry.receiver, M
            ),
            sum_edges(
                symmetric.unsqueeze(1) * outer.unsqueeze(2), geometry.receiver, M
            ),
        )
        gates = self.gate(self.norm(parts.total_norm())).split([C, C, C], dim=1)
        mixed = self.mix(parts)
        return Irreps(
            mixed.scalar * gates[0],
            mixed.vector * gates[1].unsqueeze(1),
            mixed.symmetric * gates[2].unsqueeze(1),
        )


class Interaction(nn.Module):
    """Exchange of tensors with the neighbours (equations 9 to 12)."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        C = spec.n_channels
        self.filter_net = nn.Sequential(
            nn.Linear(spec.n_rbf, C),
            nn.SiLU(),
            nn.Linear(C, 2 * C),
            nn.SiLU(),
            nn.Linear(2 * C, 3 * C),
            nn.SiLU(),
        )
        self.mix_before = PartwiseLinear(C)
        self.mix_after = PartwiseLinear(C)

    def filters(self, basis: Tensor, window: Tensor) -> Tensor:
        """Return each channel's scalar, vector and symmetric filter, (E, 3 C)."""
        filters: Tensor = self.filter_net(basis) * window
        return filters

    def forward(self, parts: Irreps, geometry: EdgeGeometry, filters: Tensor) -> Irreps:
        """Return the updated tensors."""
        M, C = parts.scalar.shape
        parts = parts.scaled(1.0 / (parts.total_norm() + 1.0))
        own = self.mix_before(parts)
        by_part = filters.split(C, dim=1)
        shapes = ((-1, C), (-1, 1, C), (-1, 1, C))
        received = Irreps(
            *(
                sum_edges(
                    part.index_select(0, geometry.sender) * factor.reshape(shape),
                    geometry.receiver,
                    M,
                )
                for part, factor, shape in zip(own, by_part, shapes, strict=True)
            )
        )
        left, right = own.matrix(), received.matrix()
        product = Irreps.from_matrix(
            matrix_product(left, right) + matrix_product(right, left)
        )
        change = self.mix_after(product.scaled(1.0 / (product.total_norm() + 1.0)))
        matrix = change.matrix()
        square = Irreps.from_matrix(matrix_product(matrix, matrix))
        return parts.plus(change).plus(square)


class TensorNet(Backbone):
    """TensorNet backbone.

    Parameters
    ----------
    spec : ModelSpec
        With ``architecture="tensornet"``.
    """

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__(spec)
        C = spec.n_channels
        self.basis = ExpNormBasis(spec.cutoff, spec.n_rbf)
        self.embedding = TensorEmbedding(spec)
        self.layers = nn.ModuleList(Interaction(spec) for _ in range(spec.n_layers))
        self.output_norm = nn.LayerNorm(3 * C)
        self.output_proj = nn.Linear(3 * C, C)

    def radial_filters(self, distance: Tensor) -> Tensor:
        """Evaluate all filters, which depend on the distance alone.

        Parameters
        ----------
        distance : (R,) Tensor, Å

        Returns
        -------
        (1 + n_layers, R, 3 C) Tensor
            scalar | vector | symmetric of the embedding and of each layer, envelope
            included.
        """
        window = envelope(self.spec.envelope, distance, self.spec.cutoff).unsqueeze(1)
        basis = self.basis(distance)
        return torch.stack(
            [
                self.embedding.filters(basis, window),
                *(layer.filters(basis, window) for layer in self._interactions()),
            ]
        )

    def _interactions(self) -> list[Interaction]:
        return cast("list[Interaction]", list(self.layers))

    def forward(self, numbers: Tensor, edges: EdgeList) -> tuple[Tensor, Tensor]:
        """Compute the features of every atom (see :class:`Backbone`)."""
        geometry = edge_geometry(edges, self.dtype)
        if self.spec.self_edges:
            geometry = geometry.with_self_edges(len(numbers))
        distance = geometry.distance
        window = envelope(self.spec.envelope, distance, self.spec.cutoff).unsqueeze(1)
        basis = self.basis(distance)

        parts = self.embedding(numbers, geometry, self.embedding.filters(basis, window))
        for layer in self._interactions():
            parts = layer(parts, geometry, layer.filters(basis, window))
        scalars = self.output_norm(torch.cat(parts.norms(), dim=1))
        return silu(self.output_proj(scalars)), parts.vector
