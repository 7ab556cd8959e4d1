"""The fast engine for processors: fused kernels for the Equivariant Transformer.

Filters are read from tables instead of computed per pair, each pair is handled once
for both directions, and a few frames at a time pass through all layers in the cache.
Threads share out the frames; each writes its own rows of the result.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import ArrayLike

from mdgeomfeat.errors import InputError
from mdgeomfeat.gnn.base import Backbone
from mdgeomfeat.gnn.engine._chunks import Frames, Workspace
from mdgeomfeat.gnn.engine._et_kernels import Graph, network
from mdgeomfeat.gnn.engine._et_weights import aligned, et_weights, plan_layout
from mdgeomfeat.gnn.engine._simd import register_floats
from mdgeomfeat.gnn.engine.base import Engine
from mdgeomfeat.gnn.engine.edges import frame_edges
from mdgeomfeat.gnn.et import ET
from mdgeomfeat.neighbors import check_cutoff, lattice_vectors
from mdgeomfeat.neighbors._jit import n_threads, run_threads
from mdgeomfeat.neighbors._numba import inverse_lattices
from mdgeomfeat.neighbors.boxes import check_boxes
from mdgeomfeat.neighbors.windows import WindowsLike, own_copies

__all__ = ["CpuEngine", "can_run"]

LOG = logging.getLogger("mdgeomfeat")
# Nodes that pass through the layers together: their rows should stay in the cache.
NODES_AT_ONCE = 256
REGISTERS = {16: "AVX-512", 8: "AVX", 4: "SSE"}
# Seconds after which the first run must be compiling rather than loading.
PATIENCE = 1.5


def can_run(model: Backbone, device: torch.device, dtype: torch.dtype) -> str | None:
    """Return why the fast engine cannot run a network, or None if it can."""
    if not isinstance(model, ET):
        return f"the fast CPU engine knows only et, not {model.spec.architecture}"
    if device.type != "cpu":
        return f"the fast CPU engine does not run on {device}"
    if dtype != torch.float32:
        return "the fast CPU engine computes in float32"
    return None


class CpuEngine(Engine):
    """Runs an Equivariant Transformer on the processor, in float32.

    Parameters
    ----------
    model : ET
    max_neighbors : int or None
    reason : str
        Why this engine was picked.
    notify : callable, optional
        Is told, in a sentence, when kernels are being compiled. By default the
        ``mdgeomfeat`` logger is.

    Raises
    ------
    InputError
        If the network is not an ET.
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
        if obstacle is not None or not isinstance(model, ET):
            raise InputError(f"{obstacle}; use engine='torch'")
        spec = model.spec
        register = register_floats()
        self._register = register
        self._layout = plan_layout(spec.n_channels, spec.n_heads, register)
        self._weights, self._intervals = et_weights(model, self._layout)
        self._zeros = aligned(3 * self._layout.n_channels)
        self._n_layers = spec.n_layers
        self._with_self = spec.self_edges
        self._epsilon = np.float32(model.output_norm.eps)
        self._run = network(
            self._layout.width,
            self._layout.n_heads,
            self._layout.columns,
            max_neighbors is not None,
        )
        self._compile(notify or LOG.info)

    def _compile(self, notify: Callable[[str], object]) -> None:
        """Load the kernels from the disk, or compile them and say so."""
        text = (
            "Compiling the CPU kernels for this processor (once; about half a minute)"
        )
        timer = threading.Timer(PATIENCE, notify, [text])
        timer.daemon = True
        timer.start()
        try:
            self.compute([0, 0], [[[0.0, 0.0, 0.0], [0.0, 0.0, 1.0]]])
        finally:
            timer.cancel()

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
        frames = self._frames(numbers, positions, boxes)
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
            space = Workspace(self._layout.n_channels, self.cutoff, self._intervals)
            # Threads draw from one iterator, so none waits while there is work.
            for begin, end in chunks:
                if self.max_neighbors is not None:
                    graph = self._directed(
                        space, frames, boxes, windows, own, begin, end
                    )
                    self._network(space, graph, scalars, vectors)
                elif windows is None:
                    graph = space.whole_graph(frames, begin, end)
                    self._network(space, graph, scalars, vectors)
                else:
                    for graph in space.window_graphs(
                        frames, windows, groups, begin, end
                    ):
                        self._network(space, graph, scalars, vectors)

        run_threads(work, [(job,) for job in jobs], len(jobs))
        return scalars.reshape(F, A, C), vectors.reshape(F, A, 3, C)

    def _network(
        self,
        space: Workspace,
        graph: Graph,
        scalars: np.ndarray,
        vectors: np.ndarray,
    ) -> None:
        self._run(
            graph,
            self._weights,
            space.work(len(graph.numbers)),
            self._zeros,
            self._n_layers,
            self._layout.n_channels,
            self._with_self,
            self._epsilon,
            scalars,
            vectors,
        )

    def _frames(
        self, numbers: np.ndarray, positions: np.ndarray, boxes: ArrayLike | None
    ) -> Frames:
        """Check the boxes, and prepare the boxes for the pair search."""
        F = len(positions)
        periodic = np.zeros(F, bool)
        lattice = np.zeros((F, 3, 3))
        if boxes is not None:
            checked = check_boxes(boxes, F)
            check_cutoff(checked, self.cutoff)
            periodic = (checked[:, :3] != 0).any(axis=1)
            lattice[periodic] = lattice_vectors(checked[periodic])
        inverse = inverse_lattices(lattice, periodic)
        return Frames(numbers, positions, lattice, inverse, periodic)

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
