"""What happens on the directed edges of ViSNet, a block of them at a time."""

from __future__ import annotations

import math

import numpy as np

from mdgeomfeat.gnn.engine.cpu.kernels import (
    add,
    add_product,
    interpolate,
    product,
    spline_weights,
)
from mdgeomfeat.gnn.engine.cpu.simd import (
    fold,
    load,
    muladd,
    repeat,
    silu,
    size,
    spread,
    store,
)
from mdgeomfeat.jit import cached_njit

__all__ = ["EDGES", "WINDOW", "embed_edges", "first_messages", "pass_edges"]

# Edges that pass through the products together; a multiple of twelve.
EDGES = 24
# Columns of the table that hold the envelope, in the first of them.
WINDOW = 16
ROOT3 = np.float32(math.sqrt(3.0))


@cached_njit()
def _set_edge(work, e, receiver, sender, window, smooth, x, y, z, L):
    """Write what an edge keeps for all layers; (x, y, z) points to the sender."""
    work.receiver[e], work.sender[e] = receiver, sender
    work.window[e] = window
    work.damping[e] = window if smooth else np.float32(1.0)
    at, Y = e * L, work.harmonics
    Y[at], Y[at + 1], Y[at + 2] = x, y, z
    if L == 8:
        half = np.float32(0.5)
        Y[at + 3], Y[at + 4] = ROOT3 * x * z, ROOT3 * x * y
        Y[at + 5] = y * y - half * (x * x + z * z)
        Y[at + 6], Y[at + 7] = ROOT3 * y * z, half * ROOT3 * (z * z - x * x)


@cached_njit()
def first_messages(n, graph, weights, work, both, smooth, with_self, C, L, wide):
    """List the directed edges, and sum what neighbours send to begin with.

    Returns the number of edges. Those of a pair follow each other; edges of atoms to
    themselves come last.
    """
    row, width = 2 * C + WINDOW, size(wide)
    table, direction = weights.table, graph.direction
    for at in range(0, n * C, width):
        store(work.gathered, at, wide)
    edge = 0
    for i in range(n):
        z_i = graph.numbers[i] * C
        for e in range(graph.row_ptr[i], graph.row_ptr[i + 1]):
            j = graph.sender[e]
            z_j = graph.numbers[j] * C
            at = graph.interval[e] * row + C
            window = np.float32(0.0)
            for k in range(4):
                window += graph.spline[4 * e + k] * table[at + C + k * row]
            x, y, z = direction[3 * e], direction[3 * e + 1], direction[3 * e + 2]
            _set_edge(work, edge, i, j, window, smooth, x, y, z, L)
            edge += 1
            if both:
                _set_edge(work, edge, j, i, window, smooth, -x, -y, -z, L)
                edge += 1
            spline = spline_weights(graph, e, wide)
            for b in range(0, C, width):
                f = interpolate(table, at + b, row, spline, wide)
                sent = load(weights.neighbor, z_j + b, wide)
                add_product(work.gathered, i * C + b, f, sent)
                if both:
                    sent = load(weights.neighbor, z_i + b, wide)
                    add_product(work.gathered, j * C + b, f, sent)
    if with_self:
        zero, window = np.float32(0.0), weights.own[2 * C]
        for i in range(n):
            _set_edge(work, edge, i, i, window, smooth, zero, zero, zero, L)
            edge += 1
    return edge


@cached_njit()
def embed_edges(n, graph, weights, work, both, n_edges, C, wide):
    """Make the first features of the edges."""
    row, width = 2 * C + WINDOW, size(wide)
    x, table = work.scalars, weights.table
    edge = 0
    for i in range(n):
        for e in range(graph.row_ptr[i], graph.row_ptr[i + 1]):
            j = graph.sender[e]
            at = graph.interval[e] * row
            spline = spline_weights(graph, e, wide)
            for b in range(0, C, width):
                f = interpolate(table, at + b, row, spline, wide)
                f = f * (load(x, i * C + b, wide) + load(x, j * C + b, wide))
                store(work.features, edge * C + b, f)
                if both:
                    store(work.features, (edge + 1) * C + b, f)
            edge += 2 if both else 1
    for e in range(edge, n_edges):
        for b in range(0, C, width):
            f = load(x, work.receiver[e] * C + b, wide) * load(weights.own, b, wide)
            store(work.features, e * C + b, f + f)


