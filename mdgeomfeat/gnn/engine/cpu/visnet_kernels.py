"""ViSNet on vectors of lanes.

Edges have features of their own, which change from layer to layer and differ between
the two directions of a pair: a row of C channels per directed edge is kept for the
whole chunk, everything else that hangs on edges lives in blocks that stay in the cache.
The pair's filters can be tabulated only where they depend on the distance alone: the
edge embedding, the neighbour embedding and the envelope, which stand side by side in
one row of the table. The channel order is that of the Equivariant Transformer (head
index in the fast lane). Features of degree 1 and 2 are L = 3 or 8 rows of a node.

These kernels and their two neighbours are kept because ViSNet runs over five times as
fast with them as in torch, at the rate of matrix products (docs/speed.md).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from mdgeomfeat.gnn.engine.cpu.simd import lanes
from mdgeomfeat.gnn.engine.cpu.visnet_edges import (
    EDGES,
    embed_edges,
    first_messages,
    pass_edges,
)
from mdgeomfeat.gnn.engine.cpu.visnet_nodes import (
    NODES,
    embed_nodes,
    finish,
    project_nodes,
    update_nodes,
)
from mdgeomfeat.jit import cached_njit

__all__ = ["Weights", "Work", "network"]


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
    own: np.ndarray  # (2 C + WINDOW,): what the table says of an atom itself
    table: np.ndarray  # (intervals + 3, 2 C + WINDOW)
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
        n_edges = first_messages(
            n, graph, weights, work, both, smooth, with_self, C, L, wide
        )
        embed_nodes(n, graph, weights, work, C, wide, tile)
        embed_edges(n, graph, weights, work, both, n_edges, C, wide)
        for layer in range(n_layers):
            # The first layer's vectors are zero, the last one's edges serve no other.
            gate = 0 < layer < n_layers - 1
            for first in range(0, n, NODES):
                rows = min(NODES, n - first)
                project_nodes(
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
            # Vectors first act on edges in the second layer: up to there the two
            # directions of a pair have the same features.
            n_twins = 2 * graph.row_ptr[n] if both and layer < 2 else 0
            first = 0
            while first < n_edges:
                twins = first < n_twins
                rows = min(EDGES, (n_twins if twins else n_edges) - first)
                pass_edges(
                    first,
                    rows,
                    weights,
                    work,
                    layer,
                    gate,
                    twins,
                    L,
                    C,
                    wide,
                    head,
                    tile,
                )
                first += rows
            for first in range(0, n, NODES):
                rows = min(NODES, n - first)
                update_nodes(first, rows, weights, work, layer, L, C, wide, tile)
        finish(
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

    kernel: Callable[..., Any] = run
    return kernel
