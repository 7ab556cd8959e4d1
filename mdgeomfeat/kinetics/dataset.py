"""Lagged pairs of token features for training, from memory or from a store."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from mdgeomfeat.errors import InputError
from mdgeomfeat.kinetics.arrays import (
    Arrays,
    as_arrays,
    gather,
    gather_pairs,
    lagged_index,
    pair_weights,
)
from mdgeomfeat.kinetics.scores import shares
from mdgeomfeat.store import RowArray

if TYPE_CHECKING:
    from mdgeomfeat.featurespec import InvariantKind

__all__ = ["PairBatches", "TokenDataset"]

#: Memory for pairs that are read from disk together and shuffled.
_BUFFER_BYTES = 256e6
#: A buffer consists of at least so many blocks, so that a batch is not of one time.
_MIN_BLOCKS = 32
#: Pairs of a block, which follow each other on the disk, at most.
_MAX_BLOCK = 1024


class TokenDataset(Dataset[tuple[Tensor, Tensor]]):
    """All pairs of frames one lag apart, none of them across two trajectories.

    A map-style torch dataset, for ``torch.utils.data.DataLoader`` and with it for
    deeptime's deep estimators. :meth:`batches` reads a store much faster than shuffling
    single pairs does.

    Parameters
    ----------
    arrays : (F, ...) ndarray or list of them
        Features of every unbroken trajectory: in memory, as
        ``results.token_features_list()`` gives them, or lazy, as
        ``results.split(results.token_features)`` does for a store.
    lag : int
        Lag in frames.
    weights : list of (F,) ndarrays, optional
        Weight of every frame, 0 or more; a pair has that of its earlier frame. An
        epoch of :meth:`batches` then draws every pair about as often as its weight
        says, which makes means over batches weighted means.

    Attributes
    ----------
    arrays : list of (F, ...) ndarrays
    lag : int
    weights : (P,) ndarray or None
        Of the pairs, with a mean of 1.

    Raises
    ------
    InputError
        If the lag is below 1 or leaves no pair, or shapes differ.

    Examples
    --------
    >>> import numpy as np
    >>> from mdgeomfeat.kinetics import TokenDataset
    >>> runs = [np.zeros((10, 3, 8)), np.zeros((4, 3, 8))]
    >>> pairs = TokenDataset(runs, lag=2)
    >>> len(pairs), pairs[0][0].shape
    (10, torch.Size([3, 8]))
    """

    def __init__(
        self,
        arrays: Arrays | NDArray[np.floating],
        lag: int,
        weights: Arrays | None = None,
    ) -> None:
        self.arrays = as_arrays(arrays)
        self.lag = lag
        if lag < 1:
            raise InputError(f"A lag of {lag} frames is below 1; choose 1 or more.")
        self._index = lagged_index(self.arrays, lag)
        if not len(self._index):
            longest = max(map(len, self.arrays))
            raise InputError(
                f"The lag of {lag} frames is not shorter than the longest trajectory "
                f"({longest} frames); choose a shorter lag."
            )
        self.weights = None
        if weights is not None:
            self.weights = shares(pair_weights(weights, lag)) * len(self._index)

    @classmethod
    def from_store(
        cls,
        path: str | Path,
        lag: int,
        *,
        kind: InvariantKind | None = None,
        channels: bool = False,
    ) -> Self:
        """Open a feature store; rows are read when batches are made of them.

        Parameters
        ----------
        path : str or Path
            What was given as ``store=``.
        lag : int
            Lag in frames.
        kind : {"geometric", "norms", "scalars"}, optional
            Which invariants (N, K) of the tokens; by default those of the run.
        channels : bool
            Scalars and vectors (N, 4, C) in their place.

        Raises
        ------
        InputError
            If it is no finished store, or the lag leaves no pair.
        """
        from mdgeomfeat.featurizer import FeatureResults

        results = FeatureResults.load(path)
        rows = results.channels if channels else results.invariants(kind)
        return cls(results.split(rows), lag)

    def __len__(self) -> int:
        return len(self._index)

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor]:
        x, y = self.pairs(np.array([range(len(self))[number]]))
        return x[0], y[0]

    def __getitems__(self, numbers: Sequence[int]) -> list[tuple[Tensor, Tensor]]:
        """Return several pairs at once, which a DataLoader asks for."""
        return list(zip(*self.pairs(np.asarray(numbers)), strict=True))

    def pairs(self, numbers: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Return the two halves of some pairs, (n, ...) float32 each.

        Parameters
        ----------
        numbers : (n,) ndarray of int
            Between 0 and ``len(dataset) - 1``.
        """
        early, late = gather_pairs(self.arrays, self._index[numbers], self.lag)
        return torch.from_numpy(early), torch.from_numpy(late)

    def thinned_numbers(self, n: int) -> NDArray[np.int64]:
        """Return the numbers (m,) of m <= `n` pairs, evenly spaced in time."""
        return np.arange(0, len(self), -(-len(self) // n))

    def frames_of(
        self, numbers: NDArray[np.int64]
    ) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int64]]:
        """Return the frames of some pairs, each of them once.

        Parameters
        ----------
        numbers : (n,) ndarray of int
            As for :meth:`pairs`.

        Returns
        -------
        frames : (u, ...) ndarray of float32
            With u <= 2 n: a frame may be in two pairs.
        early, late : (n,) ndarray of int
            Where the two halves of every pair stand among them.
        """
        early = self._index[numbers]
        both = np.concatenate([early, early + np.array([0, self.lag])])
        once, where = np.unique(both, axis=0, return_inverse=True)
        first, second = where.reshape(2, -1)
        return gather(self.arrays, once), first, second

    def drawn(self, rng: np.random.Generator) -> NDArray[np.int64]:
        """Return the numbers (n,) of the pairs of one epoch, in the order of time.

        All of them once, or each as often as its weight says, the fraction decided by
        one random number (systematic resampling; Kitagawa, J. Comput. Graph. Stat. 5,
        1 (1996)).

        Parameters
        ----------
        rng : Generator
            Only used if there are weights.
        """
        if self.weights is None:
            return np.arange(len(self))
        edges = np.floor(np.cumsum(self.weights) + rng.random()).astype(np.int64)
        edges[-1] = len(self)  # whatever rounding has left of the sum
        return np.repeat(np.arange(len(self)), np.diff(edges, prepend=0))

    def batches(
        self, size: int, *, seed: int = 0, buffer_bytes: float = _BUFFER_BYTES
    ) -> PairBatches:
        """Return shuffled batches, epoch after epoch.

        Parameters
        ----------
        size : int
            Pairs in a batch.
        seed : int
            Of the order.
        buffer_bytes : float
            Memory for pairs that are read from disk together.
        """
        return PairBatches(self, size, seed, buffer_bytes)


