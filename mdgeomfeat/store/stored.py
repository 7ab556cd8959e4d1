"""An array of a store, read only where it still holds what was found on opening."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mdgeomfeat.errors import InputError
from mdgeomfeat.store.layout import chunk_key, damage_errors

__all__ = ["StoredArray"]


class StoredArray:
    """Rows of one array of a store.

    zarr reads a file that is not there as NaN, so it is asked for only after a look at
    the files.

    Parameters
    ----------
    array : zarr.Array
    store : Path
        Absolute, so that a change of the working folder changes nothing.
    inode : int
        Of the store's folder when it was opened: one that replaces it has another.
    """

    def __init__(self, array: Any, store: Path, inode: int) -> None:
        self._array = array
        self._store = store
        self._inode = inode
        self.shape: tuple[int, ...] = array.shape
        self.dtype = np.dtype(array.dtype)

    def __getitem__(self, rows: slice | NDArray[np.int64]) -> NDArray[Any]:
        """Read rows: a slice without a step, or numbers in any order.

        Raises
        ------
        InputError
            If the store is no longer there, is another one, or is damaged.
        """
        length = self._array.chunks[0]
        if isinstance(rows, slice):
            start, stop, _ = rows.indices(self.shape[0])
            chunks = list(range(start // length, -(-stop // length)))
        else:
            chunks = np.unique(np.asarray(rows) // length).tolist()
        self._check(chunks)
        try:
            with damage_errors(self._store):
                values: NDArray[Any] = self._array.oindex[rows]
                return values
        except InputError as error:
            raise self._named(chunks) or error from error

    def _check(self, chunks: list[int]) -> None:
        """Refuse to read what has been moved, removed or replaced."""
        try:
            same = self._store.stat().st_ino == self._inode
        except OSError:
            same = False
        if not same:
            raise InputError(
                f"{self._store} was moved, removed or replaced after it was opened; "
                "open it again."
            )
        for number in chunks:
            if not self._file(number).is_file():
                raise InputError(
                    f"{self._store} lacks {self._file(number)}; run the command that "
                    "made the store again, which computes what is missing."
                )

    def _file(self, chunk: int) -> Path:
        path: Path = self._store / self._array.path / chunk_key(self._array, chunk)
        return path

    def _named(self, chunks: list[int]) -> InputError | None:
        """Return an error that names the first file that cannot be read."""
        length = self._array.chunks[0]
        for number in chunks:
            try:
                with damage_errors(self._store):
                    self._array[number * length : (number + 1) * length]
            except InputError:
                return InputError(
                    f"{self._file(number)} is damaged; delete this file and run the "
                    "command that made the store again, which computes it again."
                )
        return None
