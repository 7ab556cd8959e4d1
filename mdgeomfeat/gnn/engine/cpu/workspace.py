"""Turning a few frames into one graph, in memory that a thread keeps."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from mdgeomfeat.gnn.engine.cpu.kernels import Graph
from mdgeomfeat.gnn.engine.cpu.pairs import pair_records, window_pairs
from mdgeomfeat.gnn.engine.cpu.program import Program
from mdgeomfeat.gnn.engine.frames import Frames
from mdgeomfeat.neighbors import EdgeList
from mdgeomfeat.neighbors._numba import BRUTE_FORCE_ATOMS, search_half
from mdgeomfeat.neighbors.windows import WindowsLike

__all__ = ["Workspace"]


class _Pairs:
    """Arrays with an entry per pair, which grow as needed."""

    def __init__(self) -> None:
        self.reserve(0)

    def reserve(self, capacity: int) -> None:
        """Make room for pairs; what was there is lost."""
        self.sender = np.empty(capacity, np.int64)
        self.vector = np.empty((capacity, 3))
        self.interval = np.empty(capacity, np.int64)
        self.spline = np.empty(4 * capacity, np.float32)
        self.direction = np.empty(3 * capacity, np.float32)

    @property
    def records(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return self.interval, self.spline, self.direction


class Workspace:
    """Memory of one thread, and the graphs it makes of frames.

    Parameters
    ----------
    program : Program
    cutoff : float, Å
    """

    def __init__(self, program: Program, cutoff: float) -> None:
        self._program = program
        self._cutoff = cutoff
        self._intervals = program.intervals
        self._pairs, self._copied = _Pairs(), _Pairs()
        self._memory: Any = None
        self._size = (-1, -1)

    def run(self, graph: Graph, scalars: np.ndarray, vectors: np.ndarray) -> None:
        """Write the features of a graph to their rows of the results."""
        size = (len(graph.numbers), int(graph.row_ptr[-1]))
        if size[0] > self._size[0] or size[1] > self._size[1]:
            n_nodes, n_pairs = (
                max(pair) for pair in zip(size, self._size, strict=True)
            )
            self._size = (n_nodes, n_pairs + n_pairs // 8)
            self._memory = self._program.memory(*self._size)
        self._program.run(graph, self._memory, scalars, vectors)

    def whole_graph(self, frames: Frames, begin: int, end: int) -> Graph:
        """Return the graph of whole frames ``begin`` to ``end``."""
        n_frames, n_atoms = end - begin, len(frames.numbers)
        row_ptr = self._search(frames, begin, end)
        pairs = self._pairs
        return Graph(
            numbers=np.tile(frames.numbers, n_frames),
            row_ptr=row_ptr,
            sender=pairs.sender,
            interval=pairs.interval,
            spline=pairs.spline,
            direction=pairs.direction,
            target=np.arange(begin * n_atoms, end * n_atoms),
        )

    def window_graphs(
        self,
        frames: Frames,
        windows: WindowsLike,
        groups: list[tuple[int, int]],
        begin: int,
        end: int,
    ) -> Iterator[Graph]:
        """Yield a graph per group of windows of frames ``begin`` to ``end``."""
        n_frames, n_atoms = end - begin, len(frames.numbers)
        half_ptr = self._search(frames, begin, end)
        ptr = np.asarray(windows.ptr, np.int64)
        atoms = np.asarray(windows.atoms, np.int64)
        pooled = np.asarray(windows.pooled, bool)
        for first, last in groups:
            n_copies = int(ptr[last] - ptr[first])
            row_ptr = np.empty(n_frames * n_copies + 1, np.int64)
            target = np.empty(n_frames * n_copies, np.int64)
            while True:
                copied = self._copied
                found = window_pairs(
                    n_frames,
                    n_atoms,
                    ptr,
                    atoms,
                    pooled,
                    first,
                    last,
                    half_ptr,
                    self._pairs.sender,
                    self._pairs.records,
                    row_ptr,
                    copied.sender,
                    copied.records,
                    target,
                )
                if found <= len(copied.sender):
                    break
                copied.reserve(found + found // 8)
            target[target >= 0] += begin * n_atoms
            yield Graph(
                numbers=np.tile(
                    frames.numbers[atoms[ptr[first] : ptr[last]]], n_frames
                ),
                row_ptr=row_ptr,
                sender=copied.sender,
                interval=copied.interval,
                spline=copied.spline,
                direction=copied.direction,
                target=target,
            )

    def directed_graph(
        self, numbers: np.ndarray, edges: EdgeList, target: np.ndarray
    ) -> Graph:
        """Return a graph of edges that need not have a reverse."""
        vector = edges.vector.numpy()
        if len(self._pairs.sender) < len(vector):
            self._pairs.reserve(len(vector) + len(vector) // 8)
        pairs = self._pairs
        pair_records(vector, len(vector), self._cutoff, self._intervals, *pairs.records)
        return Graph(
            numbers=numbers,
            row_ptr=edges.row_ptr.numpy(),
            sender=edges.sender.numpy(),
            interval=pairs.interval,
            spline=pairs.spline,
            direction=pairs.direction,
            target=target,
        )

    def _search(self, frames: Frames, begin: int, end: int) -> np.ndarray:
        """Fill the pairs of some frames and return their row pointer."""
        n_frames, n_atoms = end - begin, len(frames.numbers)
        position = np.ascontiguousarray(
            frames.positions[begin:end].reshape(-1, 3), dtype=np.float64
        )
        row_ptr = np.zeros(n_frames * n_atoms + 1, np.int64)
        while True:
            pairs = self._pairs
            found = search_half(
                position,
                np.arange(n_frames + 1) * n_atoms,
                frames.lattice[begin:end],
                frames.inverse[begin:end],
                frames.periodic[begin:end],
                self._cutoff,
                BRUTE_FORCE_ATOMS,
                0,
                n_frames,
                row_ptr,
                pairs.sender,
                pairs.vector,
            )
            if found <= len(pairs.sender):
                break
            pairs.reserve(found + found // 8)
        pair_records(pairs.vector, found, self._cutoff, self._intervals, *pairs.records)
        return row_ptr
