"""How steeply variables rise when the atoms of a token move."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mdgeomfeat.explain.quantities import Quantity, QuantityKind
from mdgeomfeat.explain.sample import Sample
from mdgeomfeat.variables import CollectiveVariables

__all__ = ["token_gradients"]


def token_gradients(
    variables: CollectiveVariables,
    positions: NDArray[np.floating],
    boxes: NDArray[np.floating] | None,
    sample: Sample,
    quantities: list[Quantity],
    matrix: NDArray[np.floating] | None = None,
) -> NDArray[np.float64]:
    """Return the mean slope of every quantity by the position of every token.

    The slope by a token is the norm of the gradient over all of its atoms: what the
    quantity gains for each Å that they move, all together, in the steepest direction.

    Parameters
    ----------
    variables : CollectiveVariables
        With k outputs.
    positions : (n, A, 3) array, Å
        The frames of the sample.
    boxes : (n, 6) array or None
    sample : Sample
        Says which states the frames are of. Each state counts by the frames, or the
        weight, that it has in all data; at a boundary both states count the same.
    quantities : list of Quantity
    matrix : (k, d) array, optional
        From the outputs to the variables of the quantities, where these are others.

    Returns
    -------
    (R, N) ndarray, 1/Å
        NaN for the score, which has no gradient, and where there is no frame.
    """
    structure = variables.structure
    slopes = np.full((len(quantities), structure.n_tokens), np.nan)
    _, gradients = variables.differentiate(positions, boxes)
    if matrix is not None:
        gradients = np.einsum("fkax,kd->fdax", gradients, matrix)
    share = _shares(sample)
    for r, quantity in enumerate(quantities):
        if quantity.kind is QuantityKind.SCORE:
            continue
        along = np.tensordot(gradients, quantity.direction, axes=(1, 0))
        squares = np.zeros((structure.n_tokens, len(along)))
        np.add.at(squares, structure.token_of_atom, (along**2).sum(axis=2).T)
        weight = share
        if quantity.kind is QuantityKind.BOUNDARY:
            weight = _balanced(sample, quantity, share)
        if weight.sum() > 0:
            slopes[r] = np.sqrt(squares) @ weight / weight.sum()
    return slopes


def _shares(sample: Sample) -> NDArray[np.float64]:
    """Return the weight of each frame, as much for a state as it has in the data."""
    share = np.zeros(len(sample.rows))
    for state in range(sample.n_states):
        for half in range(2):
            own = sample.of(state, half)
            if len(own):
                # frames were drawn evenly, so that their mean weight is that of all
                share[own] = sample.weights[own] * sample.counts[state, half] / len(own)
    return share / share.sum()


def _balanced(
    sample: Sample, quantity: Quantity, share: NDArray[np.float64]
) -> NDArray[np.float64]:
    weight = np.zeros_like(share)
    for state in quantity.numbers:
        own = sample.states == state
        if not own.any():
            return np.zeros_like(share)
        weight[own] = share[own] / share[own].sum()
    return weight
