"""The Equivariant Transformer forwards and backwards, on vectors of lanes.

Layouts are those of :mod:`mdgeomfeat.gnn.engine.cpu.et_kernels`. The forward pass keeps
the rows of every layer; the backward pass goes from gradients of a frame's features to
those of its pairs, by distance and by direction. A seed is one such gradient, and one
call handles several.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from mdgeomfeat.gnn.engine.cpu.et_kernels import (
    Work,
    finish,
    own_messages,
    pair_messages,
    project,
)
from mdgeomfeat.gnn.engine.cpu.et_pair_gradients import own_back, pair_back
from mdgeomfeat.gnn.engine.cpu.kernels import (
    BLOCK,
    add,
    product,
)
from mdgeomfeat.gnn.engine.cpu.simd import (
    broadcast,
    join,
    lanes,
    load,
    muladd,
    size,
    store,
    sum_lanes,
)
from mdgeomfeat.jit import cached_njit

__all__ = ["Kept", "Scratch", "Transposed", "gradient_kernels"]


class Transposed(NamedTuple):
    """What the backward pass needs: matrices in panels, and slopes of the filters."""

    node: np.ndarray  # (L, 5 C, C)
    vector: np.ndarray  # (L, 3 C, C)
    output: np.ndarray  # (L, 3 C, C)
    slopes: np.ndarray  # (L, intervals + 3, 4 C): of the filters by distance, 1/Å


class Kept(NamedTuple):
    """Rows of the forward pass, layer after layer, each with room for a few more."""

    scalars: np.ndarray  # (L + 1, rows, C)
    vectors: np.ndarray  # (L + 1, rows, 3 C)
    projected: np.ndarray  # (L, rows, 5 C)
    output: np.ndarray  # (L, rows, 3 C): gates of vectors and dots, scalar update
    mixed: np.ndarray  # (L, rows, 9 C): left, right, gated of each component
    gathered: np.ndarray  # (rows, C)
    pulled: np.ndarray  # (rows, 3 C)
    block: np.ndarray  # (BLOCK, 3 C)


class Scratch(NamedTuple):
    """Gradients by the rows of a layer, and by what hangs on pairs."""

    scalars: np.ndarray  # (rows, C)
    vectors: np.ndarray  # (rows, 3 C)
    pulled: np.ndarray  # (rows, 3 C): by the vectors above the layer
    gathered: np.ndarray  # (rows, C)
    projected: np.ndarray  # (rows, 5 C)
    output: np.ndarray  # (BLOCK, 3 C): of a few nodes
    mixed: np.ndarray  # (BLOCK, 3 C): of a few nodes' components
    block: np.ndarray  # (BLOCK, C): of a few nodes
    distance: np.ndarray  # (P,)
    direction: np.ndarray  # (3 P,)


@cached_njit()
def _layer_rows(kept, layer, rows, C):
    """Return the rows of a layer as the kernels of features want them."""
    s, v, p = layer * rows * C, layer * rows * 3 * C, layer * rows * 5 * C
    return Work(
        scalars=kept.scalars[s : s + rows * C],
        vectors=kept.vectors[v : v + rows * 3 * C],
        gathered=kept.gathered,
        pulled=kept.pulled,
        projected=kept.projected[p : p + rows * 5 * C],
        block=kept.block,
        mixed=kept.mixed,
    )


@cached_njit()
def _update(n, weights, kept, layer, rows, C, wide, tile, zeros):
    """Write the next layer's scalars and vectors, keeping what they are made of."""
    width, columns = size(wide), size(tile)
    skip = 2 * C if layer == 0 else 0
    out = layer * rows * 3 * C
    mix = layer * rows * 9 * C
    here, above = layer * rows, (layer + 1) * rows
    product(
        n,
        (kept.gathered, 0, C),
        (weights.output, layer * 3 * C * C + skip * C, C),
        (weights.output_bias, layer * 3 * C + skip),
        (kept.output, out + skip, 3 * C),
        (3 * C - skip) // columns,
        tile,
    )
    if layer > 0:
        product(
            3 * n,
            (kept.vectors, here * 3 * C, C),
            (weights.vector, layer * 3 * C * C, C),
            (zeros, 0),
            (kept.mixed, mix, 3 * C),
            3 * C // columns,
            tile,
        )
    for i in range(n):
        for b in range(0, C, width):
            change = load(kept.output, out + i * 3 * C + 2 * C + b, wide)
            old = load(kept.scalars, (here + i) * C + b, wide)
            if layer == 0:
                store(kept.scalars, (above + i) * C + b, old + change)
                for k in range(3):
                    at = (3 * i + k) * C + b
                    pull = load(kept.pulled, at, wide)
                    store(kept.vectors, above * 3 * C + at, pull)
                continue
            gate = load(kept.output, out + i * 3 * C + b, wide)
            share = load(kept.output, out + i * 3 * C + C + b, wide)
            dot = wide
            for k in range(3):
                m = mix + (3 * i + k) * 3 * C + b
                at = (3 * i + k) * C + b
                left = load(kept.mixed, m, wide)
                dot = muladd(left, load(kept.mixed, m + C, wide), dot)
                pull = load(kept.pulled, at, wide)
                pull = muladd(load(kept.mixed, m + 2 * C, wide), gate, pull)
                before = load(kept.vectors, here * 3 * C + at, wide)
                store(kept.vectors, above * 3 * C + at, before + pull)
            store(
                kept.scalars,
                (above + i) * C + b,
                old + muladd(dot, share, change),
            )


