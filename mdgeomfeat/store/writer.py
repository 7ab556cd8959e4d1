"""Writing a store, chunk by chunk, from one process or many."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import zarr
from numpy.typing import ArrayLike, NDArray
from zarr.codecs import BloscCodec, Crc32cCodec

from mdgeomfeat.errors import InputError
from mdgeomfeat.store.layout import (
    ROW_ARRAYS,
    UNUSABLE,
    Mark,
    StoreDescription,
    chunk_key,
    damage_errors,
    disk_errors,
    finished_chunks,
    group_name,
    open_group,
    open_root,
)

__all__ = ["StoreWriter"]


class StoreWriter:
    """Writes chunks of a store that exists; see :meth:`create` and :meth:`resume`.

    Can be pickled: a copy in another process opens the store for itself. Copies may
    write different chunks at the same time. Only the process that holds the store's
    :class:`StoreLock` calls anything but :meth:`write`.

    Parameters
    ----------
    path : Path
    """

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        self._inode = path.stat().st_ino
        self._opened: Any = None
        self._targets: dict[int, dict[str, Any]] = {}

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_opened": None, "_targets": {}}

    @classmethod
    def create(
        cls, path: Path, description: StoreDescription, *, overwrite: bool = False
    ) -> Self:
        """Lay an empty store: all of it or, if something interrupts, none.

        Parameters
        ----------
        path : Path
        description : StoreDescription
        overwrite : bool
            Replace a store that stands there.

        Raises
        ------
        InputError
            If something stands there that must not be replaced, or the disk is full.
        """
        _check_place(path, overwrite)
        path = path.resolve()
        new, old = _leftovers(path)
        try:
            with disk_errors(path):
                _remove_leftovers(path)
                _lay(new, description)
                if path.exists():
                    path.rename(old)
                new.rename(path)
                shutil.rmtree(old, ignore_errors=True)
        finally:
            shutil.rmtree(new, ignore_errors=True)
        return cls(path)

    @classmethod
    def resume(cls, path: Path, identity: Mapping[str, Mark]) -> Self:
        """Go on with a store that an earlier run has begun.

        Parameters
        ----------
        path : Path
        identity : mapping of str to (str, str)
            As in :class:`StoreDescription`.

        Raises
        ------
        InputError
            If the store was made with something else; the message says what.
        """
        root = open_root(path)
        with damage_errors(path):
            differing = _differences(root.attrs["identity"], identity)
        if differing:
            raise InputError(
                f"{path} was made with {', '.join(differing)}; name another store, or "
                "pass overwrite=True (features --overwrite) to replace it."
            )
        writer = cls(path)
        _remove_leftovers(writer.path)
        with damage_errors(path), disk_errors(path):
            if not all(flags.all() for flags in writer.finished()):
                writer._root.attrs["complete"] = False
                writer._sweep()
        return writer

    @staticmethod
    def grid(path: Path) -> tuple[int, int] | None:
        """Return frames per batch and per chunk of a store, None if none is there.

        Raises
        ------
        InputError
            If it has another format.
        """
        if not (path / "zarr.json").is_file():
            return None
        attrs = open_root(path).attrs
        with damage_errors(path):
            batch, chunk = int(attrs["batch_size"]), int(attrs["chunk_size"])
            if batch < 1 or chunk < 1:
                raise ValueError("its batches or chunks hold no frame")
        return batch, chunk

    @staticmethod
    def feature_dtype(path: Path) -> str:
        """Return the type of the scalars and vectors of a store that is there."""
        root = open_root(path)
        with damage_errors(path):
            return str(np.dtype(root[group_name(0)]["scalars"].dtype))

    @staticmethod
    def stated_dt(path: Path) -> float | None:
        """Return the time between frames that was stated for a store, ps, or None."""
        if not (path / "zarr.json").is_file():
            return None
        attrs = open_root(path).attrs
        with damage_errors(path):
            dt = attrs["provenance"].get("dt")
            return None if dt is None else float(dt)

    def finished(self) -> list[NDArray[np.bool_]]:
        """Return which chunks (n_chunks,) of every trajectory are finished."""
        return [
            finished_chunks(self.path, self._arrays(i)) for i in range(self._count())
        ]

    def write(
        self, trajectory: int, start: int, arrays: Mapping[str, ArrayLike]
    ) -> None:
        """Write one chunk.

        Parameters
        ----------
        trajectory : int
            Number of the trajectory's group.
        start : int
            Row of the group where the chunk begins.
        arrays : mapping of str to (n, ...) array_like
            Every array of the layout. Rows whose ``frames`` are -1 do not count.

        Raises
        ------
        InputError
            If the disk is full.
        ValueError
            If an array of the layout is missing, or the rows are not one chunk.
        """
        targets = self._arrays(trajectory)
        if set(arrays) != set(targets):
            raise ValueError(
                f"{self.path}: arrays {sorted(arrays)} were given where the store "
                f"holds {sorted(targets)}."
            )
        frames = targets["frames"]
        stop = start + len(np.asarray(arrays["frames"]))
        if start % frames.chunks[0] or stop != min(
            start + frames.chunks[0], frames.shape[0]
        ):
            raise ValueError(
                f"{self.path}: rows {start} to {stop} are not one chunk of trajectory "
                f"{trajectory}, which has {frames.shape[0]} rows in chunks of "
                f"{frames.chunks[0]}."
            )
        with disk_errors(self.path):
            if self.path.stat().st_ino != self._inode:
                raise InputError(
                    f"{self.path} was replaced while this run was writing it; run it "
                    "again."
                )
            for name in sorted(targets, key=lambda name: name == "frames"):
                targets[name][start:stop] = _fitting(
                    np.asarray(arrays[name]), targets[name].dtype, self.path
                )

    def note_batch(self, size: int) -> None:
        """Say that some features were computed in smaller batches than the grid's."""
        root = self._root
        if size < root.attrs["smallest_batch"]:
            with disk_errors(self.path):
                root.attrs["smallest_batch"] = size

    @property
    def provenance(self) -> dict[str, Any]:
        """What is known of the run that began the store."""
        provenance: dict[str, Any] = self._root.attrs["provenance"]
        return provenance

    def note_versions(self, versions: Mapping[str, str]) -> None:
        """Say that a later run went on with other versions of some packages."""
        root = self._root
        with disk_errors(self.path):
            root.attrs["continued_with"] = [
                *root.attrs["continued_with"],
                dict(versions),
            ]

    def restate_times(self, dt: float, times: Sequence[NDArray[np.float64]]) -> None:
        """Put stated times in the place of those that are there.

        Parameters
        ----------
        dt : float
            Time between the frames of each file, ps.
        times : sequence of (n,) ndarray, ps
            Of every row of every trajectory.
        """
        with disk_errors(self.path):
            for number, own in enumerate(times):
                self._arrays(number)["times"][:] = own
            self._root.attrs["provenance"] = self.provenance | {"dt": dt}

    def finish(self) -> None:
        """Mark the store as complete.

        Raises
        ------
        ValueError
            If chunks are missing.
        """
        missing = sum(int((~flags).sum()) for flags in self.finished())
        if missing:
            raise ValueError(f"{self.path}: {missing} chunks have not been written.")
        # A finished store may stand where nothing can be written.
        if not self._root.attrs["complete"]:
            with disk_errors(self.path):
                self._root.attrs["complete"] = True

    @property
    def _root(self) -> Any:
        if self._opened is None:
            self._opened = open_root(self.path, "r+")
        return self._opened

    def _count(self) -> int:
        return sum(1 for _ in self._root.group_keys())

    def _arrays(self, trajectory: int) -> dict[str, Any]:
        """Return the arrays of a trajectory, opened when they are needed first."""
        if trajectory not in self._targets:
            group = self._root[group_name(trajectory)]
            self._targets[trajectory] = {
                name: _with_empty_chunks(array) for name, array in group.arrays()
            }
        return self._targets[trajectory]

    def _sweep(self) -> None:
        """Remove what an interrupted run has left of unfinished chunks."""
        for number, flags in enumerate(self.finished()):
            for array in self._arrays(number).values():
                kept = {chunk_key(array, i) for i in np.flatnonzero(flags).tolist()}
                for entry in (self.path / array.path).iterdir():
                    if entry.name not in kept and entry.name != "zarr.json":
                        entry.unlink()


