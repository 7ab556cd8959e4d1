"""Free energies from weighted frames."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mdgeomfeat.errors import InputError

__all__ = ["GAS_CONSTANT", "FreeEnergy", "free_energy"]

#: kJ/mol/K (CODATA 2018).
GAS_CONSTANT = 8.31446261815324e-3


@dataclass(frozen=True, eq=False)
class FreeEnergy:
    """Free energy on a grid.

    Attributes
    ----------
    energy : (bins,) or (bins, bins) ndarray
        Zero at its minimum, NaN in empty bins; first axis x.
    edges : tuple of ndarray
        Bin edges along each axis.
    unit : {"kJ/mol", "kT"}
        Unit of the energy.
    """

    energy: NDArray[np.float64]
    edges: tuple[NDArray[np.float64], ...]
    unit: str


def free_energy(
    *axes: ArrayLike,
    weights: ArrayLike | None = None,
    bins: int = 60,
    temperature: float | None = None,
) -> FreeEnergy:
    """Return -kT ln p of one or two collective variables.

    Parameters
    ----------
    *axes : (F,) arrays
        One or two collective variables.
    weights : (F,) array, optional
        Weight of every frame; those with weight 0 do not count.
    bins : int
        Bins along each axis.
    temperature : float, optional
        Kelvin. Without it the energy is in kT.

    Raises
    ------
    InputError
        If there are not one or two axes, or no frame has a weight, or the temperature
        is not positive.
    """
    if len(axes) not in (1, 2):
        raise InputError(f"A free energy has one or two axes, got {len(axes)}.")
    if temperature is not None and temperature <= 0:
        raise InputError(f"A temperature of {temperature} K is not above 0 K.")
    points = np.stack([np.asarray(a, dtype=float) for a in axes], axis=1)
    w = np.ones(len(points)) if weights is None else np.asarray(weights, dtype=float)
    points, w = points[w > 0], w[w > 0]
    if not len(points):
        raise InputError("No frame has a weight, so there is no free energy.")
    mass, edges = np.histogramdd(points, bins=bins, weights=w)
    energy = np.full(mass.shape, np.nan)
    energy[mass > 0] = -np.log(mass[mass > 0])
    energy -= np.nanmin(energy)
    if temperature is not None:
        energy *= GAS_CONSTANT * temperature
    return FreeEnergy(energy, tuple(edges), "kT" if temperature is None else "kJ/mol")
