"""What the kernels of ``engine="cuda"`` have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import triton
import triton.language as tl

__all__ = [
    "BLOCK",
    "FUSED",
    "TOLERANCE",
    "DeviceProgram",
    "Pairs",
    "exact_products",
    "interpolate",
    "silu",
    "spline",
    "tile",
]

# Of the tables of filters. Where few pairs are summed, 1e-6 could be seen in the
# features; a device has room for the rows that this takes.
TOLERANCE = 3e-7
# Values that a program of an elementwise kernel handles.
BLOCK = 1024
# Values of a tile of edges and channels, and of these what one warp holds.
TILE = 512
WARP = 256
# Let a product and a sum be one operation, whatever Triton's default is.
FUSED = {"enable_fp_fusion": True}


@dataclass(frozen=True, eq=False)
class Pairs:
    """Directed pairs of a batch, sorted by receiver, as the kernels read them.

    Attributes
    ----------
    row_ptr : (M + 1,) Tensor of int64
        Pairs of receiver ``i`` stand at ``row_ptr[i]:row_ptr[i + 1]``.
    sender : (E,) Tensor of int64
    interval : (E,) Tensor of int32
        Where the distance stands in the tables of filters.
    place : (E,) Tensor of float32
        How far it is into that interval, 0 to 1.
    direction : (E, 3) Tensor of float32
        Unit vector from receiver to sender; zero for coincident atoms.
    """

    row_ptr: torch.Tensor
    sender: torch.Tensor
    interval: torch.Tensor
    place: torch.Tensor
    direction: torch.Tensor


class DeviceProgram(ABC):
    """A network with its weights on a device.

    Attributes
    ----------
    intervals : int
        Of the filter tables, which :class:`Pairs` points into.
    """

    intervals: int

    @abstractmethod
    def run(
        self, numbers: torch.Tensor, pairs: Pairs
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Compute the features of all nodes.

        Parameters
        ----------
        numbers : (M,) Tensor of int64
            Atomic numbers, M > 0.
        pairs : Pairs

        Returns
        -------
        scalars : (M, C) Tensor of float32
        vectors : (M, 3, C) Tensor of float32
        """


def tile(lanes: int) -> tuple[int, int]:
    """Return how many edges a program takes at once, and its number of warps.

    Parameters
    ----------
    lanes : int
        Channels, padded to a power of two.
    """
    edges = max(1, TILE // lanes)
    return edges, min(16, max(1, edges * lanes // WARP))


@contextmanager
def exact_products() -> Iterator[None]:
    """Let torch multiply float32 matrices as float32 while it lasts, not as TF32."""
    flags = torch.backends.cuda.matmul
    # Since torch 2.9, which warns of the older name.
    recent = hasattr(flags, "fp32_precision")
    name = "fp32_precision" if recent else "allow_tf32"
    before = getattr(flags, name)
    setattr(flags, name, "ieee" if recent else False)
    try:
        yield
    finally:
        setattr(flags, name, before)


@triton.jit
def silu(x):
    """Return x / (1 + exp(-x))."""
    return x / (1.0 + tl.exp(-x))


@triton.jit
def spline(t):
    """Return the weights of a cubic B-spline's four rows."""
    u = 1.0 - t
    b = 2.0 / 3.0 - t * t * (1.0 - 0.5 * t)
    c = 2.0 / 3.0 - u * u * (1.0 - 0.5 * u)
    return u * u * u / 6.0, b, c, t * t * t / 6.0


@triton.jit
def interpolate(table, at, width, a, b, c, d, mask):
    """Return a filter from four rows of a table; zero outside the mask.

    Parameters
    ----------
    table : pointer
        To (intervals + 3, `width`).
    at : tensor
        Places in the first row.
    width : int
    a, b, c, d : tensor
        Of :func:`spline`.
    mask : tensor
    """
    value = a * tl.load(table + at, mask=mask, other=0.0)
    value += b * tl.load(table + at + width, mask=mask, other=0.0)
    value += c * tl.load(table + at + 2 * width, mask=mask, other=0.0)
    return value + d * tl.load(table + at + 3 * width, mask=mask, other=0.0)