@cached_njit()
def _attend(first, rows, work, twins, C, wide, head):
    """Turn the filters of some edges into their scalar messages, and sum these.

    With `twins`, there is one row of filters for the two directions of a pair.
    """
    width = size(wide)
    projected, filters = work.projected, work.filters
    for r in range(rows):
        i, j = work.receiver[first + r], work.sender[first + r]
        query, sent = 3 * C * i, 3 * C * j + C
        at = 3 * C * (r // 2 if twins else r)
        attention = head
        for b in range(0, C, width):
            key = silu(load(filters, at + b, wide)) * load(projected, sent + b, wide)
            attention = attention + fold(load(projected, query + b, wide) * key, head)
        window = spread(work.window, first + r, head)
        weight = repeat(silu(attention) * window, wide)
        for b in range(0, C, width):
            value = silu(load(filters, at + C + b, wide)) * weight
            value = value * load(projected, sent + C + b, wide)
            store(work.values, C * r + b, value)
            add(work.gathered, C * i + b, value)


@cached_njit()
def _pull_first(first, rows, work, L, C, wide):
    """Sum the messages of some edges to vectors that are still zero."""
    width = size(wide)
    for r in range(rows):
        to = L * C * work.receiver[first + r]
        damping = spread(work.damping, first + r, wide)
        for b in range(0, C, width):
            by_direction = silu(load(work.along, C * r + b, wide)) * damping
            for k in range(L):
                y = spread(work.harmonics, L * (first + r) + k, wide)
                add_product(work.pulled, to + k * C + b, by_direction, y)


@cached_njit()
def _pull(first, rows, work, L, C, wide):
    """Sum the messages of some edges to the vectors."""
    width = size(wide)
    for r in range(rows):
        to = L * C * work.receiver[first + r]
        sent = L * C * work.sender[first + r]
        damping = spread(work.damping, first + r, wide)
        for b in range(0, C, width):
            at = 2 * C * r + b
            by_vector = silu(load(work.along, at, wide)) * damping
            by_direction = silu(load(work.along, at + C, wide)) * damping
            for k in range(L):
                y = spread(work.harmonics, L * (first + r) + k, wide)
                value = muladd(by_direction, y, load(work.pulled, to + k * C + b, wide))
                vector = load(work.normed, sent + k * C + b, wide)
                store(work.pulled, to + k * C + b, muladd(by_vector, vector, value))


@cached_njit()
def _change_edges(first, rows, work, twins, L, C, wide):
    """Update the features of some edges by the vectors at their ends."""
    width, zero = size(wide), wide
    for r in range(rows):
        gate_at = 3 * C * (r // 2 if twins else r) + 2 * C
        receiver = 2 * L * C * work.receiver[first + r]
        sender = 2 * L * C * work.sender[first + r] + C
        for b in range(0, C, width):
            overlap = left = right = zero
            for k in range(L):
                one = load(work.ends, receiver + 2 * C * k + b, wide)
                other = load(work.ends, sender + 2 * C * k + b, wide)
                overlap = muladd(one, other, overlap)
                y = spread(work.harmonics, L * (first + r) + k, wide)
                left = muladd(one, y, left)
                right = muladd(other, y, right)
            # With degree 2, Y.Y = 2, and what is orthogonal to Y has the same product.
            if L == 3:
                overlap = muladd(zero - left, right, overlap)
            gate = silu(load(work.filters, gate_at + b, wide))
            add_product(work.features, C * (first + r) + b, gate, overlap)


@cached_njit()
def pass_edges(first, rows, weights, work, layer, gate, twins, L, C, wide, head, tile):
    """Pass some edges through a layer.

    With `twins`, the two directions of a pair still have the same features.
    """
    columns = size(tile)
    step = 2 if twins else 1
    product(
        -(-rows // step),
        (work.features, first * C, step * C),
        (weights.filter, layer * 3 * C * C, C),
        (weights.filter_bias, layer * 3 * C),
        (work.filters, 0, 3 * C),
        (3 if gate else 2) * C // columns,
        tile,
    )
    _attend(first, rows, work, twins, C, wide, head)
    # Vectors are zero in the first layer: only the direction's half is needed.
    half = C if layer == 0 else 0
    product(
        rows,
        (work.values, 0, C),
        (weights.message, (layer * 2 * C + half) * C, C),
        (weights.message_bias, layer * 2 * C + half),
        (work.along, 0, 2 * C - half),
        (2 * C - half) // columns,
        tile,
    )
    if layer == 0:
        _pull_first(first, rows, work, L, C, wide)
    else:
        _pull(first, rows, work, L, C, wide)
    if gate:
        _change_edges(first, rows, work, twins, L, C, wide)
