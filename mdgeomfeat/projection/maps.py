"""Maps of frames in the plane, by UMAP or PCA."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from mdgeomfeat.errors import InputError
from mdgeomfeat.store import RowArray, Rows

if TYPE_CHECKING:
    from pynndescent import NNDescent

__all__ = ["METHODS", "MapResult", "fit_map", "standardise"]

METHODS: Final = ("umap", "pca")

#: Wider inputs pass a PCA to this many components first, as is usual for UMAP.
N_COMPONENTS: Final = 50
#: Below this many frames a neighbour graph has no shape to show.
MIN_FRAMES: Final = 20

#: Frames that are placed into a finished map at a time.
_PLACED: Final = 10_000
#: Frames at a time whose deviations are held in double precision.
_ROWS: Final = 256


@dataclass(frozen=True, eq=False, kw_only=True)
class MapResult:
    """A map of frames.

    Attributes
    ----------
    embedding : (n, 2) ndarray of float32
        Places in the plane; without unit.
    frames : (n,) ndarray of int64
        Rows of the input that the embedding shows, ascending.
    method : {"umap", "pca"}
        How it was made.
    note : str
        Preparation and subsampling in words.
    """

    embedding: NDArray[np.float32]
    frames: NDArray[np.int64]
    method: str
    note: str


def fit_map(
    features: Rows,
    method: str = "umap",
    *,
    seed: int = 0,
    max_points: int = 4000,
    n_neighbors: int = 30,
    min_dist: float = 0.1,
    transform_rest: bool = False,
) -> MapResult:
    """Lay frames out in the plane.

    Features are standardised (columns that hardly vary are dropped) and, if wider
    than 50, reduced to 50 principal components. UMAP (McInnes et al., 2018,
    arXiv:1802.03426) starts from the first two of them, which keeps the large-scale
    order and makes the map reproducible.

    Parameters
    ----------
    features : (F, D) ndarray
        One row per frame; may be lazy, as those of a store.
    method : {"umap", "pca"}
        UMAP keeps neighbourhoods, PCA the largest linear variation.
    seed : int
        Seed of the layout.
    max_points : int
        More frames than this are subsampled evenly in time.
    n_neighbors : int
        UMAP's size of a neighbourhood; at most all other points are used.
    min_dist : float
        UMAP's smallest distance between points of the map.
    transform_rest : bool
        Place the frames that were not sampled into the finished map, too.

    Returns
    -------
    MapResult
        The map, which frames it shows, and what was done.

    Raises
    ------
    InputError
        If the method is unknown, a number is not finite, nothing varies, or UMAP
        gets fewer than 20 frames.

    Examples
    --------
    >>> import numpy as np
    >>> from mdgeomfeat.projection import fit_map
    >>> rng = np.random.default_rng(0)
    >>> found = fit_map(rng.normal(size=(200, 8)), "pca")
    >>> found.embedding.shape, found.frames.shape
    ((200, 2), (200,))
    """
    if method not in METHODS:
        raise InputError(
            f"Map method {method!r} is unknown; choose one of {', '.join(METHODS)}."
        )
    if not isinstance(features, RowArray):
        features = np.asarray(features)
    if features.ndim != 2:
        raise InputError(
            f"A map needs features of shape (frames, columns), got {features.shape}; "
            "join the tokens of a frame first."
        )
    n_frames = len(features)
    if n_frames < (MIN_FRAMES if method == "umap" else 2) or max_points < 2:
        raise InputError(
            f"{min(n_frames, max_points)} frames are too few for a {method} map; give "
            f"at least {MIN_FRAMES}, or 2 with method='pca'."
        )
    frames = np.arange(n_frames)
    if n_frames > max_points:
        frames = np.linspace(0, n_frames - 1, max_points).round().astype(np.int64)

    sample = np.asarray(features if len(frames) == n_frames else features[frames])
    shift, scale, kept = standardise(sample)

    def prepare(rows: NDArray[np.floating]) -> NDArray[np.float32]:
        # one copy: features of a large protein are as large as all else together
        points = rows[:, kept].astype(np.float32, copy=False)
        points -= shift
        points /= scale
        return points

    from sklearn.decomposition import PCA

    points = prepare(sample)
    del sample
    n_columns = points.shape[1]
    width = 2 if method == "pca" else N_COMPONENTS
    pca = None
    if n_columns > width:
        n_components = min(width, *points.shape)
        pca = PCA(n_components, random_state=seed).fit(points)
        points = pca.transform(points)
    placing = transform_rest and n_frames > len(frames)
    place, steps = _layout(points, method, seed, n_neighbors, min_dist, placing)
    embedding = place(None)
    if placing:
        full = np.empty((n_frames, 2), dtype=np.float32)
        full[frames] = embedding
        rest = np.setdiff1d(np.arange(n_frames), frames)
        for start in range(0, len(rest), _PLACED):
            rows = rest[start : start + _PLACED]
            outside = prepare(features[rows])
            full[rows] = place(outside if pca is None else pca.transform(outside))
        embedding, shown = full, np.arange(n_frames)
    else:
        shown = frames
    note = f"{n_columns} standardised columns"
    if pca is not None and method == "umap":
        note += f", PCA to {points.shape[1]}"
    note += f", {steps}"
    if n_frames > len(frames):
        note += f", fitted on {len(frames)} of {n_frames} frames, evenly in time"
    return MapResult(
        embedding=np.asarray(embedding, dtype=np.float32),
        frames=shown,
        method=method,
        note=note,
    )


def standardise(
    features: NDArray[np.floating],
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]]:
    """Return shift and scale of the columns that vary, and which these are.

    Raises
    ------
    InputError
        If a number is not finite, or no column varies.
    """
    mean = features.mean(axis=0, dtype=np.float64)
    square = np.zeros_like(mean)
    for start in range(0, len(features), _ROWS):
        square += np.square(features[start : start + _ROWS] - mean).sum(axis=0)
    deviation = np.sqrt(square / len(features))
    if not np.isfinite(deviation).all():
        column = int(np.flatnonzero(~np.isfinite(deviation))[0])
        raise InputError(
            f"Column {column} of the features holds a number that is not finite; "
            "leave that frame or column out."
        )
    # float32 rounding of a constant column looks like a deviation of 1e-7 of it.
    kept = np.flatnonzero(deviation > 1e-6 * np.maximum(np.abs(mean), 1e-6))
    if not len(kept):
        raise InputError("No column of the features varies; there is nothing to map.")
    return (
        mean[kept].astype(np.float32),
        deviation[kept].astype(np.float32),
        kept,
    )


def _layout(
    points: NDArray[np.float32],
    method: str,
    seed: int,
    n_neighbors: int,
    min_dist: float,
    placing: bool,
) -> tuple[Callable[[NDArray[np.float32] | None], NDArray[np.float32]], str]:
    """Fit the layout; return what places points (None: the fitted ones)."""
    if method == "pca":
        # One column alone has no second axis.
        def project(other: NDArray[np.float32] | None) -> NDArray[np.float32]:
            plane = points if other is None else other
            return np.pad(plane, ((0, 0), (0, 2 - plane.shape[1])))

        return project, "PCA"

    from umap import UMAP

    n_neighbors = min(n_neighbors, len(points) - 1)
    # umap takes its number of jobs from the seed (one, or it could not be repeated);
    # n_jobs=1 says so first, which spares its warning about overriding the default.
    mapper = UMAP(
        n_neighbors=n_neighbors,
        min_dist=min_dist,
        init="pca" if points.shape[1] > 1 else "random",
        random_state=seed,
        n_jobs=1,
        precomputed_knn=_neighbours(points, n_neighbors, seed, placing),
    )
    with warnings.catch_warnings():
        # without an index no further points can be placed, and none will be
        warnings.filterwarnings("ignore", message="precomputed_knn")
        mapper.fit(points)

    def place(other: NDArray[np.float32] | None) -> NDArray[np.float32]:
        placed: NDArray[np.float32] = (
            mapper.embedding_ if other is None else mapper.transform(other)
        )
        return placed

    return place, f"UMAP with {n_neighbors} neighbours"


def _neighbours(
    points: NDArray[np.float32], n_neighbors: int, seed: int, placing: bool
) -> tuple[NDArray[np.integer], NDArray[np.float32], NNDescent | None]:
    """Return the exact neighbours of all points, and what finds those of others.

    By itself UMAP calls a Python function for every pair of up to 4,096 points, which
    takes longer than all the rest, and finds the neighbours of more only approximately.
    """
    from sklearn.neighbors import NearestNeighbors

    finder = NearestNeighbors(n_neighbors=n_neighbors).fit(points)
    distances, indices = finder.kneighbors(points)
    index = None
    if placing:
        from pynndescent import NNDescent

        index = NNDescent(points, n_neighbors=n_neighbors, random_state=seed, n_jobs=1)
    return indices, distances.astype(np.float32), index
