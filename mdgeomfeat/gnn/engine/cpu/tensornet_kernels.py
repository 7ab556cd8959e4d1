"""TensorNet on vectors of lanes.

A node's tensors are nine rows of C channels: the scalar part, the three entries of the
vector (antisymmetric) part, and xx, yy, xy, xz, yz of the symmetric traceless part.
Filters are three rows, one for each part. Everything that sums over pairs keeps the
receiver's nine rows at hand, `wide` lanes at a time; what happens at a node, `unit`
lanes at a time, one register.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from mdgeomfeat.gnn.engine.cpu.kernels import (
    add,
    add_product,
    deliver,
    interpolate,
    normalise,
    product,
    spline_weights,
)
from mdgeomfeat.gnn.engine.cpu.simd import (
    broadcast,
    lanes,
    load,
    muladd,
    silu,
    size,
    spread,
    store,
)
from mdgeomfeat.gnn.engine.cpu.tensornet_algebra import (
    add_scaled,
    anticommutator,
    damping,
    nine,
    square,
    squares,
    store_scaled,
)
from mdgeomfeat.jit import cached_njit

__all__ = ["NODES", "Weights", "Work", "network"]

# Nodes that pass through the products together; a multiple of six.
NODES = 24


class Weights(NamedTuple):
    """What a network is, flat and in the order of the kernels.

    Matrices are cut into panels of `tile` columns: (panel, input, column). Layer 0 of
    what has layers is the embedding.
    """

    receiver: np.ndarray  # (max_z, C): an element's share in a pair's features
    sender: np.ndarray  # (max_z, C)
    norm: np.ndarray  # (2, C): scale and shift
    hidden: np.ndarray  # (C, 2 C) in panels
    hidden_bias: np.ndarray  # (2 C)
    gate: np.ndarray  # (2 C, 3 C) in panels
    gate_bias: np.ndarray  # (3 C)
    before: np.ndarray  # (1 + L, 3, C, C) in panels: scalar, vector, symmetric
    after: np.ndarray  # (1 + L, 3, C, C) in panels; unused by the embedding
    output_norm: np.ndarray  # (2, 3 C): scale and shift
    output: np.ndarray  # (3 C, C) in panels
    output_bias: np.ndarray  # (C)
    own: np.ndarray  # (1 + L, 3 C): filters of the edge of an atom to itself
    table: np.ndarray  # (1 + L, intervals + 3, 3 C): of the filters
    zeros: np.ndarray  # (C)
    channel: np.ndarray  # (n_channels,) int64: where channel c stands


class Work(NamedTuple):
    """Memory of one thread, aligned to cache lines."""

    parts: np.ndarray  # (n, 9, C)
    sent: np.ndarray  # (n, 9, C)
    received: np.ndarray  # (n, 9, C)
    block: np.ndarray  # (NODES, 3, C)
    wider: np.ndarray  # (NODES, 3, C)


@cached_njit()
def _exchange(sent, received, at, f, mine, total, both):
    """Return ``total + f X`` of the sender; add ``f X`` of the receiver to its sum."""
    if both:
        add_product(received, at, f, mine)
    return muladd(f, load(sent, at, f), total)


@cached_njit()
def _messages(n, graph, table, work, table_at, both, C, unit):
    """Add what senders send to receivers and, with `both`, receivers to senders."""
    row, width = 3 * C, size(unit)
    sent, received = work.sent, work.received
    for i in range(n):
        first, last = graph.row_ptr[i], graph.row_ptr[i + 1]
        for b in range(0, C, width):
            own = 9 * C * i + b
            y0, y1, y2, y3, y4, y5, y6, y7, y8 = nine(sent, own, C, unit)
            s0, s1, s2, s3, s4, s5, s6, s7, s8 = nine(received, own, C, unit)
            for e in range(first, last):
                at = table_at + graph.interval[e] * row + b
                spline = spline_weights(graph, e, unit)
                to = 9 * C * graph.sender[e] + b
                f = interpolate(table, at, row, spline, unit)
                s0 = _exchange(sent, received, to, f, y0, s0, both)
                f = interpolate(table, at + C, row, spline, unit)
                s1 = _exchange(sent, received, to + C, f, y1, s1, both)
                s2 = _exchange(sent, received, to + 2 * C, f, y2, s2, both)
                s3 = _exchange(sent, received, to + 3 * C, f, y3, s3, both)
                f = interpolate(table, at + 2 * C, row, spline, unit)
                s4 = _exchange(sent, received, to + 4 * C, f, y4, s4, both)
                s5 = _exchange(sent, received, to + 5 * C, f, y5, s5, both)
                s6 = _exchange(sent, received, to + 6 * C, f, y6, s6, both)
                s7 = _exchange(sent, received, to + 7 * C, f, y7, s7, both)
                s8 = _exchange(sent, received, to + 8 * C, f, y8, s8, both)
            one = broadcast(np.float32(1.0), unit)
            store_scaled(received, own, C, (s0, s1, s2, s3, s4, s5, s6, s7, s8), one)


@cached_njit()
def _spread_out(out, at, C, scalar, vector, symmetric, direction, both):
    """Add a pair's features times 1, d and d d^T to nine rows."""
    if not both:
        return
    x, y, z, xx, yy, xy, xz, yz = direction
    add(out, at, scalar)
    add_product(out, at + C, vector, x)
    add_product(out, at + 2 * C, vector, y)
    add_product(out, at + 3 * C, vector, z)
    add_product(out, at + 4 * C, symmetric, xx)
    add_product(out, at + 5 * C, symmetric, yy)
    add_product(out, at + 6 * C, symmetric, xy)
    add_product(out, at + 7 * C, symmetric, xz)
    add_product(out, at + 8 * C, symmetric, yz)


