"""The Equivariant Transformer for the CPU engine."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch

from mdgeomfeat.gnn.engine.cpu.et_kernels import Weights, Work, network
from mdgeomfeat.gnn.engine.cpu.kernels import BLOCK, ROWS, Graph
from mdgeomfeat.gnn.engine.cpu.layout import Layout, aligned, flat, plan_layout
from mdgeomfeat.gnn.engine.cpu.program import Program
from mdgeomfeat.gnn.engine.filters import FilterTable, filter_table
from mdgeomfeat.gnn.et import ET

__all__ = ["ETProgram", "et_weights"]

# Of the table of filters; features then agree to about the rounding of float32.
TOLERANCE = 1e-6


class ETProgram(Program):
    """An Equivariant Transformer, ready to run on graphs.

    Parameters
    ----------
    model : ET
    register : int
        Floats in a vector register.
    directed : bool
        Whether the pairs of the graphs stand for one direction each.
    """

    def __init__(self, model: ET, register: int, directed: bool) -> None:
        spec = model.spec
        layout = plan_layout(spec.n_channels, spec.n_heads, register)
        exact = copy.deepcopy(model).to(device="cpu", dtype=torch.float64).eval()
        table = filter_table(exact.radial_filters, spec.cutoff, TOLERANCE)
        self.intervals = table.intervals
        self._weights = et_weights(exact, table, layout)
        self._C = C = layout.n_channels
        self._zeros = aligned(3 * C)
        self._n_layers = spec.n_layers
        self._with_self = spec.self_edges
        self._epsilon = np.float32(model.output_norm.eps)
        self._run = network(layout.width, layout.n_heads, layout.columns, directed)

    def memory(self, n_nodes: int, n_pairs: int) -> Work:  # noqa: ARG002
        """Return working memory for graphs of up to that size."""
        C, rows = self._C, n_nodes + ROWS
        return Work(
            scalars=aligned(rows * C),
            vectors=aligned(rows * 3 * C),
            gathered=aligned(rows * C),
            pulled=aligned(rows * 3 * C),
            projected=aligned(rows * 5 * C),
            block=aligned(BLOCK * 3 * C),
            mixed=aligned(BLOCK * 3 * C),
        )

    def run(
        self, graph: Graph, memory: Work, scalars: np.ndarray, vectors: np.ndarray
    ) -> None:
        """Write the features of the nodes to their rows of the results."""
        self._run(
            graph,
            self._weights,
            memory,
            self._zeros,
            self._n_layers,
            self._C,
            self._with_self,
            self._epsilon,
            scalars,
            vectors,
        )


def et_weights(exact: ET, table: FilterTable, layout: Layout) -> Weights:
    """Return the weights in the order of the kernels."""
    pad, panels = layout.pad, layout.panels
    layers: list[Any] = list(exact.layers)
    norms: list[Any] = [*(layer.norm for layer in layers), exact.output_norm]
    return Weights(
        embedding=flat(pad(exact.embedding.weight, 1)),
        norm=flat([[pad(n.weight, 0), pad(n.bias, 0)] for n in norms]),
        node=flat([panels(x.node_proj.weight) for x in layers]),
        node_bias=flat([pad(x.node_proj.bias, 0) for x in layers]),
        vector=flat([panels(x.vector_proj.weight) for x in layers]),
        output=flat([panels(x.output_proj.weight) for x in layers]),
        output_bias=flat([pad(x.output_proj.bias, 0) for x in layers]),
        own=flat(pad(table.at_zero, 1)),
        table=flat(pad(table.rows, 2)),
        channel=layout.channel,
    )
