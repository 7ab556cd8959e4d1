"""How far new frames lie from what a model has seen, frame by frame and by token."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mdgeomfeat.store import Rows, cut_rows
from mdgeomfeat.variables.training import Reach, flat_tokens

__all__ = ["Novelty", "measure_novelty"]

_CHUNK: Final = 2_000_000  # numbers that are held at once


@dataclass(frozen=True, eq=False, kw_only=True)
class Novelty:
    """Distance of frames and tokens from the training data.

    Attributes
    ----------
    distances : list of (F_i,) ndarray
        Of every frame, see :class:`~mdgeomfeat.variables.Reach`; one of a thousand
        training frames lies beyond 1.
    shifts : (N,) ndarray
        How far the mean features of each token lie from those in training, in standard
        deviations there (root mean square over features).

    Examples
    --------
    >>> import numpy as np
    >>> from mdgeomfeat.variables import Novelty
    >>> novelty = Novelty(distances=[np.array([0.4, 1.6])], shifts=np.array([0.1, 2.0]))
    >>> novelty.share, novelty.unseen[0].tolist()
    (0.5, [False, True])
    """

    distances: list[NDArray[np.float64]]
    shifts: NDArray[np.float64]

    @property
    def unseen(self) -> list[NDArray[np.bool_]]:
        """[(F_i,), ...] whether frames lie farther out than 99.9 % of training."""
        return [own > 1 for own in self.distances]

    @property
    def share(self) -> float:
        """Share of the frames that lie so far out."""
        return float(np.concatenate(self.unseen).mean())


def measure_novelty(
    reach: Reach,
    features: Sequence[Rows],
    n_tokens: int,
    counted: NDArray[np.bool_] | None = None,
) -> Novelty:
    """Measure how far frames lie from the training data.

    Parameters
    ----------
    reach : Reach
        Of the model.
    features : list of (F_i, N, K) or (F_i, N, 4, C) arrays
        Of the new frames, in the order of the model's tokens.
    n_tokens : int
    counted : (N,) ndarray of bool, optional
        Tokens that the distance is made of. The others, which a mutation has changed or
        removed, are taken to be where they were in training.

    Returns
    -------
    Novelty

    Examples
    --------
    >>> from mdgeomfeat.store import FeatureStore
    >>> from mdgeomfeat.featurizer import FeatureResults
    >>> from mdgeomfeat.variables import measure_novelty, read_training
    >>> seen = FeatureResults.load("report/features.zarr").token_features_list()
    >>> novelty = measure_novelty(read_training("report").reach, seen, n_tokens=3)
    >>> novelty.share < 0.02  # these frames are the training data
    True
    """
    counted = np.ones(n_tokens, bool) if counted is None else counted
    columns = np.repeat(counted, len(reach.mean) // n_tokens)
    total = np.zeros(len(reach.mean))
    distances = []
    step = max(1, _CHUNK // len(reach.mean))
    for rows in features:
        own = [np.empty(0)]
        for start in range(0, len(rows), step):
            part = cut_rows(rows, start, min(start + step, len(rows)))
            flat = flat_tokens(np.asarray(part))
            total += flat.sum(axis=0)
            own.append(reach(np.where(columns, flat, reach.mean)))
        distances.append(np.concatenate(own))
    z = (total / sum(map(len, features)) - reach.mean) * reach.factor
    varying = np.maximum((reach.factor.reshape(n_tokens, -1) > 0).sum(axis=1), 1)
    square = (z.reshape(n_tokens, -1) ** 2).sum(axis=1)
    return Novelty(distances=distances, shifts=np.sqrt(square / varying))