@cached_njit()
def _normalise_back(row, norm, grad, C, n_channels, epsilon, wide):
    """Return sums that turn gradients by a layer norm's result into those by its input.

    With g the gradient times the scale: mean, 1 / sd, mean of g, mean of g x_hat.
    """
    x, at = row
    scale, norm_at = norm
    g, g_at = grad
    width = size(wide)
    count = np.float32(n_channels)
    total = np.float32(0.0)
    for b in range(0, C, width):
        total += sum_lanes(load(x, at + b, wide))
    mean = total / count
    centre = broadcast(mean, wide)
    square = first = second = np.float32(0.0)
    for b in range(0, C, width):
        shifted = load(x, at + b, wide) - centre
        square += sum_lanes(shifted * shifted)
        by = load(g, g_at + b, wide) * load(scale, norm_at + b, wide)
        first += sum_lanes(by)
        second += sum_lanes(by * shifted)
    square -= np.float32(C - n_channels) * mean * mean
    inverse = np.float32(1.0) / np.sqrt(square / count + epsilon)
    return mean, inverse, first / count, second * inverse / count


@cached_njit()
def _add_normalise_back(row, norm, grad, out, C, n_channels, epsilon, wide):
    """Add the gradient by the input of a layer norm to a row.

    Channels of padding get numbers that no weight passes on.
    """
    x, at = row
    scale, norm_at = norm
    g, g_at = grad
    to, to_at = out
    mean, inverse, first, second = _normalise_back(
        row, norm, grad, C, n_channels, epsilon, wide
    )
    centre, factor = broadcast(mean, wide), broadcast(inverse, wide)
    shift, slope = broadcast(first, wide), broadcast(second, wide)
    for b in range(0, C, size(wide)):
        hat = (load(x, at + b, wide) - centre) * factor
        by = load(g, g_at + b, wide) * load(scale, norm_at + b, wide)
        add(to, to_at + b, (by - shift - hat * slope) * factor)


@cached_njit()
def _start(n, weights, kept, work, rows, layers, C, epsilon, wide, by_s, by_v):
    """Set the gradients by the last layer's rows from those by the features."""
    n_channels = weights.channel.shape[0]
    width = size(wide)
    for b in range(0, C, width):
        store(work.block, b, wide)
    for i in range(n):
        for c in range(n_channels):
            work.block[weights.channel[c]] = by_s[i, c]
        for b in range(0, C, width):
            store(work.scalars, i * C + b, wide)
            for k in range(3):
                store(work.vectors, (3 * i + k) * C + b, wide)
        for k in range(3):
            for c in range(n_channels):
                work.vectors[(3 * i + k) * C + weights.channel[c]] = by_v[i, k, c]
        _add_normalise_back(
            (kept.scalars, (layers * rows + i) * C),
            (weights.norm, layers * 2 * C),
            (work.block, 0),
            (work.scalars, i * C),
            C,
            n_channels,
            epsilon,
            wide,
        )


@cached_njit()
def _update_back(n, kept, back, work, layer, rows, C, wide, tile, zeros):
    """From gradients by a layer's results to those by its sums and its vectors."""
    width, columns = size(wide), size(tile)
    step = BLOCK // 3
    out, mix = layer * rows * 3 * C, layer * rows * 9 * C
    for first in range(0, n, step):
        count = min(step, n - first)
        for r in range(count):
            i = first + r
            o, m0 = out + i * 3 * C, mix + i * 9 * C
            for b in range(0, C, width):
                by_s = load(work.scalars, i * C + b, wide)
                store(work.output, r * 3 * C + 2 * C + b, by_s)
                if layer == 0:
                    store(work.output, r * 3 * C + b, wide)
                    store(work.output, r * 3 * C + C + b, wide)
                    for k in range(3):
                        at = (3 * i + k) * C + b
                        store(work.pulled, at, load(work.vectors, at, wide))
                    continue
                gate = load(kept.output, o + b, wide)
                by_dot = by_s * load(kept.output, o + C + b, wide)
                dot = by_gate = wide
                for k in range(3):
                    m, d = m0 + k * 3 * C + b, (3 * r + k) * 3 * C + b
                    at = (3 * i + k) * C + b
                    by_v = load(work.vectors, at, wide)
                    store(work.pulled, at, by_v)
                    left = load(kept.mixed, m, wide)
                    right = load(kept.mixed, m + C, wide)
                    dot = muladd(left, right, dot)
                    by_gate = muladd(by_v, load(kept.mixed, m + 2 * C, wide), by_gate)
                    store(work.mixed, d, by_dot * right)
                    store(work.mixed, d + C, by_dot * left)
                    store(work.mixed, d + 2 * C, by_v * gate)
                store(work.output, r * 3 * C + b, by_gate)
                store(work.output, r * 3 * C + C + b, by_s * dot)
        product(
            count,
            (work.output, 0, 3 * C),
            (back.output, layer * 3 * C * C, 3 * C),
            (zeros, 0),
            (work.gathered, first * C, C),
            C // columns,
            tile,
        )
        if layer > 0:
            product(
                3 * count,
                (work.mixed, 0, 3 * C),
                (back.vector, layer * 3 * C * C, 3 * C),
                (zeros, 0),
                (work.vectors, first * 3 * C, C),
                C // columns,
                tile,
            )
            # The vectors of a layer are also a part of those above it.
            for b in range(first * 3 * C, (first + count) * 3 * C, width):
                add(work.vectors, b, load(work.pulled, b, wide))


