"""Arrays whose rows are read, or computed, when they are asked for.

They are indexed like arrays in memory and give arrays in memory; ``part`` alone stays
lazy. Arithmetic and ``numpy.asarray`` read everything.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Self, TypeAlias

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin
from numpy.typing import DTypeLike, NDArray

from mdgeomfeat.memory import check_memory

__all__ = [
    "LazyArray",
    "MappedArray",
    "RowArray",
    "Rows",
    "cut_rows",
    "flat_rows",
    "join_rows",
    "map_rows",
]


#: Of the sources of a mapped array, read at a time.
_BLOCK_BYTES = 32e6


class RowArray(NDArrayOperatorsMixin, ABC):
    """An array that hands out rows.

    Attributes
    ----------
    shape : tuple of int
    dtype : numpy.dtype

    Examples
    --------
    >>> import numpy as np
    >>> from mdgeomfeat.store import FeatureStore
    >>> scalars = FeatureStore("report/features.zarr")["scalars"]
    >>> scalars.shape, scalars[:10].shape
    ((200, 3, 64), (10, 3, 64))
    >>> later = scalars.part(150, 200)  # nothing is read yet
    >>> np.asarray(later).shape
    (50, 3, 64)
    """

    shape: tuple[int, ...]
    dtype: np.dtype

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes that the whole array takes in memory."""
        return int(np.prod(self.shape)) * self.dtype.itemsize

    def __len__(self) -> int:
        return self.shape[0]

    def __repr__(self) -> str:
        return f"{type(self).__name__}(shape={self.shape}, dtype={self.dtype})"

    def __iter__(self) -> Iterator[NDArray[Any]]:
        return (self[i] for i in range(len(self)))

    def __array__(
        self, dtype: DTypeLike | None = None, copy: bool | None = None
    ) -> NDArray[Any]:
        if copy is False:
            raise ValueError("an array on disk cannot be had without a copy")
        check_memory(
            self.nbytes, "the whole array", "read it in blocks, such as array[:1000]"
        )
        return self[:].astype(dtype or self.dtype, copy=False)

    def __array_ufunc__(
        self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any
    ) -> Any:
        held = [np.asarray(x) if isinstance(x, RowArray) else x for x in inputs]
        return getattr(ufunc, method)(*held, **kwargs)

    def __getitem__(self, key: Any) -> NDArray[Any]:
        first, *rest = (key if isinstance(key, tuple) else (key,)) or (Ellipsis,)
        if _concerns_all(first):
            found: NDArray[Any] = np.asarray(self)[key]
            return found
        if isinstance(first, slice):
            rows = np.arange(*first.indices(len(self)))
            return self._take(rows)[(slice(None), *rest)]
        try:
            rows = np.arange(len(self))[first]
        except IndexError:
            raise IndexError(f"{first} is not among {len(self)} rows") from None
        if rows.ndim == 0:
            row: NDArray[Any] = self._take(rows[None])[0][tuple(rest)]
            return row
        # Arrays of indices of further axes are paired with this one, as numpy does.
        each, place = np.unique(rows, return_inverse=True)
        picked: NDArray[Any] = self._take(each)[(place.reshape(rows.shape), *rest)]
        return picked

    @abstractmethod
    def part(self, start: int, stop: int) -> Self:
        """Return rows ``start:stop`` without reading them.

        Parameters
        ----------
        start, stop : int
        """

    @abstractmethod
    def _take(self, index: NDArray[np.int64]) -> NDArray[Any]:
        """Return rows (n,), none of them negative, in the order asked for."""


def _concerns_all(first: Any) -> bool:
    """Whether the first index does not choose rows, but everything or several axes."""
    if first is Ellipsis or first is None:
        return True
    return not isinstance(first, slice) and (
        (index := np.asarray(first)).dtype == bool and index.ndim != 1
    )


