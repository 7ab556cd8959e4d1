"""Neighbour search with numba: cell lists, brute force for small graphs.

Each pair is found once, at the atom with the lower number (a half list), and its
vector is formed once, so both directions of an edge carry vectors that are equal but
for the sign, to the last bit.
"""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np

from mdgeomfeat.jit import cached_njit, n_threads, run_threads

__all__ = ["inverse_lattices", "search_half", "search_numba"]

# Below this, testing all pairs is faster than sorting atoms into cells.
BRUTE_FORCE_ATOMS = 500
# Pairs to test before a second thread is worth starting.
WORK_PER_THREAD = 500_000


@cached_njit()
def _coordinates(position, inverse, periodic, out):
    """Write fractional coordinates in [0, 1), or distances from the lowest corner."""
    n = position.shape[0]
    for k in range(3):
        if periodic:
            for a in range(n):
                s = 0.0
                for m in range(3):
                    s += np.float64(position[a, m]) * inverse[m, k]
                s -= math.floor(s)
                out[k, a] = s if s < 1.0 else 0.0
        else:
            low = np.inf
            for a in range(n):
                low = min(low, np.float64(position[a, k]))
            for a in range(n):
                out[k, a] = np.float64(position[a, k]) - low


@cached_njit()
def _difference(coordinate, i, j, lattice, periodic):
    """Return ``r_j - r_i`` of two atoms under the minimum image."""
    a = coordinate[0, j] - coordinate[0, i]
    b = coordinate[1, j] - coordinate[1, i]
    c = coordinate[2, j] - coordinate[2, i]
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
def _brute(coordinate, lattice, periodic, cutoff, first, at, row_ptr, sender, vector):
    n = coordinate.shape[1]
    limit = cutoff * cutoff
    square = np.empty(n)
    for i in range(n):
        row_ptr[first + i] = at
        for j in range(i + 1, n):
            x, y, z = _difference(coordinate, i, j, lattice, periodic)
            square[j] = x * x + y * y + z * z
        for j in range(i + 1, n):
            if square[j] < limit:
                if at < sender.shape[0]:
                    x, y, z = _difference(coordinate, i, j, lattice, periodic)
                    sender[at] = first + j
                    vector[at, 0], vector[at, 1], vector[at, 2] = x, y, z
                at += 1
    return at


@cached_njit()
def _cell_numbers(extent, n_atoms, cutoff):
    """Return the number of cells along each axis; a cell is a cutoff high or more."""
    # A scattered system must not ask for many more cells than it has atoms.
    most = 1.0 + 2.0 * n_atoms ** (1.0 / 3.0)
    numbers = np.ones(3, np.int64)
    for k in range(3):
        numbers[k] = max(1, int(min(extent[k] / cutoff, most)))
    return numbers


@cached_njit()
def _sort_into_cells(coordinate, span, numbers):
    """Return the cell of each atom (n, 3), and the atoms of each cell in CSR form."""
    n = coordinate.shape[1]
    cell = np.empty((n, 3), np.int64)
    head = np.zeros(numbers[0] * numbers[1] * numbers[2] + 1, np.int64)
    flat = np.empty(n, np.int64)
    for a in range(n):
        for k in range(3):
            share = coordinate[k, a] / span[k] if span[k] > 0.0 else 0.0
            cell[a, k] = min(int(share * numbers[k]), numbers[k] - 1)
        flat[a] = (cell[a, 0] * numbers[1] + cell[a, 1]) * numbers[2] + cell[a, 2]
        head[flat[a] + 1] += 1
    for c in range(head.shape[0] - 1):
        head[c + 1] += head[c]
    place = head[:-1].copy()
    order = np.empty(n, np.int64)
    for a in range(n):
        order[place[flat[a]]] = a
        place[flat[a]] += 1
    return cell, head, order


