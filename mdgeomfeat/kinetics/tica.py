"""TICA with deeptime: streaming, with the width rule and a guard for few frames.

References
----------
Molgedey & Schuster, Phys. Rev. Lett. 72, 3634 (1994); Pérez-Hernández et al.,
J. Chem. Phys. 139, 015102 (2013).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from deeptime.covariance import CovarianceModel
from deeptime.decomposition import TICA
from numpy.typing import NDArray
from scipy.linalg import eigh

from mdgeomfeat.kinetics.arrays import (
    Arrays,
    chunks,
    lagged_runs,
    n_pairs,
    pair_weights,
)
from mdgeomfeat.kinetics.covariances import reversible_covariances
from mdgeomfeat.kinetics.pca import MAX_WIDTH, fit_pca
from mdgeomfeat.kinetics.scores import ScoreError, shares, vamp2_score
from mdgeomfeat.kinetics.standardize import (
    PAIRS_PER_COLUMN,
    Standardizer,
    fit_standardizer,
    flat_features,
    scale_by_autocorrelation,
)

__all__ = ["LinearMap", "PreparedTICA", "fit_tica", "fit_tica_guarded"]

#: Directions with less variance than this (standardised columns have 1) are dropped.
_EPSILON = 1e-6

#: Shares of a standardised column's variance that are added to it, to choose from.
_RIDGES = (0.0, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)


@dataclass(frozen=True, eq=False)
class LinearMap:
    """A linear map of standardised flat features.

    Attributes
    ----------
    standardizer : Standardizer
        Of the flat features (D,).
    matrix : (D, d) ndarray of float64
        From standardised features to outputs.
    offset : (d,) ndarray of float64
        Added at the end.
    timescales : (d,) ndarray of float64
        Timescales of the training part, frames; NaN where the eigenvalue is not
        positive.
    width : int
        Components that the estimator saw.
    pca : int or None
        The same, if they are principal components.
    """

    standardizer: Standardizer
    matrix: NDArray[np.float64]
    offset: NDArray[np.float64]
    timescales: NDArray[np.float64]
    width: int
    pca: int | None = None

    def transform(self, arrays: Arrays) -> list[NDArray[np.float64]]:
        """Map trajectories of (F, ...) frames to (F, d), chunk by chunk."""
        return [
            np.concatenate(
                [
                    self.standardizer(flat_features(c)) @ self.matrix + self.offset
                    for c in chunks([array])
                ]
                or [np.empty((0, len(self.offset)))]
            )
            for array in arrays
        ]


def fit_tica(
    arrays: Arrays,
    lag: int,
    dim: int,
    *,
    n_components: int | None = None,
    ridge: float = 0.0,
    weights: Arrays | None = None,
) -> LinearMap:
    """Fit TICA to training trajectories.

    Parameters
    ----------
    arrays : list of (F, ...) ndarrays
        Training trajectories.
    lag : int
        Lag in frames.
    dim : int
        Number of outputs; fewer come back if the rank is lower.
    n_components : int, optional
        Principal components to use. By default all columns up to 1,000, and 1,000
        components beyond.
    ridge : float
        Share of a standardised column's variance that is added to it; timescales are
        corrected for it.
    weights : list of (F,) ndarrays, optional
        Weight of every frame. Covariances are weighted, pairs by their earlier frame.

    Returns
    -------
    LinearMap

    Raises
    ------
    ScoreError
        If there are too few pairs, no column varies, or no pair has a weight.
    """
    return PreparedTICA(arrays, lag, n_components, weights).solve(dim, ridge=ridge)


def fit_tica_guarded(
    arrays: Arrays,
    stop: Arrays,
    lag: int,
    dim: int,
    *,
    weights: Arrays | None = None,
    stop_weights: Arrays | None = None,
) -> LinearMap:
    """Fit TICA with what a second part of the data decides, then to both parts.

    What is decided, by the best score on the `stop` part, is whether columns are as
    large as they are slow (:func:`.standardize.scale_by_autocorrelation`) or all alike,
    together with a ridge (0 to 3 times a column's mean variance; many columns on few
    pairs need much), and then, where there are less than ten training pairs per column
    (or principal component, beyond 1,000), the number of components, which is halved
    again and again with that ridge. This is what early stopping is for a network.
    The map is then fitted again, with these choices, to both parts together.

    Parameters
    ----------
    arrays, stop : list of (F, ...) ndarrays
        Training part, and the part that decides.
    lag, dim : int
        Lag in frames, number of outputs.
    weights, stop_weights : list of (F,) ndarrays, optional
        Weights of the frames of both parts.

    Returns
    -------
    LinearMap

    Raises
    ------
    ScoreError
        If nothing could be fitted.
    """
    pairs = _effective_pairs(arrays, lag, weights)
    first = _first_width(arrays, pairs)

    def scores(
        prepared: PreparedTICA, choices: Iterable[tuple[int, float]]
    ) -> list[float]:
        maps = [prepared.sketch(dim, width, ridge) for width, ridge in choices]
        outputs = _side_by_side(maps).transform(stop)
        edges = np.cumsum([len(m.offset) for m in maps])[:-1]
        parts = zip(*(np.split(run, edges, axis=1) for run in outputs), strict=True)
        return [vamp2_score(list(part), lag, stop_weights) for part in parts]

    tried: list[tuple[float, PreparedTICA, float]] = []
    for slow_first in (False, True):
        prepared = PreparedTICA(arrays, lag, first, weights, slow_first=slow_first)
        found = scores(prepared, [(prepared.width, ridge) for ridge in _RIDGES])
        tried += zip(found, [prepared] * len(found), _RIDGES, strict=True)
    _, prepared, ridge = max(tried, key=lambda choice: choice[0])
    widths = _widths(prepared.width, pairs, dim)
    by_width = scores(prepared, [(width, ridge) for width in widths])
    width = widths[int(np.argmax(by_width))]
    everything = [*arrays, *stop]
    both = None
    if weights is not None and stop_weights is not None:
        both = [*weights, *stop_weights]
    components = width if prepared.components is not None else None
    return PreparedTICA(
        everything, lag, components, both, slow_first=prepared.slow_first
    ).solve(dim, width, ridge)


def _side_by_side(maps: Sequence[LinearMap]) -> LinearMap:
    """Return one map of the same columns to the outputs of all."""
    return replace(
        maps[0],
        matrix=np.concatenate([m.matrix for m in maps], axis=1),
        offset=np.concatenate([m.offset for m in maps]),
        timescales=np.concatenate([m.timescales for m in maps]),
    )


def _effective_pairs(arrays: Arrays, lag: int, weights: Arrays | None) -> int:
    """Return how many pairs of equal weight would be worth as much."""
    if weights is None:
        return n_pairs(arrays, lag)
    share = shares(pair_weights(weights, lag))
    return int(1 / (share @ share))


def _first_width(arrays: Arrays, pairs: int) -> int | None:
    """Return how many principal components to begin with; None for plain columns."""
    width = flat_features(arrays[0][:1]).shape[1]
    limit = min(width, MAX_WIDTH)
    if pairs >= PAIRS_PER_COLUMN * limit:
        return None
    return int(max(min(limit, pairs // 2), 1))


def _widths(first: int, pairs: int, dim: int) -> list[int]:
    """Return the widths to try, halving where pairs are few."""
    widths = [first]
    if pairs < PAIRS_PER_COLUMN * first:
        while (width := widths[-1]) > max(2 * dim, 8):
            widths.append(max(width // 2, 2 * dim, 8))
    return widths


class PreparedTICA:
    """Standardised (and, if wide, PCA-projected) covariances of a training part.

    Parameters
    ----------
    arrays : list of (F, ...) ndarrays
        Training trajectories.
    lag : int
        Lag in frames.
    n_components : int, optional
        Principal components to use, as for :func:`fit_tica`.
    weights : list of (F,) ndarrays, optional
        Weight of every frame.
    slow_first : bool
        Make columns as large as they are slow, instead of all alike.

    Attributes
    ----------
    standardizer : Standardizer
    slow_first : bool
    components : (D, k) ndarray or None
        Principal components, if they are used.
    width : int
        Number of columns k.

    Raises
    ------
    ScoreError
        If there are too few pairs, or no pair has a weight.
    """

    def __init__(
        self,
        arrays: Arrays,
        lag: int,
        n_components: int | None,
        weights: Arrays | None = None,
        *,
        slow_first: bool = False,
    ) -> None:
        if n_pairs(arrays, lag) < 3:
            raise ScoreError(
                f"The training part has no pairs at a lag of {lag} frames."
            )
        self.slow_first = slow_first
        self.standardizer = fit_standardizer(arrays, flat_features)
        if slow_first:
            self.standardizer = scale_by_autocorrelation(
                self.standardizer, arrays, lag, flat_features
            )
        width = self.standardizer.shift.size
        if n_components is None and width > MAX_WIDTH:
            n_components = MAX_WIDTH
        self.components = None
        if n_components is not None:
            self.components = fit_pca(arrays, self.standardizer, n_components)
        self.lag = lag
        self.covariances = reversible_covariances(self._pairs(arrays, weights), lag)
        self.width = len(self.covariances.cov_00)
        self._bases: dict[int, _Basis] = {}

    def _pairs(
        self, arrays: Arrays, weights: Arrays | None
    ) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64], Any]]:
        """Yield projected pairs with their weights."""
        lag = self.lag
        # a mean of 1, because one is taken off the sum of weights
        scaled = None
        if weights is not None:
            scaled = shares(pair_weights(weights, lag)) * n_pairs(arrays, lag)
        seen = 0
        for frames in lagged_runs(arrays, lag):
            n = len(frames) - lag
            own = None if scaled is None else scaled[seen : seen + n]
            seen += n
            if own is None or own.any():
                x = self._project(frames)
                yield x[:n], x[lag:], own

    def _project(self, frames: NDArray[np.floating]) -> NDArray[np.float64]:
        x = self.standardizer(flat_features(frames))
        return x if self.components is None else x @ self.components

    def solve(
        self,
        dim: int,
        width: int | None = None,
        ridge: float = 0.0,
        extra: NDArray[np.float64] | None = None,
    ) -> LinearMap:
        """Return TICA on the first columns.

        Parameters
        ----------
        dim : int
            Number of outputs.
        width : int, optional
            Number of columns, by default all.
        ridge : float
            Added to the diagonal of the instantaneous covariances, but not a part of
            the timescales.
        extra : (k, k) ndarray, optional
            Likewise a matrix.

        Returns
        -------
        LinearMap
        """
        k = self.width if width is None else min(width, self.width)
        c = self.covariances
        added = ridge * np.eye(k)
        if extra is not None:
            added += extra[:k, :k]
        part = CovarianceModel(
            cov_00=c.cov_00[:k, :k] + added,
            cov_0t=c.cov_0t[:k, :k],
            cov_tt=c.cov_00[:k, :k] + added,
            mean_0=c.mean_0[:k],
            mean_t=c.mean_t[:k],
            lagtime=self.lag,
            symmetrized=True,
            data_mean_removed=True,
        )
        estimator = TICA(lagtime=self.lag, epsilon=_EPSILON, scaling=None)
        try:
            model = estimator.fit_from_covariances(part).fetch_model()
        except np.linalg.LinAlgError as error:
            raise ScoreError(f"TICA failed ({error}).") from error
        values = np.real(model.singular_values)
        order = np.argsort(-values)[:dim]
        vectors = np.real(model.singular_vectors_left)[:, order]
        if added.any():
            values = _autocorrelations(vectors, c.cov_00[:k, :k], c.cov_0t[:k, :k])
        else:
            values = values[order]
        return self._map(vectors, values)

    def sketch(self, dim: int, width: int, ridge: float) -> LinearMap:
        """Return the map of :meth:`solve` up to the scale of its outputs, in less time.

        Ridges differ only by a number on the diagonal, so one decomposition of the
        instantaneous covariances serves them all, and of the second only the leading
        vectors are needed.

        Parameters
        ----------
        dim, width : int
        ridge : float
        """
        k = min(width, self.width)
        if k not in self._bases:
            self._bases[k] = _Basis.of(self.covariances, k)
        vectors, values = self._bases[k].leading(dim, ridge)
        return self._map(vectors, values)

    def _map(
        self, vectors: NDArray[np.float64], values: NDArray[np.float64]
    ) -> LinearMap:
        k = len(vectors)
        matrix = (
            vectors if self.components is None else self.components[:, :k] @ vectors
        )
        with np.errstate(divide="ignore", invalid="ignore"):
            timescales = np.where(
                (values > 0) & (values < 1), -self.lag / np.log(values), np.nan
            )
        return LinearMap(
            standardizer=self.standardizer,
            matrix=np.asarray(matrix, dtype=np.float64),
            offset=-(self.covariances.mean_0[:k] @ vectors),
            timescales=timescales,
            width=k,
            pca=None if self.components is None else k,
        )


@dataclass(frozen=True, eq=False)
class _Basis:
    """Covariances of the first columns, where the instantaneous one is diagonal."""

    variances: NDArray[np.float64]
    directions: NDArray[np.float64]
    lagged: NDArray[np.float64]

    @classmethod
    def of(cls, covariances: CovarianceModel, width: int) -> _Basis:
        try:
            variances, directions = eigh(covariances.cov_00[:width, :width])
        except np.linalg.LinAlgError as error:
            raise ScoreError(f"TICA failed ({error}).") from error
        lagged = directions.T @ covariances.cov_0t[:width, :width] @ directions
        return cls(variances, directions, (lagged + lagged.T) / 2)

    def leading(
        self, dim: int, ridge: float
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the vectors (k, dim) of the largest eigenvalues, and these."""
        kept = self.variances + ridge > _EPSILON
        if not kept.any():
            raise ScoreError("TICA failed (no direction varies).")
        scale = 1 / np.sqrt(self.variances[kept] + ridge)
        n = len(scale)
        values, vectors = eigh(
            scale[:, None] * self.lagged[np.ix_(kept, kept)] * scale,
            subset_by_index=(max(n - dim, 0), n - 1),
        )
        return (
            self.directions[:, kept] @ (scale[:, None] * vectors[:, ::-1]),
            values[::-1],
        )


def _autocorrelations(
    vectors: NDArray[np.float64],
    cov_00: NDArray[np.float64],
    cov_0t: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return what a ridge shrinks in the eigenvalues: lagged over instantaneous."""
    lagged = np.einsum("ki,kl,li->i", vectors, cov_0t, vectors)
    values: NDArray[np.float64] = lagged / np.einsum(
        "ki,kl,li->i", vectors, cov_00, vectors
    )
    return values
