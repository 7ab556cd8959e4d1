"""TensorNet on a CUDA device.

A node's tensors are nine numbers per channel: the scalar part, the three entries of
the vector (antisymmetric) part, and xx, yy, xy, xz, yz of the symmetric traceless part.
They stand as (9, M, C), so that each part of all nodes is one matrix for its
projection. One program of a message kernel per receiver reads the filters of its pairs
from the tables and sums: nothing is stored per pair and channel, and no two programs
write to the same place.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
import triton
import triton.language as tl
from torch.nn.functional import silu

from mdgeomfeat.gnn.engine.cuda.kernels import (
    BLOCK,
    FUSED,
    TOLERANCE,
    DeviceProgram,
    Pairs,
    interpolate,
    spline,
    tile,
)
from mdgeomfeat.gnn.engine.cuda.tensors import (
    anticommutator,
    damping,
    nine,
    squares,
    store_nine,
)
from mdgeomfeat.gnn.engine.filters import filter_table
from mdgeomfeat.gnn.tensornet import PartwiseLinear, TensorNet

__all__ = ["CudaTensorNet"]

# Where the scalar, the vector and the symmetric part stand among the nine.
PARTS = (slice(0, 1), slice(1, 4), slice(4, 9))


@triton.jit
def _first_messages(
    as_receiver,
    as_sender,
    numbers,
    table,
    own,
    row_ptr,
    sender,
    interval,
    place,
    direction,
    sums,
    total,
    plane,
    C: tl.constexpr,
    LANES: tl.constexpr,
    EDGES: tl.constexpr,
):
    """Write what elements, distances and directions alone make, and its square."""
    i = tl.program_id(0).to(tl.int64)
    lane = tl.arange(0, LANES)[None, :]
    inside = lane < C
    number = tl.load(numbers + i)
    mine = tl.load(as_receiver + number * C + lane, mask=inside, other=0.0)
    s0 = tl.zeros((EDGES, LANES), tl.float32)
    s1 = tl.zeros((EDGES, LANES), tl.float32)
    s2 = tl.zeros((EDGES, LANES), tl.float32)
    s3 = tl.zeros((EDGES, LANES), tl.float32)
    s4 = tl.zeros((EDGES, LANES), tl.float32)
    s5 = tl.zeros((EDGES, LANES), tl.float32)
    s6 = tl.zeros((EDGES, LANES), tl.float32)
    s7 = tl.zeros((EDGES, LANES), tl.float32)
    s8 = tl.zeros((EDGES, LANES), tl.float32)
    end = tl.load(row_ptr + i + 1)
    for begin in range(tl.load(row_ptr + i), end, EDGES):
        e = begin + tl.arange(0, EDGES)
        real = e < end
        mask = real[:, None] & inside
        j = tl.load(sender + e, mask=real, other=0)
        theirs = tl.load(numbers + j, mask=real, other=0)[:, None]
        pair = mine + tl.load(as_sender + theirs * C + lane, mask=mask, other=0.0)
        at = tl.load(interval + e, mask=real, other=0)[:, None] * (3 * C) + lane
        t = tl.load(place + e, mask=real, other=0.0)[:, None]
        a, b, c, d = spline(t)
        x = tl.load(direction + 3 * e, mask=real, other=0.0)[:, None]
        y = tl.load(direction + 3 * e + 1, mask=real, other=0.0)[:, None]
        z = tl.load(direction + 3 * e + 2, mask=real, other=0.0)[:, None]
        third = (x * x + y * y + z * z) / 3.0
        # The filters are zero outside the mask.
        s0 += pair * interpolate(table, at, 3 * C, a, b, c, d, mask)
        vector = pair * interpolate(table, at + C, 3 * C, a, b, c, d, mask)
        s1 += vector * x
        s2 += vector * y
        s3 += vector * z
        symmetric = pair * interpolate(table, at + 2 * C, 3 * C, a, b, c, d, mask)
        s4 += symmetric * (x * x - third)
        s5 += symmetric * (y * y - third)
        s6 += symmetric * (x * y)
        s7 += symmetric * (x * z)
        s8 += symmetric * (y * z)
    lane = tl.arange(0, LANES)
    inside = lane < C
    # An atom's edge to itself has no direction.
    pair = tl.load(as_receiver + number * C + lane, mask=inside, other=0.0)
    pair += tl.load(as_sender + number * C + lane, mask=inside, other=0.0)
    r0 = tl.sum(s0, axis=0) + pair * tl.load(own + lane, mask=inside, other=0.0)
    r1, r2, r3 = tl.sum(s1, axis=0), tl.sum(s2, axis=0), tl.sum(s3, axis=0)
    r4, r5 = tl.sum(s4, axis=0), tl.sum(s5, axis=0)
    r6, r7, r8 = tl.sum(s6, axis=0), tl.sum(s7, axis=0), tl.sum(s8, axis=0)
    at = i * C + lane
    store_nine(sums, at, plane, inside, 1.0, r0, r1, r2, r3, r4, r5, r6, r7, r8)
    one, three, five = squares(r0, r1, r2, r3, r4, r5, r6, r7, r8)
    tl.store(total + at, one + three + five, mask=inside)


@triton.jit
def _messages(
    sent,
    table,
    own,
    row_ptr,
    sender,
    interval,
    place,
    product,
    plane,
    C: tl.constexpr,
    LANES: tl.constexpr,
    EDGES: tl.constexpr,
):
    """Write the damped product of what a node sends and what it receives."""
    i = tl.program_id(0).to(tl.int64)
    lane = tl.arange(0, LANES)[None, :]
    inside = lane < C
    s0 = tl.zeros((EDGES, LANES), tl.float32)
    s1 = tl.zeros((EDGES, LANES), tl.float32)
    s2 = tl.zeros((EDGES, LANES), tl.float32)
    s3 = tl.zeros((EDGES, LANES), tl.float32)
    s4 = tl.zeros((EDGES, LANES), tl.float32)
    s5 = tl.zeros((EDGES, LANES), tl.float32)
    s6 = tl.zeros((EDGES, LANES), tl.float32)
    s7 = tl.zeros((EDGES, LANES), tl.float32)
    s8 = tl.zeros((EDGES, LANES), tl.float32)
    end = tl.load(row_ptr + i + 1)
    for begin in range(tl.load(row_ptr + i), end, EDGES):
        e = begin + tl.arange(0, EDGES)
        real = e < end
        mask = real[:, None] & inside
        j = tl.load(sender + e, mask=real, other=0)[:, None]
        t0, t1, t2, t3, t4, t5, t6, t7, t8 = nine(sent, j * C + lane, plane, mask)
        at = tl.load(interval + e, mask=real, other=0)[:, None] * (3 * C) + lane
        t = tl.load(place + e, mask=real, other=0.0)[:, None]
        a, b, c, d = spline(t)
        f = interpolate(table, at, 3 * C, a, b, c, d, mask)
        s0 += f * t0
        f = interpolate(table, at + C, 3 * C, a, b, c, d, mask)
        s1 += f * t1
        s2 += f * t2
        s3 += f * t3
        f = interpolate(table, at + 2 * C, 3 * C, a, b, c, d, mask)
        s4 += f * t4
        s5 += f * t5
        s6 += f * t6
        s7 += f * t7
        s8 += f * t8
    lane = tl.arange(0, LANES)
    inside = lane < C
    at = i * C + lane
    t0, t1, t2, t3, t4, t5, t6, t7, t8 = nine(sent, at, plane, inside)
    f = tl.load(own + lane, mask=inside, other=0.0)
    r0 = tl.sum(s0, axis=0) + f * t0
    f = tl.load(own + C + lane, mask=inside, other=0.0)
    r1 = tl.sum(s1, axis=0) + f * t1
    r2 = tl.sum(s2, axis=0) + f * t2
    r3 = tl.sum(s3, axis=0) + f * t3
    f = tl.load(own + 2 * C + lane, mask=inside, other=0.0)
    r4 = tl.sum(s4, axis=0) + f * t4
    r5 = tl.sum(s5, axis=0) + f * t5
    r6 = tl.sum(s6, axis=0) + f * t6
    r7 = tl.sum(s7, axis=0) + f * t7
    r8 = tl.sum(s8, axis=0) + f * t8
    r0, r1, r2, r3, r4, r5, r6, r7, r8 = anticommutator(
        t0, t1, t2, t3, t4, t5, t6, t7, t8, r0, r1, r2, r3, r4, r5, r6, r7, r8
    )
    f = damping(r0, r1, r2, r3, r4, r5, r6, r7, r8)
    store_nine(product, at, plane, inside, f, r0, r1, r2, r3, r4, r5, r6, r7, r8)


@triton.jit
def _open_gates(parts, gates, plane, C: tl.constexpr, BLOCK: tl.constexpr):
    """Multiply the first tensors by their gates, in place, and damp them."""
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    real = at < plane
    node = at // C
    gate = gates + node * (3 * C) + (at - node * C)
    r0, r1, r2, r3, r4, r5, r6, r7, r8 = nine(parts, at, plane, real)
    r0 *= tl.load(gate, mask=real, other=0.0)
    f = tl.load(gate + C, mask=real, other=0.0)
    r1, r2, r3 = r1 * f, r2 * f, r3 * f
    f = tl.load(gate + 2 * C, mask=real, other=0.0)
    r4, r5, r6, r7, r8 = r4 * f, r5 * f, r6 * f, r7 * f, r8 * f
    f = damping(r0, r1, r2, r3, r4, r5, r6, r7, r8)
    store_nine(parts, at, plane, real, f, r0, r1, r2, r3, r4, r5, r6, r7, r8)


@triton.jit
def _advance(parts, changes, plane, LAST: tl.constexpr, BLOCK: tl.constexpr):
    """Add a change and its square, in place; damp for the next layer."""
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    real = at < plane
    r0, r1, r2, r3, r4, r5, r6, r7, r8 = nine(parts, at, plane, real)
    c0, c1, c2, c3, c4, c5, c6, c7, c8 = nine(changes, at, plane, real)
    q0, q1, q2, q3, q4, q5, q6, q7, q8 = anticommutator(
        c0, c1, c2, c3, c4, c5, c6, c7, c8, c0, c1, c2, c3, c4, c5, c6, c7, c8
    )
    r0, r1, r2 = r0 + c0 + 0.5 * q0, r1 + c1 + 0.5 * q1, r2 + c2 + 0.5 * q2
    r3, r4, r5 = r3 + c3 + 0.5 * q3, r4 + c4 + 0.5 * q4, r5 + c5 + 0.5 * q5
    r6, r7, r8 = r6 + c6 + 0.5 * q6, r7 + c7 + 0.5 * q7, r8 + c8 + 0.5 * q8
    f = 1.0
    if not LAST:
        f = damping(r0, r1, r2, r3, r4, r5, r6, r7, r8)
    store_nine(parts, at, plane, real, f, r0, r1, r2, r3, r4, r5, r6, r7, r8)


@triton.jit
def _norms(parts, norms, plane, C: tl.constexpr, BLOCK: tl.constexpr):
    """Write the squared norms of the three parts of each node side by side."""
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    real = at < plane
    r0, r1, r2, r3, r4, r5, r6, r7, r8 = nine(parts, at, plane, real)
    one, three, five = squares(r0, r1, r2, r3, r4, r5, r6, r7, r8)
    node = at // C
    to = norms + node * (3 * C) + (at - node * C)
    tl.store(to, one, mask=real)
    tl.store(to + C, three, mask=real)
    tl.store(to + 2 * C, five, mask=real)


class CudaTensorNet(DeviceProgram):
    """A TensorNet, ready to run on graphs.

    Parameters
    ----------
    model : TensorNet
        A copy of it is kept.
    device : torch.device
    """

    def __init__(self, model: TensorNet, device: torch.device) -> None:
        exact = copy.deepcopy(model).to(device="cpu", dtype=torch.float64).eval()
        table = filter_table(exact.radial_filters, exact.spec.cutoff, TOLERANCE)
        self.intervals = table.intervals
        self._table = torch.tensor(table.rows, dtype=torch.float32, device=device)
        # The filters of the edge of an atom to itself.
        self._own = torch.tensor(table.at_zero, dtype=torch.float32, device=device)
        if not model.spec.self_edges:
            self._own.zero_()
        # A pair's features are a sum of what either element contributes.
        pair = exact.embedding.pair_proj
        element = exact.embedding.element.weight.detach()
        receiving, sending = pair.weight.detach().chunk(2, dim=1)
        self._as_receiver, self._as_sender = (
            share.to(device, torch.float32).contiguous()
            for share in (
                element @ receiving.T + pair.bias.detach(),
                element @ sending.T,
            )
        )
        self._model = exact.to(device=device, dtype=torch.float32)
        self._lanes = triton.next_power_of_2(model.spec.n_channels)
        self._edges, self._warps = tile(self._lanes)

    def run(
        self, numbers: torch.Tensor, pairs: Pairs
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Compute the features of all nodes."""
        model = self._model
        layers: Any = model.layers
        parts, received = self._embed(numbers, pairs)
        M, C = parts.shape[1:]
        sent = torch.empty_like(parts)
        grid = (triton.cdiv(M * C, BLOCK),)
        last = len(layers) - 1
        for at, layer in enumerate(layers):
            _project(layer.mix_before, parts, sent)
            _messages[(M,)](
                sent,
                self._table[at + 1],
                self._own[at + 1],
                pairs.row_ptr,
                pairs.sender,
                pairs.interval,
                pairs.place,
                received,
                M * C,
                C=C,
                LANES=self._lanes,
                EDGES=self._edges,
                num_warps=self._warps,
                **FUSED,
            )
            # What was sent is not needed any more.
            _project(layer.mix_after, received, sent)
            _advance[grid](parts, sent, M * C, LAST=at == last, BLOCK=BLOCK, **FUSED)
        norms = parts.new_empty((M, 3 * C))
        _norms[grid](parts, norms, M * C, C=C, BLOCK=BLOCK, **FUSED)
        scalars = silu(model.output_proj(model.output_norm(norms)))
        return scalars, parts[PARTS[1]].transpose(0, 1).contiguous()

    def _embed(
        self, numbers: torch.Tensor, pairs: Pairs
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the first tensors, damped, and memory of the same size."""
        embedding = self._model.embedding
        M, C = len(numbers), self._model.spec.n_channels
        sums = self._table.new_empty((9, M, C))
        total = self._table.new_empty((M, C))
        _first_messages[(M,)](
            self._as_receiver,
            self._as_sender,
            numbers,
            self._table[0],
            self._own[0],
            pairs.row_ptr,
            pairs.sender,
            pairs.interval,
            pairs.place,
            pairs.direction,
            sums,
            total,
            M * C,
            C=C,
            LANES=self._lanes,
            EDGES=self._edges,
            num_warps=self._warps,
            **FUSED,
        )
        parts = torch.empty_like(sums)
        _project(embedding.mix, sums, parts)
        gates = embedding.gate(embedding.norm(total))
        _open_gates[(triton.cdiv(M * C, BLOCK),)](
            parts, gates, M * C, C=C, BLOCK=BLOCK, **FUSED
        )
        return parts, sums


def _project(mix: PartwiseLinear, tensors: torch.Tensor, out: torch.Tensor) -> None:
    """Multiply each part of all nodes' tensors by the matrix of that part."""
    layers = (mix.scalar, mix.vector, mix.symmetric)
    for part, layer in zip(PARTS, layers, strict=True):
        torch.mm(
            tensors[part].flatten(0, 1), layer.weight.T, out=out[part].flatten(0, 1)
        )
