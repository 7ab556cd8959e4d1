"""The Equivariant Transformer on vectors of lanes: the kernels of ``engine="cpu"``.

All arrays are flat float32, rows of C channels one after the other, with the channels
in the order ``d * H + h`` (head h in the fast lane): the sum over a head's channels is
then a sum of whole vectors. Per node there are

    projected (5 C)  query | key | scalar | direction | vector
    scalars   (C)    gathered (C)  pulled (3 C)  vectors (3 C)

Three vectors are handed down only for their types: `wide` cuts rows of channels,
`head` has a lane per head, `tile` is the width of a panel of a weight matrix.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from mdgeomfeat.gnn.engine._simd import (
    broadcast,
    fold,
    join,
    lanes,
    load,
    lower_half,
    muladd,
    repeat,
    silu,
    size,
    spread,
    store,
    sum_lanes,
    upper_half,
)
from mdgeomfeat.neighbors._jit import cached_njit

__all__ = ["ROWS", "Graph", "Weights", "Work", "network"]

# Rows of a product that are kept in registers, and rows of a block: a panel of a
# weight matrix is read once per block.
ROWS = 6
BLOCK = 54


class Weights(NamedTuple):
    """What a network is, flat and in the order of the kernels.

    Matrices are cut into panels of `tile` columns: (layer, panel, input, column).
    """

    embedding: np.ndarray  # (max_z, C)
    norm: np.ndarray  # (L + 1, 2, C): scale and shift; the last is the output's
    node: np.ndarray  # (L, C, 5 C) in panels
    node_bias: np.ndarray  # (L, 5 C)
    vector: np.ndarray  # (L, C, 3 C) in panels
    output: np.ndarray  # (L, C, 3 C) in panels
    output_bias: np.ndarray  # (L, 3 C)
    own: np.ndarray  # (L, 4 C): filters of the edge of an atom to itself
    table: np.ndarray  # (L, rows + 1, 2, 4 C): values and slopes of the filters
    channel: np.ndarray  # (n_channels,) int64: where channel c stands


class Graph(NamedTuple):
    """Nodes and pairs of one chunk."""

    numbers: np.ndarray  # (n,) int64
    row_ptr: np.ndarray  # (n + 1,) int64
    sender: np.ndarray  # (P,) int64
    interval: np.ndarray  # (P,) int64: row of the table
    hermite: np.ndarray  # (4 P,) float32
    direction: np.ndarray  # (3 P,) float32
    target: np.ndarray  # (n,) int64: row of the result, -1 for none


class Work(NamedTuple):
    """Memory of one thread, aligned to cache lines."""

    scalars: np.ndarray
    vectors: np.ndarray
    gathered: np.ndarray
    pulled: np.ndarray
    projected: np.ndarray
    block: np.ndarray
    mixed: np.ndarray


@cached_njit()
def _product(
    a, a_at, rows, depth, panels, at, bias, bias_at, out, out_at, stride, n_panels, tile
):
    """Write ``bias + a @ panels``; `rows` is rounded up to a multiple of six."""
    width = size(tile)
    for panel in range(n_panels):
        start = load(bias, bias_at + panel * width, tile)
        base = at + panel * depth * width
        for r in range(0, rows, ROWS):
            c0 = c1 = c2 = c3 = c4 = c5 = start
            x = a_at + r * depth
            for k in range(depth):
                b = load(panels, base + k * width, tile)
                c0 = muladd(spread(a, x + k, tile), b, c0)
                c1 = muladd(spread(a, x + depth + k, tile), b, c1)
                c2 = muladd(spread(a, x + 2 * depth + k, tile), b, c2)
                c3 = muladd(spread(a, x + 3 * depth + k, tile), b, c3)
                c4 = muladd(spread(a, x + 4 * depth + k, tile), b, c4)
                c5 = muladd(spread(a, x + 5 * depth + k, tile), b, c5)
            to = out_at + r * stride + panel * width
            store(out, to, c0)
            store(out, to + stride, c1)
            store(out, to + 2 * stride, c2)
            store(out, to + 3 * stride, c3)
            store(out, to + 4 * stride, c4)
            store(out, to + 5 * stride, c5)


@cached_njit()
def _normalise(x, at, norm, norm_at, out, to, C, n_channels, epsilon, wide):
    """Write the layer norm of one row; padded channels are zero and stay so."""
    width = size(wide)
    total = np.float32(0.0)
    for b in range(0, C, width):
        total += sum_lanes(load(x, at + b, wide))
    mean = total / np.float32(n_channels)
    centre = broadcast(mean, wide)
    square = np.float32(0.0)
    for b in range(0, C, width):
        shifted = load(x, at + b, wide) - centre
        square += sum_lanes(shifted * shifted)
    square -= np.float32(C - n_channels) * mean * mean
    variance = square / np.float32(n_channels)
    scale = broadcast(np.float32(1.0) / np.sqrt(variance + epsilon), wide)
    for b in range(0, C, width):
        shifted = (load(x, at + b, wide) - centre) * scale
        gain = load(norm, norm_at + b, wide)
        store(out, to + b, muladd(shifted, gain, load(norm, norm_at + C + b, wide)))


@cached_njit()
def _filter(table, at, row, h0, h1, h2, h3, wide):
    """Interpolate filters between two rows of the table."""
    f = h0 * load(table, at, wide)
    f = muladd(h1, load(table, at + row, wide), f)
    f = muladd(h2, load(table, at + 2 * row, wide), f)
    return muladd(h3, load(table, at + 3 * row, wide), f)


@cached_njit()
def _add(out, at, value):
    store(out, at, load(out, at, value) + value)


@cached_njit()
def _add_product(out, at, a, b):
    store(out, at, muladd(a, b, load(out, at, a)))


@cached_njit()
def _own_messages(n, weights, work, layer, with_self, C, wide, head):
    """Set the sums to what atoms send to themselves, or to zero."""
    width = size(wide)
    projected, own = work.projected, weights.own
    f = layer * 4 * C
    for i in range(n):
        p = i * 5 * C
        weight = wide
        if with_self:
            attention = head
            for b in range(0, C, width):
                q = load(projected, p + b, wide)
                k = load(projected, p + C + b, wide) * load(own, f + b, wide)
                attention = attention + fold(q * k, head)
            weight = repeat(silu(attention), wide)
        for b in range(0, C, width):
            s = load(projected, p + 2 * C + b, wide) * load(own, f + C + b, wide)
            store(work.gathered, i * C + b, s * weight)
            gate = wide
            if with_self and layer > 0:
                gate = load(projected, p + 4 * C + b, wide)
                gate = gate * load(own, f + 3 * C + b, wide)
            for k in range(3):
                at = (3 * i + k) * C + b
                if layer > 0:
                    store(work.pulled, at, gate * load(work.vectors, at, wide))
                else:
                    store(work.pulled, at, gate)


@cached_njit()
def _pair_messages(n, graph, table, work, table_at, layer, C, wide, head):
    """Add what each pair sends, in both directions; filters are evaluated once."""
    width = size(wide)
    projected, vectors = work.projected, work.vectors
    gathered, pulled = work.gathered, work.pulled
    row = 4 * C
    for i in range(n):
        pi, gi, vi = i * 5 * C, i * C, i * 3 * C
        for e in range(graph.row_ptr[i], graph.row_ptr[i + 1]):
            j = graph.sender[e]
            pj, gj, vj = j * 5 * C, j * C, j * 3 * C
            at = table_at + graph.interval[e] * 2 * row
            h0 = spread(graph.hermite, 4 * e, wide)
            h1 = spread(graph.hermite, 4 * e + 1, wide)
            h2 = spread(graph.hermite, 4 * e + 2, wide)
            h3 = spread(graph.hermite, 4 * e + 3, wide)
            to_i = to_j = head
            for b in range(0, C, width):
                f = _filter(table, at + b, row, h0, h1, h2, h3, wide)
                qi = load(projected, pi + b, wide)
                qj = load(projected, pj + b, wide)
                to_i = to_i + fold(qi * f * load(projected, pj + C + b, wide), head)
                to_j = to_j + fold(qj * f * load(projected, pi + C + b, wide), head)
            both = silu(join(to_i, to_j))
            weight_i = repeat(lower_half(both), wide)
            weight_j = repeat(upper_half(both), wide)
            x = spread(graph.direction, 3 * e, wide)
            y = spread(graph.direction, 3 * e + 1, wide)
            z = spread(graph.direction, 3 * e + 2, wide)
            for b in range(0, C, width):
                f = _filter(table, at + C + b, row, h0, h1, h2, h3, wide)
                s = f * load(projected, pj + 2 * C + b, wide)
                _add_product(gathered, gi + b, s, weight_i)
                s = f * load(projected, pi + 2 * C + b, wide)
                _add_product(gathered, gj + b, s, weight_j)
                f = _filter(table, at + 2 * C + b, row, h0, h1, h2, h3, wide)
                d = f * load(projected, pj + 3 * C + b, wide)
                m = wide - f * load(projected, pi + 3 * C + b, wide)
                if layer == 0:
                    _add_product(pulled, vi + b, d, x)
                    _add_product(pulled, vi + C + b, d, y)
                    _add_product(pulled, vi + 2 * C + b, d, z)
                    _add_product(pulled, vj + b, m, x)
                    _add_product(pulled, vj + C + b, m, y)
                    _add_product(pulled, vj + 2 * C + b, m, z)
                    continue
                f = _filter(table, at + 3 * C + b, row, h0, h1, h2, h3, wide)
                g = f * load(projected, pj + 4 * C + b, wide)
                _add_pull(pulled, vi + b, vectors, vj + b, d, g, x)
                _add_pull(pulled, vi + C + b, vectors, vj + C + b, d, g, y)
                _add_pull(pulled, vi + 2 * C + b, vectors, vj + 2 * C + b, d, g, z)
                g = f * load(projected, pi + 4 * C + b, wide)
                _add_pull(pulled, vj + b, vectors, vi + b, m, g, x)
                _add_pull(pulled, vj + C + b, vectors, vi + C + b, m, g, y)
                _add_pull(pulled, vj + 2 * C + b, vectors, vi + 2 * C + b, m, g, z)


@cached_njit()
def _add_pull(pulled, at, vectors, sent, d, g, x):
    """Add ``d x + g V`` of one component."""
    value = muladd(d, x, load(pulled, at, d))
    store(pulled, at, muladd(g, load(vectors, sent, g), value))


@cached_njit()
def _edge_messages(n, graph, table, work, table_at, layer, C, wide, head):
    """Add what senders send to receivers, one direction per entry."""
    width = size(wide)
    projected, vectors = work.projected, work.vectors
    gathered, pulled = work.gathered, work.pulled
    row = 4 * C
    for i in range(n):
        pi, gi, vi = i * 5 * C, i * C, i * 3 * C
        for e in range(graph.row_ptr[i], graph.row_ptr[i + 1]):
            j = graph.sender[e]
            pj, vj = j * 5 * C, j * 3 * C
            at = table_at + graph.interval[e] * 2 * row
            h0 = spread(graph.hermite, 4 * e, wide)
            h1 = spread(graph.hermite, 4 * e + 1, wide)
            h2 = spread(graph.hermite, 4 * e + 2, wide)
            h3 = spread(graph.hermite, 4 * e + 3, wide)
            attention = head
            for b in range(0, C, width):
                f = _filter(table, at + b, row, h0, h1, h2, h3, wide)
                q = load(projected, pi + b, wide)
                k = load(projected, pj + C + b, wide)
                attention = attention + fold(q * f * k, head)
            weight = repeat(silu(attention), wide)
            for b in range(0, C, width):
                f = _filter(table, at + C + b, row, h0, h1, h2, h3, wide)
                s = f * load(projected, pj + 2 * C + b, wide)
                _add_product(gathered, gi + b, s, weight)
                f = _filter(table, at + 2 * C + b, row, h0, h1, h2, h3, wide)
                d = f * load(projected, pj + 3 * C + b, wide)
                g = wide
                if layer > 0:
                    f = _filter(table, at + 3 * C + b, row, h0, h1, h2, h3, wide)
                    g = f * load(projected, pj + 4 * C + b, wide)
                for k in range(3):
                    x = spread(graph.direction, 3 * e + k, wide)
                    to = vi + k * C + b
                    if layer > 0:
                        _add_pull(pulled, to, vectors, vj + k * C + b, d, g, x)
                    else:
                        _add_product(pulled, to, d, x)


@cached_njit()
def _project(n, weights, work, layer, C, n_channels, epsilon, wide, tile):
    """Compute query, key and values of every node."""
    width = size(tile)
    n_panels = (4 if layer == 0 else 5) * C // width
    for first in range(0, n, BLOCK):
        rows = min(BLOCK, n - first)
        for r in range(rows):
            _normalise(
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
        _product(
            work.block,
            0,
            rows,
            C,
            weights.node,
            layer * 5 * C * C,
            weights.node_bias,
            layer * 5 * C,
            work.projected,
            first * 5 * C,
            5 * C,
            n_panels,
            tile,
        )


@cached_njit()
def _update(n, weights, work, layer, C, wide, tile, zeros):
    """Update scalars and vectors of every node with the sums of its messages."""
    width, columns = size(wide), size(tile)
    step = BLOCK // 3
    skip = 2 * C if layer == 0 else 0
    for first in range(0, n, step):
        rows = min(step, n - first)
        _product(
            work.gathered,
            first * C,
            rows,
            C,
            weights.output,
            layer * 3 * C * C + skip * C,
            weights.output_bias,
            layer * 3 * C + skip,
            work.block,
            skip,
            3 * C,
            (3 * C - skip) // columns,
            tile,
        )
        if layer > 0:
            _product(
                work.vectors,
                first * 3 * C,
                3 * rows,
                C,
                weights.vector,
                layer * 3 * C * C,
                zeros,
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
                at = (first + r) * 3 * C + b
                if layer == 0:
                    _add(work.scalars, (first + r) * C + b, change)
                    for k in range(3):
                        pull = load(work.pulled, at + k * C, wide)
                        store(work.vectors, at + k * C, pull)
                    continue
                gate = load(work.block, r * 3 * C + b, wide)
                dot = wide
                for k in range(3):
                    m = (3 * r + k) * 3 * C + b
                    left = load(work.mixed, m, wide)
                    dot = muladd(left, load(work.mixed, m + C, wide), dot)
                    mixed = load(work.mixed, m + 2 * C, wide)
                    pull = load(work.pulled, at + k * C, wide)
                    _add(work.vectors, at + k * C, muladd(mixed, gate, pull))
                share = load(work.block, r * 3 * C + C + b, wide)
                _add(work.scalars, (first + r) * C + b, muladd(dot, share, change))


@cached_njit()
def _finish(n, graph, weights, work, layer, C, epsilon, wide, scalars, vectors):
    """Write the results in the network's own order of channels."""
    n_channels = weights.channel.shape[0]
    for i in range(n):
        to = graph.target[i]
        if to < 0:
            continue
        _normalise(
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
        for c in range(n_channels):
            at = weights.channel[c]
            scalars[to, c] = work.block[at]
            for k in range(3):
                vectors[to, k, c] = work.vectors[(3 * i + k) * C + at]


@lru_cache
def network(
    width: int, n_heads: int, columns: int, directed: bool
) -> Callable[..., Any]:
    """Return the compiled network for vectors of given sizes.

    Parameters
    ----------
    width : int
        Channels that are handled at once; divides the padded number of channels.
    n_heads : int
        Padded number of heads, a power of two.
    columns : int
        Columns of a panel of the weight matrices.
    directed : bool
        Whether the pairs stand for one direction (each is then listed twice).

    Returns
    -------
    callable
        ``(graph, weights, work, zeros, n_layers, C, with_self, epsilon, scalars,
        vectors)``; `zeros` is a bias of zeros, results are (rows, C) and (rows, 3, C).
    """

    @cached_njit()
    def run(
        graph, weights, work, zeros, n_layers, C, with_self, epsilon, scalars, vectors
    ):
        wide, head, tile = lanes(width), lanes(n_heads), lanes(columns)
        n = graph.numbers.shape[0]
        n_channels = weights.channel.shape[0]
        rows = weights.table.shape[0] // n_layers
        for i in range(n):
            z = graph.numbers[i] * C
            for b in range(0, C, width):
                store(work.scalars, i * C + b, load(weights.embedding, z + b, wide))
        for layer in range(n_layers):
            _project(n, weights, work, layer, C, n_channels, epsilon, wide, tile)
            _own_messages(n, weights, work, layer, with_self, C, wide, head)
            if directed:
                _edge_messages(
                    n, graph, weights.table, work, layer * rows, layer, C, wide, head
                )
            else:
                _pair_messages(
                    n, graph, weights.table, work, layer * rows, layer, C, wide, head
                )
            _update(n, weights, work, layer, C, wide, tile, zeros)
        _finish(n, graph, weights, work, n_layers, C, epsilon, wide, scalars, vectors)

    return run
