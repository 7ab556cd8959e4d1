"""Graphs of windows, against neighbour lists of the windows' atoms alone."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from mdgeomfeat.errors import InputError
from mdgeomfeat.neighbors import neighbor_list, window_edges
from mdgeomfeat.neighbors.windows import own_copies


def sliding_windows(token_of_atom, k):
    ptr, atoms, pooled = [0], [], []
    for token in range(token_of_atom.max() + 1):
        inside = np.flatnonzero(abs(token_of_atom - token) <= k)
        atoms.extend(inside)
        pooled.extend(token_of_atom[inside] == token)
        ptr.append(len(atoms))
    return SimpleNamespace(
        ptr=np.array(ptr), atoms=np.array(atoms), pooled=np.array(pooled)
    )


TOKENS = np.array([0, 0, 1, 1, 1, 2, 3, 3, 4, 4])


@pytest.mark.parametrize("k", [0, 1, 2, 9])
def test_a_window_is_the_graph_of_its_atoms(k):
    positions = np.random.default_rng(0).uniform(0, 6, (3, 10, 3))
    windows = sliding_windows(TOKENS, k)
    edges, copies = window_edges(
        neighbor_list(positions, 4.0, dtype=torch.float64), windows, 3, 10
    )
    n_copies = len(windows.atoms)
    assert copies.tolist() == [f * 10 + a for f in range(3) for a in windows.atoms]
    assert edges.n_atoms == 3 * n_copies
    for f in range(3):
        for w in range(5):
            first, last = windows.ptr[w : w + 2]
            atoms = windows.atoms[first:last]
            alone = neighbor_list(positions[f : f + 1, atoms], 4.0, dtype=torch.float64)
            start = f * n_copies + first
            mine = slice(edges.row_ptr[start], edges.row_ptr[start + last - first])
            assert torch.equal(edges.sender[mine] - start, alone.sender)
            assert torch.equal(edges.receiver[mine] - start, alone.receiver)
            assert torch.allclose(edges.vector[mine], alone.vector)


def test_every_atom_answers_from_the_window_of_its_own_token():
    windows = sliding_windows(TOKENS, 1)
    own = own_copies(windows, 2, 10).numpy()
    copy = own % len(windows.atoms)
    assert windows.atoms[copy].tolist() == list(range(10)) * 2
    window = np.searchsorted(windows.ptr, copy, side="right") - 1
    assert window.tolist() == TOKENS.tolist() * 2


def test_windows_of_other_atoms_are_refused():
    with pytest.raises(InputError, match="other atoms than the 11"):
        own_copies(sliding_windows(TOKENS, 1), 1, 11)
