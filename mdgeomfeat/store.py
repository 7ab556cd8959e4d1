"""Token features on disk: one zarr (version 3) hierarchy per featurization.

Layout, format 1::

    features.zarr/            attributes: format, format_version, complete,
    |                         batch_size, tokens, structure, provenance
    +-- trajectory-0000/      attributes: source, n_frames, bad_rows
    |   +-- scalars           (F, N, C)
    |   +-- vectors           (F, N, 3, C)
    |   +-- positions         (F, A, 3)  Å, molecules made whole
    |   +-- boxes             (F, 6)     Å and degrees; absent without a box
    |   +-- times             (F,)       ps; NaN where unknown
    |   +-- frames            (F,)       index in the source
    +-- trajectory-0001/
        ...

Arrays are chunked along frames only, one chunk per batch of the grid that the features
were computed on, so that a chunk is always written whole and by one writer.
``complete`` is the last thing that is written: whatever opens the store can tell a
finished one from the remains of an interrupted run. Rows whose frame could not be used
are listed in ``bad_rows``, hold NaN, and are left out when the store is read.

This module knows neither MDAnalysis nor torch.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import ArrayLike, DTypeLike, NDArray
from zarr.codecs import BloscCodec

from mdgeomfeat.errors import InputError

__all__ = ["FeatureStore", "LazyArray", "StoreWriter", "TrajectoryLayout"]

FORMAT = "mdgeomfeat-features"
FORMAT_VERSION = 1
ROW_ARRAYS = {"times": np.float64, "frames": np.int64}


@dataclass(frozen=True)
class TrajectoryLayout:
    """What a store must know of one trajectory before it is read.

    Attributes
    ----------
    source : str
        File name, for people.
    n_frames : int
        Rows that the trajectory's arrays have.
    """

    source: str
    n_frames: int


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


class StoreWriter:
    """The only writer of a store while it is made; see :meth:`FeatureStore.create`."""

    def __init__(self, root: Any, path: Path, layout: list[TrajectoryLayout]):
        self.path = path
        self._root = root
        self._groups = [root[group_name(i)] for i in range(len(layout))]
        self._written = [np.zeros(t.n_frames, dtype=bool) for t in layout]
        self._bad: list[set[int]] = [set() for _ in layout]

    def write(
        self,
        trajectory: int,
        start: int,
        arrays: Mapping[str, ArrayLike],
        bad: Sequence[int] = (),
    ) -> None:
        """Write consecutive rows of one trajectory.

        Parameters
        ----------
        trajectory : int
            Number of the trajectory's group.
        start : int
            Row of the group where they begin.
        arrays : mapping of str to (n, ...) array_like
            Every array of the layout.
        bad : sequence of int
            Those of the n rows whose frames could not be used.

        Raises
        ------
        ValueError
            If an array of the layout is missing or too many rows come.
        """
        group = self._groups[trajectory]
        if set(arrays) != set(group.array_keys()):
            raise ValueError(
                f"{self.path}: arrays {sorted(arrays)} were given where the store "
                f"holds {sorted(group.array_keys())}."
            )
        stop = start + len(np.asarray(arrays["frames"]))
        if stop > len(self._written[trajectory]):
            raise ValueError(
                f"{self.path}: rows {start} to {stop} do not fit trajectory "
                f"{trajectory} of {len(self._written[trajectory])} rows."
            )
        for name, values in arrays.items():
            group[name][start:stop] = np.asarray(values)
        self._written[trajectory][start:stop] = True
        if len(bad):
            self._bad[trajectory] |= {start + int(i) for i in bad}
            group.attrs["bad_rows"] = sorted(self._bad[trajectory])

    def finish(self) -> None:
        """Mark the store as complete.

        Raises
        ------
        ValueError
            If rows are missing.
        """
        missing = sum(int((~rows).sum()) for rows in self._written)
        if missing:
            raise ValueError(f"{self.path}: {missing} frames have not been written.")
        self._root.attrs["complete"] = True


class FeatureStore:
    """A store of token features, opened for reading.

    Parameters
    ----------
    path : str or Path
    unfinished : bool
        Also open the remains of an interrupted run.

    Attributes
    ----------
    path : Path
    complete : bool
    batch_size : int
        Frames per chunk, the grid that the features were computed on.
    tokens : (N,) structured ndarray
    structure, provenance : dict
    sources : list of str
        File name of every trajectory.

    Raises
    ------
    InputError
        If there is no store, a newer format, or an unfinished one.
    """

    def __init__(self, path: str | Path, *, unfinished: bool = False) -> None:
        self.path = Path(path)
        self._root = _open_root(self.path)
        attrs = dict(self._root.attrs)
        if attrs["format_version"] > FORMAT_VERSION:
            raise InputError(
                f"{path} has the format {attrs['format_version']}, newer than "
                f"{FORMAT_VERSION} that this version reads; install a newer mdgeomfeat."
            )
        self.complete: bool = attrs["complete"]
        if not (self.complete or unfinished):
            raise InputError(
                f"{path} was left unfinished by an interrupted run; "
                "run the same command again to write it anew."
            )
        self.batch_size: int = attrs["batch_size"]
        self.structure: dict[str, Any] = attrs["structure"]
        self.provenance: dict[str, Any] = attrs["provenance"]
        self.tokens = tokens_from_json(attrs["tokens"])
        names = sorted(self._root.group_keys(), key=lambda name: (len(name), name))
        self._groups = [self._root[name] for name in names]
        self.sources: list[str] = [group.attrs["source"] for group in self._groups]
        self._rows = [
            np.setdiff1d(np.arange(group.attrs["n_frames"]), group.attrs["bad_rows"])
            for group in self._groups
        ]

    @classmethod
    def create(
        cls,
        path: str | Path,
        *,
        layout: Sequence[TrajectoryLayout],
        arrays: Mapping[str, tuple[tuple[int, ...], DTypeLike]],
        batch_size: int,
        tokens: NDArray,
        structure: Mapping[str, Any],
        provenance: Mapping[str, Any],
        overwrite: bool = False,
    ) -> StoreWriter:
        """Lay an empty store and return its writer.

        Parameters
        ----------
        path : str or Path
            A folder; the remains of an interrupted run are replaced.
        layout : sequence of TrajectoryLayout
        arrays : mapping of str to (shape of a row, dtype)
            ``times`` and ``frames`` are added.
        batch_size : int
            Frames per chunk.
        tokens : (N,) structured ndarray
        structure, provenance : mapping
            Stored as JSON.
        overwrite : bool
            Also replace a finished store.

        Returns
        -------
        StoreWriter

        Raises
        ------
        InputError
            If something stands there that must not be replaced.
        """
        path = Path(path)
        _clear(path, overwrite)
        root = zarr.create_group(path, zarr_format=3)
        root.attrs.update(
            {
                "format": FORMAT,
                "format_version": FORMAT_VERSION,
                "complete": False,
                "batch_size": int(batch_size),
                "tokens": tokens_to_json(tokens),
                "structure": dict(structure),
                "provenance": dict(provenance),
            }
        )
        rows = {name: ((), dtype) for name, dtype in ROW_ARRAYS.items()}
        for number, trajectory in enumerate(layout):
            group = root.create_group(
                group_name(number),
                attributes={
                    "source": trajectory.source,
                    "n_frames": int(trajectory.n_frames),
                    "bad_rows": [],
                },
            )
            for name, (shape, dtype) in {**arrays, **rows}.items():
                chunk = min(batch_size, max(trajectory.n_frames, 1))
                group.create_array(
                    name,
                    shape=(trajectory.n_frames, *shape),
                    chunks=(chunk, *shape),
                    dtype=np.dtype(dtype),
                    compressors=BloscCodec(cname="lz4", shuffle="bitshuffle"),
                    fill_value=-1 if np.dtype(dtype).kind == "i" else np.nan,
                )
        return StoreWriter(root, path, list(layout))

    @property
    def names(self) -> list[str]:
        """Names of the arrays."""
        return sorted(self._groups[0].array_keys())

    @property
    def trajectory(self) -> NDArray[np.int64]:
        """(F,) number of the trajectory that each row belongs to."""
        return np.repeat(np.arange(len(self._groups)), [len(r) for r in self._rows])

    def __contains__(self, name: str) -> bool:
        return name in self._groups[0]

    def __getitem__(self, name: str) -> LazyArray:
        """Return an array over all trajectories, read when it is indexed."""
        return LazyArray([group[name] for group in self._groups], self._rows)


def group_name(number: int) -> str:
    """Return the name of a trajectory's group."""
    return f"trajectory-{number:04d}"


