"""How channels and matrices are laid out for the kernels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike

__all__ = ["Layout", "aligned", "flat", "plan_layout"]


@dataclass(frozen=True)
class Layout:
    """How channels are laid out for the kernels.

    Attributes
    ----------
    n_channels, n_heads : int
        Padded: heads to a power of two, channels to whole registers.
    width, columns : int
        Lanes that message kernels and products take at once.
    channel : (C,) ndarray of int64
        Where each channel of the network stands.
    """

    n_channels: int
    n_heads: int
    width: int
    columns: int
    channel: np.ndarray

    def pad(self, values: torch.Tensor | np.ndarray, *axes: int) -> np.ndarray:
        """Move blocks of C channels along some axes to their padded places."""
        array = np.asarray(
            values.detach() if torch.is_tensor(values) else values, np.float64
        )
        for axis in axes:
            moved = np.moveaxis(array, axis, -1)
            blocks = moved.reshape(*moved.shape[:-1], -1, len(self.channel))
            wide = np.zeros((*blocks.shape[:-1], self.n_channels))
            wide[..., self.channel] = blocks
            array = np.moveaxis(wide.reshape(*moved.shape[:-1], -1), -1, axis)
        return array

    def panels(self, weight: torch.Tensor | np.ndarray) -> np.ndarray:
        """Cut the transpose of a weight matrix into panels of columns."""
        matrix = self.pad(weight, 0, 1).T
        return matrix.reshape(len(matrix), -1, self.columns).transpose(1, 0, 2)


def plan_layout(n_channels: int, n_heads: int, register: int) -> Layout:
    """Lay out channels: head index in the fast lane, padded to whole registers.

    Parameters
    ----------
    n_channels, n_heads : int
    register : int
        Floats in a vector register; decides how many lanes pay.
    """
    heads = 1 << (n_heads - 1).bit_length()
    depth = n_channels // n_heads
    multiple = max(1, 16 // heads)
    padded = -(-depth // multiple) * multiple * heads
    channel = np.arange(n_channels)
    channel = (channel % depth) * heads + channel // depth
    widths = [w for w in (4 * register, 2 * register, 16) if 16 <= w <= 64]
    width = next((w for w in widths if padded % w == 0 and w % heads == 0), heads)
    # Six rows of a product stay in registers: 24 of 32 with AVX-512, 12 of 16 before.
    widest = (64, 48, 32) if register == 16 else ()
    columns = next(c for c in (*widest, min(16, 2 * register)) if padded % c == 0)
    return Layout(padded, heads, width, columns, channel.astype(np.int64))


def aligned(shape: int) -> np.ndarray:
    """Return float32 zeros that start at a cache line."""
    raw = np.zeros(shape + 16, np.float32)
    start = (-raw.ctypes.data % 64) // 4
    return raw[start : start + shape]


def flat(values: ArrayLike) -> np.ndarray:
    """Return a flat float32 copy that starts at a cache line."""
    array = np.asarray(values)
    out = aligned(array.size)
    out[:] = array.reshape(-1)
    return out
