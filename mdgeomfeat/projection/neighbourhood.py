"""What the neighbours of a frame in a map (or in features) know about it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mdgeomfeat.errors import InputError

__all__ = ["knn_r2", "neighbour_purity"]


def knn_r2(
    embedding: NDArray[np.floating],
    targets: NDArray[np.floating],
    *,
    k: int = 10,
    periodic: bool = True,
    groups: NDArray[np.integer] | None = None,
) -> NDArray[np.float64]:
    """Return how well the mean over a frame's k neighbours predicts each target.

    A frame is never its own neighbour. Frames next to each other in time are close
    whatever the map shows; with `groups`, neighbours come from other trajectories
    only, which leaves that out.

    Parameters
    ----------
    embedding : (F, D) ndarray
        A map, or features.
    targets : (F, T) ndarray
        Angles in radians, or plain numbers.
    k : int
        Neighbours.
    periodic : bool
        Targets are angles: sine and cosine are predicted, and R² is that of the
        point on the circle.
    groups : (F,) ndarray of int, optional
        Trajectory of each frame; at least two different ones.

    Returns
    -------
    (T,) ndarray of float64
        R² = 1 - Σ ‖y - y'‖² / Σ ‖y - mean‖²; 1 is perfect, 0 is no better than
        the mean, NaN where the target does not vary.

    Raises
    ------
    InputError
        If lengths differ, or there are not more than k frames to choose from.

    Examples
    --------
    >>> import numpy as np
    >>> from mdgeomfeat.projection import knn_r2
    >>> angle = np.linspace(-np.pi, np.pi, 500)
    >>> circle = np.c_[np.cos(angle), np.sin(angle)]
    >>> knn_r2(circle, angle[:, None]).round(3).tolist()
    [1.0]
    """
    targets = np.asarray(targets, dtype=np.float64)
    if targets.ndim == 1:
        targets = targets[:, None]
    parts = (np.sin(targets), np.cos(targets)) if periodic else (targets,)
    neighbours = _neighbours(embedding, len(targets), k, groups)
    residual = np.zeros(targets.shape[1])
    total = np.zeros(targets.shape[1])
    for y in parts:
        residual += np.square(y - y[neighbours].mean(axis=1)).sum(axis=0)
        total += np.square(y - y.mean(axis=0)).sum(axis=0)
    varies = total > 1e-10 * len(targets)
    return np.where(varies, 1.0 - residual / np.where(varies, total, 1.0), np.nan)


def neighbour_purity(
    embedding: NDArray[np.floating],
    inside: NDArray[np.bool_],
    *,
    k: int = 10,
    groups: NDArray[np.integer] | None = None,
) -> tuple[float, float]:
    """Return how pure a basin is in a map.

    Parameters
    ----------
    embedding : (F, D) ndarray
        A map, or features.
    inside : (F,) ndarray of bool
        Frames that belong to the basin, for example those with phi > 0.
    k, groups
        As in :func:`knn_r2`.

    Returns
    -------
    purity, base_rate : float
        Mean share of basin frames among the neighbours of a basin frame, and among
        all frames. Both are NaN for an empty basin.

    Raises
    ------
    InputError
        As in :func:`knn_r2`.
    """
    inside = np.asarray(inside, dtype=bool)
    neighbours = _neighbours(embedding, len(inside), k, groups)
    if not inside.any():
        return float("nan"), float("nan")
    return float(inside[neighbours[inside]].mean()), float(inside.mean())


def _neighbours(
    embedding: NDArray[np.floating],
    n_targets: int,
    k: int,
    groups: NDArray[np.integer] | None,
) -> NDArray[np.int64]:
    """Return (F, k) rows of the nearest other frames."""
    from sklearn.neighbors import NearestNeighbors

    embedding = np.asarray(embedding)
    if embedding.ndim != 2 or len(embedding) != n_targets:
        raise InputError(
            f"The map has shape {embedding.shape}, but there are {n_targets} targets; "
            "give one row for each."
        )
    group = np.arange(n_targets) if groups is None else np.asarray(groups)
    sizes = np.unique(group, return_counts=True)[1]
    if k < 1 or len(group) != n_targets or n_targets - sizes.max(initial=0) < k:
        raise InputError(
            f"k={k} neighbours from other {'frames' if groups is None else 'groups'} "
            f"cannot be found among {n_targets} frames; lower k or give more frames."
        )
    if groups is None:
        neighbours: NDArray[np.int64] = (
            NearestNeighbors(n_neighbors=k).fit(embedding).kneighbors()[1]
        )
        return neighbours
    found = np.empty((n_targets, k), dtype=np.int64)
    for value in np.unique(group):
        own, others = np.flatnonzero(group == value), np.flatnonzero(group != value)
        search = NearestNeighbors(n_neighbors=k).fit(embedding[others])
        found[own] = others[search.kneighbors(embedding[own])[1]]
    return found