class LazyArray(RowArray):
    """Rows of several arrays, one after another.

    Parameters
    ----------
    parts : sequence of arrays
        Of a store, of numpy or lazy themselves; they agree in all axes but the first.
    rows : sequence of (n,) ndarray of int or None
        For every part the rows that count, in order; None for all of them.
    """

    def __init__(
        self, parts: Sequence[Any], rows: Sequence[NDArray[np.int64] | None]
    ) -> None:
        self._parts = list(parts)
        self._rows = [
            np.arange(part.shape[0]) if row is None else np.asarray(row)
            for part, row in zip(parts, rows, strict=True)
        ]
        self._starts = np.cumsum([0, *map(len, self._rows)])
        self.shape = (int(self._starts[-1]), *self._parts[0].shape[1:])
        self.dtype = np.dtype(self._parts[0].dtype)

    def part(self, start: int, stop: int) -> LazyArray:
        """Return rows ``start:stop`` without reading them.

        Parameters
        ----------
        start, stop : int
        """
        start, stop, _ = slice(start, stop).indices(len(self))
        ends = np.clip([start - self._starts[:-1], stop - self._starts[:-1]], 0, None)
        rows = [row[a:b] for row, a, b in zip(self._rows, *ends.tolist(), strict=True)]
        return LazyArray(self._parts, rows)

    def _take(self, index: NDArray[np.int64]) -> NDArray[Any]:
        out = np.empty((len(index), *self.shape[1:]), dtype=self.dtype)
        owner = np.searchsorted(self._starts, index, side="right") - 1
        for part in np.unique(owner):
            mine = np.flatnonzero(owner == part)
            rows = self._rows[part][index[mine] - self._starts[part]]
            low, high = int(rows.min()), int(rows.max()) + 1
            source = self._parts[part]
            # rows that follow each other are cheaper to read as a slice
            run = high - low == len(rows) and (np.diff(rows) == 1).all()
            out[mine] = source[low:high] if run else source[rows]
        return out


class MappedArray(RowArray):
    """Rows that a function makes of the rows of other arrays.

    Parameters
    ----------
    function : callable
        Gets the same n rows of each source and returns (n, ...) rows. What it makes of
        a row must not depend on the others.
    sources : sequence of arrays
        Of equal length; in memory or lazy themselves.
    row_shape : tuple of int
    dtype : dtype
    """

    def __init__(
        self,
        function: Callable[..., NDArray[Any]],
        sources: Sequence[Any],
        row_shape: tuple[int, ...],
        dtype: DTypeLike,
    ) -> None:
        self._function = function
        self._sources = list(sources)
        self.shape = (len(self._sources[0]), *row_shape)
        self.dtype = np.dtype(dtype)

    def part(self, start: int, stop: int) -> MappedArray:
        """Return rows ``start:stop`` without computing them.

        Parameters
        ----------
        start, stop : int
        """
        parts = [cut_rows(source, start, stop) for source in self._sources]
        return MappedArray(self._function, parts, self.shape[1:], self.dtype)

    def _take(self, index: NDArray[np.int64]) -> NDArray[Any]:
        out = np.empty((len(index), *self.shape[1:]), dtype=self.dtype)
        width = sum(np.prod(s.shape[1:]) * s.dtype.itemsize for s in self._sources)
        step = max(int(_BLOCK_BYTES // max(width, 1)), 1)
        for start in range(0, len(index), step):
            block = index[start : start + step]
            # rows that follow each other are cheaper to read as a slice
            run = len(block) > 1 and (np.diff(block) == 1).all()
            rows: Any = slice(int(block[0]), int(block[-1]) + 1) if run else block
            out[start : start + step] = self._function(
                *(source[rows] for source in self._sources)
            )
        return out


#: An array in memory, or one whose rows are read when they are asked for.
Rows: TypeAlias = NDArray[Any] | RowArray


def cut_rows(array: Rows, start: int, stop: int) -> Rows:
    """Return rows ``start:stop`` without copying or reading them.

    Parameters
    ----------
    array : ndarray or RowArray
    start, stop : int
    """
    if isinstance(array, RowArray):
        return array.part(start, stop)
    return array[start:stop]


def map_rows(
    function: Callable[..., NDArray[Any]],
    sources: Sequence[Rows],
    row_shape: tuple[int, ...],
    dtype: DTypeLike,
) -> Rows:
    """Apply a function to rows: at once in memory, when they are asked for if lazy.

    Parameters
    ----------
    function, sources, row_shape, dtype
        As in :class:`MappedArray`.
    """
    if any(isinstance(source, RowArray) for source in sources):
        return MappedArray(function, sources, row_shape, dtype)
    return function(*sources)


def join_rows(arrays: Sequence[Rows]) -> Rows:
    """Join arrays along their first axis; lazily if one of them is lazy."""
    if any(isinstance(array, RowArray) for array in arrays):
        return LazyArray(arrays, [None] * len(arrays))
    return np.concatenate(arrays)


def flat_rows(array: Rows) -> Rows:
    """Return (F, D) rows: all axes but the first joined."""
    width = int(np.prod(array.shape[1:]))
    return map_rows(_flatten, [array], (width,), array.dtype)


def _flatten(rows: NDArray[Any]) -> NDArray[Any]:
    return rows.reshape(len(rows), int(np.prod(rows.shape[1:])))
