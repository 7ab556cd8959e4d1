"""Filters of pairs, which depend on the distance alone, tabulated for the fast engines.

The tables are cubic B-splines on even steps of a coordinate s(r), which is close to
1 - exp(-a r), the variable of the radial basis, but needs no exponential. In interval
k, at t from 0 to 1 within it, a filter is ``b_0(t) c_k + ... + b_3(t) c_(k+3)``: as
exact as values and slopes would be, in half the memory. Of those, a layer's table would
be larger than a core's own cache.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from scipy.linalg import solve_banded

from mdgeomfeat.jit import cached_njit

__all__ = ["FilterTable", "coordinate", "filter_table"]

FEWEST_INTERVALS = 128
MOST_INTERVALS = 4096
# What eight values from an end of even steps say of the slope there.
END = np.array([-363 / 140, 7, -21 / 2, 35 / 3, -35 / 4, 21 / 5, -7 / 6, 1 / 7])


class FilterTable(NamedTuple):
    """Filters of every layer, as cubic B-splines.

    Attributes
    ----------
    rows : (L, intervals + 3, K) ndarray of float64
        Coefficients.
    at_zero : (L, K) ndarray of float64
        The filters of the edge of an atom to itself.
    """

    rows: np.ndarray
    at_zero: np.ndarray

    @property
    def intervals(self) -> int:
        """Number of even steps."""
        return int(self.rows.shape[1] - 3)


@cached_njit()
def coordinate(r, cutoff):
    """Return s(r), which rises from 0; dense where the basis changes fast."""
    x = 5.0 * r / cutoff
    return 1.0 - 1.0 / (1.0 + x * (1.0 + x * (0.5 + x / 6.0))) + 0.034 * x


def _distances(intervals: int, cutoff: float) -> np.ndarray:
    """Return r at even steps of s from 0 to s(cutoff), (intervals + 1,)."""
    goal = np.linspace(0.0, coordinate.py_func(cutoff, cutoff), intervals + 1)
    low, high = np.zeros(intervals + 1), np.full(intervals + 1, cutoff)
    for _ in range(60):
        middle = 0.5 * (low + high)
        above = coordinate.py_func(middle, cutoff) > goal
        low, high = np.where(above, low, middle), np.where(above, middle, high)
    r: np.ndarray = 0.5 * (low + high)
    r[0], r[-1] = 0.0, cutoff
    return r


def _coefficients(value: np.ndarray) -> np.ndarray:
    """Return the B-spline (L, n + 3, K) through (L, n + 1, K) values."""
    L, rows, K = value.shape
    band = np.zeros((5, rows + 2))
    # Diagonals from the second above to the second below. A value is a sixth of
    # c_(k-1) + 4 c_k + c_(k+1), an end's slope half of c_(k+1) - c_(k-1).
    band[1, 2:], band[2, 1:-1], band[3, :-2] = 1 / 6, 4 / 6, 1 / 6
    band[2, 0], band[0, 2] = -0.5, 0.5
    band[4, -3], band[2, -1] = -0.5, 0.5
    first = np.einsum("k,lkc->lc", END, value[:, : len(END)])[:, None]
    last = -np.einsum("k,lkc->lc", END, value[:, : -len(END) - 1 : -1])[:, None]
    wanted = np.concatenate([first, value, last], axis=1)
    wanted = wanted.transpose(1, 0, 2).reshape(rows + 2, L * K)
    found = solve_banded((2, 2), band, wanted)
    return np.ascontiguousarray(found.reshape(rows + 2, L, K).transpose(1, 0, 2))


def filter_table(
    filters: Callable[[torch.Tensor], torch.Tensor], cutoff: float, tolerance: float
) -> FilterTable:
    """Tabulate what depends on the distance alone, with as many rows as that needs.

    Parameters
    ----------
    filters : callable
        From distances (R,) in float64 to the filters of every layer, (L, R, K).
    cutoff : float, Å
    tolerance : float
        Largest error against the filters, relative to the largest value of a layer.

    Returns
    -------
    FilterTable
    """

    def exact(r: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return filters(torch.from_numpy(r)).numpy()

    intervals = FEWEST_INTERVALS
    while True:
        value = exact(_distances(intervals, cutoff))
        table = _coefficients(value)
        # Half way between two rows a cubic spline is at its worst.
        halves = _distances(2 * intervals, cutoff)[1::2]
        guess = (table[:, :-3] + table[:, 3:]) / 48
        guess += (table[:, 1:-2] + table[:, 2:-1]) * (23 / 48)
        largest = np.abs(value).max(axis=(1, 2), keepdims=True)
        error = np.abs(guess - exact(halves)) / np.maximum(largest, 1e-30)
        if error.max() < tolerance or intervals >= MOST_INTERVALS:
            return FilterTable(table, value[:, 0].copy())
        intervals += intervals // 2
