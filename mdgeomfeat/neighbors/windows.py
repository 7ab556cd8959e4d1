"""Graphs of windows: each token with its neighbours along the chain.

With ``window=k`` the graph of token i holds the atoms of tokens i - k ... i + k, so
an atom appears in up to 2k + 1 graphs and has a different environment in each. The
pairs are searched once per frame and copied into every window that has both atoms.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch

from mdgeomfeat.errors import InputError
from mdgeomfeat.jit import cached_njit
from mdgeomfeat.neighbors.edge_list import EdgeList

__all__ = ["WindowsLike", "own_copies", "window_copies", "window_edges"]


class WindowsLike(Protocol):
    """What is read of a window table (``Structure.windows`` makes one).

    ``ptr`` (N + 1,) and ``atoms`` (n_copies,): window ``w`` holds the atoms
    ``atoms[ptr[w]:ptr[w + 1]]`` of a frame. ``pooled`` (n_copies,) marks the copies
    that belong to the window's own token: one copy of every atom.
    """

    @property
    def ptr(self) -> np.ndarray:
        """Where each window begins in `atoms`, (N + 1,)."""
        ...

    @property
    def atoms(self) -> np.ndarray:
        """Atom of each copy, (n_copies,)."""
        ...

    @property
    def pooled(self) -> np.ndarray:
        """Whether a copy belongs to the window's own token, (n_copies,)."""
        ...


def window_copies(windows: WindowsLike, n_frames: int, n_atoms: int) -> np.ndarray:
    """Return which atom each copy in the windows of all frames is.

    Parameters
    ----------
    windows : Windows
    n_frames, n_atoms : int

    Returns
    -------
    (n_frames * n_copies,) ndarray of int64
        Copy ``c`` of frame ``f`` has the number ``f * n_copies + c`` and is the
        atom ``f * n_atoms + windows.atoms[c]``.
    """
    atoms = np.asarray(windows.atoms, dtype=np.int64)
    frames = np.arange(n_frames, dtype=np.int64)
    return (frames[:, None] * n_atoms + atoms).reshape(-1)


def own_copies(windows: WindowsLike, n_frames: int, n_atoms: int) -> torch.Tensor:
    """Return the copy of each atom in the window of the atom's own token.

    Parameters
    ----------
    windows : Windows
    n_frames, n_atoms : int

    Returns
    -------
    (n_frames * n_atoms,) Tensor of int64

    Raises
    ------
    InputError
        If the windows do not hold every atom once as one of their own.
    """
    atoms = np.asarray(windows.atoms, dtype=np.int64)
    own = np.flatnonzero(windows.pooled)
    if not np.array_equal(np.sort(atoms[own]), np.arange(n_atoms)):
        raise InputError(
            f"The windows were made for other atoms than the {n_atoms} given; make "
            "them with the windows() of the same structure."
        )
    copy = np.empty(n_atoms, np.int64)
    copy[atoms[own]] = own
    frames = np.arange(n_frames, dtype=np.int64)
    return torch.from_numpy((frames[:, None] * len(atoms) + copy).reshape(-1))


@cached_njit()
def _window_rows(  # type: ignore[no-untyped-def]
    ptr, atoms, frames, n_atoms, row_ptr, sender, counts, new, origin, fill
):
    """Count the edges of every copy, or write their senders and their origin."""
    place = np.full(n_atoms, -1, np.int64)
    n_copies = atoms.shape[0]
    at = 0
    for f in range(frames):
        for w in range(ptr.shape[0] - 1):
            for c in range(ptr[w], ptr[w + 1]):
                place[atoms[c]] = c
            for c in range(ptr[w], ptr[w + 1]):
                i = f * n_atoms + atoms[c]
                for e in range(row_ptr[i], row_ptr[i + 1]):
                    to = place[sender[e] - f * n_atoms]
                    if to < 0:
                        continue
                    if fill:
                        new[at] = f * n_copies + to
                        origin[at] = e
                        at += 1
                    else:
                        counts[f * n_copies + c] += 1
            for c in range(ptr[w], ptr[w + 1]):
                place[atoms[c]] = -1


def window_edges(
    edges: EdgeList, windows: WindowsLike, n_frames: int, n_atoms: int
) -> tuple[EdgeList, torch.Tensor]:
    """Return the edges inside windows, over copies of the atoms.

    Parameters
    ----------
    edges : EdgeList
        Of whole frames.
    windows : Windows
        Which atoms each window holds.
    n_frames, n_atoms : int
        Shape of the batch that `edges` belongs to.

    Returns
    -------
    edges : EdgeList
        Between copies, sorted by receiving copy.
    copy_to_atom : (n_frames * n_copies,) Tensor of int64
        The atom (``f * n_atoms + a``) that each copy is.
    """
    ptr = np.asarray(windows.ptr, dtype=np.int64)
    atoms = np.asarray(windows.atoms, dtype=np.int64)
    row_ptr = edges.row_ptr.cpu().numpy()
    sender = edges.sender.cpu().numpy()
    counts = np.zeros(n_frames * len(atoms), np.int64)
    given = (ptr, atoms, n_frames, n_atoms, row_ptr, sender, counts)
    _window_rows(*given, np.empty(0, np.int64), np.empty(0, np.int64), False)
    total = int(counts.sum())
    new, origin = np.empty(total, np.int64), np.empty(total, np.int64)
    _window_rows(*given, new, origin, True)
    new_ptr = np.zeros(len(counts) + 1, np.int64)
    np.cumsum(counts, out=new_ptr[1:])
    device = edges.vector.device
    inside = EdgeList(
        receiver=torch.from_numpy(np.repeat(np.arange(len(counts)), counts)).to(device),
        sender=torch.from_numpy(new).to(device),
        vector=edges.vector[torch.from_numpy(origin).to(device)],
        row_ptr=torch.from_numpy(new_ptr).to(device),
    )
    copies = torch.from_numpy(window_copies(windows, n_frames, n_atoms))
    return inside, copies.to(device)