class PairBatches:
    """Shuffled batches of a :class:`TokenDataset`; every iteration is an epoch.

    In memory all pairs are shuffled. On disk, blocks of consecutive pairs come in
    random order, as many at a time as the buffer holds, and the pairs of a buffer are
    shuffled, so that every row is read about twice in an epoch (once as either half of
    a pair), in long runs. The short last batch is dropped.

    Parameters
    ----------
    dataset : TokenDataset
    size : int
        Pairs in a batch; all pairs where there are fewer.
    seed : int
    buffer_bytes : float

    Examples
    --------
    >>> import numpy as np
    >>> from mdgeomfeat.kinetics import TokenDataset
    >>> pairs = TokenDataset([np.zeros((101, 3, 8))], lag=1)
    >>> batches = pairs.batches(32, seed=0)
    >>> [earlier.shape[0] for earlier, later in batches]
    [32, 32, 32]
    """

    def __init__(
        self, dataset: TokenDataset, size: int, seed: int, buffer_bytes: float
    ) -> None:
        if size < 1:
            raise InputError(f"Batches of {size} pairs hold nothing; choose 1 or more.")
        self._dataset = dataset
        self._size = min(size, len(dataset))
        self._rng = np.random.default_rng(seed)
        # apart, so that weights that are all the same change nothing
        self._draws = np.random.default_rng([seed, 1])
        row_bytes = 4 * int(np.prod(dataset.arrays[0].shape[1:]))
        self._buffer = max(int(buffer_bytes / (2 * row_bytes)), self._size)

    def __len__(self) -> int:
        return len(self._dataset) // self._size

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        if any(isinstance(array, RowArray) for array in self._dataset.arrays):
            yield from self._from_disk()
            return
        drawn = self._dataset.drawn(self._draws)
        order = drawn[self._rng.permutation(len(drawn))]
        for start in range(0, len(order) - self._size + 1, self._size):
            yield self._dataset.pairs(order[start : start + self._size])

    def _from_disk(self) -> Iterator[tuple[Tensor, Tensor]]:
        drawn = self._dataset.drawn(self._draws)
        n, size = len(drawn), self._size
        length = int(np.clip(self._buffer // _MIN_BLOCKS, 1, _MAX_BLOCK))
        starts = self._rng.permutation(np.arange(0, n, length))
        per_buffer = max(self._buffer // length, 1)
        shape = (0, *self._dataset.arrays[0].shape[1:])
        batch = empty = torch.empty(shape), torch.empty(shape)
        for first in range(0, len(starts), per_buffer):
            chosen = np.sort(starts[first : first + per_buffer])
            numbers = np.concatenate([drawn[s : s + length] for s in chosen])
            x, y = self._dataset.pairs(numbers)
            order = torch.from_numpy(self._rng.permutation(len(x)))
            while len(order):
                rows, order = order.tensor_split([size - len(batch[0])])
                batch = torch.cat([batch[0], x[rows]]), torch.cat([batch[1], y[rows]])
                # what a buffer leaves is filled up from the next one
                if len(batch[0]) == size:
                    yield batch
                    batch = empty
