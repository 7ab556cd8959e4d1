"""Reading a store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mdgeomfeat.errors import InputError
from mdgeomfeat.store.layout import (
    UNUSABLE,
    Mark,
    damage_errors,
    finished_chunks,
    group_name,
    open_root,
    tokens_from_json,
)
from mdgeomfeat.store.lazy import LazyArray
from mdgeomfeat.store.stored import StoredArray

__all__ = ["FeatureStore"]


class FeatureStore:
    """A store of token features, opened for reading.

    Parameters
    ----------
    path : str or Path
    unfinished : bool
        Also open what an interrupted run, or one under way, has written so far.

    Attributes
    ----------
    path : Path
    complete : bool
    batch_size : int
        Frames that were computed at once, the grid of the features.
    chunk_size : int
        Frames per chunk.
    smallest_batch : int
        Below ``batch_size`` where memory forced smaller batches.
    identity : dict of str to (str, str)
        What a run must share to go on with this store; see :class:`StoreDescription`.
    tokens : (N,) structured ndarray
    structure, provenance : dict
    sources : list of str
        File name of every trajectory.

    Raises
    ------
    InputError
        If there is no store, one of another format, or one that is not
        whole.

    Examples
    --------
    >>> from mdgeomfeat.store import FeatureStore
    >>> store = FeatureStore("report/features.zarr")
    >>> store.complete, len(store.sources)
    (True, 1)
    >>> store["scalars"].shape, store["vectors"][:2].shape
    ((200, 3, 64), (2, 3, 3, 64))
    """

    def __init__(self, path: str | Path, *, unfinished: bool = False) -> None:
        # Absolute: what is read later must not depend on the working folder then.
        self.path = Path(path).expanduser().resolve()
        self._root = open_root(self.path)
        self._inode = self.path.stat().st_ino
        with damage_errors(self.path):
            self._open(unfinished)

    def _open(self, unfinished: bool) -> None:
        attrs = dict(self._root.attrs)
        self.complete: bool = attrs["complete"]
        if not (self.complete or unfinished):
            raise InputError(
                f"{self.path} was left unfinished by an interrupted run; "
                "run the same command again to continue it."
            )
        self.batch_size: int = attrs["batch_size"]
        self.chunk_size: int = attrs["chunk_size"]
        self.smallest_batch: int = attrs["smallest_batch"]
        self.identity: dict[str, Mark] = {
            name: (value, words) for name, (value, words) in attrs["identity"].items()
        }
        self.structure: dict[str, Any] = attrs["structure"]
        self.provenance: dict[str, Any] = attrs["provenance"]
        self.tokens = tokens_from_json(attrs["tokens"])
        found = sum(1 for _ in self._root.group_keys())
        count = int(attrs.get("n_trajectories", found))
        self._groups = [self._root[group_name(i)] for i in range(count)]
        if self.complete:
            self._check_files()
        self.sources: list[str] = [group.attrs["source"] for group in self._groups]
        self._rows = [
            np.flatnonzero(group["frames"][:] != UNUSABLE) for group in self._groups
        ]

    @property
    def names(self) -> list[str]:
        """Names of the arrays."""
        return sorted(self._groups[0].array_keys())

    @property
    def trajectory(self) -> NDArray[np.int64]:
        """(F,) number of the trajectory that each row belongs to."""
        return np.repeat(np.arange(len(self._groups)), [len(r) for r in self._rows])

    @property
    def usable(self) -> NDArray[np.bool_]:
        """(R,) for every row that was asked for, whether its frame could be used."""
        flags = []
        for group, rows in zip(self._groups, self._rows, strict=True):
            flags.append(np.zeros(group.attrs["n_frames"], dtype=bool))
            flags[-1][rows] = True
        return np.concatenate(flags)

    def _check_files(self) -> None:
        """Refuse a copy that lacks files: zarr would read them as NaN."""
        for group in self._groups:
            missing = int((~finished_chunks(self.path, dict(group.arrays()))).sum())
            if missing:
                raise InputError(
                    f"{self.path} lacks files of {missing} chunks in {group.basename}; "
                    "copy it again, or run the command that made it again."
                )

    def __contains__(self, name: str) -> bool:
        return name in self._groups[0]

    def __getitem__(self, name: str) -> LazyArray:
        """Return an array over all trajectories, read when it is indexed."""
        arrays = [
            StoredArray(group[name], self.path, self._inode) for group in self._groups
        ]
        return LazyArray(arrays, self._rows)
