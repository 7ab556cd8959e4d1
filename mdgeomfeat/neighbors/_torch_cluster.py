"""Neighbour search with torch-cluster, an optional backend without boxes."""

from __future__ import annotations

import numpy as np
import torch

from mdgeomfeat.errors import InputError
from mdgeomfeat.neighbors.edge_list import EdgeList

__all__ = ["search_torch_cluster"]


def search_torch_cluster(
    position: np.ndarray, ptr: np.ndarray, cutoff: float
) -> EdgeList:
    """Find all pairs within the cutoff inside each of several graphs.

    Parameters
    ----------
    position : (M, 3) ndarray of float64, Å
    ptr : (G + 1,) ndarray of int64
    cutoff : float, Å

    Returns
    -------
    EdgeList
        With float64 vectors.

    Raises
    ------
    InputError
        If torch-cluster is not installed.
    """
    try:
        from torch_cluster import radius_graph
    except ImportError as error:
        raise InputError(
            "The torch-cluster neighbour search needs that package; install "
            "mdgeomfeat[torch-cluster] or use backend='numba'."
        ) from error
    r = torch.from_numpy(position)
    sizes = np.diff(ptr)
    graph = torch.from_numpy(np.repeat(np.arange(len(sizes)), sizes))
    # Its cap of 32 neighbours is lifted, and its treatment of pairs at exactly the
    # cutoff replaced by the strict comparison that all backends share.
    pairs = radius_graph(
        r,
        r=cutoff * (1 + 1e-6),
        batch=graph,
        loop=False,
        max_num_neighbors=max(int(sizes.max(initial=1)), 1),
    )
    sender, receiver = pairs
    vector = r[sender] - r[receiver]
    kept = vector.square().sum(-1) < cutoff * cutoff
    sender, receiver, vector = sender[kept], receiver[kept], vector[kept]
    order = torch.argsort(receiver * len(r) + sender)
    row_ptr = torch.zeros(len(r) + 1, dtype=torch.int64)
    row_ptr[1:] = torch.bincount(receiver, minlength=len(r)).cumsum(0)
    return EdgeList(
        receiver=receiver[order],
        sender=sender[order],
        vector=vector[order],
        row_ptr=row_ptr,
    )
