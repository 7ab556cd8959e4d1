"""Finding pairs on a CUDA device, so that only coordinates travel there.

All pairs of a graph are tested, in float64: even for thousands of atoms that is far
less arithmetic than the network's. A first pass counts the neighbours of each atom, a
second one writes them, sorted by sender.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from mdgeomfeat.gnn.engine.cuda.kernels import Pairs
from mdgeomfeat.gnn.engine.filters import coordinate

__all__ = ["find_pairs", "pair_records"]

# Receivers and senders of one tile.
ROWS = 16
COLUMNS = 32
# Both passes must round alike, and like the searches on processors do: a product and a
# sum stay two operations.
AS_WRITTEN = {"enable_fp_fusion": False}


@triton.jit
def _search(
    position,
    lattice,
    inverse,
    first,
    last,
    row_ptr,
    sender,
    vector,
    n_nodes,
    frame_nodes,
    PERIODIC: tl.constexpr,
    WRITE: tl.constexpr,
    CUTOFF: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    """Count the neighbours of `ROWS` nodes into `row_ptr`, or write them."""
    i = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    real = i < n_nodes
    frame = i // frame_nodes
    place = i - frame * frame_nodes
    # Rows beyond the last node get an empty range.
    begin = frame * frame_nodes + tl.load(first + place, mask=real, other=0)
    end = frame * frame_nodes + tl.load(last + place, mask=real, other=0)
    begin = tl.where(real, begin, n_nodes)
    end = tl.where(real, end, 0)
    x = tl.load(position + 3 * i, mask=real, other=0.0)[:, None]
    y = tl.load(position + 3 * i + 1, mask=real, other=0.0)[:, None]
    z = tl.load(position + 3 * i + 2, mask=real, other=0.0)[:, None]
    if PERIODIC:
        # Lower triangular, like their inverses; zero for a frame without a box.
        cell, back = lattice + 9 * frame, inverse + 9 * frame
        ax = tl.load(cell, mask=real, other=0.0)[:, None]
        bx = tl.load(cell + 3, mask=real, other=0.0)[:, None]
        by = tl.load(cell + 4, mask=real, other=0.0)[:, None]
        cx = tl.load(cell + 6, mask=real, other=0.0)[:, None]
        cy = tl.load(cell + 7, mask=real, other=0.0)[:, None]
        cz = tl.load(cell + 8, mask=real, other=0.0)[:, None]
        xa = tl.load(back, mask=real, other=0.0)[:, None]
        ya = tl.load(back + 3, mask=real, other=0.0)[:, None]
        yb = tl.load(back + 4, mask=real, other=0.0)[:, None]
        za = tl.load(back + 6, mask=real, other=0.0)[:, None]
        zb = tl.load(back + 7, mask=real, other=0.0)[:, None]
        zc = tl.load(back + 8, mask=real, other=0.0)[:, None]
    found = tl.zeros((ROWS,), tl.int64)
    if WRITE:
        start = tl.load(row_ptr + i, mask=real, other=0)
    for at in range(tl.min(begin, axis=0), tl.max(end, axis=0), COLUMNS):
        j = at + tl.arange(0, COLUMNS)
        there = j < n_nodes
        dx = tl.load(position + 3 * j, mask=there, other=0.0)[None, :] - x
        dy = tl.load(position + 3 * j + 1, mask=there, other=0.0)[None, :] - y
        dz = tl.load(position + 3 * j + 2, mask=there, other=0.0)[None, :] - z
        if PERIODIC:
            a = tl.floor(dx * xa + dy * ya + dz * za + 0.5)
            b = tl.floor(dy * yb + dz * zb + 0.5)
            c = tl.floor(dz * zc + 0.5)
            dx -= a * ax + b * bx + c * cx
            dy -= b * by + c * cy
            dz -= c * cz
        sender_of = j[None, :]
        near = (sender_of >= begin[:, None]) & (sender_of < end[:, None])
        near = near & (sender_of != i[:, None])
        near = near & (dx * dx + dy * dy + dz * dz < CUTOFF * CUTOFF)
        one = near.to(tl.int64)
        if WRITE:
            to = (start + found)[:, None] + tl.cumsum(one, axis=1) - 1
            tl.store(sender + to, tl.broadcast_to(sender_of, ROWS, COLUMNS), mask=near)
            tl.store(vector + 3 * to, dx, mask=near)
            tl.store(vector + 3 * to + 1, dy, mask=near)
            tl.store(vector + 3 * to + 2, dz, mask=near)
        found += tl.sum(one, axis=1)
    if not WRITE:
        tl.store(row_ptr + i, found, mask=real)


def find_pairs(
    positions: torch.Tensor,
    cells: tuple[torch.Tensor, torch.Tensor] | None,
    first: torch.Tensor,
    last: torch.Tensor,
    cutoff: float,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Find all pairs within the cutoff inside each graph of a batch of frames.

    Every frame is cut into the same graphs, of nodes that stand side by side. Waits
    for the number of pairs, on the current stream.

    Parameters
    ----------
    positions : (F, K, 3) Tensor of float64, Å
        Of the nodes.
    cells : (F, 3, 3) and (F, 3, 3) Tensor of float64, or None
        Lattices and their inverses, lower triangular, zero for frames without a box;
        None if there is no box at all.
    first, last : (K,) Tensor of int64
        A node's graph holds the nodes ``first[k]`` to ``last[k]`` of its frame.
    cutoff : float, Å
        A pair needs ``distance < cutoff``, strictly.

    Returns
    -------
    row_ptr : (F K + 1,) Tensor of int64
    sender : (E,) Tensor of int64
    vector : (E, 3) Tensor of float64, Å
        From receiver to sender, under the minimum image.
    """
    n_nodes, frame_nodes = positions.shape[0] * positions.shape[1], positions.shape[1]
    lattice, inverse = (positions, positions) if cells is None else cells
    ends = torch.zeros(n_nodes + 1, dtype=torch.int64, device=positions.device)

    def search(row_ptr: torch.Tensor, *out: torch.Tensor, write: bool) -> None:
        _search[(triton.cdiv(n_nodes, ROWS),)](
            positions,
            lattice,
            inverse,
            first,
            last,
            row_ptr,
            *out,
            n_nodes,
            frame_nodes,
            PERIODIC=cells is not None,
            WRITE=write,
            CUTOFF=cutoff,
            ROWS=ROWS,
            COLUMNS=COLUMNS,
            **AS_WRITTEN,
        )

    search(ends[1:], ends, positions, write=False)
    row_ptr = ends.cumsum(0)
    n_pairs = int(row_ptr[-1])
    sender = torch.empty(n_pairs, dtype=torch.int64, device=positions.device)
    vector = positions.new_empty((n_pairs, 3))
    if n_pairs:
        search(row_ptr, sender, vector, write=True)
    return row_ptr, sender, vector


def pair_records(
    row_ptr: torch.Tensor,
    sender: torch.Tensor,
    vector: torch.Tensor,
    cutoff: float,
    intervals: int,
) -> Pairs:
    """Return where each pair stands in the tables of filters, and its direction.

    Parameters
    ----------
    row_ptr, sender, vector
        Of :func:`find_pairs`.
    cutoff : float, Å
    intervals : int
        Of the tables.

    Returns
    -------
    Pairs
    """
    r = torch.linalg.vector_norm(vector, dim=1)
    s = coordinate.py_func(r, cutoff)
    s *= intervals / coordinate.py_func(cutoff, cutoff)
    interval = s.to(torch.int32).clamp_(max=intervals - 1)
    # Coincident atoms have no direction.
    length = torch.where(r > 0, r, torch.ones_like(r))
    return Pairs(
        row_ptr=row_ptr,
        sender=sender,
        interval=interval,
        place=(s - interval).float(),
        direction=(vector / length.unsqueeze(1)).float(),
    )
