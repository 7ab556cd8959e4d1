"""Keeping only the nearest neighbours, for those who ask for it."""

from __future__ import annotations

import torch

from mdgeomfeat.neighbors.edge_list import EdgeList

__all__ = ["keep_nearest"]


def keep_nearest(edges: EdgeList, max_neighbors: int) -> EdgeList:
    """Keep the nearest senders of each receiver.

    The result is a directed list: an edge may lose its reverse.

    Parameters
    ----------
    edges : EdgeList
        Sorted by receiver, then by sender.
    max_neighbors : int
        Largest number of senders per receiver. Of equally distant senders the one
        with the lower number is kept.

    Returns
    -------
    EdgeList
    """
    counts = edges.row_ptr.diff()
    if not counts.numel() or int(counts.max()) <= max_neighbors:
        return edges
    # Stable sorts by distance and then by receiver: ties keep the order of senders.
    by_distance = torch.argsort(edges.distance.detach(), stable=True)
    order = by_distance[torch.argsort(edges.receiver[by_distance], stable=True)]
    rank = torch.arange(edges.n_edges, device=order.device)
    rank = rank - edges.row_ptr[:-1][edges.receiver[order]]
    kept = order[rank < max_neighbors].sort().values
    row_ptr = torch.zeros_like(edges.row_ptr)
    row_ptr[1:] = counts.clamp(max=max_neighbors).cumsum(0)
    return EdgeList(
        receiver=edges.receiver[kept],
        sender=edges.sender[kept],
        vector=edges.vector[kept],
        row_ptr=row_ptr,
    )
