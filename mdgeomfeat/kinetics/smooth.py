r"""TICA of variables that hardly change when atoms are displaced.

A bias pushes along the gradient of its variable. TICA does not care how steep its
variables are along stiff directions such as bonds, because these hardly move in the
data. Here the features have the covariances :math:`C_0 + \sigma^2 M` in place of
:math:`C_0`. :math:`M` is the mean of :math:`J J^T`, and :math:`J` are the derivatives
of the features by positions. To first order these are the covariances of frames whose
coordinates are displaced at random by :math:`\sigma`. The variables then solve
:math:`C_\tau w = \lambda (C_0 + \sigma^2 M) w`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mdgeomfeat.kinetics.arrays import Arrays
from mdgeomfeat.kinetics.scores import ScoreError
from mdgeomfeat.kinetics.tica import LinearMap, PreparedTICA

__all__ = ["DISPLACEMENTS", "fit_smooth_tica"]

#: Displacements to choose from, Å.
DISPLACEMENTS: Final = (0.03, 0.05, 0.1, 0.15, 0.2, 0.3, 0.45, 0.6, 1.0)

_KEPT = 2 / 3  # of the slowest timescale


def fit_smooth_tica(
    arrays: Arrays,
    lag: int,
    dim: int,
    slopes: NDArray[np.floating],
    *,
    displacements: Sequence[float] = DISPLACEMENTS,
    n_components: int | None = None,
    weights: Arrays | None = None,
) -> tuple[LinearMap, float]:
    """Fit TICA with the largest displacement that leaves the motion slow.

    Parameters
    ----------
    arrays : list of (F, ...) ndarrays
        Training trajectories.
    lag : int
        Lag in frames.
    dim : int
        Number of outputs.
    slopes : (n, D) array
        Change of the flat features of a frame per Å along one random direction, whose
        components are normal numbers of variance 1. Rows may have factors that weight
        the frames; their squares have a mean of 1.
    displacements : sequence of float
        Standard deviations of a coordinate to choose from, Å.
    n_components : int, optional
        Principal components to use, as for :func:`fit_tica`.
    weights : list of (F,) ndarrays, optional
        Weight of every frame.

    Returns
    -------
    fitted : LinearMap
    displacement : float
        The largest of `displacements` with which the slowest timescale is at least two
        thirds of what it is without one, and 0 if there is none.

    Raises
    ------
    ScoreError
        If nothing can be fitted, or no motion is slow.

    Examples
    --------
    >>> import numpy as np
    >>> from mdgeomfeat.kinetics import fit_smooth_tica
    >>> rng = np.random.default_rng(0)
    >>> flips = np.where(rng.random(4000) < 0.02, -1, 1).cumprod()
    >>> gentle, steep = (flips + rng.normal(0, 0.3, 4000) for _ in range(2))
    >>> features = [np.stack([gentle, steep], axis=1)]
    >>> slopes = rng.normal(size=(500, 2)) * [0.1, 2.0]
    >>> fitted, displacement = fit_smooth_tica(features, 1, 1, slopes)
    >>> first, second = np.abs(fitted.matrix[:, 0])
    >>> displacement > 0, bool(second < first / 10)
    (True, True)
    """
    prepared = PreparedTICA(arrays, lag, n_components, weights)
    moved = np.asarray(slopes, np.float64) * prepared.standardizer.factor
    if prepared.components is not None:
        moved = moved @ prepared.components
    roughness = moved.T @ moved / len(moved)
    found, chosen = prepared.solve(dim), 0.0
    slowest = found.timescales[0]
    if not np.isfinite(slowest):
        raise ScoreError(
            "TICA finds no slow motion, so there is no variable for a bias; give "
            "longer runs, or leave out --smooth."
        )
    for displacement in sorted(displacements):
        tried = prepared.solve(dim, extra=displacement**2 * roughness)
        # NaN, of a motion that is no longer slow, is not enough either
        if not tried.timescales[0] >= _KEPT * slowest:
            break
        found, chosen = tried, displacement
    return found, chosen
