"""The fast engine for CUDA devices: fused Triton kernels for ET and TensorNet.

Only coordinates travel to the device and only features come back; pairs are found
there. Batches of frames take turns on two streams, so that the copies of one run while
the other computes. Small systems need no CUDA graph of their own: many frames make one
batch, whose number of launches does not depend on the number of atoms or frames, while
a captured graph would hold one number of pairs.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import ArrayLike

from mdgeomfeat.errors import InputError, sentence
from mdgeomfeat.gnn.base import Backbone
from mdgeomfeat.gnn.engine.base import Engine
from mdgeomfeat.gnn.engine.frames import Frames, prepare_frames
from mdgeomfeat.gnn.engine.torch import TorchEngine
from mdgeomfeat.gnn.et import ET
from mdgeomfeat.gnn.tensornet import TensorNet
from mdgeomfeat.neighbors import EdgeList
from mdgeomfeat.neighbors.nearest import keep_nearest
from mdgeomfeat.neighbors.windows import WindowsLike, own_copies

if TYPE_CHECKING:
    from mdgeomfeat.gnn.engine.cuda.kernels import DeviceProgram

__all__ = ["CudaEngine", "can_run"]

# Nodes of a batch. At 64 channels they take about 7 KB each, and as much again for a
# hundred neighbours. Not tuned: no device has been measured.
NODES_AT_ONCE = 8192
# Batches in flight.
LANES = 2
ARCHITECTURES = (ET, TensorNet)
# The lowest that the kernels have been compiled for.
CAPABILITY = (8, 0)
# The contract's limit, which a device's arithmetic must keep.
LIMIT = 1e-5


def can_run(model: Backbone, device: torch.device, dtype: torch.dtype) -> str | None:
    """Return why the CUDA engine cannot run a network, or None if it can.

    Parameters
    ----------
    model : Backbone
    device : torch.device
    dtype : torch.dtype
    """
    if type(model) not in ARCHITECTURES:
        return f"the engine 'cuda' does not support {type(model).__name__}"
    if dtype != torch.float32:
        return "the engine 'cuda' computes in float32"
    if device.type != "cuda" and not (device.type == "cpu" and _interpreted()):
        return f"the engine 'cuda' needs a CUDA device and does not run on {device}"
    if find_spec("triton") is None:
        return "the engine 'cuda' needs Triton (pip install 'mdgeomfeat[cuda]')"
    if device.type == "cuda":
        found = torch.cuda.get_device_capability(device)
        if found < CAPABILITY:
            return (
                f"the engine 'cuda' needs a device of compute capability "
                f"{CAPABILITY[0]}.{CAPABILITY[1]}, and {device} has "
                f"{found[0]}.{found[1]}"
            )
    return None


def _interpreted() -> bool:
    """Return whether Triton's interpreter runs the kernels, on the processor."""
    return os.environ.get("TRITON_INTERPRET") == "1"


@dataclass(frozen=True, eq=False)
class _Nodes:
    """What the nodes of each frame are.

    Attributes
    ----------
    numbers : (K,) Tensor of int64
    atoms : (K,) Tensor of int64 or None
        Which atom of the frame each node is; None if they are the same.
    first, last : (K,) Tensor of int64
        The graph of a node holds the nodes ``first[k]`` to ``last[k]``.
    own : (A,) Tensor of int64 or None
        The node that has the features of each atom; None if they are the same.
    """

    numbers: torch.Tensor
    atoms: torch.Tensor | None
    first: torch.Tensor
    last: torch.Tensor
    own: torch.Tensor | None


