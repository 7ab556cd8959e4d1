"""The Equivariant Transformer on a CUDA device.

One program of the message kernel per receiver reads the filters of its pairs from the
tables, weights them with the attention and sums: nothing is stored per pair and
channel, and no two programs write to the same place. Heads and the channels of a head
are two axes of a tile, each padded to a power of two, edges are the third.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
import triton
import triton.language as tl
from torch.nn.functional import layer_norm, linear

from mdgeomfeat.gnn.engine.cuda.kernels import (
    BLOCK,
    FUSED,
    TOLERANCE,
    DeviceProgram,
    Pairs,
    interpolate,
    silu,
    spline,
    tile,
)
from mdgeomfeat.gnn.engine.filters import filter_table
from mdgeomfeat.gnn.et import ET, ETLayer

__all__ = ["CudaET"]


@triton.jit
def _messages(
    projected,
    vectors,
    table,
    own,
    row_ptr,
    sender,
    interval,
    place,
    direction,
    gathered,
    pulled,
    FIRST: tl.constexpr,
    WITH_SELF: tl.constexpr,
    C: tl.constexpr,
    D: tl.constexpr,
    HEADS: tl.constexpr,
    DEPTH: tl.constexpr,
    EDGES: tl.constexpr,
):
    """Write the sums of what a node receives (:mod:`mdgeomfeat.gnn.et`).

    A node's row of `projected` is query | key | scalar | direction | vector, without
    the last in the first layer, whose vectors are zero.
    """
    width: tl.constexpr = 4 * C if FIRST else 5 * C
    i = tl.program_id(0).to(tl.int64)
    head = tl.arange(0, HEADS)[:, None]
    depth = tl.arange(0, DEPTH)[None, :]
    lane = (head * D + depth)[None, :, :]
    inside = ((head < C // D) & (depth < D))[None, :, :]
    mine = projected + i * width + lane
    query = tl.load(mine, mask=inside, other=0.0)
    gather = tl.zeros((EDGES, HEADS, DEPTH), tl.float32)
    pull_x = tl.zeros((EDGES, HEADS, DEPTH), tl.float32)
    pull_y = tl.zeros((EDGES, HEADS, DEPTH), tl.float32)
    pull_z = tl.zeros((EDGES, HEADS, DEPTH), tl.float32)
    end = tl.load(row_ptr + i + 1)
    for begin in range(tl.load(row_ptr + i), end, EDGES):
        e = begin + tl.arange(0, EDGES)
        real = e < end
        mask = real[:, None, None] & inside
        j = tl.load(sender + e, mask=real, other=0)[:, None, None]
        sent = projected + j * width + lane
        at = tl.load(interval + e, mask=real, other=0)[:, None, None] * (4 * C) + lane
        t = tl.load(place + e, mask=real, other=0.0)[:, None, None]
        a, b, c, d = spline(t)
        key = interpolate(table, at, 4 * C, a, b, c, d, mask)
        key *= tl.load(sent + C, mask=mask, other=0.0)
        weight = silu(tl.sum(query * key, axis=2))[:, :, None]
        scalar = interpolate(table, at + C, 4 * C, a, b, c, d, mask)
        gather += scalar * tl.load(sent + 2 * C, mask=mask, other=0.0) * weight
        along = interpolate(table, at + 2 * C, 4 * C, a, b, c, d, mask)
        along *= tl.load(sent + 3 * C, mask=mask, other=0.0)
        pull_x += (
            along * tl.load(direction + 3 * e, mask=real, other=0.0)[:, None, None]
        )
        pull_y += (
            along * tl.load(direction + 3 * e + 1, mask=real, other=0.0)[:, None, None]
        )
        pull_z += (
            along * tl.load(direction + 3 * e + 2, mask=real, other=0.0)[:, None, None]
        )
        if not FIRST:
            carry = interpolate(table, at + 3 * C, 4 * C, a, b, c, d, mask)
            carry *= tl.load(sent + 4 * C, mask=mask, other=0.0)
            theirs = vectors + j * (3 * C) + lane
            pull_x += carry * tl.load(theirs, mask=mask, other=0.0)
            pull_y += carry * tl.load(theirs + C, mask=mask, other=0.0)
            pull_z += carry * tl.load(theirs + 2 * C, mask=mask, other=0.0)
    gather = tl.sum(gather, axis=0)[None, :, :]
    pull_x = tl.sum(pull_x, axis=0)[None, :, :]
    pull_y = tl.sum(pull_y, axis=0)[None, :, :]
    pull_z = tl.sum(pull_z, axis=0)[None, :, :]
    if WITH_SELF:
        key = tl.load(own + lane, mask=inside, other=0.0)
        key *= tl.load(mine + C, mask=inside, other=0.0)
        weight = silu(tl.sum(query * key, axis=2))[:, :, None]
        scalar = tl.load(own + C + lane, mask=inside, other=0.0)
        gather += scalar * tl.load(mine + 2 * C, mask=inside, other=0.0) * weight
        if not FIRST:
            carry = tl.load(own + 3 * C + lane, mask=inside, other=0.0)
            carry *= tl.load(mine + 4 * C, mask=inside, other=0.0)
            held = vectors + i * (3 * C) + lane
            pull_x += carry * tl.load(held, mask=inside, other=0.0)
            pull_y += carry * tl.load(held + C, mask=inside, other=0.0)
            pull_z += carry * tl.load(held + 2 * C, mask=inside, other=0.0)
    tl.store(gathered + i * C + lane, gather, mask=inside)
    to = pulled + i * (3 * C) + lane
    tl.store(to, pull_x, mask=inside)
    tl.store(to + C, pull_y, mask=inside)
    tl.store(to + 2 * C, pull_z, mask=inside)


@triton.jit
def _update(
    gates,
    mixed,
    pulled,
    scalars,
    vectors,
    n_values,
    C: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Update scalars and vectors in place."""
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    real = at < n_values
    node = at // C
    channel = at - node * C
    gate = gates + node * (3 * C) + channel
    turn = tl.load(gate, mask=real, other=0.0)
    dot = tl.zeros((BLOCK,), tl.float32)
    for k in tl.static_range(3):
        factor = mixed + (3 * node + k) * (3 * C) + channel
        left = tl.load(factor, mask=real, other=0.0)
        dot += left * tl.load(factor + C, mask=real, other=0.0)
        to = (3 * node + k) * C + channel
        change = turn * tl.load(factor + 2 * C, mask=real, other=0.0)
        change += tl.load(pulled + to, mask=real, other=0.0)
        vector = tl.load(vectors + to, mask=real, other=0.0)
        tl.store(vectors + to, vector + change, mask=real)
    change = dot * tl.load(gate + C, mask=real, other=0.0)
    change += tl.load(gate + 2 * C, mask=real, other=0.0)
    scalar = tl.load(scalars + at, mask=real, other=0.0)
    tl.store(scalars + at, scalar + change, mask=real)


