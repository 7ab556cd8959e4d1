"""One signature for all neighbour searches."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Literal

import numpy as np
import torch
from numpy.typing import ArrayLike

from mdgeomfeat.boxes import check_boxes, check_cutoff, has_box, lattice_vectors
from mdgeomfeat.errors import InputError
from mdgeomfeat.neighbors.edge_list import EdgeList
from mdgeomfeat.neighbors.nearest import keep_nearest

__all__ = ["Backend", "check_positions", "graph_list", "neighbor_list"]

Backend = Literal["numba", "torch", "torch-cluster"]
BACKENDS = ("numba", "torch", "torch-cluster")


def neighbor_list(
    positions: ArrayLike | torch.Tensor,
    cutoff: float,
    boxes: ArrayLike | None = None,
    *,
    max_neighbors: int | None = None,
    backend: Backend = "numba",
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
) -> EdgeList:
    """Find every pair of atoms nearer than a cutoff, in every frame.

    Differences of coordinates are formed in float64 and only then lowered to
    `dtype`, so a molecule far from the origin loses no precision here.

    Parameters
    ----------
    positions : (F, A, 3) ndarray or Tensor, Å
        Where a tensor requires a gradient, edge vectors carry it, whatever the
        backend.
    cutoff : float, Å
        An edge needs ``distance < cutoff``, strictly.
    boxes : (F, 6) or (6,) ndarray, optional
        ``[a, b, c, alpha, beta, gamma]``, Å and degrees. Rows of zeros are frames
        without a box. Molecules need not be whole, atoms need not be inside.
    max_neighbors : int, optional
        Keep only the nearest so many senders of each receiver; of equally distant
        ones the lower atom number. By default no neighbour is dropped.
    backend : {"numba", "torch", "torch-cluster"}, optional
    dtype : torch.dtype, optional
        Of the edge vectors.
    device : str or torch.device, optional
        Where the edges are put.

    Returns
    -------
    EdgeList
        Atom ``a`` of frame ``f`` has the number ``f * A + a``.

    Raises
    ------
    InputError
        For positions that are not finite, a cutoff over half the shortest box
        height, or a backend that is missing or cannot do boxes.

    Examples
    --------
    >>> import numpy as np
    >>> from mdgeomfeat.neighbors import neighbor_list
    >>> positions = np.array([[[0.5, 5.0, 5.0], [9.5, 5.0, 5.0]]])  # Å
    >>> neighbor_list(positions, 3.0).n_edges
    0
    >>> edges = neighbor_list(positions, 3.0, [10, 10, 10, 90, 90, 90])
    >>> edges.n_edges, edges.distance.tolist()
    (2, [1.0, 1.0])
    """
    given = positions if torch.is_tensor(positions) else np.asarray(positions)
    shape = tuple(given.shape)
    if len(shape) != 3 or shape[2] != 3:
        raise InputError(
            f"Positions have shape {shape}, but must be (n_frames, n_atoms, 3)."
        )
    n_frames, n_atoms, _ = shape
    ptr = np.arange(n_frames + 1, dtype=np.int64) * n_atoms
    return _search(
        given.reshape(-1, 3),
        ptr,
        cutoff,
        boxes,
        max_neighbors=max_neighbors,
        backend=backend,
        dtype=dtype,
        device=device,
    )


def graph_list(
    positions: ArrayLike | torch.Tensor,
    graph_ptr: ArrayLike | torch.Tensor,
    cutoff: float,
    *,
    max_neighbors: int | None = None,
    backend: Backend = "numba",
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
) -> EdgeList:
    """Find the neighbours inside graphs of different sizes, without boxes.

    Parameters
    ----------
    positions : (M, 3) ndarray or Tensor, Å
        Atoms of all graphs, one graph after the other.
    graph_ptr : (G + 1,) ndarray of int
        Atoms of graph ``g`` are ``graph_ptr[g]:graph_ptr[g + 1]``.
    cutoff : float, Å
    max_neighbors, backend, dtype, device
        As in :func:`neighbor_list`.

    Returns
    -------
    EdgeList

    Raises
    ------
    InputError
        If shapes, `graph_ptr` or an option cannot be used, or a coordinate is not
        finite.
    """
    flat = positions if torch.is_tensor(positions) else np.asarray(positions)
    ptr = np.asarray(
        graph_ptr.cpu() if torch.is_tensor(graph_ptr) else graph_ptr, dtype=np.int64
    )
    if flat.ndim != 2 or flat.shape[1] != 3:
        raise InputError(
            f"Positions have shape {tuple(flat.shape)}, but must be (n_atoms, 3)."
        )
    if ptr.ndim != 1 or not ptr.size or ptr[0] != 0 or (np.diff(ptr) < 0).any():
        raise InputError("graph_ptr must start at 0 and never decrease.")
    if ptr[-1] != len(flat):
        raise InputError(
            f"graph_ptr ends at {ptr[-1]}, but there are {len(flat)} atoms."
        )
    return _search(
        flat,
        ptr,
        cutoff,
        None,
        max_neighbors=max_neighbors,
        backend=backend,
        dtype=dtype,
        device=device,
    )


def check_positions(positions: np.ndarray, ptr: np.ndarray) -> None:
    """Raise if a coordinate is not finite, naming the first frame and atom.

    Parameters
    ----------
    positions : (M, 3) ndarray, Å
    ptr : (F + 1,) ndarray of int
        Atoms of frame ``f`` are ``ptr[f]:ptr[f + 1]``.

    Raises
    ------
    InputError
        If a coordinate is not finite.
    """
    if math.isfinite(float(np.sum(positions))):
        return
    bad = np.flatnonzero(~np.isfinite(positions).all(axis=-1))
    if bad.size:
        frame = int(np.searchsorted(ptr, bad[0], side="right")) - 1
        raise InputError(
            f"Atom {bad[0] - ptr[frame]} of frame {frame} has coordinates that are "
            "not finite numbers; leave such frames out (skip_bad_frames=True, "
            "--skip-bad-frames)."
        )


def _search(
    positions: np.ndarray | torch.Tensor,
    ptr: np.ndarray,
    cutoff: float,
    boxes: ArrayLike | None,
    *,
    max_neighbors: int | None,
    backend: str,
    dtype: torch.dtype,
    device: torch.device | str,
) -> EdgeList:
    if not (math.isfinite(cutoff) and cutoff > 0):
        raise InputError(f"The cutoff is {cutoff} Å, but must be a positive number.")
    if max_neighbors is not None and max_neighbors < 1:
        raise InputError(
            f"max_neighbors is {max_neighbors}, but must be at least 1, or None for "
            "all."
        )
    if backend not in BACKENDS:
        raise InputError(
            f"backend={backend!r} is unknown; choose one of "
            f"{', '.join(map(repr, BACKENDS))}."
        )
    n_graphs = len(ptr) - 1
    given = np.zeros((n_graphs, 6)) if boxes is None else check_boxes(boxes, n_graphs)
    check_cutoff(given, cutoff)
    periodic = has_box(given)
    lattice = np.zeros((n_graphs, 3, 3))
    lattice[periodic] = lattice_vectors(given[periodic])

    if isinstance(positions, torch.Tensor):
        tensor, array = positions, positions.detach().cpu().numpy()
    else:
        tensor, array = None, positions
    array = np.ascontiguousarray(array, dtype=np.float64)
    check_positions(array, ptr)
    if backend == "numba":
        from mdgeomfeat.neighbors._numba import search_numba

        row_ptr, sender, vector = search_numba(array, ptr, lattice, periodic, cutoff)
        edges = _assemble(row_ptr, sender, vector)
    elif backend == "torch":
        from mdgeomfeat.neighbors._torch import search_torch

        source = torch.from_numpy(array) if tensor is None else tensor
        edges = search_torch(source, ptr, lattice, periodic, cutoff, device)
    else:
        from mdgeomfeat.neighbors._torch_cluster import search_torch_cluster

        if periodic.any():
            raise InputError(
                "The torch-cluster neighbour search cannot use boxes; use "
                "backend='numba' or leave the box out."
            )
        edges = search_torch_cluster(array, ptr, cutoff)
    if tensor is not None and tensor.requires_grad and not edges.vector.requires_grad:
        edges = _attached(edges, tensor)
    if max_neighbors is not None:
        edges = keep_nearest(edges, max_neighbors)
    return edges.to(device, dtype)


def _attached(edges: EdgeList, positions: torch.Tensor) -> EdgeList:
    """Return edges found by compiled code, with vectors that know their positions.

    Within one image a vector is ``r_j - r_i`` and a constant.
    """
    r = positions.to(device=edges.vector.device, dtype=edges.vector.dtype)
    difference = r[edges.sender] - r[edges.receiver]
    constant = (edges.vector - difference).detach()
    return replace(edges, vector=difference + constant)


def _assemble(row_ptr: np.ndarray, sender: np.ndarray, vector: np.ndarray) -> EdgeList:
    receiver = np.repeat(np.arange(len(row_ptr) - 1), np.diff(row_ptr))
    return EdgeList(
        receiver=torch.from_numpy(receiver),
        sender=torch.from_numpy(sender),
        vector=torch.from_numpy(vector),
        row_ptr=torch.from_numpy(row_ptr),
    )
