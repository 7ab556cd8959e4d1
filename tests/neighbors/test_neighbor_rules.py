"""Pairs at exactly the cutoff, and precision, in every way of searching."""

from __future__ import annotations

import numpy as np
import torch

from mdgeomfeat.neighbors import neighbor_list
from mdgeomfeat.neighbors._numba import search_numba


def test_the_cutoff_is_strict_among_cells():
    # Points 2 Å apart, which all floating-point numbers hold exactly.
    grid = 2.0 * np.argwhere(np.ones((4, 4, 4)))
    ptr, no_box = np.array([0, 64]), np.zeros((1, 3, 3))
    off = np.array([False])
    for least in (1000, 0):
        at, inside = (
            search_numba(grid, ptr, no_box, off, cutoff, brute_force_atoms=least)
            for cutoff in (2.0, np.nextafter(2.0, 3.0))
        )
        assert len(at[1]) == 0
        assert len(inside[1]) == 2 * 3 * 3 * 4 * 4


def test_torch_forms_differences_in_float64():
    near = torch.tensor([[[0.0, 0, 0], [1.25, 0, 0]]], dtype=torch.float64)
    edges = neighbor_list(near + 1e8 + 0.01, 5.0, backend="torch")
    np.testing.assert_allclose(edges.vector[0], [1.25, 0, 0], atol=1e-6)
    assert edges.vector.dtype == torch.float32