@cached_njit()
def _cells(
    coordinate, lattice, inverse, periodic, cutoff, first, at, row_ptr, sender, vector
):
    n = coordinate.shape[1]
    limit = cutoff * cutoff
    span = np.ones(3)
    extent = np.empty(3)
    for k in range(3):
        if periodic:
            normal = inverse[0, k] ** 2 + inverse[1, k] ** 2 + inverse[2, k] ** 2
            extent[k] = 1.0 / math.sqrt(normal)
        else:
            span[k] = extent[k] = coordinate[k].max()
    numbers = _cell_numbers(extent, n, cutoff)
    cell, head, order = _sort_into_cells(coordinate, span, numbers)
    low = np.empty(3, np.int64)
    high = np.empty(3, np.int64)
    for i in range(n):
        row_ptr[first + i] = start = at
        for k in range(3):
            low[k], high[k] = cell[i, k] - 1, cell[i, k] + 2
            if not periodic:
                low[k], high[k] = max(low[k], 0), min(high[k], numbers[k])
            elif numbers[k] < 3:
                # The cells to the left and to the right are the same one.
                low[k], high[k] = 0, numbers[k]
        for cx in range(low[0], high[0]):
            for cy in range(low[1], high[1]):
                for cz in range(low[2], high[2]):
                    c = (cx % numbers[0]) * numbers[1] + cy % numbers[1]
                    c = c * numbers[2] + cz % numbers[2]
                    for slot in range(head[c], head[c + 1]):
                        j = order[slot]
                        if j <= i:
                            continue
                        x, y, z = _difference(coordinate, i, j, lattice, periodic)
                        if x * x + y * y + z * z < limit:
                            if at < sender.shape[0]:
                                sender[at] = first + j
                                vector[at, 0], vector[at, 1] = x, y
                                vector[at, 2] = z
                            at += 1
        _sort_row(start, min(at, sender.shape[0]), sender, vector)
    return at


@cached_njit()
def _sort_row(start, stop, sender, vector):
    """Sort the pairs of one atom by the other (insertion: they are few)."""
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
def search_half(
    position,
    ptr,
    lattice,
    inverse,
    periodic,
    cutoff,
    brute_force_atoms,
    begin,
    end,
    row_ptr,
    sender,
    vector,
):
    """Find the pairs of graphs ``begin`` to ``end``, each once.

    Parameters
    ----------
    position : (M, 3) ndarray of float, Å
    ptr : (G + 1,) ndarray of int64
        Atoms of graph ``g`` are ``ptr[g]:ptr[g + 1]``.
    lattice, inverse : (G, 3, 3) ndarray of float64
    periodic : (G,) ndarray of bool
    cutoff : float, Å
    brute_force_atoms : int
        Graphs with fewer atoms test all pairs.
    begin, end : int
    row_ptr : (n_atoms + 1,) ndarray of int64
        Written: the pairs of atom ``i`` of these graphs, counted from
        ``ptr[begin]``, with atoms of higher number are ``row_ptr[i]:row_ptr[i+1]``.
    sender : (capacity,) ndarray of int
        Written: the other atom, counted from ``ptr[begin]``; ascending in a row.
    vector : (capacity, 3) ndarray of float64
        Written: from the lower to the higher number, Å.

    Returns
    -------
    int
        The number of pairs. If it is above the capacity, call again with more.
    """
    at = 0
    offset = ptr[begin]
    for g in range(begin, end):
        first, last = ptr[g], ptr[g + 1]
        if last == first:
            continue
        coordinate = np.empty((3, last - first))
        _coordinates(position[first:last], inverse[g], periodic[g], coordinate)
        if last - first < brute_force_atoms:
            at = _brute(
                coordinate,
                lattice[g],
                periodic[g],
                cutoff,
                first - offset,
                at,
                row_ptr,
                sender,
                vector,
            )
        else:
            at = _cells(
                coordinate,
                lattice[g],
                inverse[g],
                periodic[g],
                cutoff,
                first - offset,
                at,
                row_ptr,
                sender,
                vector,
            )
    row_ptr[ptr[end] - offset] = at
    return at


