"""Features of one frame and the gradients of positions behind them, compiled."""

from __future__ import annotations

import copy
import hashlib
import logging
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from mdgeomfeat.errors import InputError
from mdgeomfeat.gnn.base import Backbone
from mdgeomfeat.gnn.engine.cpu.et_gradient_kernels import (
    Kept,
    Scratch,
    Transposed,
    gradient_kernels,
)
from mdgeomfeat.gnn.engine.cpu.et_program import TOLERANCE, et_weights
from mdgeomfeat.gnn.engine.cpu.kernels import BLOCK, ROWS, Graph
from mdgeomfeat.gnn.engine.cpu.layout import Layout, aligned, flat, plan_layout
from mdgeomfeat.gnn.engine.cpu.pairs import pair_gradients, pair_records
from mdgeomfeat.gnn.engine.cpu.simd import register_floats
from mdgeomfeat.gnn.engine.filters import FilterTable, filter_table
from mdgeomfeat.gnn.engine.frames import prepare_frames
from mdgeomfeat.gnn.et import ET
from mdgeomfeat.jit import when_compiling
from mdgeomfeat.neighbors._numba import BRUTE_FORCE_ATOMS, search_half

__all__ = ["GradientEngine", "cannot_differentiate"]

LOG = logging.getLogger("mdgeomfeat")


def cannot_differentiate(model: Backbone) -> str | None:
    """Return why a network has no compiled gradients, or None if it has."""
    if isinstance(model, ET):
        return None
    return f"compiled gradients exist for et only, not for {model.spec.architecture}"


