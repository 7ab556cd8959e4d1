"""From a batch of molecules to the features of their atoms, for training."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..gnn import Backbone
from ..neighbors import EdgeList
from .fused import PairList, fused_forward, pair_list, supports

if TYPE_CHECKING:
    from ..gnn.et import ET

__all__ = ["atom_features"]


def atom_features(
    model: Backbone,
    numbers: Tensor,
    positions: Tensor,
    graph_ptr: NDArray[np.int64],
    *,
    fast: bool = True,
) -> tuple[Tensor, Tensor]:
    """Compute the features of the atoms of a batch of molecules without a box.

    Parameters
    ----------
    model : Backbone
    numbers : (M,) Tensor of int64
    positions : (M, 3) Tensor, Å
        Where they require a gradient, the features are differentiable in them.
    graph_ptr : ndarray, shape (G + 1,)
        First atom of each molecule.
    fast : bool
        Use the compiled path where there is one. It gives positions no gradient.

    Returns
    -------
    scalars, vectors : (M, C) Tensor, (M, 3, C) Tensor
    """
    plain = positions.detach().cpu().numpy()
    pairs = pair_list(plain, graph_ptr, model.spec.cutoff)
    numbers = numbers.to(model.device)
    if fast and supports(model) and not positions.requires_grad:
        return fused_forward(cast("ET", model), numbers, pairs)
    features: tuple[Tensor, Tensor] = model(numbers, _edges(positions, pairs, model))
    return features


def _edges(positions: Tensor, pairs: PairList, model: Backbone) -> EdgeList:
    """Both directions of each pair, sorted by receiver."""
    receiver = np.concatenate([pairs.first, pairs.second]).astype(np.int64)
    sender = np.concatenate([pairs.second, pairs.first]).astype(np.int64)
    order = np.argsort(receiver, kind="stable")
    counts = np.bincount(receiver, minlength=len(positions))
    row_ptr = torch.from_numpy(np.concatenate([[0], np.cumsum(counts)]))
    device = model.device
    to, of = (torch.from_numpy(a[order]).to(device) for a in (receiver, sender))
    x = positions.to(device, model.dtype)
    return EdgeList(
        receiver=to, sender=of, vector=x[of] - x[to], row_ptr=row_ptr.to(device)
    )
