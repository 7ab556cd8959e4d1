"""The fast engine for processors: fused kernels for every architecture.

Filters are read from tables instead of computed per pair, each pair is handled once
for both directions, and a few frames at a time pass through all layers in the cache.
Threads share out the frames; each writes its own rows of the result.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike

from mdgeomfeat.boxes import check_boxes
from mdgeomfeat.errors import InputError, sentence
from mdgeomfeat.gnn.base import Backbone
from mdgeomfeat.gnn.engine.base import Engine
from mdgeomfeat.gnn.engine.cpu.et_program import ETProgram
from mdgeomfeat.gnn.engine.cpu.kernels import Graph
from mdgeomfeat.gnn.engine.cpu.program import Program
from mdgeomfeat.gnn.engine.cpu.simd import register_floats
from mdgeomfeat.gnn.engine.cpu.tensornet_program import TensorNetProgram
from mdgeomfeat.gnn.engine.cpu.visnet_program import ViSNetProgram
from mdgeomfeat.gnn.engine.cpu.workspace import Workspace
from mdgeomfeat.gnn.engine.edges import frame_edges
from mdgeomfeat.gnn.engine.frames import Frames, prepare_frames
from mdgeomfeat.gnn.et import ET
from mdgeomfeat.gnn.tensornet import TensorNet
from mdgeomfeat.gnn.visnet import ViSNet
from mdgeomfeat.jit import n_threads, run_threads, when_compiling
from mdgeomfeat.neighbors.windows import WindowsLike, own_copies

__all__ = ["CpuEngine", "can_run"]

LOG = logging.getLogger("mdgeomfeat")
# Nodes that pass through the layers together: their rows should stay in the cache.
NODES_AT_ONCE = 256
REGISTERS = {16: "AVX-512", 8: "AVX", 4: "SSE"}
PROGRAMS: dict[type[Backbone], Callable[[Any, int, bool], Program]] = {
    ET: ETProgram,
    TensorNet: TensorNetProgram,
    ViSNet: ViSNetProgram,
}


def can_run(model: Backbone, device: torch.device, dtype: torch.dtype) -> str | None:
    """Return why the fast engine cannot run a network, or None if it can.

    Parameters
    ----------
    model : Backbone
    device : torch.device
    dtype : torch.dtype
    """
    if type(model) not in PROGRAMS:
        return f"the fast CPU engine does not support {type(model).__name__}"
    if device.type != "cpu":
        return f"the fast CPU engine does not run on {device}"
    if dtype != torch.float32:
        return "the fast CPU engine computes in float32"
    return None


class CpuEngine(Engine):
    """Runs a network on the processor, in float32.

    Parameters
    ----------
    model : Backbone
        Of an architecture in `PROGRAMS`.
    max_neighbors : int or None
    reason : str
        Why this engine was picked.
    notify : callable, optional
        Is told, in a sentence, when kernels are being compiled. By default the
        ``mdgeomfeat`` logger is.

    Raises
    ------
    InputError
        If the network's architecture is not known.
    """

    name = "cpu"

    def __init__(
        self,
        model: Backbone,
        max_neighbors: int | None = None,
        reason: str = "asked for",
        notify: Callable[[str], object] | None = None,
    ) -> None:
        super().__init__(
            model, torch.device("cpu"), torch.float32, max_neighbors, reason
        )
        obstacle = can_run(model, self.device, self.dtype)
        if obstacle is not None:
            raise InputError(sentence(f"{obstacle}; use engine='torch'"))
        self._register = register_floats()
        self._program = PROGRAMS[type(model)](
            model, self._register, max_neighbors is not None
        )
        self._compile(notify or LOG.info)

    def _compile(self, notify: Callable[[str], object]) -> None:
        """Load the kernels from the disk, or compile them and say so."""
        text = (
            "Compiling the CPU kernels for this processor (once; about half a minute)"
        )
        with when_compiling(lambda: notify(text)):
            self.compute([0, 0], [[[0.0, 0.0, 0.0], [0.0, 0.0, 1.0]]])

    def describe(self) -> dict[str, str]:
        """Return what runs where, in words, for ``info`` and provenance."""
        return super().describe() | {
            "instructions": REGISTERS[self._register],
            "threads": str(n_threads()),
        }

    def _compute(
        self,
        numbers: np.ndarray,
        positions: np.ndarray,
        boxes: ArrayLike | None,
        windows: WindowsLike | None,
    ) -> tuple[np.ndarray, np.ndarray]:
        F, A, _ = positions.shape
        C = self.n_channels
        scalars = np.empty((F * A, C), np.float32)
        vectors = np.empty((F * A, 3, C), np.float32)
        frames = prepare_frames(numbers, positions, boxes, self.cutoff)
        nodes = A
        own = None
        if windows is not None:
            own = own_copies(windows, 1, A).numpy()
            nodes = len(windows.atoms)
        step = max(1, NODES_AT_ONCE // max(nodes, 1))
        chunks = iter([(at, min(at + step, F)) for at in range(0, F, step)])
        groups = [] if windows is None else _window_groups(windows)
        jobs = range(min(n_threads(), -(-F // step)))

        def work(_: int) -> None:
            space = Workspace(self._program, self.cutoff)
            # Threads draw from one iterator, so none waits while there is work.
            for begin, end in chunks:
                if self.max_neighbors is not None:
                    graph = self._directed(
                        space, frames, boxes, windows, own, begin, end
                    )
                    space.run(graph, scalars, vectors)
                elif windows is None:
                    graph = space.whole_graph(frames, begin, end)
                    space.run(graph, scalars, vectors)
                else:
                    for graph in space.window_graphs(
                        frames, windows, groups, begin, end
                    ):
                        space.run(graph, scalars, vectors)

        run_threads(work, [(job,) for job in jobs], len(jobs))
        return scalars.reshape(F, A, C), vectors.reshape(F, A, 3, C)

    def _directed(
        self,
        space: Workspace,
        frames: Frames,
        boxes: ArrayLike | None,
        windows: WindowsLike | None,
        own: np.ndarray | None,
        begin: int,
        end: int,
    ) -> Graph:
        """Return the graph of frames whose atoms see only their nearest neighbours."""
        n_frames, A = end - begin, len(frames.numbers)
        checked = None
        if boxes is not None:
            checked = check_boxes(boxes, len(frames.positions))[begin:end]
        edges, copies = frame_edges(
            frames.positions[begin:end],
            self.cutoff,
            checked,
            windows=windows,
            max_neighbors=self.max_neighbors,
            dtype=torch.float64,
        )
        tiled = np.tile(frames.numbers, n_frames)
        atoms = np.arange(begin * A, end * A)
        if copies is None or own is None:
            return space.directed_graph(tiled, edges, atoms)
        target = np.full(len(copies), -1, np.int64)
        size = len(copies) // n_frames
        target[(np.arange(n_frames)[:, None] * size + own).reshape(-1)] = atoms
        return space.directed_graph(tiled[copies.numpy()], edges, target)


def _window_groups(windows: WindowsLike) -> list[tuple[int, int]]:
    """Cut the windows of a frame into groups that fit the cache together."""
    ptr = np.asarray(windows.ptr)
    groups, first = [], 0
    for last in range(1, len(ptr)):
        if last + 1 == len(ptr) or ptr[last + 1] - ptr[first] > NODES_AT_ONCE:
            groups.append((first, last))
            first = last
    return groups