def _leftovers(path: Path) -> tuple[Path, Path]:
    """Return the places of a store that is being laid, and of the one it replaces."""
    return (
        path.with_name(f".{path.name}.mdgeomfeat-new"),
        path.with_name(f".{path.name}.mdgeomfeat-old"),
    )


def _remove_leftovers(path: Path) -> None:
    """Remove what a run that was killed while it replaced a store has left."""
    for place in _leftovers(path):
        shutil.rmtree(place, ignore_errors=True)


def _with_empty_chunks(array: Any) -> Any:
    """Let chunks of nothing but NaN be written: a file tells that they are computed."""
    return zarr.Array(
        zarr.AsyncArray(
            metadata=array.metadata,
            store_path=array.store_path,
            config={"write_empty_chunks": True},
        )
    )


def _fitting(
    values: NDArray[np.floating], dtype: np.dtype, path: Path
) -> NDArray[np.floating]:
    """Convert to the type of an array, unless a number is too large for it."""
    if dtype == np.float16:
        largest = np.abs(values).max(initial=0.0, where=np.isfinite(values))
        if largest > np.finfo(dtype).max:
            raise InputError(
                f"Features as large as {largest:.3g} do not fit into float16, which "
                f"{path} was to hold; use store_dtype='float32'."
            )
    return values.astype(dtype, copy=False)


