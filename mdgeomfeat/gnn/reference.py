"""A tiny structure and what a network makes of it, stored in its card."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from mdgeomfeat.errors import InputError
from mdgeomfeat.gnn.base import Backbone
from mdgeomfeat.gnn.build import build_model
from mdgeomfeat.neighbors import neighbor_list

__all__ = ["make_reference", "reference_error"]

# Six atoms at the corners of a distorted, chiral heap, bond lengths apart.
_POSITIONS = (
    (0.000, 0.000, 0.000),
    (1.521, 0.031, -0.012),
    (-0.498, 1.377, 0.102),
    (-0.553, -0.689, 1.206),
    (2.104, -0.711, 0.967),
    (-0.451, -0.583, -1.311),
)
_ELEMENTS = (6, 6, 7, 8, 8, 1)


def _features(model: Backbone, numbers: list[int], positions: Any) -> np.ndarray:
    """Return scalars and vectors, (A, 4, C), computed in float64."""
    twin = build_model(model.spec, seed=0)
    twin.load_state_dict(model.state_dict())
    twin = twin.to("cpu", torch.float64).eval()
    edges = neighbor_list(
        np.asarray(positions, dtype=np.float64)[None],
        model.spec.cutoff,
        backend="torch",
        dtype=torch.float64,
    )
    with torch.no_grad():
        scalars, vectors = twin(torch.tensor(numbers), edges)
    return torch.cat([scalars.unsqueeze(1), vectors], dim=1).numpy()


def make_reference(model: Backbone) -> dict[str, Any]:
    """Compute the features of the reference structure, as JSON types.

    Elements that the model was not trained on are replaced by ones that it was.
    """
    seen = model.spec.elements or _ELEMENTS
    numbers = [z if z in seen else seen[n % len(seen)] for n, z in enumerate(_ELEMENTS)]
    positions = [list(xyz) for xyz in _POSITIONS]
    features = _features(model, numbers, positions)
    return {
        "numbers": numbers,
        "positions": positions,
        "features": [float(f"{value:.9g}") for value in features.ravel()],
    }


def reference_error(model: Backbone) -> float:
    """Return the relative L2 difference from the reference in the model's card.

    Raises
    ------
    InputError
        If the reference is malformed.
    """
    try:
        reference = model.card["reference"]
        numbers = [int(z) for z in reference["numbers"]]
        positions = np.asarray(reference["positions"], dtype=np.float64)
        stored = np.asarray(reference["features"], dtype=np.float64)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise InputError(
            f"The card of {model.card.get('name')!r} has a malformed reference "
            f"({error}); fetch the card again."
        ) from error
    if (
        positions.shape != (len(numbers), 3)
        or not 1 <= len(numbers) <= 100
        or not 0 < min(numbers) <= max(numbers) < model.spec.max_z
        or stored.shape != (len(numbers) * 4 * model.spec.n_channels,)
    ):
        raise InputError(
            f"The card of {model.card.get('name')!r} has a reference of the wrong "
            "shape; fetch the card again."
        )
    features = _features(model, numbers, positions).ravel()
    return float(np.linalg.norm(features - stored) / np.linalg.norm(stored))
