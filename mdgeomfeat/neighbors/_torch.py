"""Neighbour search in plain torch: all pairs, any device, differentiable."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch

from mdgeomfeat.neighbors.edge_list import EdgeList

__all__ = ["search_torch"]

# Pairs that are tested at once; 24 bytes each for the differences alone.
PAIRS_AT_ONCE = 2_000_000


def search_torch(
    positions: torch.Tensor,
    ptr: np.ndarray,
    lattice: np.ndarray,
    periodic: np.ndarray,
    cutoff: float,
    device: torch.device | str,
) -> EdgeList:
    """Find all pairs within the cutoff inside each of several graphs.

    Parameters
    ----------
    positions : (M, 3) Tensor, Å
        Edge vectors carry the gradient with respect to it.
    ptr : (G + 1,) ndarray of int64
    lattice : (G, 3, 3) ndarray of float64, Å
    periodic : (G,) ndarray of bool
    cutoff : float, Å
    device : str or torch.device
        Where the search runs.

    Returns
    -------
    EdgeList
        With float64 vectors.
    """
    device = torch.device(device)
    # Apple's devices have no float64, which differences of coordinates need.
    where = torch.device("cpu") if device.type == "mps" else device
    r = positions.to(device=where, dtype=torch.float64)
    cells = torch.from_numpy(lattice).to(where)
    receivers, senders, vectors = [], [], []
    for g, (first, last) in enumerate(pairwise(ptr)):
        n = int(last - first)
        if n < 2:
            continue
        step = max(1, PAIRS_AT_ONCE // n)
        mine = r[first:last]
        for start in range(0, n, step):
            difference = mine[None, :, :] - mine[start : start + step, None, :]
            if periodic[g]:
                with torch.no_grad():
                    fraction = torch.linalg.solve_triangular(
                        cells[g], difference.reshape(-1, 3), upper=False, left=False
                    )
                    shift = (torch.floor(fraction + 0.5) @ cells[g]).view_as(difference)
                difference = difference - shift
            near = difference.detach().square().sum(-1) < cutoff * cutoff
            rows = torch.arange(near.shape[0], device=where)
            near[rows, rows + start] = False
            i, j = near.nonzero(as_tuple=True)
            receivers.append(i + start + first)
            senders.append(j + first)
            vectors.append(difference[i, j])
    empty = torch.empty(0, dtype=torch.int64, device=where)
    receiver = torch.cat([empty, *receivers])
    counts = torch.bincount(receiver, minlength=len(r))
    row_ptr = torch.zeros(len(r) + 1, dtype=torch.int64, device=where)
    row_ptr[1:] = counts.cumsum(0)
    return EdgeList(
        receiver=receiver,
        sender=torch.cat([empty, *senders]),
        vector=torch.cat([r.new_empty((0, 3)), *vectors]),
        row_ptr=row_ptr,
    )
