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

from mdgeomfeat.gnn.engine.cpu.kernels import (
    BLOCK,
    add,
    add_product,
    deliver,
    interpolate,
    normalise,
    product,
    spline_weights,
)
from mdgeomfeat.gnn.engine.cpu.simd import (
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
    upper_half,
)
from mdgeomfeat.jit import cached_njit

__all__ = [
    "Weights",
    "Work",
    "finish",
    "network",
    "own_messages",
    "pair_messages",
    "project",
]


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
    table: np.ndarray  # (L, intervals + 3, 4 C): of the filters
    channel: np.ndarray  # (n_channels,) int64: where channel c stands


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
def own_messages(n, weights, work, layer, with_self, C, wide, head):
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
def pair_messages(n, graph, table, work, table_at, layer, C, wide, head):
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
            at = table_at + graph.interval[e] * row
            spline = spline_weights(graph, e, wide)
            to_i = to_j = head
            for b in range(0, C, width):
                f = interpolate(table, at + b, row, spline, wide)
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
                f = interpolate(table, at + C + b, row, spline, wide)
                s = f * load(projected, pj + 2 * C + b, wide)
                add_product(gathered, gi + b, s, weight_i)
                s = f * load(projected, pi + 2 * C + b, wide)
                add_product(gathered, gj + b, s, weight_j)
                f = interpolate(table, at + 2 * C + b, row, spline, wide)
                d = f * load(projected, pj + 3 * C + b, wide)
                m = wide - f * load(projected, pi + 3 * C + b, wide)
                if layer == 0:
                    add_product(pulled, vi + b, d, x)
                    add_product(pulled, vi + C + b, d, y)
                    add_product(pulled, vi + 2 * C + b, d, z)
                    add_product(pulled, vj + b, m, x)
                    add_product(pulled, vj + C + b, m, y)
                    add_product(pulled, vj + 2 * C + b, m, z)
                    continue
                f = interpolate(table, at + 3 * C + b, row, spline, wide)
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
            at = table_at + graph.interval[e] * row
            spline = spline_weights(graph, e, wide)
            attention = head
            for b in range(0, C, width):
                f = interpolate(table, at + b, row, spline, wide)
                q = load(projected, pi + b, wide)
                k = load(projected, pj + C + b, wide)
                attention = attention + fold(q * f * k, head)
            weight = repeat(silu(attention), wide)
            for b in range(0, C, width):
                f = interpolate(table, at + C + b, row, spline, wide)
                s = f * load(projected, pj + 2 * C + b, wide)
                add_product(gathered, gi + b, s, weight)
                f = interpolate(table, at + 2 * C + b, row, spline, wide)
                d = f * load(projected, pj + 3 * C + b, wide)
                g = wide
                if layer > 0:
                    f = interpolate(table, at + 3 * C + b, row, spline, wide)
                    g = f * load(projected, pj + 4 * C + b, wide)
                for k in range(3):
                    x = spread(graph.direction, 3 * e + k, wide)
                    to = vi + k * C + b
                    if layer > 0:
                        _add_pull(pulled, to, vectors, vj + k * C + b, d, g, x)
                    else:
                        add_product(pulled, to, d, x)


@cached_njit()
def project(n, weights, work, layer, C, n_channels, epsilon, wide, tile):
    """Compute query, key and values of every node."""
    width = size(tile)
    n_panels = (4 if layer == 0 else 5) * C // width
    for first in range(0, n, BLOCK):
        rows = min(BLOCK, n - first)
        for r in range(rows):
            normalise(
                (work.scalars, (first + r) * C),
                (weights.norm, layer * 2 * C),
                (work.block, r * C),
                C,
                n_channels,
                epsilon,
                wide,
            )
        product(
            rows,
            (work.block, 0, C),
            (weights.node, layer * 5 * C * C, C),
            (weights.node_bias, layer * 5 * C),
            (work.projected, first * 5 * C, 5 * C),
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
        product(
            rows,
            (work.gathered, first * C, C),
            (weights.output, layer * 3 * C * C + skip * C, C),
            (weights.output_bias, layer * 3 * C + skip),
            (work.block, skip, 3 * C),
            (3 * C - skip) // columns,
            tile,
        )
        if layer > 0:
            product(
                3 * rows,
                (work.vectors, first * 3 * C, C),
                (weights.vector, layer * 3 * C * C, C),
                (zeros, 0),
                (work.mixed, 0, 3 * C),
                3 * C // columns,
                tile,
            )
        for r in range(rows):
            for b in range(0, C, width):
                change = load(work.block, r * 3 * C + 2 * C + b, wide)
                at = (first + r) * 3 * C + b
                if layer == 0:
                    add(work.scalars, (first + r) * C + b, change)
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
                    add(work.vectors, at + k * C, muladd(mixed, gate, pull))
                share = load(work.block, r * 3 * C + C + b, wide)
                add(work.scalars, (first + r) * C + b, muladd(dot, share, change))


@cached_njit()
def finish(n, graph, weights, work, layer, C, epsilon, wide, scalars, vectors):
    """Write the results in the network's own order of channels."""
    n_channels = weights.channel.shape[0]
    for i in range(n):
        to = graph.target[i]
        if to < 0:
            continue
        normalise(
            (work.scalars, i * C),
            (weights.norm, layer * 2 * C),
            (work.block, 0),
            C,
            n_channels,
            epsilon,
            wide,
        )
        deliver(
            (work.block, 0),
            (work.vectors, 3 * i * C),
            C,
            weights.channel,
            scalars,
            vectors,
            to,
        )


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
            project(n, weights, work, layer, C, n_channels, epsilon, wide, tile)
            own_messages(n, weights, work, layer, with_self, C, wide, head)
            if directed:
                _edge_messages(
                    n, graph, weights.table, work, layer * rows, layer, C, wide, head
                )
            else:
                pair_messages(
                    n, graph, weights.table, work, layer * rows, layer, C, wide, head
                )
            _update(n, weights, work, layer, C, wide, tile, zeros)
        finish(n, graph, weights, work, n_layers, C, epsilon, wide, scalars, vectors)

    kernel: Callable[..., Any] = run
    return kernel
