"""What the kernels of all architectures are made of.

All arrays are flat float32: rows of C channels, one after the other, C padded to whole
registers with channels that are zero and stay so. The last arguments of a kernel are
vectors that are handed down only for their types, which say how many lanes are taken
at once: `wide` cuts rows of channels, `tile` is the width of a panel of a matrix.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mdgeomfeat.gnn.engine.cpu.simd import (
    broadcast,
    load,
    muladd,
    size,
    spread,
    store,
    sum_lanes,
)
from mdgeomfeat.jit import cached_njit

__all__ = [
    "BLOCK",
    "ROWS",
    "Graph",
    "add",
    "add_product",
    "deliver",
    "interpolate",
    "normalise",
    "product",
    "spline_weights",
]

# Rows of a product that are kept in registers, and rows of a block: a panel of a
# weight matrix is read once per block.
ROWS = 6
BLOCK = 54


class Graph(NamedTuple):
    """Nodes and pairs of one chunk."""

    numbers: np.ndarray  # (n,) int64
    row_ptr: np.ndarray  # (n + 1,) int64
    sender: np.ndarray  # (P,) int64
    interval: np.ndarray  # (P,) int64: of the table of filters
    spline: np.ndarray  # (4 P,) float32: weights of four rows from there
    direction: np.ndarray  # (3 P,) float32
    target: np.ndarray  # (n,) int64: row of the result, -1 for none


@cached_njit()
def product(rows, factor, matrix, bias, result, n_panels, tile):
    """Write ``bias + factor @ matrix``; `rows` is rounded up to a multiple of six.

    Parameters
    ----------
    rows : int
    factor, result : tuple
        Array, place of the first row, and distance between rows.
    matrix : tuple
        Panels of `tile` columns, place of the first, and number of rows.
    bias : tuple
        Array and place.
    n_panels : int
    tile : Lanes
    """
    a, a_at, pitch = factor
    panels, at, depth = matrix
    shift, shift_at = bias
    out, out_at, stride = result
    width = size(tile)
    for panel in range(n_panels):
        start = load(shift, shift_at + panel * width, tile)
        base = at + panel * depth * width
        for r in range(0, rows, ROWS):
            c0 = c1 = c2 = c3 = c4 = c5 = start
            x = a_at + r * pitch
            for k in range(depth):
                b = load(panels, base + k * width, tile)
                c0 = muladd(spread(a, x + k, tile), b, c0)
                c1 = muladd(spread(a, x + pitch + k, tile), b, c1)
                c2 = muladd(spread(a, x + 2 * pitch + k, tile), b, c2)
                c3 = muladd(spread(a, x + 3 * pitch + k, tile), b, c3)
                c4 = muladd(spread(a, x + 4 * pitch + k, tile), b, c4)
                c5 = muladd(spread(a, x + 5 * pitch + k, tile), b, c5)
            to = out_at + r * stride + panel * width
            store(out, to, c0)
            store(out, to + stride, c1)
            store(out, to + 2 * stride, c2)
            store(out, to + 3 * stride, c3)
            store(out, to + 4 * stride, c4)
            store(out, to + 5 * stride, c5)


@cached_njit()
def normalise(row, norm, result, C, n_channels, epsilon, wide):
    """Write the layer norm of one row of `n_channels` and padding.

    Row, norm (scale, then shift) and result are an array and a place each.
    """
    x, at = row
    scale_shift, norm_at = norm
    out, to = result
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
        gain = load(scale_shift, norm_at + b, wide)
        shift = load(scale_shift, norm_at + C + b, wide)
        store(out, to + b, muladd(shifted, gain, shift))


@cached_njit()
def spline_weights(graph, e, wide):
    """Return a pair's four weights of the rows of a table, each in every lane."""
    return (
        spread(graph.spline, 4 * e, wide),
        spread(graph.spline, 4 * e + 1, wide),
        spread(graph.spline, 4 * e + 2, wide),
        spread(graph.spline, 4 * e + 3, wide),
    )


@cached_njit()
def interpolate(table, at, row, weights, wide):
    """Return a filter: four rows of the table, ``at`` and three more, weighted."""
    b0, b1, b2, b3 = weights
    f = b0 * load(table, at, wide)
    f = muladd(b1, load(table, at + row, wide), f)
    f = muladd(b2, load(table, at + 2 * row, wide), f)
    return muladd(b3, load(table, at + 3 * row, wide), f)


@cached_njit()
def add(out, at, value):
    """Add a vector to ``out[at:]``."""
    store(out, at, load(out, at, value) + value)


@cached_njit()
def add_product(out, at, a, b):
    """Add ``a * b`` to ``out[at:]``."""
    store(out, at, muladd(a, b, load(out, at, a)))


@cached_njit()
def deliver(row, vector, C, channel, scalars, vectors, to):
    """Write the results of a node in the network's own order of channels.

    Row and vector (three rows of C) are an array and a place each.
    """
    x, x_at = row
    v, v_at = vector
    for c in range(channel.shape[0]):
        scalars[to, c] = x[x_at + channel[c]]
    for k in range(3):
        at = v_at + k * C
        for c in range(channel.shape[0]):
            vectors[to, k, c] = v[at + channel[c]]