@cached_njit()
def _project_back(
    n, weights, back, kept, work, layer, rows, C, epsilon, wide, tile, zeros
):
    """Add the gradients by projections to those by the layer's scalars."""
    n_channels = weights.channel.shape[0]
    for first in range(0, n, BLOCK):
        count = min(BLOCK, n - first)
        product(
            count,
            (work.projected, first * 5 * C, 5 * C),
            (back.node, layer * 5 * C * C, 5 * C),
            (zeros, 0),
            (work.block, 0, C),
            C // size(tile),
            tile,
        )
        for r in range(count):
            i = first + r
            _add_normalise_back(
                (kept.scalars, (layer * rows + i) * C),
                (weights.norm, layer * 2 * C),
                (work.block, r * C),
                (work.scalars, i * C),
                C,
                n_channels,
                epsilon,
                wide,
            )


@lru_cache
def gradient_kernels(
    width: int, n_heads: int, columns: int
) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Return the two passes, compiled for vectors of given sizes.

    Parameters
    ----------
    width, n_heads, columns : int
        As for :func:`mdgeomfeat.gnn.engine.cpu.et_kernels.network`.

    Returns
    -------
    forward, backward : callable
        ``forward(graph, weights, kept, zeros, n_layers, C, with_self, epsilon, scalars,
        vectors)`` and ``backward(graph, weights, back, kept, work, zeros, n_layers, C,
        with_self, epsilon, by_scalars, by_vectors)`` for one seed, which leaves its
        results in ``work.distance`` and ``work.direction``.
    """

    @cached_njit()
    def forward(
        graph, weights, kept, zeros, n_layers, C, with_self, epsilon, scalars, vectors
    ):
        wide, head, tile = lanes(width), lanes(n_heads), lanes(columns)
        n = graph.numbers.shape[0]
        rows = kept.gathered.shape[0] // C
        n_channels = weights.channel.shape[0]
        table_rows = weights.table.shape[0] // n_layers
        for i in range(n):
            z = graph.numbers[i] * C
            for b in range(0, C, width):
                store(kept.scalars, i * C + b, load(weights.embedding, z + b, wide))
        for layer in range(n_layers):
            sent = _layer_rows(kept, layer, rows, C)
            project(n, weights, sent, layer, C, n_channels, epsilon, wide, tile)
            own_messages(n, weights, sent, layer, with_self, C, wide, head)
            pair_messages(
                n, graph, weights.table, sent, layer * table_rows, layer, C, wide, head
            )
            _update(n, weights, kept, layer, rows, C, wide, tile, zeros)
        last = _layer_rows(kept, n_layers, rows, C)
        finish(n, graph, weights, last, n_layers, C, epsilon, wide, scalars, vectors)

    @cached_njit()
    def backward(
        graph,
        weights,
        back,
        kept,
        work,
        zeros,
        n_layers,
        C,
        with_self,
        epsilon,
        by_scalars,
        by_vectors,
    ):
        wide, head, tile = lanes(width), lanes(n_heads), lanes(columns)
        one = broadcast(np.float32(1.0), head)
        n = graph.numbers.shape[0]
        rows = kept.gathered.shape[0] // C
        table_rows = weights.table.shape[0] // n_layers
        n_pairs = graph.row_ptr[n]
        work.distance[:n_pairs] = np.float32(0.0)
        work.direction[: 3 * n_pairs] = np.float32(0.0)
        _start(
            n,
            weights,
            kept,
            work,
            rows,
            n_layers,
            C,
            epsilon,
            wide,
            by_scalars,
            by_vectors,
        )
        for up in range(n_layers):
            layer = n_layers - 1 - up
            sent = _layer_rows(kept, layer, rows, C)
            _update_back(n, kept, back, work, layer, rows, C, wide, tile, zeros)
            own_back(n, weights, work, sent, layer, with_self, C, wide, head, one)
            pair_back(
                n,
                graph,
                weights.table,
                back.slopes,
                work,
                sent,
                layer * table_rows,
                layer,
                C,
                wide,
                head,
                join(one, one),
            )
            # What the first layer starts from does not depend on positions.
            if layer > 0:
                _project_back(
                    n,
                    weights,
                    back,
                    kept,
                    work,
                    layer,
                    rows,
                    C,
                    epsilon,
                    wide,
                    tile,
                    zeros,
                )

    return forward, backward
