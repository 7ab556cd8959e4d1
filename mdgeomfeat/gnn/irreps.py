"""Real 3 x 3 tensors as scalar, vector and symmetric traceless parts.

A tensor X = I 1 + skew(A) + S is carried as I (…, C), A (…, 3, C) and the five
independent entries xx, yy, xy, xz, yz of S (…, 5, C): G. Simeon and
G. De Fabritiis, arXiv:2306.06482, section 3.1.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["Irreps", "matrix_product", "spherical_harmonics", "symmetric_outer"]


def symmetric_outer(direction: Tensor) -> Tensor:
    """Return the symmetric traceless part of d dᵀ, (E, 3) -> (E, 5)."""
    x, y, z = direction.unbind(dim=1)
    trace = (x * x + y * y + z * z) / 3.0
    return torch.stack([x * x - trace, y * y - trace, x * y, x * z, y * z], dim=1)


def spherical_harmonics(direction: Tensor, lmax: int) -> Tensor:
    """Return real spherical harmonics of degree 1 to `lmax`, each of norm 1.

    Degree 1 is the direction itself; degree 2 in the order and the axes of the
    published ViSNet.

    Parameters
    ----------
    direction : (E, 3) Tensor
        Unit or zero vectors.
    lmax : {1, 2}

    Returns
    -------
    (E, 3) or (E, 8) Tensor
    """
    if lmax == 1:
        return direction
    x, y, z = direction.unbind(dim=1)
    root3 = math.sqrt(3.0)
    second = [
        root3 * x * z,
        root3 * x * y,
        y * y - 0.5 * (x * x + z * z),
        root3 * y * z,
        0.5 * root3 * (z * z - x * x),
    ]
    return torch.cat([direction, torch.stack(second, dim=1)], dim=1)


class Irreps(NamedTuple):
    """One tensor per atom and channel, split into its irreducible parts.

    Attributes
    ----------
    scalar : (M, C) Tensor
    vector : (M, 3, C) Tensor
    symmetric : (M, 5, C) Tensor
    """

    scalar: Tensor
    vector: Tensor
    symmetric: Tensor

    def norms(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return the squared Frobenius norm of each part, each (M, C)."""
        xx, yy, xy, xz, yz = self.symmetric.unbind(dim=1)
        zz = xx + yy
        diagonal = xx * xx + yy * yy + zz * zz
        return (
            3.0 * self.scalar * self.scalar,
            2.0 * (self.vector * self.vector).sum(dim=1),
            diagonal + 2.0 * (xy * xy + xz * xz + yz * yz),
        )

    def total_norm(self) -> Tensor:
        """Return the squared Frobenius norm of the whole tensor, (M, C)."""
        scalar, vector, symmetric = self.norms()
        return scalar + vector + symmetric

    def scaled(self, factor: Tensor) -> Irreps:
        """Multiply all parts by one (M, C) factor."""
        factor_3d = factor.unsqueeze(1)
        return Irreps(
            self.scalar * factor, self.vector * factor_3d, self.symmetric * factor_3d
        )

    def plus(self, other: Irreps) -> Irreps:
        """Add part by part."""
        return Irreps(*(a + b for a, b in zip(self, other, strict=True)))

    def matrix(self) -> Tensor:
        """Return the full tensors, (M, 3, 3, C)."""
        i = self.scalar
        x, y, z = self.vector.unbind(dim=1)
        xx, yy, xy, xz, yz = self.symmetric.unbind(dim=1)
        entries = [
            *(i + xx, xy - z, xz + y),
            *(xy + z, i + yy, yz - x),
            *(xz - y, yz + x, i - xx - yy),
        ]
        matrices: Tensor = torch.stack(entries, dim=1).unflatten(1, (3, 3))
        return matrices

    @classmethod
    def from_matrix(cls, matrix: Tensor) -> Irreps:
        """Split full tensors (M, 3, 3, C) into their parts."""
        (xx, xy, xz, yx, yy, yz, zx, zy, zz) = matrix.flatten(1, 2).unbind(dim=1)
        scalar = (xx + yy + zz) / 3.0
        vector = 0.5 * torch.stack([zy - yz, xz - zx, yx - xy], dim=1)
        symmetric = torch.stack(
            [
                xx - scalar,
                yy - scalar,
                0.5 * (xy + yx),
                0.5 * (xz + zx),
                0.5 * (yz + zy),
            ],
            dim=1,
        )
        return cls(scalar, vector, symmetric)


def matrix_product(left: Tensor, right: Tensor) -> Tensor:
    """Multiply 3 x 3 tensors channel by channel, (M, 3, 3, C)."""
    return (left.unsqueeze(3) * right.unsqueeze(1)).sum(dim=2)
