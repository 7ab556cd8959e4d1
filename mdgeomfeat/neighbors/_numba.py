"""Neighbour search with numba: cell lists, brute force for small graphs.

One kernel is called twice, first to count the neighbours of every atom and then to
write them. It visits each pair once, so both directions of an edge carry vectors
that are equal but for the sign, to the last bit.
"""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np

from mdgeomfeat.neighbors._jit import cached_njit, n_threads, run_threads

__all__ = ["search_numba"]

# Below this, testing all pairs is faster than sorting atoms into cells.
BRUTE_FORCE_ATOMS = 400
# Pairs to test before a second thread is worth starting.
WORK_PER_THREAD = 200_000


@cached_njit()
def _coordinates(position, inverse, periodic, out):
    """Write wrapped fractional coordinates, or distances from the lowest corner."""
    n = position.shape[0]
    if periodic:
        for a in range(n):
            for k in range(3):
                s = 0.0
                for m in range(3):
                    s += position[a, m] * inverse[m, k]
                s -= math.floor(s)
                out[a, k] = s if s < 1.0 else 0.0
        return
    for k in range(3):
        low = position[0, k]
        for a in range(n):
            low = min(low, position[a, k])
        for a in range(n):
            out[a, k] = position[a, k] - low


@cached_njit()
def _cell_numbers(coordinate, inverse, periodic, cutoff):
    """Return the number of cells along each axis; a cell is a cutoff high or more."""
    n = coordinate.shape[0]
    numbers = np.ones(3, np.int64)
    for k in range(3):
        if periodic:
            height = 0.0
            for m in range(3):
                height += inverse[m, k] ** 2
            extent = 1.0 / math.sqrt(height)
        else:
            extent = 0.0
            for a in range(n):
                extent = max(extent, coordinate[a, k])
        # A scattered system must not ask for more cells than it has atoms.
        most = 1.0 + 2.0 * float(n) ** (1.0 / 3.0)
        numbers[k] = max(1, int(min(extent / cutoff, most)))
    return numbers


@cached_njit()
def _difference(coordinate, i, j, lattice, periodic):
    """Return ``r_j - r_i`` of two atoms under the minimum image."""
    a = coordinate[j, 0] - coordinate[i, 0]
    b = coordinate[j, 1] - coordinate[i, 1]
    c = coordinate[j, 2] - coordinate[i, 2]
    if not periodic:
        return a, b, c
    a -= math.floor(a + 0.5)
    b -= math.floor(b + 0.5)
    c -= math.floor(c + 0.5)
    return (
        a * lattice[0, 0] + b * lattice[1, 0] + c * lattice[2, 0],
        b * lattice[1, 1] + c * lattice[2, 1],
        c * lattice[2, 2],
    )


@cached_njit()
def _visit(i, j, x, y, z, first, cursor, sender, vector, fill):
    """Count an edge in both directions, or write it behind the ones before it."""
    if fill:
        at = cursor[i]
        sender[at] = first + j
        vector[at, 0], vector[at, 1], vector[at, 2] = x, y, z
        at = cursor[j]
        sender[at] = first + i
        vector[at, 0], vector[at, 1], vector[at, 2] = -x, -y, -z
    cursor[i] += 1
    cursor[j] += 1


@cached_njit()
def _sort_row(start, stop, sender, vector):
    """Sort the edges of one receiver by sender (insertion: they are few)."""
    for at in range(start + 1, stop):
        s = sender[at]
        x, y, z = vector[at, 0], vector[at, 1], vector[at, 2]
        to = at
        while to > start and sender[to - 1] > s:
            sender[to] = sender[to - 1]
            vector[to, 0] = vector[to - 1, 0]
            vector[to, 1] = vector[to - 1, 1]
            vector[to, 2] = vector[to - 1, 2]
            to -= 1
        sender[to] = s
        vector[to, 0], vector[to, 1], vector[to, 2] = x, y, z


@cached_njit()
def _brute(coordinate, lattice, periodic, cutoff, first, cursor, sender, vector, fill):
    n = coordinate.shape[0]
    limit = cutoff * cutoff
    for i in range(n):
        for j in range(i + 1, n):
            x, y, z = _difference(coordinate, i, j, lattice, periodic)
            if x * x + y * y + z * z < limit:
                _visit(i, j, x, y, z, first, cursor, sender, vector, fill)