@cached_njit()
def _first_messages(n, graph, weights, work, both, C, unit):
    """Set the sums to what elements, distances and directions alone make."""
    row, width = 3 * C, size(unit)
    table, received = weights.table, work.received
    direction = graph.direction
    zero, third = unit, broadcast(np.float32(1.0 / 3.0), unit)
    for i in range(n):
        z = graph.numbers[i] * C
        for b in range(0, C, width):
            pair = load(weights.receiver, z + b, unit) + load(
                weights.sender, z + b, unit
            )
            store(received, 9 * C * i + b, pair * load(weights.own, b, unit))
            for k in range(1, 9):
                store(received, (9 * i + k) * C + b, zero)
    for i in range(n):
        z_i = graph.numbers[i] * C
        for e in range(graph.row_ptr[i], graph.row_ptr[i + 1]):
            j = graph.sender[e]
            z_j = graph.numbers[j] * C
            spline = spline_weights(graph, e, unit)
            x = spread(direction, 3 * e, unit)
            y = spread(direction, 3 * e + 1, unit)
            z = spread(direction, 3 * e + 2, unit)
            xx, yy, zz = x * x, y * y, z * z
            trace = (xx + yy + zz) * third
            outer = (x, y, z, xx - trace, yy - trace, x * y, x * z, y * z)
            start = graph.interval[e] * row
            for b in range(0, C, width):
                at = start + b
                to_i = load(weights.receiver, z_i + b, unit)
                to_i = to_i + load(weights.sender, z_j + b, unit)
                to_j = load(weights.receiver, z_j + b, unit)
                to_j = to_j + load(weights.sender, z_i + b, unit)
                f = interpolate(table, at, row, spline, unit)
                g = interpolate(table, at + C, row, spline, unit)
                h = interpolate(table, at + 2 * C, row, spline, unit)
                _spread_out(
                    received,
                    9 * C * i + b,
                    C,
                    to_i * f,
                    to_i * g,
                    to_i * h,
                    outer,
                    True,
                )
                # Seen from the sender, the direction is the opposite one.
                _spread_out(
                    received,
                    9 * C * j + b,
                    C,
                    to_j * f,
                    zero - to_j * g,
                    to_j * h,
                    outer,
                    both,
                )


