"""Free energies from weighted frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mdgeomfeat.errors import InputError
from mdgeomfeat.kinetics.arrays import listed

__all__ = ["GAS_CONSTANT", "FreeEnergy", "free_energy", "landscape", "profiles"]

#: kJ/mol/K (CODATA 2018).
GAS_CONSTANT = 8.31446261815324e-3


@dataclass(frozen=True, eq=False)
class FreeEnergy:
    """Free energy on a grid.

    Attributes
    ----------
    energy : (bins,) or (bins, bins) ndarray
        Zero at its minimum, NaN in empty bins; first axis x.
    edges : tuple of (bins + 1,) ndarray
        Bin edges along each axis.
    unit : {"kJ/mol", "kT"}
        Unit of the energy.

    Examples
    --------
    >>> import numpy as np
    >>> from mdgeomfeat.kinetics import free_energy
    >>> x = np.random.default_rng(0).normal(size=20000)
    >>> found = free_energy(x, bins=12, temperature=300.0)
    >>> found.unit, found.energy.shape, float(np.nanmin(found.energy))
    ('kJ/mol', (12,), 0.0)
    """

    energy: NDArray[np.float64]
    edges: tuple[NDArray[np.float64], ...]
    unit: str

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-able summary."""
        return {
            "unit": self.unit,
            "edges": [listed(e) for e in self.edges],
            "energy": listed(self.energy),
        }


def landscape(
    cvs: Sequence[NDArray[np.float64]],
    weights: Sequence[NDArray[np.float64]] | None,
    axes: Sequence[int],
    temperature: float | None = None,
    ranges: Sequence[tuple[float, float] | None] | None = None,
) -> FreeEnergy | None:
    """Return the free energy over some coordinates of weighted trajectories.

    Parameters
    ----------
    cvs : list of (F, d) ndarrays
        Coordinates of every trajectory.
    weights : list of (F,) ndarrays, or None
        Stationary weights of the frames.
    axes : sequence of int
        Which of them, one or two.
    temperature : float, optional
        Kelvin. Without it the energy is in kT.
    ranges : sequence of (low, high) or None, optional
        As in :func:`free_energy`, one for each of the axes.

    Returns
    -------
    FreeEnergy or None
        None without weights. There are 20 to 80 bins along each axis, 1.6 times the
        cube root of the number of frames that have a weight.
    """
    if weights is None:
        return None
    joined, weight = np.concatenate(list(cvs)), np.concatenate(list(weights))
    bins = int(np.clip(1.6 * np.count_nonzero(weight) ** (1 / 3), 20, 80))
    return free_energy(
        *joined[:, list(axes)].T,
        weights=weight,
        bins=bins,
        temperature=temperature,
        ranges=ranges,
    )


def profiles(
    cvs: Sequence[NDArray[np.float64]],
    weights: Sequence[NDArray[np.float64]] | None,
    temperature: float | None = None,
) -> tuple[FreeEnergy, ...]:
    """Return the free energy along each coordinate; none without weights.

    Parameters
    ----------
    cvs, weights, temperature
        As in :func:`landscape`.
    """
    found = (landscape(cvs, weights, [i], temperature) for i in range(cvs[0].shape[1]))
    return tuple(profile for profile in found if profile is not None)


def free_energy(
    *axes: ArrayLike,
    weights: ArrayLike | None = None,
    bins: int = 60,
    temperature: float | None = None,
    ranges: Sequence[tuple[float, float] | None] | None = None,
) -> FreeEnergy:
    """Return -kT ln p of one or two coordinates.

    Parameters
    ----------
    *axes : (F,) ndarrays
        One or two coordinates.
    weights : (F,) ndarray, optional
        Weight of every frame; those with weight 0 do not count.
    bins : int
        Bins along each axis.
    temperature : float, optional
        Kelvin. Without it the energy is in kT.
    ranges : sequence of (low, high) or None, optional
        Where each axis begins and ends; None takes the range of the frames that have
        a weight.

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
    mass, edges = np.histogramdd(points, bins=bins, weights=w, range=ranges)  # type: ignore[arg-type]
    energy = np.full(mass.shape, np.nan)
    energy[mass > 0] = -np.log(mass[mass > 0])
    energy -= np.nanmin(energy)
    if temperature is not None:
        energy *= GAS_CONSTANT * temperature
    return FreeEnergy(energy, tuple(edges), "kT" if temperature is None else "kJ/mol")