@cached_njit()
def _cells(
    coordinate, lattice, numbers, periodic, cutoff, first, cursor, sender, vector, fill
):
    n = coordinate.shape[0]
    limit = cutoff * cutoff
    scale = np.empty(3)
    for k in range(3):
        extent = 1.0
        if not periodic:
            extent = 0.0
            for a in range(n):
                extent = max(extent, coordinate[a, k])
        scale[k] = numbers[k] / extent if extent > 0.0 else 0.0
    cell = np.empty((n, 3), np.int64)
    head = np.zeros(numbers[0] * numbers[1] * numbers[2] + 1, np.int64)
    for a in range(n):
        for k in range(3):
            cell[a, k] = min(int(coordinate[a, k] * scale[k]), numbers[k] - 1)
        flat = (cell[a, 0] * numbers[1] + cell[a, 1]) * numbers[2] + cell[a, 2]
        head[flat + 1] += 1
    for c in range(head.shape[0] - 1):
        head[c + 1] += head[c]
    place = head[:-1].copy()
    order = np.empty(n, np.int64)
    for a in range(n):
        flat = (cell[a, 0] * numbers[1] + cell[a, 1]) * numbers[2] + cell[a, 2]
        order[place[flat]] = a
        place[flat] += 1

    low = np.empty(3, np.int64)
    high = np.empty(3, np.int64)
    for i in range(n):
        for k in range(3):
            low[k], high[k] = cell[i, k] - 1, cell[i, k] + 2
            if not periodic:
                low[k], high[k] = max(low[k], 0), min(high[k], numbers[k])
            elif numbers[k] < 3:
                # Cells to the left and to the right are the same one.
                low[k], high[k] = 0, numbers[k]
        start = cursor[i]
        for cx in range(low[0], high[0]):
            for cy in range(low[1], high[1]):
                for cz in range(low[2], high[2]):
                    flat = (cx % numbers[0]) * numbers[1] + cy % numbers[1]
                    flat = flat * numbers[2] + cz % numbers[2]
                    for at in range(head[flat], head[flat + 1]):
                        j = order[at]
                        if j <= i:
                            continue
                        x, y, z = _difference(coordinate, i, j, lattice, periodic)
                        if x * x + y * y + z * z < limit:
                            _visit(i, j, x, y, z, first, cursor, sender, vector, fill)
        if fill:
            _sort_row(start, cursor[i], sender, vector)


@cached_njit()
def search_graphs(
    position,
    ptr,
    lattice,
    inverse,
    periodic,
    cutoff,
    brute_force_atoms,
    begin,
    end,
    cursor,
    sender,
    vector,
    fill,
):
    """Count or write the edges of graphs ``begin`` to ``end``.

    Atoms of graph ``g`` are ``ptr[g]:ptr[g + 1]``. ``cursor`` (M,) counts up from
    zero when counting, from the start of each row when writing.
    """
    for g in range(begin, end):
        first, last = ptr[g], ptr[g + 1]
        if last - first < 2:
            continue
        mine = position[first:last]
        coordinate = np.empty((last - first, 3))
        box = lattice[g]
        _coordinates(mine, inverse[g], periodic[g], coordinate)
        counts = cursor[first:last]
        if last - first < brute_force_atoms:
            _brute(
                coordinate,
                box,
                periodic[g],
                cutoff,
                first,
                counts,
                sender,
                vector,
                fill,
            )
            continue
        numbers = _cell_numbers(coordinate, inverse[g], periodic[g], cutoff)
        _cells(
            coordinate,
            box,
            numbers,
            periodic[g],
            cutoff,
            first,
            counts,
            sender,
            vector,
            fill,
        )


def search_numba(
    position: np.ndarray,
    ptr: np.ndarray,
    lattice: np.ndarray,
    periodic: np.ndarray,
    cutoff: float,
    *,
    brute_force_atoms: int = BRUTE_FORCE_ATOMS,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Find all pairs within the cutoff inside each of several graphs.

    Parameters
    ----------
    position : (M, 3) float64 array, Å
    ptr : (G + 1,) int64 array
        Atoms of graph ``g`` are ``ptr[g]:ptr[g + 1]``.
    lattice : (G, 3, 3) float64 array, Å
        Lower triangular; read only where `periodic`.
    periodic : (G,) bool array
    cutoff : float, Å
    brute_force_atoms : int, optional
        Graphs with fewer atoms test all pairs.

    Returns
    -------
    row_ptr : (M + 1,) int64 array
    sender : (E,) int64 array
    vector : (E, 3) float64 array, Å
    """
    n_graphs = len(ptr) - 1
    inverse = np.zeros_like(lattice)
    if periodic.any():
        inverse[periodic] = np.linalg.inv(lattice[periodic])
    sizes = np.diff(ptr)
    work = float(np.minimum(sizes.astype(float) ** 2, sizes * 1000.0).sum())
    threads = min(n_threads(), 1 + int(work // WORK_PER_THREAD), max(n_graphs, 1))
    bounds = np.linspace(0, n_graphs, threads + 1).astype(np.int64)
    given = (position, ptr, lattice, inverse, periodic, cutoff, brute_force_atoms)
    spans = list(pairwise(bounds))

    counts = np.zeros(len(position), np.int64)
    nothing = (np.empty(0, np.int64), np.empty((0, 3)), False)
    run_threads(
        search_graphs, [(*given, *span, counts, *nothing) for span in spans], threads
    )
    row_ptr = np.zeros(len(position) + 1, np.int64)
    np.cumsum(counts, out=row_ptr[1:])
    sender = np.empty(row_ptr[-1], np.int64)
    vector = np.empty((row_ptr[-1], 3))
    cursor = row_ptr[:-1].copy()
    run_threads(
        search_graphs,
        [(*given, *span, cursor, sender, vector, True) for span in spans],
        threads,
    )
    return row_ptr, sender, vector