@cached_njit()
def _project(x, out, first, rows, panels, layer, zeros, C, tile):
    """Multiply each part of some nodes' tensors by the matrix of that part."""
    for k in range(9):
        part = 0 if k == 0 else 1 if k < 4 else 2
        at = (9 * first + k) * C
        product(
            rows,
            (x, at, 9 * C),
            (panels, (3 * layer + part) * C * C, C),
            (zeros, 0),
            (out, at, 9 * C),
            C // size(tile),
            tile,
        )


@cached_njit()
def _activate(x, count, unit):
    """Apply SiLU to some values."""
    for at in range(0, count, size(unit)):
        store(x, at, silu(load(x, at, unit)))


@cached_njit()
def _embed(first, rows, weights, work, C, epsilon, unit, tile):
    """Make the first tensors of the sums of the first messages."""
    n_channels = weights.channel.shape[0]
    width, columns = size(unit), size(tile)
    block, wider = work.block, work.wider
    for r in range(rows):
        for b in range(0, C, width):
            parts = nine(work.received, 9 * C * (first + r) + b, C, unit)
            store(block, r * C + b, square(parts))
        normalise(
            (block, r * C),
            (weights.norm, 0),
            (block, r * C),
            C,
            n_channels,
            epsilon,
            unit,
        )
    product(
        rows,
        (block, 0, C),
        (weights.hidden, 0, C),
        (weights.hidden_bias, 0),
        (wider, 0, 2 * C),
        2 * C // columns,
        tile,
    )
    _activate(wider, rows * 2 * C, unit)
    product(
        rows,
        (wider, 0, 2 * C),
        (weights.gate, 0, 2 * C),
        (weights.gate_bias, 0),
        (block, 0, 3 * C),
        3 * C // columns,
        tile,
    )
    _activate(block, rows * 3 * C, unit)
    _project(
        work.received,
        work.parts,
        first,
        rows,
        weights.before,
        0,
        weights.zeros,
        C,
        tile,
    )
    for r in range(rows):
        for k in range(9):
            gate = (3 * r + (0 if k == 0 else 1 if k < 4 else 2)) * C
            at = (9 * (first + r) + k) * C
            for b in range(0, C, width):
                scaled = load(work.parts, at + b, unit) * load(block, gate + b, unit)
                store(work.parts, at + b, scaled)


@cached_njit()
def _prepare(first, rows, weights, work, layer, C, unit, tile):
    """Damp the tensors, project what is sent, set the sums to what nodes send back."""
    width = size(unit)
    one = broadcast(np.float32(1.0), unit)
    for r in range(rows):
        for b in range(0, C, width):
            at = 9 * C * (first + r) + b
            parts = nine(work.parts, at, C, unit)
            store_scaled(work.parts, at, C, parts, damping(parts, one))
    _project(
        work.parts,
        work.sent,
        first,
        rows,
        weights.before,
        layer,
        weights.zeros,
        C,
        tile,
    )
    for r in range(rows):
        for k in range(9):
            own = (3 * layer + (0 if k == 0 else 1 if k < 4 else 2)) * C
            at = (9 * (first + r) + k) * C
            for b in range(0, C, width):
                f = load(weights.own, own + b, unit)
                store(work.received, at + b, f * load(work.sent, at + b, unit))


