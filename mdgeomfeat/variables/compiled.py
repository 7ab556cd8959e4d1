"""Values and gradients of collective variables in compiled code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.autograd.function import once_differentiable

from mdgeomfeat.boxes import check_boxes
from mdgeomfeat.featurespec import feature_options
from mdgeomfeat.gnn.engine.cpu.gradients import GradientEngine, cannot_differentiate
from mdgeomfeat.kinetics.threads import threads_for
from mdgeomfeat.neighbors.search import check_positions
from mdgeomfeat.structure import make_whole
from mdgeomfeat.variables.head import TokenHead

if TYPE_CHECKING:
    from mdgeomfeat.featurespec import FeatureSpec
    from mdgeomfeat.featurizer.pooling import TokenPool
    from mdgeomfeat.featurizer.surroundings import Surroundings
    from mdgeomfeat.gnn import Backbone
    from mdgeomfeat.structure import Structure
    from mdgeomfeat.variables.outputs import TokenOutputs

__all__ = ["CompiledVariables", "Differentiated", "obstacle"]

# Options of features that this code obeys, of those that numbers depend on.
_OBEYED = ("model", "tokens", "pool", "invariants", "dtype")


def obstacle(network: Backbone, features: FeatureSpec) -> str | None:
    """Return why variables cannot be computed in compiled code, or None.

    Parameters
    ----------
    network : Backbone
    features : FeatureSpec
    """
    why_not = cannot_differentiate(network)
    if why_not is not None:
        return why_not
    if network.dtype != torch.float32:
        return "compiled gradients are computed in float32"
    for name, option in feature_options().items():
        plain = getattr(features, name) == option.default
        if option.metadata["numbers"] and name not in _OBEYED and not plain:
            return f"compiled gradients exist for {name}={option.default!r} only"
    return None


class CompiledVariables:
    """Computes collective variables and their gradients, frame by frame.

    Only one thread at a time may call it.

    Parameters
    ----------
    network : Backbone
    structure : Structure
    pool : TokenPool
    outputs : TokenOutputs
        On the CPU.
    surroundings : Surroundings, optional
        Where the model takes those of tokens.
    """

    def __init__(
        self,
        network: Backbone,
        structure: Structure,
        pool: TokenPool,
        outputs: TokenOutputs,
        surroundings: Surroundings | None = None,
    ) -> None:
        self._engine = GradientEngine(network, structure.numbers)
        self._structure, self._surroundings = structure, surroundings
        self._pool = pool
        self._share = (1.0 / pool.divisors[pool.slots]).astype(np.float32)
        self._head = TokenHead(outputs)
        self._dim = outputs.dim

    def __call__(
        self,
        positions: NDArray[np.floating],
        boxes: NDArray[np.floating] | None = None,
        *,
        gradients: bool = True,
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Compute values and gradients.

        Parameters
        ----------
        positions : (F, A, 3) array, Å
        boxes : (F, 6) array, optional
        gradients : bool
            Whether to compute them; otherwise they are empty.

        Returns
        -------
        values : (F, d) ndarray
        gradients : (F, d, A, 3) ndarray, 1/Å
        """
        # the head of one frame is hundreds of kernels of some microseconds
        with threads_for(0.0):
            return self._frame_by_frame(positions, boxes, gradients)

    def _frame_by_frame(
        self,
        positions: NDArray[np.floating],
        boxes: NDArray[np.floating] | None,
        gradients: bool,
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        F, A, _ = positions.shape
        check_positions(positions.reshape(-1, 3), np.arange(F + 1) * A)
        cells = None if boxes is None else check_boxes(boxes, F)
        values = np.empty((F, self._dim))
        slopes = np.empty((F, self._dim, A, 3) if gradients else (F, self._dim, 0, 3))
        around = self._surroundings
        centres, shells = np.empty((F, 0, 3)), None
        if around is not None:
            whole = positions
            if cells is not None:
                whole = make_whole(self._structure, positions, cells)
            centres = around.centres(whole)
        for f in range(F):
            cell = None if cells is None else cells[f]
            scalars, vectors = self._engine.features(positions[f], cell)
            if around is not None:
                shells = around.of_centres(centres[f], cell)
            values[f], (by_s, by_v, by_shells) = self._head(
                self._pool(scalars[None])[0], self._pool(vectors[None])[0], shells
            )
            if not gradients:
                continue
            by_s, by_v = self._by_atoms(by_s), self._by_atoms(by_v)
            for k in range(self._dim):
                slopes[f, k] = self._engine.gradient(by_s[k], by_v[k])
            if around is not None:
                slopes[f] += around.slopes(centres[f], cell, by_shells)
        return values, slopes

    def _by_atoms(self, slopes: NDArray[np.float32]) -> NDArray[np.float32]:
        """Turn slopes by tokens (d, N, ..., G C) into those by atoms (d, A, ..., C)."""
        d, N, *rest, width = slopes.shape
        G = self._pool.n_groups
        slots = np.moveaxis(slopes.reshape(d, N, *rest, G, width // G), -2, 2)
        by_atoms = slots.reshape(d, N * G, *rest, width // G)[:, self._pool.slots]
        return by_atoms * self._share.reshape(-1, *(1 for _ in rest), 1)


class Differentiated(torch.autograd.Function):
    """Compiled variables as a node of an autograd graph."""

    @staticmethod
    def forward(
        ctx: Any,
        positions: torch.Tensor,
        boxes: NDArray[np.floating] | None,
        compiled: CompiledVariables,
    ) -> torch.Tensor:
        """Return the values, (F, d), keeping their gradients."""
        values, slopes = compiled(
            positions.detach().cpu().numpy(),
            boxes,
            gradients=ctx.needs_input_grad[0],
        )
        ctx.slopes = torch.from_numpy(slopes)
        ctx.like = positions.dtype, positions.device
        return torch.from_numpy(values).to(positions.device)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, by_values: torch.Tensor) -> tuple[Any, ...]:
        """Contract with the gradients."""
        dtype, device = ctx.like
        total = torch.einsum("fd,fdak->fak", by_values.cpu().double(), ctx.slopes)
        return total.to(dtype=dtype, device=device), None, None
