"""Whether a network's features jump where a pair crosses its cutoff.

A bias that follows a variable with a jump does work that no force accounts for: the
energy drifts, and at a thermostat's cost the free energies are wrong. Published forms
of ET and ViSNet jump by some per cent. Whether a network does is measured on it, not
taken from its name.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable

import numpy as np
import torch

from mdgeomfeat.gnn import Backbone
from mdgeomfeat.neighbors import neighbor_list

__all__ = ["SMOOTH_LIMIT", "jump_at_cutoff"]

#: Relative change of features across the cutoff that counts as a jump. Over the step
#: below a smooth network changes by some 1e-6 at most.
SMOOTH_LIMIT = 1e-4

_STEP = 1e-6  # Å, on both sides of the cutoff

# Where the atom that stays has company: a bent, chiral heap, Å.
_COMPANY = (
    (0.0, 0.0, 0.0),
    (-0.51, 1.39, 0.12),
    (-0.55, -0.69, 1.21),
    (-1.9, 1.6, 0.4),
)


def jump_at_cutoff(network: Backbone, numbers: Iterable[int]) -> float:
    """Measure by how much features change where a pair crosses the cutoff.

    An atom is moved across the cutoff of one that is alone, of which it is the last
    neighbour, and of one that has company.

    Parameters
    ----------
    network : Backbone
    numbers : iterable of int
        Atomic numbers of the molecule; each element takes each of the two places.

    Returns
    -------
    float
        The largest relative L2 change of the features of the two atoms.

    Examples
    --------
    >>> from mdgeomfeat import load_model
    >>> from mdgeomfeat.variables import jump_at_cutoff
    >>> jump_at_cutoff(load_model(), [6, 7, 8]) < 1e-4
    True
    """
    exact = copy.deepcopy(network).to("cpu", torch.float64).eval()
    elements = sorted({int(z) for z in numbers})
    largest = 0.0
    for n_company in (1, len(_COMPANY)):
        for mine in elements:
            for other in elements:
                sides = [
                    _features(exact, n_company, mine, other, step)
                    for step in (-_STEP, _STEP)
                ]
                change = torch.linalg.vector_norm(sides[0] - sides[1])
                size = torch.linalg.vector_norm(sides[0])
                largest = max(largest, float(change / size))
    return largest


def _features(
    exact: Backbone, n_company: int, mine: int, other: int, step: float
) -> torch.Tensor:
    """Return the features of two atoms a step from the cutoff, (2, 4, C)."""
    positions = np.array([*_COMPANY[:n_company], (0.0, 0.0, 0.0)])
    positions[-1, 0] = exact.spec.cutoff + step
    numbers = torch.tensor([mine] * n_company + [other])
    edges = neighbor_list(positions[None], exact.spec.cutoff, dtype=torch.float64)
    with torch.no_grad():
        scalars, vectors = exact(numbers, edges)
    return torch.cat([scalars.unsqueeze(1), vectors], dim=1)[[0, n_company]]
