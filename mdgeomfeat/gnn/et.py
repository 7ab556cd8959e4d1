"""The Equivariant Transformer (TorchMD-ET).

P. Thölke and G. De Fabritiis, ICLR 2022, arXiv:2202.02541, equations 4 to 12, with
distance filters on keys and values, SiLU attention and no neighbour embedding.

The four things that an edge multiplies stand side by side, in the order

    key | scalar | direction | vector        (C channels each)

in the node projections (after the query), in the filters and in their tables, so one
gather and one product serve all four, and the first layer, whose vectors are zero,
uses the first three. Channel h D + d belongs to head h of D channels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, silu

from mdgeomfeat.gnn.base import Backbone, EdgeGeometry, edge_geometry, sum_edges
from mdgeomfeat.gnn.radial import ExpNormBasis, envelope
from mdgeomfeat.gnn.spec import ModelSpec

if TYPE_CHECKING:
    from mdgeomfeat.neighbors import EdgeList

__all__ = ["ET", "ETLayer"]


class ETLayer(nn.Module):
    """One attention layer with its update of scalars and vectors.

    Parameters
    ----------
    spec : ModelSpec

    Attributes
    ----------
    norm : LayerNorm
    node_proj : Linear, C -> 5 C
        query | key | scalar | direction | vector.
    filter_proj : Linear, n_rbf -> 4 C
        key | scalar | direction | vector, before the SiLU.
    vector_proj : Linear without bias, C -> 3 C
        The two factors of the dot product, and what the output gates.
    output_proj : Linear, C -> 3 C
        Gate of the vectors, gate of the dot product, scalar update.
    """

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        C = spec.n_channels
        self.spec = spec
        self.norm = nn.LayerNorm(C)
        self.node_proj = nn.Linear(C, 5 * C)
        self.filter_proj = nn.Linear(spec.n_rbf, 4 * C)
        self.vector_proj = nn.Linear(C, 3 * C, bias=False)
        self.output_proj = nn.Linear(C, 3 * C)
        for projection in (
            self.node_proj,
            self.filter_proj,
            self.vector_proj,
            self.output_proj,
        ):
            # Each block of C rows is a projection of its own.
            for block in projection.weight.detach().split(C):
                nn.init.xavier_uniform_(block)
            if projection.bias is not None:
                nn.init.zeros_(projection.bias)

    def filters(self, basis: Tensor, windows: Tensor, n_blocks: int = 4) -> Tensor:
        """Compute what the distance alone contributes to the messages.

        Parameters
        ----------
        basis : (E, n_rbf) Tensor
        windows : (E, 4) Tensor
            What each block is multiplied by.
        n_blocks : {3, 4}
            Without or with the vector block.

        Returns
        -------
        (E, n_blocks * C) Tensor
            key | scalar | direction | vector, envelopes included.
        """
        rows = n_blocks * self.spec.n_channels
        weight, bias = self.filter_proj.weight[:rows], self.filter_proj.bias[:rows]
        blocks = silu(linear(basis, weight, bias)).unflatten(1, (n_blocks, -1))
        columns: Tensor = (blocks * windows[:, :n_blocks].unsqueeze(2)).flatten(1)
        return columns

    def forward(
        self,
        scalars: Tensor,
        vectors: Tensor | None,
        geometry: EdgeGeometry,
        filters: Tensor,
        self_filters: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """Compute the updates of scalars and vectors.

        Parameters
        ----------
        scalars : (M, C) Tensor
        vectors : (M, 3, C) Tensor or None
            None for the first layer, where they are zero.
        geometry : EdgeGeometry
        filters : (E, 3 C or 4 C) Tensor
            Of :meth:`filters`, without the vector block where `vectors` is None.
        self_filters : (1, 3 C or 4 C) Tensor or None
            Filters at distance 0, None where atoms do not send to themselves.

        Returns
        -------
        scalars, vectors : (M, C) Tensor, (M, 3, C) Tensor
        """
        M, C = scalars.shape
        width = filters.shape[1]
        projected = linear(
            self.norm(scalars),
            self.node_proj.weight[: C + width],
            self.node_proj.bias[: C + width],
        )
        query, sent = projected.split([C, width], dim=1)

        product = sent.index_select(0, geometry.sender) * filters
        blocks = product.split(C, dim=1)
        message = self._attend(query.index_select(0, geometry.receiver), blocks)
        gathered = sum_edges(message, geometry.receiver, M)
        pull = blocks[2].unsqueeze(1) * geometry.direction.unsqueeze(2)
        if vectors is not None:
            sent_vectors = vectors.index_select(0, geometry.sender)
            pull = torch.addcmul(pull, sent_vectors, blocks[3].unsqueeze(1))
        vector_update = sum_edges(pull, geometry.receiver, M)

        if self_filters is not None:
            own = (sent * self_filters).split(C, dim=1)
            gathered = gathered + self._attend(query, own)
            if vectors is not None:
                vector_update = vector_update + vectors * own[3].unsqueeze(1)

        vector_gate, dot_gate, scalar_update = self.output_proj(gathered).split(C, 1)
        if vectors is not None:
            left, right, gated = self.vector_proj(vectors).split(C, dim=2)
            scalar_update = scalar_update + (left * right).sum(dim=1) * dot_gate
            vector_update = vector_update + gated * vector_gate.unsqueeze(1)
        return scalar_update, vector_update

    def _attend(self, query: Tensor, blocks: tuple[Tensor, ...]) -> Tensor:
        """Weight scalar messages with the attention of each head; all (E, C)."""
        shape = (-1, self.spec.n_heads, self.spec.n_channels // self.spec.n_heads)
        weight = silu((query * blocks[0]).view(shape).sum(dim=2, keepdim=True))
        return (blocks[1].reshape(shape) * weight).reshape(query.shape)


class ET(Backbone):
    """Equivariant Transformer backbone.

    Parameters
    ----------
    spec : ModelSpec
        With ``architecture="et"``.
    """

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__(spec)
        self.embedding = nn.Embedding(spec.max_z, spec.n_channels)
        self.basis = ExpNormBasis(spec.cutoff, spec.n_rbf)
        self.layers = nn.ModuleList(ETLayer(spec) for _ in range(spec.n_layers))
        self.output_norm = nn.LayerNorm(spec.n_channels)

    def radial_filters(self, distance: Tensor) -> Tensor:
        """Evaluate every layer's filters, which depend on the distance alone.

        Parameters
        ----------
        distance : (R,) Tensor, Å

        Returns
        -------
        (n_layers, R, 4 C) Tensor
            key | scalar | direction | vector of each layer, envelopes included. A
            message is then silu(Σ_head q_i k_j f_key) f_scalar v_scalar_j for the
            scalars and f_direction v_direction_j d_ij + f_vector v_vector_j V_j for
            the vectors.
        """
        return torch.stack(
            [layer.filters(*self._radial(distance)) for layer in self._attention()]
        )

    def _attention(self) -> list[ETLayer]:
        return cast("list[ETLayer]", list(self.layers))

    def _radial(self, distance: Tensor) -> tuple[Tensor, Tensor]:
        """Return basis (R, n_rbf) and what each block is multiplied by (R, 4)."""
        window = envelope(self.spec.envelope, distance, self.spec.cutoff)
        # Keys stand inside the attention's SiLU and stay as they are; in the
        # published form the vector messages do too.
        one = torch.ones_like(window)
        other = window if self.spec.smooth else one
        return self.basis(distance), torch.stack([one, window, other, other], dim=1)

    def forward(self, numbers: Tensor, edges: EdgeList) -> tuple[Tensor, Tensor]:
        """Compute the features of every atom (see :class:`Backbone`)."""
        geometry = edge_geometry(edges, self.dtype)
        scalars = self.embedding(numbers)
        radial = self._radial(geometry.distance)
        at_zero = self._radial(scalars.new_zeros(1))

        def update(layer: ETLayer, vectors: Tensor | None) -> tuple[Tensor, Tensor]:
            n_blocks = 3 if vectors is None else 4
            filters = layer.filters(*radial, n_blocks)
            own = layer.filters(*at_zero, n_blocks) if self.spec.self_edges else None
            updated: tuple[Tensor, Tensor] = layer(
                scalars, vectors, geometry, filters, own
            )
            return updated

        first, *others = self._attention()
        change, vectors = update(first, None)
        scalars = scalars + change
        for layer in others:
            change, vector_change = update(layer, vectors)
            scalars = scalars + change
            vectors = vectors + vector_change
        return self.output_norm(scalars), vectors
