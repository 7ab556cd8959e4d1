"""Free energies from what a biased simulation has written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mdgeomfeat.errors import InputError

__all__ = ["FreeEnergyProfile", "free_energy_profile"]

#: Shares of a run, after its beginning, whose estimates are set side by side.
SHARES: Final = (0.25, 0.5, 0.75, 1.0)

_GROWING = 0.1  # of a run, in which the bias builds up
_BINS = 60
_LEAST_FRAMES = 20
_LOW = 6.0  # kT above the minimum up to which two estimates are compared


@dataclass(frozen=True, eq=False, kw_only=True)
class FreeEnergyProfile:
    """The free energy along one variable, as it became known.

    Attributes
    ----------
    centres : (B,) ndarray
        Middle of each bin.
    energies : (4, B) ndarray
        kJ/mol, least 0, of growing shares of the run; NaN where no frame was.
    error : float
        kJ/mol, root mean square of half the difference between the two halves of
        what was used, where both know the energy and it is below 6 kT; NaN if they
        have nothing in common.
    effective : float
        Effective number of frames (L. Kish, Survey Sampling, 1965).
    n_frames : int
        Frames that were used, after the first tenth.
    """

    centres: NDArray[np.float64]
    energies: NDArray[np.float64]
    error: float
    effective: float
    n_frames: int


def free_energy_profile(
    values: ArrayLike, logweights: ArrayLike, kt: float
) -> FreeEnergyProfile:
    """Return the free energy along a variable from weighted frames in time order.

    Parameters
    ----------
    values : (F,) array
    logweights : (F,) array
        Natural logarithms of the frames' weights.
    kt : float
        Thermal energy, kJ/mol.

    Returns
    -------
    FreeEnergyProfile

    Raises
    ------
    InputError
        If there are too few frames.
    """
    x, log_w = np.asarray(values, float), np.asarray(logweights, float)
    first = int(_GROWING * len(x))
    x, log_w = x[first:], log_w[first:]
    n = len(x)
    if n < _LEAST_FRAMES:
        raise InputError(
            f"{n} lines of COLVAR are too few for a free energy; simulate for at "
            "least some hundred of them."
        )
    w = np.exp(log_w - log_w.max())
    edges = np.linspace(x.min(), x.max() + 1e-9, _BINS + 1)

    def energy(rows: slice) -> NDArray[np.float64]:
        mass, _ = np.histogram(x[rows], edges, weights=w[rows])
        with np.errstate(divide="ignore"):
            f = -kt * np.log(mass)
        f[mass == 0] = np.nan
        profile: NDArray[np.float64] = f - np.nanmin(f)
        return profile

    energies = np.array([energy(slice(0, int(share * n))) for share in SHARES])
    return FreeEnergyProfile(
        centres=(edges[1:] + edges[:-1]) / 2,
        energies=energies,
        error=_half_difference(
            energy(slice(0, n // 2)), energy(slice(n // 2, n)), energies[-1], kt
        ),
        effective=float(w.sum() ** 2 / (w * w).sum()),
        n_frames=n,
    )


def _half_difference(
    a: NDArray[np.floating],
    b: NDArray[np.floating],
    whole: NDArray[np.floating],
    kt: float,
) -> float:
    both = np.isfinite(a) & np.isfinite(b) & (whole < _LOW * kt)
    if both.sum() < 2:
        return float("nan")
    difference = (a - b)[both]
    # the two have no common zero
    return float(np.std(difference) / 2)
