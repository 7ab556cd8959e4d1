"""ViSNet on vectors of lanes.

Edges have features of their own, which change from layer to layer and differ between
the two directions of a pair: a row of C channels per directed edge is kept for the
whole chunk, everything else that hangs on edges lives in blocks that stay in the cache.
The pair's filters can be tabulated only where they depend on the distance alone: the
edge embedding, the neighbour embedding and the envelope, which stand side by side in
one row of the table. The channel order is that of the Equivariant Transformer (head
index in the fast lane). Features of degree 1 and 2 are L = 3 or 8 rows of a node.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from mdgeomfeat.gnn.engine._kernels import (
    add,
    add_product,
    deliver,
    interpolate,
    normalise,
    product,
)
from mdgeomfeat.gnn.engine._simd import (
    fold,
    lanes,
    load,
    muladd,
    repeat,
    silu,
    size,
    spread,
    store,
    sum_lanes,
)
from mdgeomfeat.neighbors._jit import cached_njit

__all__ = ["EDGES", "NODES", "NORMS", "WINDOW", "Weights", "Work", "network"]

# Edges and nodes that pass through the products together; multiples of six.
EDGES = 48
NODES = 12
# Columns of the table that hold the envelope, in the first of them.
WINDOW = 16
# How vectors are normalised, as numbers, and what softens the root mean square.
NORMS = {"none": 0, "max_min": 1, "rms": 2}
RMS_FLOOR = np.float32(1e-2)
SHORTEST = np.float32(1e-12)
ROOT3 = np.float32(math.sqrt(3.0))


class Weights(NamedTuple):
    """What a network is, flat and in the order of the kernels.

    Matrices are cut into panels of `tile` columns: (layer, panel, input, column).
    """

    embedding: np.ndarray  # (max_z, C): an element's share in the first scalars
    neighbor: np.ndarray  # (max_z, C): what an element sends to begin with
    around: np.ndarray  # (C, C) in panels: from what neighbours sent
    norm: np.ndarray  # (L + 1, 2, C): scale and shift; the last is the output's
    vector_norm: np.ndarray  # (L + 1, C): weights of the channels
    node: np.ndarray  # (L, C, 3 C) in panels: query | key | value
    node_bias: np.ndarray  # (L, 3 C)
    filter: np.ndarray  # (L, C, 3 C) in panels: key | value | gate, of an edge
    filter_bias: np.ndarray  # (L, 3 C)
    message: np.ndarray  # (L, C, 2 C) in panels: vector | direction
    message_bias: np.ndarray  # (L, 2 C)
    ends: np.ndarray  # (L, C, 2 C) in panels: receiver | sender, of the edge update
    vector: np.ndarray  # (L, C, 3 C) in panels
    output: np.ndarray  # (L, C, 3 C) in panels
    output_bias: np.ndarray  # (L, 3 C)
    table: np.ndarray  # (rows + 1, 2, 2 C + WINDOW): values and slopes
    zeros: np.ndarray  # (3 C)
    channel: np.ndarray  # (n_channels,) int64: where channel c stands


class Work(NamedTuple):
    """Memory of one thread, aligned to cache lines."""

    scalars: np.ndarray  # (n, C)
    vectors: np.ndarray  # (n, L, C)
    normed: np.ndarray  # (n, L, C)
    gathered: np.ndarray  # (n, C)
    pulled: np.ndarray  # (n, L, C)
    projected: np.ndarray  # (n, 3, C)
    ends: np.ndarray  # (n, L, 2, C)
    features: np.ndarray  # (E, C)
    receiver: np.ndarray  # (E,) int64
    sender: np.ndarray  # (E,) int64
    window: np.ndarray  # (E,)
    damping: np.ndarray  # (E,): of what messages do to vectors
    harmonics: np.ndarray  # (E, L)
    filters: np.ndarray  # (EDGES, 3, C)
    values: np.ndarray  # (EDGES, C)
    along: np.ndarray  # (EDGES, 2, C)
    block: np.ndarray  # (NODES, 3, C)
    mixed: np.ndarray  # (NODES * L, 3, C)


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
def _first_messages(n, graph, weights, work, both, smooth, with_self, C, L, wide):
    """List the directed edges, and sum what neighbours send to begin with.

    Returns the number of edges. Those of a pair follow each other; edges of atoms to
    themselves come last.
    """
    row, width = 2 * C + WINDOW, size(wide)
    table, hermite, direction = weights.table, graph.hermite, graph.direction
    for at in range(0, n * C, width):
        store(work.gathered, at, wide)
    edge = 0
    for i in range(n):
        z_i = graph.numbers[i] * C
        for e in range(graph.row_ptr[i], graph.row_ptr[i + 1]):
            j = graph.sender[e]
            z_j = graph.numbers[j] * C
            at = graph.interval[e] * 2 * row + C
            window = np.float32(0.0)
            for k in range(4):
                window += hermite[4 * e + k] * table[at + C + k * row]
            x, y, z = direction[3 * e], direction[3 * e + 1], direction[3 * e + 2]
            _set_edge(work, edge, i, j, window, smooth, x, y, z, L)
            edge += 1
            if both:
                _set_edge(work, edge, j, i, window, smooth, -x, -y, -z, L)
                edge += 1
            h0 = spread(hermite, 4 * e, wide)
            h1 = spread(hermite, 4 * e + 1, wide)
            h2 = spread(hermite, 4 * e + 2, wide)
            h3 = spread(hermite, 4 * e + 3, wide)
            for b in range(0, C, width):
                f = interpolate(table, at + b, row, h0, h1, h2, h3, wide)
                sent = load(weights.neighbor, z_j + b, wide)
                add_product(work.gathered, i * C + b, f, sent)
                if both:
                    sent = load(weights.neighbor, z_i + b, wide)
                    add_product(work.gathered, j * C + b, f, sent)
    if with_self:
        zero, window = np.float32(0.0), table[2 * C]
        for i in range(n):
            _set_edge(work, edge, i, i, window, smooth, zero, zero, zero, L)
            edge += 1
    return edge


@cached_njit()
def _embed(n, graph, weights, work, C, wide, tile):
    """Make the first scalars."""
    width = size(wide)
    for first in range(0, n, NODES):
        rows = min(NODES, n - first)
        product(
            work.gathered,
            first * C,
            C,
            rows,
            C,
            weights.around,
            0,
            weights.zeros,
            0,
            work.block,
            0,
            C,
            C // size(tile),
            tile,
        )
        for r in range(rows):
            z = graph.numbers[first + r] * C
            for b in range(0, C, width):
                value = load(work.block, r * C + b, wide)
                value = value + load(weights.embedding, z + b, wide)
                store(work.scalars, (first + r) * C + b, value)


@cached_njit()
def _embed_edges(n, graph, weights, work, both, n_edges, C, wide):
    """Make the first features of the edges."""
    row, width = 2 * C + WINDOW, size(wide)
    x, table, hermite = work.scalars, weights.table, graph.hermite
    edge = 0
    for i in range(n):
        for e in range(graph.row_ptr[i], graph.row_ptr[i + 1]):
            j = graph.sender[e]
            at = graph.interval[e] * 2 * row
            h0 = spread(hermite, 4 * e, wide)
            h1 = spread(hermite, 4 * e + 1, wide)
            h2 = spread(hermite, 4 * e + 2, wide)
            h3 = spread(hermite, 4 * e + 3, wide)
            for b in range(0, C, width):
                f = interpolate(table, at + b, row, h0, h1, h2, h3, wide)
                f = f * (load(x, i * C + b, wide) + load(x, j * C + b, wide))
                store(work.features, edge * C + b, f)
                if both:
                    store(work.features, (edge + 1) * C + b, f)
            edge += 2 if both else 1
    for e in range(edge, n_edges):
        for b in range(0, C, width):
            f = load(x, work.receiver[e] * C + b, wide) * load(table, b, wide)
            store(work.features, e * C + b, f + f)


@cached_njit()
def _scale_vectors(x, at, norm, norm_at, out, to, L, C, n_channels, factor, kind, wide):
    """Write the normalised vectors of a node; `factor` has room for C values."""
    width = size(wide)
    for first, last in ((0, 3), (3, 8)):
        if first >= L:
            break
        total = wide
        for b in range(0, C, width):
            square = wide
            for k in range(first, last):
                component = load(x, at + k * C + b, wide)
                square = muladd(component, component, square)
            store(factor, b, square)
            total = total + square
        if kind == 0:
            for c in range(C):
                factor[c] = norm[norm_at + c]
        elif kind == 1:
            _max_min(factor, norm, norm_at, C, n_channels)
        else:
            mean = sum_lanes(total) / np.float32(n_channels)
            scale = np.float32(1.0) / np.sqrt(mean + RMS_FLOOR)
            for c in range(C):
                factor[c] = scale * norm[norm_at + c]
        for k in range(first, last):
            for b in range(0, C, width):
                value = load(x, at + k * C + b, wide) * load(factor, b, wide)
                store(out, to + k * C + b, value)


@cached_njit(error_model="numpy")
def _max_min(factor, norm, norm_at, C, n_channels):
    """Turn squared lengths into what maps lengths to 0 … 1, by their extremes.

    Padded channels have no length; as many zeros are left out of the minimum.
    """
    low, high = np.float32(np.inf), SHORTEST
    zeros = 0
    for c in range(C):
        length = max(np.sqrt(factor[c]), SHORTEST)
        if factor[c] == 0.0:
            zeros += 1
        else:
            low = min(low, length)
        high = max(high, length)
        factor[c] = length
    if zeros > C - n_channels:
        low = SHORTEST
    span = high - low
    if span == 0.0:
        span = np.float32(1.0)
    for c in range(C):
        factor[c] = (factor[c] - low) / (span * factor[c]) * norm[norm_at + c]


@cached_njit()
def _project(first, rows, weights, work, layer, gate, L, C, epsilon, kind, wide, tile):
    """Compute what nodes contribute to the messages, and set the sums to zero."""
    n_channels = weights.channel.shape[0]
    width, columns = size(wide), size(tile)
    for r in range(rows):
        normalise(
            work.scalars,
            (first + r) * C,
            weights.norm,
            layer * 2 * C,
            work.block,
            r * C,
            C,
            n_channels,
            epsilon,
            wide,
        )
    product(
        work.block,
        0,
        C,
        rows,
        C,
        weights.node,
        layer * 3 * C * C,
        weights.node_bias,
        layer * 3 * C,
        work.projected,
        first * 3 * C,
        3 * C,
        3 * C // columns,
        tile,
    )
    for at in range(first * C, (first + rows) * C, width):
        store(work.gathered, at, wide)
    for at in range(first * L * C, (first + rows) * L * C, width):
        store(work.pulled, at, wide)
    if layer == 0:
        return
    for r in range(rows):
        at = (first + r) * L * C
        _scale_vectors(
            work.vectors,
            at,
            weights.vector_norm,
            layer * C,
            work.normed,
            at,
            L,
            C,
            n_channels,
            work.block,
            kind,
            wide,
        )
    if gate:
        product(
            work.normed,
            first * L * C,
            C,
            rows * L,
            C,
            weights.ends,
            layer * 2 * C * C,
            weights.zeros,
            0,
            work.ends,
            first * L * 2 * C,
            2 * C,
            2 * C // columns,
            tile,
        )


@cached_njit()
def _attend(first, rows, work, C, wide, head):
    """Turn the filters of some edges into their scalar messages, and sum these."""
    width = size(wide)
    projected, filters = work.projected, work.filters
    for r in range(rows):
        i, j = work.receiver[first + r], work.sender[first + r]
        query, sent, at = 3 * C * i, 3 * C * j + C, 3 * C * r
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
def _change_edges(first, rows, work, L, C, wide):
    """Update the features of some edges by the vectors at their ends."""
    width, zero = size(wide), wide
    for r in range(rows):
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
            gate = silu(load(work.filters, 3 * C * r + 2 * C + b, wide))
            add_product(work.features, C * (first + r) + b, gate, overlap)


@cached_njit()
def _edges(first, rows, weights, work, layer, gate, L, C, wide, head, tile):
    """Pass some edges through a layer."""
    columns = size(tile)
    product(
        work.features,
        first * C,
        C,
        rows,
        C,
        weights.filter,
        layer * 3 * C * C,
        weights.filter_bias,
        layer * 3 * C,
        work.filters,
        0,
        3 * C,
        (3 if gate else 2) * C // columns,
        tile,
    )
    _attend(first, rows, work, C, wide, head)
    # Vectors are zero in the first layer: only the direction's half is needed.
    half = C if layer == 0 else 0
    product(
        work.values,
        0,
        C,
        rows,
        C,
        weights.message,
        (layer * 2 * C + half) * C,
        weights.message_bias,
        layer * 2 * C + half,
        work.along,
        0,
        2 * C - half,
        (2 * C - half) // columns,
        tile,
    )
    if layer == 0:
        _pull_first(first, rows, work, L, C, wide)
    else:
        _pull(first, rows, work, L, C, wide)
    if gate:
        _change_edges(first, rows, work, L, C, wide)


@cached_njit()
def _update(first, rows, weights, work, layer, L, C, wide, tile):
    """Update scalars and vectors of some nodes with the sums of their messages."""
    width, columns = size(wide), size(tile)
    skip = 2 * C if layer == 0 else 0
    product(
        work.gathered,
        first * C,
        C,
        rows,
        C,
        weights.output,
        (layer * 3 * C + skip) * C,
        weights.output_bias,
        layer * 3 * C + skip,
        work.block,
        skip,
        3 * C,
        (3 * C - skip) // columns,
        tile,
    )
    if layer > 0:
        product(
            work.normed,
            first * L * C,
            C,
            rows * L,
            C,
            weights.vector,
            layer * 3 * C * C,
            weights.zeros,
            0,
            work.mixed,
            0,
            3 * C,
            3 * C // columns,
            tile,
        )
    for r in range(rows):
        for b in range(0, C, width):
            change = load(work.block, r * 3 * C + 2 * C + b, wide)
            at = (first + r) * L * C + b
            if layer == 0:
                add(work.scalars, (first + r) * C + b, change)
                for k in range(L):
                    pull = load(work.pulled, at + k * C, wide)
                    store(work.vectors, at + k * C, pull)
                continue
            gate = load(work.block, r * 3 * C + b, wide)
            dot = wide
            for k in range(L):
                m = (L * r + k) * 3 * C + b
                left = load(work.mixed, m, wide)
                dot = muladd(left, load(work.mixed, m + C, wide), dot)
                mixed = load(work.mixed, m + 2 * C, wide)
                pull = load(work.pulled, at + k * C, wide)
                add(work.vectors, at + k * C, muladd(mixed, gate, pull))
            share = load(work.block, r * 3 * C + C + b, wide)
            add(work.scalars, (first + r) * C + b, muladd(dot, share, change))


@cached_njit()
def _finish(
    n, graph, weights, work, layer, L, C, epsilon, kind, wide, scalars, vectors
):
    """Write the results in the network's own order of channels."""
    n_channels = weights.channel.shape[0]
    for i in range(n):
        to = graph.target[i]
        if to < 0:
            continue
        normalise(
            work.scalars,
            i * C,
            weights.norm,
            layer * 2 * C,
            work.block,
            0,
            C,
            n_channels,
            epsilon,
            wide,
        )
        # Only degree 1 comes out.
        _scale_vectors(
            work.vectors,
            i * L * C,
            weights.vector_norm,
            layer * C,
            work.mixed,
            0,
            3,
            C,
            n_channels,
            work.values,
            kind,
            wide,
        )
        deliver(
            work.block,
            0,
            work.mixed,
            0,
            C,
            weights.channel,
            scalars,
            vectors,
            to,
        )


