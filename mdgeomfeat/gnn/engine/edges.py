"""The edges of a batch of frames, whole or cut into windows."""

from __future__ import annotations

import numpy as np
import torch

from mdgeomfeat.neighbors import EdgeList, neighbor_list, window_edges
from mdgeomfeat.neighbors.nearest import keep_nearest
from mdgeomfeat.neighbors.windows import WindowsLike

__all__ = ["frame_edges"]


def frame_edges(
    positions: np.ndarray,
    cutoff: float,
    boxes: np.ndarray | None = None,
    *,
    windows: WindowsLike | None = None,
    max_neighbors: int | None = None,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
) -> tuple[EdgeList, torch.Tensor | None]:
    """Return the edges of a batch, over copies of atoms where there are windows.

    Parameters
    ----------
    positions : (F, A, 3) ndarray, Å
    cutoff : float, Å
    boxes : (F, 6) ndarray, optional
    windows : Windows, optional
    max_neighbors : int, optional
        The nearest are chosen among the atoms of the same window.
    dtype, device
        Of the edges.

    Returns
    -------
    edges : EdgeList
    copies : (n_copies,) Tensor of int64 or None
        Which atom of the batch each copy is; None without windows.
    """
    edges = neighbor_list(
        positions,
        cutoff,
        boxes,
        max_neighbors=max_neighbors if windows is None else None,
        dtype=dtype,
        device=device,
    )
    if windows is None:
        return edges, None
    F, A, _ = positions.shape
    edges, copies = window_edges(edges, windows, F, A)
    if max_neighbors is not None:
        edges = keep_nearest(edges, max_neighbors)
    return edges, copies