class GradientEngine:
    """Computes features of a frame, then gradients of what is made of them.

    Parameters
    ----------
    model : ET
    numbers : (A,) integer array
        Atomic numbers.
    notify : callable, optional
        Is told, in a sentence, when kernels are being compiled. By default the
        ``mdgeomfeat`` logger is.

    Raises
    ------
    InputError
        If the network's architecture has no compiled gradients.
    """

    def __init__(
        self,
        model: Backbone,
        numbers: ArrayLike,
        notify: Callable[[str], object] | None = None,
    ) -> None:
        obstacle = cannot_differentiate(model)
        if obstacle is not None or not isinstance(model, ET):
            raise InputError(f"{obstacle}; use engine='torch'.")
        spec = model.spec
        self._cutoff = spec.cutoff
        layout = plan_layout(spec.n_channels, spec.n_heads, register_floats())
        exact = copy.deepcopy(model).to(device="cpu", dtype=torch.float64).eval()
        table = _tables(_Weights(exact))
        values, slopes = np.split(table.rows, 2)
        self._intervals = table.intervals
        self._weights = et_weights(
            exact, FilterTable(values, np.split(table.at_zero, 2)[0]), layout
        )
        self._back = _transposed(exact, slopes, layout)
        self._numbers = np.asarray(numbers, np.int64)
        C = layout.n_channels
        self._zeros = aligned(3 * C)
        self._shape: tuple[Any, ...] = (
            spec.n_layers,
            C,
            spec.self_edges,
            np.float32(model.output_norm.eps),
        )
        self._forward, self._backward = gradient_kernels(
            layout.width, layout.n_heads, layout.columns
        )
        n = len(self._numbers)
        self._kept, self._work = _memory(n + ROWS, spec.n_layers, C)
        self._row_ptr = np.zeros(n + 1, np.int64)
        self._target = np.arange(n)
        self._features = (
            np.empty((n, spec.n_channels), np.float32),
            np.empty((n, 3, spec.n_channels), np.float32),
        )
        self._reserve(0)
        self._graph: Graph | None = None
        self._compile(notify or LOG.info)

    def _compile(self, notify: Callable[[str], object]) -> None:
        """Load the kernels from the disk, or compile them and say so."""
        text = "Compiling the CPU kernels of gradients for this processor (once)"
        with when_compiling(lambda: notify(text)):
            rows = np.arange(len(self._numbers), dtype=np.float64)
            scalars, vectors = self.features(np.outer(rows, [1.0, 0.5, 0.0]))
            self.gradient(scalars, vectors)
        self._graph = None

    def _reserve(self, capacity: int) -> None:
        """Make room for pairs."""
        self._sender = np.empty(capacity, np.int64)
        self._vector = np.empty((capacity, 3))
        self._records = (
            np.empty(capacity, np.int64),
            np.empty(4 * capacity, np.float32),
            np.empty(3 * capacity, np.float32),
        )
        self._work = self._work._replace(
            distance=np.zeros(capacity, np.float32),
            direction=np.zeros(3 * capacity, np.float32),
        )

    def features(
        self, positions: NDArray[np.floating], box: ArrayLike | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Compute the features of one frame.

        Parameters
        ----------
        positions : (A, 3) array, Å
            Finite numbers.
        box : (6,) array, optional

        Returns
        -------
        scalars : (A, C) ndarray
        vectors : (A, 3, C) ndarray
            Overwritten by the next call.

        Raises
        ------
        InputError
            If the box is malformed or too small for the cutoff.
        """
        found = self._search(positions, box)
        pair_records(self._vector, found, self._cutoff, self._intervals, *self._records)
        interval, spline, direction = self._records
        self._graph = Graph(
            numbers=self._numbers,
            row_ptr=self._row_ptr,
            sender=self._sender,
            interval=interval,
            spline=spline,
            direction=direction,
            target=self._target,
        )
        self._forward(
            self._graph,
            self._weights,
            self._kept,
            self._zeros,
            *self._shape,
            *self._features,
        )
        return self._features

    def gradient(
        self, by_scalars: NDArray[np.float32], by_vectors: NDArray[np.float32]
    ) -> NDArray[np.float64]:
        """Return the gradient of a number by the positions of the last frame.

        Parameters
        ----------
        by_scalars : (A, C) float32 array
            Its gradient by the scalars of :meth:`features`.
        by_vectors : (A, 3, C) float32 array
            By the vectors.

        Returns
        -------
        (A, 3) ndarray

        Raises
        ------
        InputError
            Before the first call of :meth:`features`.
        """
        if self._graph is None:
            raise InputError("There are no features yet; call features() first.")
        self._backward(
            self._graph,
            self._weights,
            self._back,
            self._kept,
            self._work,
            self._zeros,
            *self._shape,
            by_scalars,
            by_vectors,
        )
        out = np.zeros((len(self._numbers), 3))
        pair_gradients(
            self._row_ptr,
            self._sender,
            self._vector,
            self._work.distance,
            self._work.direction,
            out,
        )
        return out

    def _search(self, positions: NDArray[np.floating], box: ArrayLike | None) -> int:
        """Find the pairs of a frame and return their number."""
        r = np.ascontiguousarray(positions, np.float64)
        boxes = None if box is None else np.asarray(box, np.float64)[None]
        frames = prepare_frames(self._numbers, r[None], boxes, self._cutoff)
        while True:
            found = search_half(
                r,
                np.array([0, len(r)]),
                frames.lattice,
                frames.inverse,
                frames.periodic,
                self._cutoff,
                BRUTE_FORCE_ATOMS,
                0,
                1,
                self._row_ptr,
                self._sender,
                self._vector,
            )
            if found <= len(self._sender):
                return int(found)
            self._reserve(found + found // 8)


class _Weights:
    """A network that equals others of the same shape and weights."""

    def __init__(self, exact: ET) -> None:
        self.exact = exact
        digest = hashlib.sha256(repr(exact.spec).encode())
        for tensor in exact.state_dict().values():
            digest.update(tensor.numpy().tobytes())
        self._digest = digest.digest()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Weights) and self._digest == other._digest

    def __hash__(self) -> int:
        return hash(self._digest)


@lru_cache(maxsize=2)
def _tables(weights: _Weights) -> FilterTable:
    """Tabulate the filters of every layer, and after them their slopes.

    Slopes have a table of their own: what rounding does to neighbouring coefficients
    of float32 would grow by the number of intervals in a slope made of them. The last
    tables are kept: they take a second, and the variables of many models share one
    network.
    """
    exact = weights.exact

    def both(distance: torch.Tensor) -> torch.Tensor:
        ones = torch.ones_like(distance)
        return torch.cat(torch.func.jvp(exact.radial_filters, (distance,), (ones,)))

    return filter_table(both, exact.spec.cutoff, TOLERANCE)


def _transposed(exact: ET, slopes: np.ndarray, layout: Layout) -> Transposed:
    """Return the matrices of the backward pass in the order of the kernels."""
    layers: list[Any] = list(exact.layers)

    def turned(name: str) -> np.ndarray:
        return flat([layout.panels(getattr(x, name).weight.T) for x in layers])

    return Transposed(
        node=turned("node_proj"),
        vector=turned("vector_proj"),
        output=turned("output_proj"),
        slopes=flat(layout.pad(slopes, 2)),
    )


def _memory(rows: int, n_layers: int, C: int) -> tuple[Kept, Scratch]:
    """Return memory for a frame."""
    L = n_layers
    kept = Kept(
        scalars=aligned((L + 1) * rows * C),
        vectors=aligned((L + 1) * rows * 3 * C),
        projected=aligned(L * rows * 5 * C),
        output=aligned(L * rows * 3 * C),
        mixed=aligned(L * rows * 9 * C),
        gathered=aligned(rows * C),
        pulled=aligned(rows * 3 * C),
        block=aligned(BLOCK * 3 * C),
    )
    work = Scratch(
        scalars=aligned(rows * C),
        vectors=aligned(rows * 3 * C),
        pulled=aligned(rows * 3 * C),
        gathered=aligned(rows * C),
        projected=aligned(rows * 5 * C),
        output=aligned(BLOCK * 3 * C),
        mixed=aligned(BLOCK * 3 * C),
        block=aligned(BLOCK * C),
        distance=aligned(0),
        direction=aligned(0),
    )
    return kept, work
