"""The weights of an Equivariant Transformer in the order of the kernels."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike

from mdgeomfeat.gnn.engine._et_kernels import Weights
from mdgeomfeat.gnn.engine._pairs import filter_table
from mdgeomfeat.gnn.et import ET

__all__ = ["Layout", "aligned", "et_weights", "plan_layout"]


@dataclass(frozen=True)
class Layout:
    """How channels are laid out for the kernels.

    Attributes
    ----------
    n_channels, n_heads : int
        Padded: heads to a power of two, channels to whole registers.
    width, columns : int
        Lanes that message kernels and products take at once.
    channel : (C,) int64 array
        Where each channel of the network stands.
    """

    n_channels: int
    n_heads: int
    width: int
    columns: int
    channel: np.ndarray


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


def et_weights(model: ET, layout: Layout) -> tuple[Weights, int]:
    """Return the weights for the kernels and the number of intervals of the table.

    Parameters
    ----------
    model : ET
    layout : Layout
    """
    exact = copy.deepcopy(model).to(device="cpu", dtype=torch.float64).eval()
    C, padded = exact.spec.n_channels, layout.n_channels

    def pad(values: torch.Tensor | np.ndarray, *axes: int) -> np.ndarray:
        """Move blocks of C channels along some axes to their padded places."""
        array = np.asarray(
            values.detach() if torch.is_tensor(values) else values, np.float64
        )
        for axis in axes:
            moved = np.moveaxis(array, axis, -1)
            blocks = moved.reshape(*moved.shape[:-1], -1, C)
            wide = np.zeros((*blocks.shape[:-1], padded))
            wide[..., layout.channel] = blocks
            flat = wide.reshape(*moved.shape[:-1], -1)
            array = np.moveaxis(flat, -1, axis)
        return array

    def panels(weight: torch.Tensor) -> np.ndarray:
        """Cut the transpose of a weight matrix into panels of columns."""
        matrix = pad(weight, 0, 1).T
        cut = matrix.reshape(padded, -1, layout.columns)
        return cut.transpose(1, 0, 2)

    def flat(values: ArrayLike) -> np.ndarray:
        array = np.asarray(values)
        out = aligned(array.size)
        out[:] = array.reshape(-1)
        return out

    layers: list[Any] = list(exact.layers)
    norms: list[Any] = [*(layer.norm for layer in layers), exact.output_norm]
    table = filter_table(exact)
    weights = Weights(
        embedding=flat(pad(exact.embedding.weight, 1)),
        norm=flat([[pad(n.weight, 0), pad(n.bias, 0)] for n in norms]),
        node=flat([panels(x.node_proj.weight) for x in layers]),
        node_bias=flat([pad(x.node_proj.bias, 0) for x in layers]),
        vector=flat([panels(x.vector_proj.weight) for x in layers]),
        output=flat([panels(x.output_proj.weight) for x in layers]),
        output_bias=flat([pad(x.output_proj.bias, 0) for x in layers]),
        own=flat(pad(table[:, 0, 0], 1)),
        table=flat(pad(table, 3)),
        channel=layout.channel,
    )
    return weights, table.shape[1] - 1
