"""Functions of the interatomic distance: radial basis and envelopes."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

__all__ = ["ExpNormBasis", "cosine_envelope", "envelope", "polynomial_envelope"]


def cosine_envelope(distance: Tensor, cutoff: float) -> Tensor:
    """Evaluate (cos(π r / rc) + 1) / 2, zero from the cutoff on.

    Parameters
    ----------
    distance : Tensor, Å
    cutoff : float, Å

    Returns
    -------
    Tensor, the shape of `distance`
    """
    inside = (distance < cutoff).to(distance.dtype)
    return 0.5 * (torch.cos(distance * (math.pi / cutoff)) + 1.0) * inside


def polynomial_envelope(distance: Tensor, cutoff: float) -> Tensor:
    """Evaluate 1 - 10 x³ + 15 x⁴ - 6 x⁵ with x = r / rc, zero from the cutoff on.

    Slope and curvature vanish at both ends.

    Parameters
    ----------
    distance : Tensor, Å
    cutoff : float, Å

    Returns
    -------
    Tensor, the shape of `distance`
    """
    x = (distance / cutoff).clamp(max=1.0)
    return 1.0 - x**3 * (10.0 - x * (15.0 - 6.0 * x))


def envelope(kind: str, distance: Tensor, cutoff: float) -> Tensor:
    """Evaluate the envelope that a spec names (see `ModelSpec.envelope`)."""
    function = cosine_envelope if kind == "cosine" else polynomial_envelope
    return function(distance, cutoff)


class ExpNormBasis(nn.Module):
    """Gaussians in exp(-a r), times the cosine envelope.

    φ_k(r) = w(r) exp(-β_k (exp(-a r) - μ_k)²) with a = 5 Å / rc, evenly spaced μ_k
    from exp(-rc) to 1 (Unke & Meuwly, J. Chem. Theory Comput. 15, 3678 (2019),
    equation 7; a as in Thölke & De Fabritiis, 2022). μ and β are trained.

    Parameters
    ----------
    cutoff : float, Å
    n_rbf : int
    """

    def __init__(self, cutoff: float, n_rbf: int) -> None:
        super().__init__()
        self.cutoff = cutoff
        self.alpha = 5.0 / cutoff
        means, betas = self.initial(cutoff, n_rbf)
        self.means = nn.Parameter(means)
        self.betas = nn.Parameter(betas)

    @staticmethod
    def initial(cutoff: float, n_rbf: int) -> tuple[Tensor, Tensor]:
        """Return the untrained means and betas, each (n_rbf,)."""
        start = math.exp(-cutoff)
        means = torch.linspace(start, 1.0, n_rbf)
        return means, torch.full((n_rbf,), (2.0 / n_rbf * (1.0 - start)) ** -2)

    def forward(self, distance: Tensor) -> Tensor:
        """Evaluate the basis.

        Parameters
        ----------
        distance : (E,) Tensor, Å

        Returns
        -------
        (E, n_rbf) Tensor
        """
        offset = torch.exp(-self.alpha * distance).unsqueeze(-1) - self.means
        window = cosine_envelope(distance, self.cutoff).unsqueeze(-1)
        return window * torch.exp(-self.betas * offset * offset)