@lru_cache
def network(width: int, n_heads: int, columns: int) -> Callable[..., Any]:
    """Return the compiled network for vectors of given sizes.

    Parameters
    ----------
    width : int
        Channels that are handled at once; divides the padded number of channels.
    n_heads : int
        Padded number of heads, a power of two.
    columns : int
        Columns of a panel of the weight matrices.

    Returns
    -------
    callable
        ``(graph, weights, work, n_layers, L, C, both, smooth, with_self, epsilon,
        kind, scalars, vectors)``; `both` says whether pairs stand for both directions,
        `kind` is one of `NORMS`, results are (rows, C) and (rows, 3, C).
    """

    @cached_njit()
    def run(
        graph,
        weights,
        work,
        n_layers,
        L,
        C,
        both,
        smooth,
        with_self,
        epsilon,
        kind,
        scalars,
        vectors,
    ):
        wide, head, tile = lanes(width), lanes(n_heads), lanes(columns)
        n = graph.numbers.shape[0]
        n_edges = _first_messages(
            n, graph, weights, work, both, smooth, with_self, C, L, wide
        )
        _embed(n, graph, weights, work, C, wide, tile)
        _embed_edges(n, graph, weights, work, both, n_edges, C, wide)
        for layer in range(n_layers):
            # The first layer's vectors are zero, the last one's edges serve no other.
            gate = 0 < layer < n_layers - 1
            for first in range(0, n, NODES):
                rows = min(NODES, n - first)
                _project(
                    first,
                    rows,
                    weights,
                    work,
                    layer,
                    gate,
                    L,
                    C,
                    epsilon,
                    kind,
                    wide,
                    tile,
                )
            for first in range(0, n_edges, EDGES):
                rows = min(EDGES, n_edges - first)
                _edges(first, rows, weights, work, layer, gate, L, C, wide, head, tile)
            for first in range(0, n, NODES):
                rows = min(NODES, n - first)
                _update(first, rows, weights, work, layer, L, C, wide, tile)
        _finish(
            n,
            graph,
            weights,
            work,
            n_layers,
            L,
            C,
            epsilon,
            kind,
            wide,
            scalars,
            vectors,
        )

    return run