@cached_njit()
def _update(first, rows, weights, work, layer, C, unit, tile):
    """Change the tensors by products of what they were and what they received."""
    width = size(unit)
    one, half = broadcast(np.float32(1.0), unit), broadcast(np.float32(0.5), unit)
    for r in range(rows):
        for b in range(0, C, width):
            at = 9 * C * (first + r) + b
            parts = anticommutator(
                nine(work.sent, at, C, unit), nine(work.received, at, C, unit)
            )
            store_scaled(work.received, at, C, parts, damping(parts, one))
    # What was sent is not needed any more.
    _project(
        work.received,
        work.sent,
        first,
        rows,
        weights.after,
        layer,
        weights.zeros,
        C,
        tile,
    )
    for r in range(rows):
        for b in range(0, C, width):
            at = 9 * C * (first + r) + b
            change = nine(work.sent, at, C, unit)
            twice = anticommutator(change, change)
            for k in range(9):
                add(work.parts, at + k * C, load(work.sent, at + k * C, unit))
            add_scaled(work.parts, at, C, twice, half)


@cached_njit()
def _finish(
    first, rows, graph, weights, work, C, epsilon, unit, tile, scalars, vectors
):
    """Write the results in the network's own order of channels."""
    n_channels = weights.channel.shape[0]
    width, block = size(unit), work.block
    for r in range(rows):
        for b in range(0, C, width):
            at = 3 * C * r + b
            parts = nine(work.parts, 9 * C * (first + r) + b, C, unit)
            scalar, vector, symmetric = squares(parts)
            store(block, at, scalar)
            store(block, at + C, vector)
            store(block, at + 2 * C, symmetric)
        normalise(
            (block, 3 * C * r),
            (weights.output_norm, 0),
            (block, 3 * C * r),
            3 * C,
            3 * n_channels,
            epsilon,
            unit,
        )
    product(
        rows,
        (block, 0, 3 * C),
        (weights.output, 0, 3 * C),
        (weights.output_bias, 0),
        (work.wider, 0, C),
        C // size(tile),
        tile,
    )
    _activate(work.wider, rows * C, unit)
    for r in range(rows):
        to = graph.target[first + r]
        if to >= 0:
            deliver(
                (work.wider, r * C),
                (work.parts, (9 * (first + r) + 1) * C),
                C,
                weights.channel,
                scalars,
                vectors,
                to,
            )


@lru_cache
def network(register: int, width: int, columns: int, both: bool) -> Callable[..., Any]:
    """Return the compiled network for vectors of given sizes.

    Parameters
    ----------
    register : int
        Channels of a node that are handled at once: one vector register.
    width : int
        Channels of a pair that are handled at once. Both divide the padded number of
        channels.
    columns : int
        Columns of a panel of the weight matrices.
    both : bool
        Whether pairs stand for both directions. A constant of the compiled code: as
        an argument it makes the kernels seven times slower.

    Returns
    -------
    callable
        ``(graph, weights, work, n_layers, C, epsilon, scalars, vectors)``; `epsilon`
        has those of the two layer norms, results are (rows, C) and (rows, 3, C).
    """

    @cached_njit()
    def run(graph, weights, work, n_layers, C, epsilon, scalars, vectors):
        unit, wide, tile = lanes(register), lanes(width), lanes(columns)
        n = graph.numbers.shape[0]
        entries = weights.table.shape[0] // (n_layers + 1)
        _first_messages(n, graph, weights, work, both, C, wide)
        for first in range(0, n, NODES):
            rows = min(NODES, n - first)
            _embed(first, rows, weights, work, C, epsilon[0], unit, tile)
            _prepare(first, rows, weights, work, 1, C, unit, tile)
        for layer in range(1, n_layers + 1):
            _messages(n, graph, weights.table, work, layer * entries, both, C, wide)
            for first in range(0, n, NODES):
                rows = min(NODES, n - first)
                _update(first, rows, weights, work, layer, C, unit, tile)
                if layer < n_layers:
                    _prepare(first, rows, weights, work, layer + 1, C, unit, tile)
        for first in range(0, n, NODES):
            rows = min(NODES, n - first)
            _finish(
                first,
                rows,
                graph,
                weights,
                work,
                C,
                epsilon[1],
                unit,
                tile,
                scalars,
                vectors,
            )

    kernel: Callable[..., Any] = run
    return kernel
