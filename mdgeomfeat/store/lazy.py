"""Arrays on disk that are indexed like arrays in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

__all__ = ["LazyArray"]


class LazyArray:
    """Rows of several arrays on disk, indexed like one array in memory.

    Only what is asked for is read. ``numpy.asarray`` reads everything.

    Parameters
    ----------
    parts : sequence of array_like
        zarr arrays that agree in all axes but the first.
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
        self.shape: tuple[int, ...] = (
            int(self._starts[-1]),
            *self._parts[0].shape[1:],
        )
        self.dtype: np.dtype = np.dtype(self._parts[0].dtype)

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
        return f"LazyArray(shape={self.shape}, dtype={self.dtype})"

    def __iter__(self) -> Iterator[NDArray]:
        return (self[i] for i in range(len(self)))

    def __array__(
        self, dtype: DTypeLike | None = None, copy: bool | None = None
    ) -> NDArray:
        if copy is False:
            raise ValueError("an array on disk cannot be had without a copy")
        return self[:].astype(dtype or self.dtype, copy=False)

    def __getitem__(self, key: Any) -> NDArray:
        first, *rest = key if isinstance(key, tuple) else (key,)
        if first is Ellipsis or first is None:
            return np.asarray(self)[key]
        index = np.arange(len(self))[first]
        block = self._take(np.atleast_1d(index))
        if np.ndim(index) == 0:
            return block[0][tuple(rest)] if rest else block[0]
        return block[(slice(None), *rest)] if rest else block

    def _take(self, index: NDArray[np.int64]) -> NDArray:
        out = np.empty((len(index), *self.shape[1:]), dtype=self.dtype)
        owner = np.searchsorted(self._starts, index, side="right") - 1
        for part in np.unique(owner):
            mine = np.flatnonzero(owner == part)
            rows = self._rows[part][index[mine] - self._starts[part]]
            low, high = int(rows.min()), int(rows.max()) + 1
            if high - low == len(rows) and (np.diff(rows) == 1).all():
                out[mine] = self._parts[part][low:high]
            else:
                out[mine] = self._parts[part].get_orthogonal_selection((rows,))
        return out