class CudaET(DeviceProgram):
    """An Equivariant Transformer, ready to run on graphs.

    Parameters
    ----------
    model : ET
        A copy of it is kept.
    device : torch.device
    """

    def __init__(self, model: ET, device: torch.device) -> None:
        exact = copy.deepcopy(model).to(device="cpu", dtype=torch.float64).eval()
        table = filter_table(exact.radial_filters, exact.spec.cutoff, TOLERANCE)
        self.intervals = table.intervals
        self._table = torch.tensor(table.rows, dtype=torch.float32, device=device)
        # The filters of the edge of an atom to itself.
        self._own = torch.tensor(table.at_zero, dtype=torch.float32, device=device)
        self._model = exact.to(device=device, dtype=torch.float32)
        spec = model.spec
        self._depth = depth = spec.n_channels // spec.n_heads
        heads, lanes = (triton.next_power_of_2(n) for n in (spec.n_heads, depth))
        self._tile = heads, lanes, *tile(heads * lanes)

    def run(
        self, numbers: torch.Tensor, pairs: Pairs
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Compute the features of all nodes."""
        model = self._model
        M, C = len(numbers), model.spec.n_channels
        layers: Any = model.layers
        scalars = model.embedding(numbers)
        vectors = scalars.new_empty((M, 3, C))
        for at, layer in enumerate(layers):
            projected = self._project(layer, scalars, at == 0)
            gathered, pulled = self._receive(at, projected, vectors, pairs)
            weight, bias = layer.output_proj.weight, layer.output_proj.bias
            if at == 0:
                change = linear(gathered, weight[2 * C :], bias[2 * C :])
                scalars, vectors = scalars + change, pulled
                continue
            _update[(triton.cdiv(M * C, BLOCK),)](
                linear(gathered, weight, bias),
                linear(vectors, layer.vector_proj.weight),
                pulled,
                scalars,
                vectors,
                M * C,
                C=C,
                BLOCK=BLOCK,
                **FUSED,
            )
        return model.output_norm(scalars), vectors

    def _project(
        self, layer: ETLayer, scalars: torch.Tensor, first: bool
    ) -> torch.Tensor:
        """Compute query, key and values; the first layer needs none for vectors."""
        C = scalars.shape[1]
        width = 4 * C if first else 5 * C
        norm, project = layer.norm, layer.node_proj
        normed = layer_norm(scalars, (C,), norm.weight, norm.bias, norm.eps)
        return linear(normed, project.weight[:width], project.bias[:width])

    def _receive(
        self, at: int, projected: torch.Tensor, vectors: torch.Tensor, pairs: Pairs
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Sum what all nodes receive in a layer, (M, C) and (M, 3, C)."""
        M, _, C = vectors.shape
        gathered, pulled = vectors.new_empty((M, C)), torch.empty_like(vectors)
        heads, lanes, edges, warps = self._tile
        _messages[(M,)](
            projected,
            vectors,
            self._table[at],
            self._own[at],
            pairs.row_ptr,
            pairs.sender,
            pairs.interval,
            pairs.place,
            pairs.direction,
            gathered,
            pulled,
            FIRST=at == 0,
            WITH_SELF=self._model.spec.self_edges,
            C=C,
            D=self._depth,
            HEADS=heads,
            DEPTH=lanes,
            EDGES=edges,
            num_warps=warps,
            **FUSED,
        )
        return gathered, pulled