@cached_njit()
def _count(half_ptr, half_sender, counts):
    for i in range(half_ptr.shape[0] - 1):
        counts[i] += half_ptr[i + 1] - half_ptr[i]
        for at in range(half_ptr[i], half_ptr[i + 1]):
            counts[half_sender[at]] += 1


@cached_njit()
def _expand(half_ptr, half_sender, half_vector, first, cursor, sender, vector):
    """Write both directions; going up in i, every row comes out sorted."""
    for i in range(half_ptr.shape[0] - 1):
        for at in range(half_ptr[i], half_ptr[i + 1]):
            j = half_sender[at]
            x, y, z = half_vector[at, 0], half_vector[at, 1], half_vector[at, 2]
            to = cursor[i]
            sender[to] = first + j
            vector[to, 0], vector[to, 1], vector[to, 2] = x, y, z
            cursor[i] += 1
            to = cursor[j]
            sender[to] = first + i
            vector[to, 0], vector[to, 1], vector[to, 2] = -x, -y, -z
            cursor[j] += 1


def inverse_lattices(lattice: np.ndarray, periodic: np.ndarray) -> np.ndarray:
    """Return inverses of the lattices (G, 3, 3) that are periodic, else zeros."""
    inverse = np.zeros_like(lattice)
    if periodic.any():
        inverse[periodic] = np.linalg.inv(lattice[periodic])
    return inverse


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
    position : (M, 3) ndarray of float, Å
    ptr : (G + 1,) ndarray of int64
        Atoms of graph ``g`` are ``ptr[g]:ptr[g + 1]``.
    lattice : (G, 3, 3) ndarray of float64, Å
        Lower triangular; read only where `periodic`.
    periodic : (G,) ndarray of bool
    cutoff : float, Å
    brute_force_atoms : int, optional
        Graphs with fewer atoms test all pairs.

    Returns
    -------
    row_ptr : (M + 1,) ndarray of int64
    sender : (E,) ndarray of int64
    vector : (E, 3) ndarray of float64, Å
    """
    n_graphs = len(ptr) - 1
    inverse = inverse_lattices(lattice, periodic)
    sizes = np.diff(ptr).astype(float)
    work = float(np.minimum(sizes**2 / 2, sizes * 1000.0).sum())
    threads = min(n_threads(), 1 + int(work // WORK_PER_THREAD), max(n_graphs, 1))
    bounds = np.linspace(0, n_graphs, threads + 1).astype(np.int64)
    halves: dict[int, tuple[np.ndarray, np.ndarray, np.ndarray]] = {}
    counts = np.zeros(len(position), np.int64)

    def find(begin: int, end: int) -> None:
        atoms = slice(ptr[begin], ptr[end])
        half_ptr = np.zeros(ptr[end] - ptr[begin] + 1, np.int64)
        mine = sizes[begin:end]
        capacity = int(np.minimum(mine * (mine - 1) / 2, mine * 40.0).sum())
        while True:
            sender = np.empty(capacity, np.int64)
            vector = np.empty((capacity, 3))
            found = search_half(
                position,
                ptr,
                lattice,
                inverse,
                periodic,
                cutoff,
                brute_force_atoms,
                begin,
                end,
                half_ptr,
                sender,
                vector,
            )
            if found <= capacity:
                break
            capacity = found
        _count(half_ptr, sender, counts[atoms])
        halves[begin] = half_ptr, sender, vector

    spans = list(pairwise(bounds))
    run_threads(find, spans, threads)
    row_ptr = np.zeros(len(position) + 1, np.int64)
    np.cumsum(counts, out=row_ptr[1:])
    sender = np.empty(row_ptr[-1], np.int64)
    vector = np.empty((row_ptr[-1], 3))
    cursor = row_ptr[:-1].copy()
    run_threads(
        _expand,
        [
            (*halves[begin], ptr[begin], cursor[ptr[begin] : ptr[end]], sender, vector)
            for begin, end in spans
        ],
        threads,
    )
    return row_ptr, sender, vector