class CudaEngine(Engine):
    """Runs a network on a CUDA device, in float32 throughout, never TF32.

    Running out of memory raises ``torch.cuda.OutOfMemoryError``.

    Parameters
    ----------
    model : Backbone
        Of an architecture in `ARCHITECTURES`.
    device : torch.device
        A CUDA device; the CPU only where Triton's interpreter runs the kernels
        (``TRITON_INTERPRET=1``), which is for tests.
    max_neighbors : int or None
    reason : str
        Why this engine was picked.

    Raises
    ------
    InputError
        If the engine cannot run this network there.
    RuntimeError
        If it can, but the device gives another answer than the network itself.
    """

    name = "cuda"

    def __init__(
        self,
        model: Backbone,
        device: torch.device,
        max_neighbors: int | None = None,
        reason: str = "asked for",
    ) -> None:
        super().__init__(model, device, torch.float32, max_neighbors, reason)
        obstacle = can_run(model, device, self.dtype)
        if obstacle is not None:
            raise InputError(sentence(f"{obstacle}; use engine='torch'"))
        # Triton is imported by those who use its kernels only.
        from mdgeomfeat.gnn.engine.cuda.et import CudaET
        from mdgeomfeat.gnn.engine.cuda.tensornet import CudaTensorNet

        programs: dict[type[Backbone], Callable[[Any, torch.device], DeviceProgram]]
        programs = {ET: CudaET, TensorNet: CudaTensorNet}
        with self._at_device():
            self._program = programs[type(model)](model, device)
        self._lanes = [_Lane(device) for _ in range(LANES)]
        if device.type == "cuda":
            self._prove(model)

    def _at_device(self) -> AbstractContextManager[Any]:
        """Make the device the current one, which is where Triton launches."""
        if self.device.type == "cuda":
            return torch.cuda.device(self.device)
        return nullcontext()

    def _prove(self, model: Backbone) -> None:
        """Compile the kernels, and compare what they compute with the network itself.

        Raises
        ------
        RuntimeError
            If the difference is above the contract's limit.
        """
        rng = np.random.default_rng(0)
        grid = np.stack(np.meshgrid(*map(np.arange, (4, 4, 3))), axis=-1)
        whole = 1.9 * grid.reshape(-1, 3) + rng.normal(0.0, 0.2, (48, 3))
        # Once without a box, once strewn over the images of one.
        size = max(2.5 * self.cutoff, 9.0)
        strewn = whole + size * rng.integers(-1, 2, whole.shape)
        positions = np.stack([whole, strewn])
        boxes = [[0.0] * 6, [size, size, size, 90.0, 90.0, 90.0]]
        numbers = rng.choice(model.spec.elements or range(model.spec.max_z)[:9], 48)
        exact = TorchEngine(
            model, torch.device("cpu"), torch.float64, self.max_neighbors
        ).compute(numbers, positions, boxes)
        for got, expected in zip(
            self.compute(numbers, positions, boxes), exact, strict=True
        ):
            error = np.linalg.norm(got - expected) / np.linalg.norm(expected)
            if not error < LIMIT:
                raise RuntimeError(
                    f"the CUDA kernels differ from the network by {error:.1e} on "
                    f"{self.device}; use engine='torch', and please report this"
                )

    def _compute(
        self,
        numbers: np.ndarray,
        positions: np.ndarray,
        boxes: ArrayLike | None,
        windows: WindowsLike | None,
    ) -> tuple[np.ndarray, np.ndarray]:
        F, A, _ = positions.shape
        C = self.n_channels
        scalars = np.empty((F, A, C), np.float32)
        vectors = np.empty((F, A, 3, C), np.float32)
        frames = prepare_frames(numbers, positions, boxes, self.cutoff)
        if scalars.size == 0:
            return scalars, vectors
        from mdgeomfeat.gnn.engine.cuda.kernels import exact_products

        with self._at_device(), torch.inference_mode(), exact_products():
            nodes = self._nodes(numbers, windows)
            step = max(1, NODES_AT_ONCE // len(nodes.numbers))
            try:
                for turn, start in enumerate(range(0, F, step)):
                    part = slice(start, min(start + step, F))
                    # Collecting first keeps at most one batch per lane in memory.
                    lane = self._lanes[turn % LANES]
                    lane.collect()
                    with lane.stream():
                        s, v = self._run(frames, part, nodes, lane)
                        lane.deliver((s, scalars[part]), (v, vectors[part]))
                for lane in self._lanes:
                    lane.collect()
            finally:
                # After an error, too, nothing may be freed that is still in use.
                for lane in self._lanes:
                    lane.release()
        return scalars, vectors

    def _nodes(self, numbers: np.ndarray, windows: WindowsLike | None) -> _Nodes:
        """Describe the nodes of a frame: its atoms, or their copies in windows."""

        def send(values: ArrayLike) -> torch.Tensor:
            array = np.ascontiguousarray(values, dtype=np.int64)
            return torch.from_numpy(array).to(self.device)

        A = len(numbers)
        if windows is None:
            first, last = np.zeros(A), np.full(A, A)
            return _Nodes(send(numbers), None, send(first), send(last), None)
        ptr, atoms = np.asarray(windows.ptr), np.asarray(windows.atoms)
        sizes = np.diff(ptr)
        return _Nodes(
            numbers=send(numbers[atoms]),
            atoms=send(atoms),
            first=send(np.repeat(ptr[:-1], sizes)),
            last=send(np.repeat(ptr[1:], sizes)),
            own=own_copies(windows, 1, A).to(self.device),
        )

    def _run(
        self, frames: Frames, part: slice, nodes: _Nodes, lane: _Lane
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Compute the features of the atoms of some frames, on the device."""
        from mdgeomfeat.gnn.engine.cuda.pairs import find_pairs, pair_records

        # Coordinates travel as they are; their differences are formed in float64.
        given = frames.positions[part]
        real = torch.float32 if given.dtype == np.float32 else torch.float64
        r = lane.upload(given, real).double()
        if nodes.atoms is not None:
            r = r.index_select(1, nodes.atoms)
        cells = None
        if frames.periodic[part].any():
            cells = (
                lane.upload(frames.lattice[part], torch.float64),
                lane.upload(frames.inverse[part], torch.float64),
            )
        found = find_pairs(r, cells, nodes.first, nodes.last, self.cutoff)
        if self.max_neighbors is not None:
            found = _nearest(*found, self.max_neighbors)
        pairs = pair_records(*found, self.cutoff, self._program.intervals)
        n, K, _ = r.shape
        scalars, vectors = self._program.run(nodes.numbers.repeat(n), pairs)
        scalars, vectors = scalars.unflatten(0, (n, K)), vectors.unflatten(0, (n, K))
        if nodes.own is None:
            return scalars, vectors
        return scalars.index_select(1, nodes.own), vectors.index_select(1, nodes.own)


def _nearest(
    row_ptr: torch.Tensor,
    sender: torch.Tensor,
    vector: torch.Tensor,
    max_neighbors: int,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Keep the nearest senders of each receiver; waits for their number."""
    nodes = torch.arange(len(row_ptr) - 1, device=sender.device)
    receiver = nodes.repeat_interleave(row_ptr.diff(), output_size=len(sender))
    edges = keep_nearest(EdgeList(receiver, sender, vector, row_ptr), max_neighbors)
    return edges.row_ptr, edges.sender, edges.vector


class _Lane:
    """A stream that batches pass through one after the other.

    A batch's upload, computation and download are queued in that order; what other
    lanes do meanwhile may overlap with each. On a processor all is done at once.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None
        self._awaited: list[tuple[torch.Tensor, np.ndarray]] = []

    @contextmanager
    def stream(self) -> Iterator[None]:
        """Queue here what is done on the device, after what the caller has queued."""
        if self._stream is None:
            yield
            return
        self._stream.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(self._stream):
            yield

    def upload(self, values: np.ndarray, dtype: torch.dtype) -> torch.Tensor:
        """Return an array on the device, without waiting for the copy."""
        pinned = self._stream is not None
        host = torch.empty(values.shape, dtype=dtype, pin_memory=pinned)
        host.numpy()[...] = values
        return host.to(self._device, non_blocking=True)

    def deliver(self, *results: tuple[torch.Tensor, np.ndarray]) -> None:
        """Queue the download of tensors, for :meth:`collect` to write to arrays."""
        for tensor, out in results:
            host = tensor
            if self._stream is not None:
                host = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
                host.copy_(tensor, non_blocking=True)
            self._awaited.append((host, out))

    def collect(self) -> None:
        """Wait for the results of the last batch, and write them."""
        awaited = self._awaited
        self.release()
        for host, out in awaited:
            out[...] = host.numpy()

    def release(self) -> None:
        """Wait for what is queued, and forget results that were not collected."""
        self._awaited = []
        if self._stream is not None:
            self._stream.synchronize()
