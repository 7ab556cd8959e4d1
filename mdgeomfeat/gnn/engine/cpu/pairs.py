"""What a pair contributes by its geometry alone, and the pairs of windows."""

from __future__ import annotations

import math

import numpy as np

from mdgeomfeat.gnn.engine.filters import coordinate
from mdgeomfeat.jit import cached_njit

__all__ = ["pair_gradients", "pair_records", "window_pairs"]


@cached_njit(error_model="numpy")
def pair_records(vector, n_pairs, cutoff, intervals, interval, spline, direction):
    """Write interval, weights of the B-spline (4) and unit vector (3) of every pair."""
    scale = intervals / coordinate(cutoff, cutoff)
    for e in range(n_pairs):
        x, y, z = vector[e, 0], vector[e, 1], vector[e, 2]
        r = math.sqrt(x * x + y * y + z * z)
        s = coordinate(r, cutoff) * scale
        k = min(int(s), intervals - 1)
        t = s - k
        u = 1.0 - t
        interval[e] = k
        spline[4 * e] = u * u * u / 6.0
        spline[4 * e + 1] = 2.0 / 3.0 - t * t * (1.0 - 0.5 * t)
        spline[4 * e + 2] = 2.0 / 3.0 - u * u * (1.0 - 0.5 * u)
        spline[4 * e + 3] = t * t * t / 6.0
        # Coincident atoms have no direction.
        share = 1.0 / r if r > 0.0 else 0.0
        direction[3 * e] = x * share
        direction[3 * e + 1] = y * share
        direction[3 * e + 2] = z * share


@cached_njit(error_model="numpy")
def pair_gradients(row_ptr, sender, vector, by_distance, by_direction, gradient):
    """Add the gradients of pairs to those of their atoms, (n, 3)."""
    for i in range(row_ptr.shape[0] - 1):
        for e in range(row_ptr[i], row_ptr[i + 1]):
            x, y, z = vector[e, 0], vector[e, 1], vector[e, 2]
            r = math.sqrt(x * x + y * y + z * z)
            if r == 0.0:
                continue
            x, y, z = x / r, y / r, z / r
            a, b, c = (
                np.float64(by_direction[3 * e]),
                np.float64(by_direction[3 * e + 1]),
                np.float64(by_direction[3 * e + 2]),
            )
            along = by_distance[e] - (a * x + b * y + c * z) / r
            a, b, c = a / r + along * x, b / r + along * y, c / r + along * z
            j = sender[e]
            gradient[i, 0] -= a
            gradient[i, 1] -= b
            gradient[i, 2] -= c
            gradient[j, 0] += a
            gradient[j, 1] += b
            gradient[j, 2] += c


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

    Records are (interval, spline, direction). Returns the number of pairs; if it is
    above the capacity of `sender`, call again with more.
    """
    interval, spline, direction = records
    new_interval, new_spline, new_direction = new_records
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
                            new_spline[4 * at + k] = spline[4 * e + k]
                        for k in range(3):
                            new_direction[3 * at + k] = direction[3 * e + k]
                    at += 1
            for c in range(ptr[w], ptr[w + 1]):
                place[atoms[c]] = -1
            node += ptr[w + 1] - ptr[w]
    row_ptr[node] = at
    return at
