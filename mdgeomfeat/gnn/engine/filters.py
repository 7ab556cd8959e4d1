"""Filters of pairs, which depend on the distance alone, tabulated for the fast engines.

The tables are cubic Hermite splines on even steps of a coordinate s(r), which is close
to 1 - exp(-a r), the variable of the radial basis, but needs no exponential.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from mdgeomfeat.jit import cached_njit

__all__ = ["coordinate", "filter_table"]

FEWEST_ROWS = 128
MOST_ROWS = 4096


@cached_njit()
def coordinate(r, cutoff):
    """Return s(r), which rises from 0; dense where the basis changes fast."""
    x = 5.0 * r / cutoff
    return 1.0 - 1.0 / (1.0 + x * (1.0 + x * (0.5 + x / 6.0))) + 0.034 * x


@cached_njit()
def _slope(r, cutoff):
    """Return ds/dr."""
    x = 5.0 * r / cutoff
    series = 1.0 + x * (1.0 + x * (0.5 + x / 6.0))
    return (5.0 / cutoff) * ((1.0 + x * (1.0 + 0.5 * x)) / series**2 + 0.034)


def _distances(rows: int, cutoff: float) -> np.ndarray:
    """Return r at even steps of s from 0 to s(cutoff), (rows + 1,)."""
    goal = np.linspace(0.0, coordinate.py_func(cutoff, cutoff), rows + 1)
    low, high = np.zeros(rows + 1), np.full(rows + 1, cutoff)
    for _ in range(60):
        middle = 0.5 * (low + high)
        above = coordinate.py_func(middle, cutoff) > goal
        low, high = np.where(above, low, middle), np.where(above, middle, high)
    r = 0.5 * (low + high)
    r[0], r[-1] = 0.0, cutoff
    return r


def filter_table(
    filters: Callable[[torch.Tensor], torch.Tensor], cutoff: float, tolerance: float
) -> np.ndarray:
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
    (L, rows + 1, 2, K) float64 array
        Values, and slopes per step of the table.
    """

    def exact(r: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        at = torch.from_numpy(r)
        with torch.no_grad():
            value, slope, *_ = torch.func.jvp(filters, (at,), (torch.ones_like(at),))
        return value.numpy(), slope.numpy()

    rows = FEWEST_ROWS
    while True:
        r = _distances(rows, cutoff)
        value, slope = exact(r)
        step = coordinate.py_func(cutoff, cutoff) / rows
        slope = slope * (step / _slope.py_func(r, cutoff))[:, None]
        # Half way between two rows a cubic spline is at its worst.
        halves = _distances(2 * rows, cutoff)[1::2]
        guess = 0.5 * (value[:, :-1] + value[:, 1:])
        guess += 0.125 * (slope[:, :-1] - slope[:, 1:])
        largest = np.abs(value).max(axis=(1, 2), keepdims=True)
        error = np.abs(guess - exact(halves)[0]) / np.maximum(largest, 1e-30)
        if error.max() < tolerance or rows >= MOST_ROWS:
            return np.stack([value, slope], axis=2)
        rows += rows // 2
