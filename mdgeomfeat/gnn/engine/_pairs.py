"""What a pair contributes by its geometry alone: where it stands in the filter tables.

The tables are cubic Hermite splines on even steps of a coordinate s(r), which is close
to 1 - exp(-a r), the variable of the radial basis, but needs no exponential.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch

from mdgeomfeat.jit import cached_njit

__all__ = ["coordinate", "filter_table", "pair_records", "window_pairs"]

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


@cached_njit(error_model="numpy")
def pair_records(vector, n_pairs, cutoff, rows, interval, hermite, direction):
    """Write row, Hermite weights (4) and unit vector (3) of every pair.

    Weights belong to the value and the slope of the row, then of the next row.
    """
    scale = rows / coordinate(cutoff, cutoff)
    for e in range(n_pairs):
        x, y, z = vector[e, 0], vector[e, 1], vector[e, 2]
        r = math.sqrt(x * x + y * y + z * z)
        s = coordinate(r, cutoff) * scale
        row = min(int(s), rows - 1)
        t = s - row
        u = 1.0 - t
        interval[e] = row
        hermite[4 * e] = u * u * (1.0 + 2.0 * t)
        hermite[4 * e + 1] = t * u * u
        hermite[4 * e + 2] = t * t * (3.0 - 2.0 * t)
        hermite[4 * e + 3] = -t * t * u
        # Coincident atoms have no direction.
        share = 1.0 / r if r > 0.0 else 0.0
        direction[3 * e] = x * share
        direction[3 * e + 1] = y * share
        direction[3 * e + 2] = z * share


@cached_njit()
def window_pairs(
    n_frames,
    n_atoms,
    ptr,
    atoms,
    pooled,
    begin,
    end,
    half_ptr,
    half_sender,
    records,
    row_ptr,
    sender,
    new_records,
    target,
):
    """Copy the pairs of frames into windows `begin` to `end`.

    Records are (interval, hermite, direction). Returns the number of pairs; if it is
    above the capacity of `sender`, call again with more.
    """
    interval, hermite, direction = records
    new_interval, new_hermite, new_direction = new_records
    place = np.full(n_atoms, -1, np.int64)
    node = at = 0
    for f in range(n_frames):
        for w in range(begin, end):
            for c in range(ptr[w], ptr[w + 1]):
                place[atoms[c]] = node + c - ptr[w]
            for c in range(ptr[w], ptr[w + 1]):
                atom = f * n_atoms + atoms[c]
                target[node + c - ptr[w]] = atom if pooled[c] else -1
                row_ptr[node + c - ptr[w]] = at
                for e in range(half_ptr[atom], half_ptr[atom + 1]):
                    other = place[half_sender[e] - f * n_atoms]
                    if other < 0:
                        continue
                    if at < sender.shape[0]:
                        sender[at] = other
                        new_interval[at] = interval[e]
                        for k in range(4):
                            new_hermite[4 * at + k] = hermite[4 * e + k]
                        for k in range(3):
                            new_direction[3 * at + k] = direction[3 * e + k]
                    at += 1
            for c in range(ptr[w], ptr[w + 1]):
                place[atoms[c]] = -1
            node += ptr[w + 1] - ptr[w]
    row_ptr[node] = at
    return at
