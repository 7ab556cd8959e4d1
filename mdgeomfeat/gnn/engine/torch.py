"""The reference engine: the network itself, in batches of frames."""

from __future__ import annotations

import copy

import numpy as np
import torch
from numpy.typing import ArrayLike

from mdgeomfeat.boxes import check_boxes, check_cutoff
from mdgeomfeat.errors import InputError
from mdgeomfeat.gnn.base import Backbone
from mdgeomfeat.gnn.engine.base import Engine
from mdgeomfeat.gnn.engine.edges import frame_edges
from mdgeomfeat.neighbors.windows import WindowsLike, own_copies

__all__ = ["TorchEngine"]

# Memory for what hangs on edges at one time, and what an edge takes per channel
# (filters, gathered senders, messages: some eighty numbers of four bytes).
EDGE_BYTES = {"cpu": 400e6, "cuda": 6e9, "mps": 2e9}
BYTES_PER_CHANNEL = 320


class TorchEngine(Engine):
    """Runs a backbone on any device and at any precision, a few frames at a time.

    Parameters
    ----------
    model : Backbone
        A copy of it is kept.
    device : torch.device
    dtype : torch.dtype
    max_neighbors : int or None
    reason : str
        Why this engine was picked.
    """

    name = "torch"

    def __init__(
        self,
        model: Backbone,
        device: torch.device,
        dtype: torch.dtype,
        max_neighbors: int | None = None,
        reason: str = "asked for",
    ) -> None:
        super().__init__(model, device, dtype, max_neighbors, reason)
        if device.type == "mps" and dtype == torch.float64:
            raise InputError(
                "device='mps' has no float64; use dtype='float32' or device='cpu'."
            )
        self._model = copy.deepcopy(model).to(device=device, dtype=dtype).eval()
        width = dtype.itemsize / 4 * BYTES_PER_CHANNEL * model.spec.n_channels
        self._edges_at_once = int(EDGE_BYTES[device.type] / width)

    def _compute(
        self,
        numbers: np.ndarray,
        positions: np.ndarray,
        boxes: ArrayLike | None,
        windows: WindowsLike | None,
    ) -> tuple[np.ndarray, np.ndarray]:
        F, A, _ = positions.shape
        C = self.n_channels
        real = np.float64 if self.dtype == torch.float64 else np.float32
        scalars = np.empty((F, A, C), real)
        vectors = np.empty((F, A, 3, C), real)
        if boxes is not None:
            boxes = check_boxes(boxes, F)
            check_cutoff(boxes, self.cutoff)
        z = torch.from_numpy(numbers).to(self.device)
        start, step = 0, 1
        while start < F:
            part = slice(start, min(start + step, F))
            edges, copies = frame_edges(
                positions[part],
                self.cutoff,
                None if boxes is None else boxes[part],
                windows=windows,
                max_neighbors=self.max_neighbors,
                dtype=self.dtype,
                device=self.device,
            )
            n = part.stop - part.start
            tiled = z.repeat(n)
            with torch.inference_mode():
                s, v = self._model(tiled if copies is None else tiled[copies], edges)
                if windows is not None:
                    kept = own_copies(windows, n, A).to(self.device)
                    s, v = s[kept], v[kept]
                scalars[part] = s.view(n, A, C).cpu().numpy()
                vectors[part] = v.view(n, A, 3, C).cpu().numpy()
            start = part.stop
            # The first frame tells how many of its kind fit; every later batch may
            # only shrink that number, so the cut does not depend on the memory left.
            fitting = max(1, self._edges_at_once * n // max(edges.n_edges, n * A, 1))
            step = fitting if part.start == 0 else min(step, fitting)
        return scalars, vectors
