"""What happens at the nodes of ViSNet, a block of them at a time."""

from __future__ import annotations

import numpy as np

from mdgeomfeat.gnn.engine.cpu.kernels import (
    add,
    deliver,
    normalise,
    product,
)
from mdgeomfeat.gnn.engine.cpu.simd import (
    load,
    muladd,
    size,
    store,
    sum_lanes,
)
from mdgeomfeat.jit import cached_njit

__all__ = ["NODES", "NORMS", "embed_nodes", "finish", "project_nodes", "update_nodes"]

# Nodes that pass through the products together; a multiple of six.
NODES = 12
# How vectors are normalised, as numbers, and what softens the root mean square.
NORMS = {"none": 0, "max_min": 1, "rms": 2}
RMS_FLOOR = np.float32(1e-2)
SHORTEST = np.float32(1e-12)


@cached_njit()
def embed_nodes(n, graph, weights, work, C, wide, tile):
    """Make the first scalars."""
    width = size(wide)
    for first in range(0, n, NODES):
        rows = min(NODES, n - first)
        product(
            rows,
            (work.gathered, first * C, C),
            (weights.around, 0, C),
            (weights.zeros, 0),
            (work.block, 0, C),
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
def project_nodes(
    first, rows, weights, work, layer, gate, L, C, epsilon, kind, wide, tile
):
    """Compute what nodes contribute to the messages, and set the sums to zero."""
    n_channels = weights.channel.shape[0]
    width, columns = size(wide), size(tile)
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
        (weights.node, layer * 3 * C * C, C),
        (weights.node_bias, layer * 3 * C),
        (work.projected, first * 3 * C, 3 * C),
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
            rows * L,
            (work.normed, first * L * C, C),
            (weights.ends, layer * 2 * C * C, C),
            (weights.zeros, 0),
            (work.ends, first * L * 2 * C, 2 * C),
            2 * C // columns,
            tile,
        )


@cached_njit()
def update_nodes(first, rows, weights, work, layer, L, C, wide, tile):
    """Update scalars and vectors of some nodes with the sums of their messages."""
    width, columns = size(wide), size(tile)
    skip = 2 * C if layer == 0 else 0
    product(
        rows,
        (work.gathered, first * C, C),
        (weights.output, (layer * 3 * C + skip) * C, C),
        (weights.output_bias, layer * 3 * C + skip),
        (work.block, skip, 3 * C),
        (3 * C - skip) // columns,
        tile,
    )
    if layer > 0:
        product(
            rows * L,
            (work.normed, first * L * C, C),
            (weights.vector, layer * 3 * C * C, C),
            (weights.zeros, 0),
            (work.mixed, 0, 3 * C),
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
def finish(n, graph, weights, work, layer, L, C, epsilon, kind, wide, scalars, vectors):
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
            (work.block, 0), (work.mixed, 0), C, weights.channel, scalars, vectors, to
        )
