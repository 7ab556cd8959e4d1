"""Pairs of atoms within a cutoff, as edges of a graph.

Every pair with ``distance < cutoff`` is an edge, in both directions, under the
minimum image in any triclinic box. Nothing is dropped unless ``max_neighbors`` is
given. Three backends share one signature: ``"numba"`` (cell lists, the default),
``"torch"`` (brute force on any device) and ``"torch-cluster"`` (optional, without a box
only). Edge vectors are differentiable in positions that require a gradient.
"""

from __future__ import annotations

from mdgeomfeat.boxes import check_cutoff, lattice_vectors
from mdgeomfeat.neighbors.edge_list import EdgeList
from mdgeomfeat.neighbors.search import graph_list, neighbor_list
from mdgeomfeat.neighbors.windows import window_copies, window_edges

__all__ = [
    "EdgeList",
    "check_cutoff",
    "graph_list",
    "lattice_vectors",
    "neighbor_list",
    "window_copies",
    "window_edges",
]
