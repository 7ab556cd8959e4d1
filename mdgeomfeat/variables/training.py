"""What a model has seen: quantiles of its variables, and how far a frame is from it.

A bias pushes a molecule to where no training frame was. What a learnt variable says
there means nothing, and it may be steep. :class:`Reach` measures that as one number
with a gradient: the Mahalanobis distance of the features under probabilistic principal
components (M. E. Tipping and C. M. Bishop, J. R. Stat. Soc. B 61, 611 (1999),
equations 5 and 7) of the training frames, in units of the distance that one of a
thousand of them exceeds. Barriers between states lie inside of what this Gaussian
covers, so that crossing them is no warning.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from torch import Tensor

from mdgeomfeat.errors import InputError
from mdgeomfeat.store import Rows
from mdgeomfeat.tensorfiles import save_tensors

__all__ = [
    "LEVELS",
    "Reach",
    "TrainingRecord",
    "flat_tokens",
    "mean_tokens",
    "record_training",
]

FORMAT: Final = 2

#: Levels of the quantiles that are kept; the first and last are extremes.
LEVELS: Final = (0.0, 0.001, 0.01, 0.16, 0.5, 0.84, 0.99, 0.999, 1.0)

_RANK = 32  # components at most
_EXPLAINED = 0.95  # of the variance; what is left over is taken as noise
_USUAL = 0.999  # of training frames lie nearer than a distance of 1
_FRAMES = 4000  # frames that are looked at; half of them fit, the others calibrate
_BYTES = 400_000_000  # of the features of those frames, in float64
_ROUNDING = 1e-6  # a smaller spread, relative to the mean, is rounding
_NEAREST = 1e-24  # square below which the root's slope is held finite
_SHOWN = 3000  # frames whose variables are kept, for maps
_COUNTED = 50  # frames from which on a state's quantiles mean something


@dataclass(frozen=True, eq=False, kw_only=True)
class Reach:
    """Distance of a frame's features from those of training; 1 is at the edge.

    With standardised features z, components u with variances l and noise s the square
    is ``sum (u . z)^2 (1/l - 1/s) + z . z / s``, over its usual value.

    Attributes
    ----------
    mean, factor : (K,) ndarray
        ``z = (features - mean) * factor``; a factor of 0 leaves a feature out.
    components : (K, r) ndarray
        Orthonormal columns u.
    weights : (r,) ndarray
        ``1/l - 1/s``.
    noise : float
        Variance s of what the components leave over, per feature.
    usual : float
        The square that one of a thousand training frames exceeds.

    Examples
    --------
    >>> import numpy as np
    >>> from mdgeomfeat.variables import Reach
    >>> rng = np.random.default_rng(0)
    >>> reach = Reach.fit(rng.normal(size=(500, 4)), rng.normal(size=(500, 4)))
    >>> reach.mean.shape, reach.factor.shape
    ((4,), (4,))
    """

    mean: NDArray[np.float64]
    factor: NDArray[np.float64]
    components: NDArray[np.float64]
    weights: NDArray[np.float64]
    noise: float
    usual: float

    @classmethod
    def fit(cls, fitting: NDArray[np.floating], others: NDArray[np.floating]) -> Reach:
        """Fit to training frames.

        Parameters
        ----------
        fitting : (F, K) array
            Frames that fit mean, spread and components.
        others : (F', K) array
            Frames that tell which distance is usual. Those that were fitted are
            nearer than any other where there are more features than frames.

        Returns
        -------
        Reach
        """
        x = np.asarray(fitting, np.float64)
        mean, spread = x.mean(axis=0), x.std(axis=0)
        varies = spread > _ROUNDING * np.maximum(np.abs(mean), _ROUNDING)
        factor = np.where(varies, 1 / np.where(varies, spread, 1), 0)
        _, sizes, rows = np.linalg.svd((x - mean) * factor, full_matrices=False)
        variances = sizes**2 / len(x)
        share = np.cumsum(variances) / max(variances.sum(), np.finfo(float).tiny)
        rank = min(int(np.searchsorted(share, _EXPLAINED)) + 1, _RANK, len(variances))
        left = max(int(varies.sum()) - rank, 1)
        noise = variances[rank:].sum() / left
        # nothing is left where features are fewer than components: then no direction
        # is better known than the least of these
        noise = float(noise) or float(variances[:rank].min()) or 1.0
        made = cls(
            mean=mean,
            factor=factor,
            components=np.ascontiguousarray(rows[:rank].T),
            weights=1 / np.maximum(variances[:rank], noise) - 1 / noise,
            noise=noise,
            usual=1.0,
        )
        usual = float(np.quantile(made(others) ** 2, _USUAL))
        return replace(made, usual=usual or 1.0)

    def __call__(self, features: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return the distances (F,) of features (F, K)."""
        z = (np.asarray(features, np.float64) - self.mean) * self.factor
        along = (z @ self.components) ** 2 @ self.weights
        distance: NDArray[np.float64] = np.sqrt(
            (along + (z * z).sum(axis=1) / self.noise) / self.usual
        )
        return distance

    def of(self, features: Tensor) -> Tensor:
        """Return the distances (F,) of features (F, K), with gradients."""

        def like(values: NDArray[np.floating]) -> Tensor:
            return torch.as_tensor(values, dtype=features.dtype, device=features.device)

        z = (features - like(self.mean)) * like(self.factor)
        square = (z @ like(self.components)) ** 2 @ like(self.weights)
        square = square + (z * z).sum(dim=1) / self.noise
        return (square / self.usual).clamp_min(_NEAREST).sqrt()

    def slope(
        self, features: NDArray[np.floating]
    ) -> tuple[float, NDArray[np.float64]]:
        """Return the distance of one frame's features (K,), and its gradient (K,)."""
        z = (np.asarray(features, np.float64) - self.mean) * self.factor
        along = z @ self.components
        half = self.components @ (along * self.weights) + z / self.noise
        distance = float(np.sqrt(max(float(z @ half) / self.usual, _NEAREST)))
        return distance, half * self.factor / (self.usual * distance)


@dataclass(frozen=True, eq=False, kw_only=True)
class TrainingRecord:
    """What is kept of the data that a model was learnt from.

    Attributes
    ----------
    quantiles : (d, Q) ndarray
        Of each variable, at :data:`LEVELS`.
    by_state : (S, d, Q) ndarray
        The same inside each state; NaN where a state has too few frames.
    counts : (S,) ndarray
        Frames in each state.
    sample : (M, d) ndarray
        Variables of frames that lie evenly over all runs.
    box : bool
        Whether the frames had a periodic box.
    reach : Reach

    Examples
    --------
    >>> from mdgeomfeat.variables import read_training
    >>> record = read_training("report")
    >>> d, n_levels = record.quantiles.shape
    >>> record.by_state.shape == (len(record.counts), d, n_levels)
    True
    >>> bool((record.quantiles[:, 0] < record.quantiles[:, -1]).all())
    True
    """

    quantiles: NDArray[np.float64]
    by_state: NDArray[np.float64]
    counts: NDArray[np.float64]
    sample: NDArray[np.float64]
    box: bool
    reach: Reach

    def save(self, path: str | Path) -> None:
        """Write a safetensors file of float64 arrays; two writers give the same bytes.

        Parameters
        ----------
        path : path
        """
        reach = self.reach
        tensors = {
            "quantiles": self.quantiles,
            "by_state": self.by_state,
            "counts": self.counts,
            "sample": self.sample,
            "reach.mean": reach.mean,
            "reach.factor": reach.factor,
            "reach.components": reach.components,
            "reach.weights": reach.weights,
            "reach.noise": np.array([reach.noise]),
            "reach.usual": np.array([reach.usual]),
        }
        header = {"format": FORMAT, "levels": LEVELS, "box": self.box}
        save_tensors(
            path,
            {name: np.asarray(t, np.float64) for name, t in tensors.items()},
            {name: json.dumps(value) for name, value in header.items()},
        )

    @classmethod
    def load(cls, path: str | Path) -> TrainingRecord:
        """Read what :meth:`save` wrote.

        Parameters
        ----------
        path : path

        Raises
        ------
        InputError
            If it is no such file, or of another format.
        """
        try:
            with safe_open(path, "numpy") as file:
                header = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            number = json.loads(header["format"])
            if number != FORMAT:
                raise InputError(
                    f"The record of training data '{path}' has format {number}, but "
                    f"this release reads format {FORMAT}; use the release that wrote "
                    "it."
                )
            return cls(
                quantiles=tensors["quantiles"],
                by_state=tensors["by_state"],
                counts=tensors["counts"],
                sample=tensors["sample"],
                box=json.loads(header["box"]),
                reach=Reach(
                    **{
                        name: tensors[f"reach.{name}"]
                        for name in ("mean", "factor", "components", "weights")
                    },
                    noise=float(tensors["reach.noise"][0]),
                    usual=float(tensors["reach.usual"][0]),
                ),
            )
        except (SafetensorError, KeyError, ValueError, OSError) as error:
            raise InputError(
                f"'{path}' is not the record of a model's training data ({error}); "
                "copy the folder of the model again."
            ) from error


def flat_tokens(features: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return what the distance is made of: numbers that do not turn with a molecule.

    Parameters
    ----------
    features : (F, N, K) or (F, N, 4, C) array

    Returns
    -------
    (F, D) ndarray
        Of joined channels the scalars and the norms of vectors.
    """
    x = np.asarray(features, np.float64)
    if x.ndim == 4:
        norms = np.sqrt((x[:, :, 1:] ** 2).sum(axis=2))
        x = np.concatenate([x[:, :, 0], norms], axis=-1)
    return x.reshape(len(x), -1)


def mean_tokens(reach: Reach, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Return the mean features of the training frames, token by token.

    Parameters
    ----------
    reach : Reach
    shape : tuple of int
        Of one frame's features: (N, K), or (N, 4, C) of joined channels, whose
        vectors have no mean because molecules turn.

    Returns
    -------
    ndarray of that shape
    """
    if len(shape) == 2:
        return reach.mean.reshape(shape)
    mean = np.zeros(shape)
    mean[:, 0] = reach.mean.reshape(shape[0], -1)[:, : shape[2]]
    return mean


def record_training(
    features: Sequence[Rows],
    values: Sequence[NDArray[np.floating]],
    states: Sequence[NDArray[np.int64]],
    n_states: int,
    *,
    box: bool,
) -> TrainingRecord:
    """Summarise the frames that a model was learnt from.

    Parameters
    ----------
    features : list of (F_i, ...) arrays
        What the model was trained on.
    values : list of (F_i, d) arrays
        Its variables.
    states : list of (F_i,) integer arrays
        State of each frame, below 0 where it has none.
    n_states : int
    box : bool
        Whether the frames had a periodic box.

    Returns
    -------
    TrainingRecord

    Examples
    --------
    >>> import numpy as np
    >>> from mdgeomfeat.variables import record_training
    >>> rng = np.random.default_rng(0)
    >>> runs = [rng.normal(size=(200, 2, 3))]
    >>> variables = [run[:, 0, :1] for run in runs]
    >>> states = [(s[:, 0] > 0).astype(int) for s in variables]
    >>> record = record_training(runs, variables, states, 2, box=False)
    >>> record.counts.shape, record.quantiles.shape
    ((2,), (1, 9))
    """
    s, labels = np.concatenate(values), np.concatenate(states)
    by_state = np.full((n_states, s.shape[1], len(LEVELS)), np.nan)
    for state in range(n_states):
        own = s[labels == state]
        if len(own) >= _COUNTED:
            by_state[state] = np.quantile(own, LEVELS, axis=0).T
    seen = _spread_frames(features)
    shown = np.unique(np.linspace(0, len(s) - 1, min(_SHOWN, len(s))).astype(int))
    return TrainingRecord(
        quantiles=np.quantile(s, LEVELS, axis=0).T,
        by_state=by_state,
        counts=np.bincount(labels[labels >= 0], minlength=n_states).astype(float),
        sample=s[shown],
        box=box,
        reach=Reach.fit(seen[::2], seen[1::2]),
    )


def _spread_frames(features: Sequence[Rows]) -> NDArray[np.float64]:
    """Return flat features of frames that lie evenly over all runs."""
    lengths = np.array([len(rows) for rows in features])
    width = int(np.prod(features[0].shape[1:]))
    most = int(np.clip(_BYTES // (8 * width), 20, _FRAMES))
    total = int(lengths.sum())
    chosen = np.unique(np.linspace(0, total - 1, min(most, total)).astype(int))
    first = np.concatenate([[0], np.cumsum(lengths)])
    parts = []
    for k, rows in enumerate(features):
        own = chosen[(chosen >= first[k]) & (chosen < first[k + 1])] - first[k]
        if len(own):
            parts.append(flat_tokens(np.asarray(rows[own])))
    return np.concatenate(parts)
