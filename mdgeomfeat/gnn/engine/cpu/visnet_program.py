"""ViSNet for the CPU engine."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from torch import nn

from mdgeomfeat.gnn.engine.cpu.kernels import ROWS, Graph
from mdgeomfeat.gnn.engine.cpu.layout import Layout, aligned, flat, plan_layout
from mdgeomfeat.gnn.engine.cpu.program import Program
from mdgeomfeat.gnn.engine.cpu.visnet_edges import EDGES, WINDOW
from mdgeomfeat.gnn.engine.cpu.visnet_kernels import Weights, Work, network
from mdgeomfeat.gnn.engine.cpu.visnet_nodes import NODES, NORMS
from mdgeomfeat.gnn.engine.filters import FilterTable, filter_table
from mdgeomfeat.gnn.radial import envelope
from mdgeomfeat.gnn.visnet import ViSNet

__all__ = ["ViSNetProgram"]

# Of the table, which has one layer: rows are cheap, and its errors pass through more
# of the network than those of a filter.
TOLERANCE = 3e-7


class ViSNetProgram(Program):
    """A ViSNet, ready to run on graphs.

    Parameters
    ----------
    model : ViSNet
    register : int
        Floats in a vector register.
    directed : bool
        Whether the pairs of the graphs stand for one direction each.
    """

    def __init__(self, model: ViSNet, register: int, directed: bool) -> None:
        spec = model.spec
        layout = plan_layout(spec.n_channels, spec.n_heads, register)
        exact = copy.deepcopy(model).to(device="cpu", dtype=torch.float64).eval()
        table = _table(exact, layout)
        self.intervals = table.intervals
        self._weights = _weights(exact, table, layout)
        self._C = layout.n_channels
        self._L = 3 if spec.lmax == 1 else 8
        self._n_layers = spec.n_layers
        self._both = not directed
        self._smooth = spec.smooth
        self._with_self = spec.self_edges
        self._epsilon = np.float32(model.output_norm.eps)
        self._kind = NORMS[spec.vector_norm]
        self._run = network(layout.width, layout.n_heads, layout.columns)

    def memory(self, n_nodes: int, n_pairs: int) -> Work:
        """Return working memory for graphs of up to that size."""
        C, L = self._C, self._L
        rows = n_nodes + ROWS
        edges = n_nodes + (2 if self._both else 1) * n_pairs + ROWS
        return Work(
            scalars=aligned(rows * C),
            vectors=aligned(rows * L * C),
            normed=aligned(rows * L * C),
            gathered=aligned(rows * C),
            pulled=aligned(rows * L * C),
            projected=aligned(rows * 3 * C),
            ends=aligned(rows * L * 2 * C),
            features=aligned(edges * C),
            receiver=np.empty(edges, np.int64),
            sender=np.empty(edges, np.int64),
            window=aligned(edges),
            damping=aligned(edges),
            harmonics=aligned(edges * L),
            filters=aligned(EDGES * 3 * C),
            values=aligned(EDGES * C),
            along=aligned(EDGES * 2 * C),
            block=aligned(NODES * 3 * C),
            mixed=aligned(NODES * L * 3 * C),
        )

    def run(
        self, graph: Graph, memory: Work, scalars: np.ndarray, vectors: np.ndarray
    ) -> None:
        """Write the features of the nodes to their rows of the results."""
        self._run(
            graph,
            self._weights,
            memory,
            self._n_layers,
            self._L,
            self._C,
            self._both,
            self._smooth,
            self._with_self,
            self._epsilon,
            self._kind,
            scalars,
            vectors,
        )


def _table(model: ViSNet, layout: Layout) -> FilterTable:
    """Return edge embedding | neighbour embedding | envelope, all in one layer."""
    spec, start = model.spec, model.neighbor_embedding

    def filters(r: torch.Tensor) -> torch.Tensor:
        basis = model.basis(r)
        window = envelope(spec.envelope, r, spec.cutoff).unsqueeze(1)
        return torch.stack(
            [
                model.edge_embedding(basis),
                start.filter_proj(basis) * window,
                window.expand(-1, spec.n_channels),
            ]
        )

    def side_by_side(layers: np.ndarray) -> np.ndarray:
        embedding, neighbor, window = layers
        blocks = layout.pad(embedding, -1), layout.pad(neighbor, -1), window[..., :1]
        rest = np.zeros((*window.shape[:-1], WINDOW - 1))
        return np.concatenate([*blocks, rest], axis=-1)[None]

    table = filter_table(filters, spec.cutoff, TOLERANCE)
    return FilterTable(side_by_side(table.rows), side_by_side(table.at_zero))


def _weights(exact: ViSNet, table: FilterTable, layout: Layout) -> Weights:
    """Return the weights in the order of the kernels."""
    pad, panels = layout.pad, layout.panels
    C, start = exact.spec.n_channels, exact.neighbor_embedding
    layers: list[Any] = list(exact.layers)
    norms: list[Any] = [*(x.norm for x in layers), exact.output_norm]
    scales: list[Any] = [*(x.vector_norm for x in layers), exact.output_vector_norm]
    # The first scalars are a sum of what the element and its neighbours contribute.
    by_element, by_neighbors = start.combine.weight.detach().chunk(2, dim=1)
    embedding = exact.embedding.weight.detach() @ by_element.T
    # The last layer has no edge update; its place stays empty.
    no_gate, no_ends = nn.Linear(C, C).double(), nn.Linear(C, 2 * C).double()
    for linear in (no_gate, no_ends):
        for values in linear.parameters():
            nn.init.zeros_(values)

    def gated(layer: Any) -> tuple[torch.Tensor, torch.Tensor]:
        gate = layer.edge_gate or no_gate
        return (
            torch.cat([layer.filter_proj.weight, gate.weight]),
            torch.cat([layer.filter_proj.bias, gate.bias]),
        )

    return Weights(
        embedding=flat(pad(embedding + start.combine.bias.detach(), 1)),
        neighbor=flat(pad(start.element.weight, 1)),
        around=flat(panels(by_neighbors)),
        norm=flat([[pad(x.weight, 0), pad(x.bias, 0)] for x in norms]),
        vector_norm=flat([pad(x.weight, 0) for x in scales]),
        node=flat([panels(x.node_proj.weight) for x in layers]),
        node_bias=flat([pad(x.node_proj.bias, 0) for x in layers]),
        filter=flat([panels(gated(x)[0]) for x in layers]),
        filter_bias=flat([pad(gated(x)[1], 0) for x in layers]),
        message=flat([panels(x.message_proj.weight) for x in layers]),
        message_bias=flat([pad(x.message_proj.bias, 0) for x in layers]),
        ends=flat([panels((x.edge_vector_proj or no_ends).weight) for x in layers]),
        vector=flat([panels(x.vector_proj.weight) for x in layers]),
        output=flat([panels(x.output_proj.weight) for x in layers]),
        output_bias=flat([pad(x.output_proj.bias, 0) for x in layers]),
        own=flat(table.at_zero),
        table=flat(table.rows),
        zeros=aligned(3 * layout.n_channels),
        channel=layout.channel,
    )
