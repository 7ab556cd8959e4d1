"""TensorNet for the CPU engine."""

from __future__ import annotations

import copy
from typing import Any, cast

import numpy as np
import torch

from mdgeomfeat.gnn.engine.cpu.kernels import ROWS, Graph
from mdgeomfeat.gnn.engine.cpu.layout import Layout, aligned, flat, plan_layout
from mdgeomfeat.gnn.engine.cpu.program import Program
from mdgeomfeat.gnn.engine.cpu.tensornet_kernels import NODES, Weights, Work, network
from mdgeomfeat.gnn.engine.filters import FilterTable, filter_table
from mdgeomfeat.gnn.tensornet import Interaction, PartwiseLinear, TensorNet

__all__ = ["TensorNetProgram"]

# Of the table of filters. A third of it would cost half as many rows again, which the
# cache has no room for, and leave features as they are: sums over many pairs.
TOLERANCE = 3e-6


class TensorNetProgram(Program):
    """A TensorNet, ready to run on graphs.

    Parameters
    ----------
    model : TensorNet
    register : int
        Floats in a vector register.
    directed : bool
        Whether the pairs of the graphs stand for one direction each.
    """

    def __init__(self, model: TensorNet, register: int, directed: bool) -> None:
        layout = plan_layout(model.spec.n_channels, 1, register)
        exact = copy.deepcopy(model).to(device="cpu", dtype=torch.float64).eval()
        table = filter_table(exact.radial_filters, exact.spec.cutoff, TOLERANCE)
        self.intervals = table.intervals
        self._weights = _weights(exact, table, layout)
        self._C = layout.n_channels
        self._n_layers = model.spec.n_layers
        norms = model.embedding.norm, model.output_norm
        self._epsilon = np.array([norm.eps for norm in norms], np.float32)
        self._run = network(register, layout.width, layout.columns, not directed)

    def memory(self, n_nodes: int, n_pairs: int) -> Work:  # noqa: ARG002
        """Return working memory for graphs of up to that size."""
        C, rows = self._C, n_nodes + ROWS
        return Work(
            parts=aligned(rows * 9 * C),
            sent=aligned(rows * 9 * C),
            received=aligned(rows * 9 * C),
            block=aligned(NODES * 3 * C),
            wider=aligned(NODES * 3 * C),
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
            self._C,
            self._epsilon,
            scalars,
            vectors,
        )


def _weights(exact: TensorNet, table: FilterTable, layout: Layout) -> Weights:
    """Return the weights in the order of the kernels."""
    pad, panels = layout.pad, layout.panels
    first, layers = exact.embedding, cast("list[Interaction]", list(exact.layers))
    pair, element = first.pair_proj, first.element.weight.detach()
    # A pair's features are a sum of what either element contributes.
    as_receiver, as_sender = pair.weight.detach().chunk(2, dim=1)
    hidden: Any = first.gate[0]
    gate: Any = first.gate[2]
    own = table.at_zero * exact.spec.self_edges

    def parts(mix: PartwiseLinear) -> list[np.ndarray]:
        return [panels(p.weight) for p in (mix.scalar, mix.vector, mix.symmetric)]

    def norm(layer: torch.nn.LayerNorm) -> np.ndarray:
        return flat([pad(layer.weight, 0), pad(layer.bias, 0)])

    return Weights(
        receiver=flat(pad(element @ as_receiver.T + pair.bias.detach(), 1)),
        sender=flat(pad(element @ as_sender.T, 1)),
        norm=norm(first.norm),
        hidden=flat(panels(hidden.weight)),
        hidden_bias=flat(pad(hidden.bias, 0)),
        gate=flat(panels(gate.weight)),
        gate_bias=flat(pad(gate.bias, 0)),
        before=flat([parts(x) for x in (first.mix, *(y.mix_before for y in layers))]),
        after=flat([parts(x) for x in (first.mix, *(y.mix_after for y in layers))]),
        output_norm=norm(exact.output_norm),
        output=flat(panels(exact.output_proj.weight)),
        output_bias=flat(pad(exact.output_proj.bias, 0)),
        own=flat(pad(own, 1)),
        table=flat(pad(table.rows, 2)),
        zeros=aligned(layout.n_channels),
        channel=layout.channel,
    )