def _differences(stored: Mapping[str, Any], wanted: Mapping[str, Mark]) -> list[str]:
    """Say in words where two identities differ."""
    words = []
    for name in dict.fromkeys([*wanted, *stored]):
        theirs = tuple(stored.get(name, ("", "nothing")))
        ours = tuple(wanted.get(name, ("", "nothing")))
        if theirs[0] != ours[0]:
            same = theirs[1] == ours[1]
            now = "of another content" if same else f"(now {ours[1]})"
            words.append(f"{name} {theirs[1]} {now}")
    return words


def _check_place(path: Path, overwrite: bool) -> None:
    """Refuse to replace anything that is not ours, or not meant to be replaced."""
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        return
    try:
        open_group(path)
    except InputError as error:
        raise InputError(
            f"store={str(path)!r} exists and is not a feature store; name another path."
        ) from error
    if not overwrite:
        raise InputError(
            f"store={str(path)!r} holds features; name another path, or pass "
            "overwrite=True to replace them."
        )


def _lay(path: Path, description: StoreDescription) -> None:
    root = zarr.create_group(path, zarr_format=3, attributes=description.attributes())
    rows = {name: ((), dtype) for name, dtype in ROW_ARRAYS.items()}
    for number, trajectory in enumerate(description.layout):
        n_frames = int(trajectory.n_frames)
        group = root.create_group(
            group_name(number),
            attributes={"source": trajectory.source, "n_frames": n_frames},
        )
        chunk = max(1, min(description.chunk_size, n_frames))
        for name, (shape, dtype) in {**description.arrays, **rows}.items():
            group.create_array(
                name,
                shape=(n_frames, *shape),
                chunks=(chunk, *shape),
                dtype=np.dtype(dtype),
                # The checksum tells a damaged file from one that is whole.
                compressors=[
                    BloscCodec(cname="lz4", shuffle="bitshuffle"),
                    Crc32cCodec(),
                ],
                fill_value=UNUSABLE if np.dtype(dtype).kind == "i" else np.nan,
                # One file per chunk in one folder, where the usual "/" makes folders.
                chunk_key_encoding={"name": "default", "separator": "."},
            )