def tokens_to_json(tokens: NDArray) -> dict[str, list]:
    """Turn a table of tokens into columns that JSON can hold."""
    return {name: tokens[name].tolist() for name in tokens.dtype.names or ()}


def tokens_from_json(columns: Mapping[str, list]) -> NDArray:
    """Turn columns back into a table of tokens, (N,) structured array."""
    arrays = {name: np.asarray(column) for name, column in columns.items()}
    n_tokens = len(next(iter(arrays.values())))
    table = np.empty(n_tokens, [(name, a.dtype) for name, a in arrays.items()])
    for name, values in arrays.items():
        table[name] = values
    return table


def _open_root(path: Path) -> Any:
    try:
        root = zarr.open_group(path, mode="r", zarr_format=3)
    except (FileNotFoundError, zarr.errors.GroupNotFoundError) as error:
        raise InputError(f"{path} is not a feature store: no zarr group.") from error
    if root.attrs.get("format") != FORMAT:
        raise InputError(f"{path} is a zarr group, but not one with features.")
    return root


def _clear(path: Path, overwrite: bool) -> None:
    """Make room for a store without deleting anything that is not one of ours."""
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        return
    try:
        complete = _open_root(path).attrs["complete"]
    except InputError as error:
        raise InputError(
            f"store={str(path)!r} exists and is not a feature store; name another path."
        ) from error
    if complete and not overwrite:
        raise InputError(
            f"store={str(path)!r} holds finished features; name another path, or "
            "pass overwrite=True to replace them."
        )
    shutil.rmtree(path)
