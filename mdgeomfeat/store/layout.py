"""What a store consists of: names, attributes, and how tables become JSON."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import zarr
from numpy.typing import DTypeLike, NDArray

from mdgeomfeat.errors import InputError

__all__ = [
    "FORMAT",
    "FORMAT_VERSION",
    "ROW_ARRAYS",
    "UNUSABLE",
    "Mark",
    "StoreDescription",
    "TrajectoryLayout",
    "chunk_key",
    "damage_errors",
    "disk_errors",
    "finished_chunks",
    "group_name",
    "open_group",
    "open_root",
    "tokens_from_json",
    "tokens_to_json",
]

FORMAT = "mdgeomfeat-features"
# Since 3, provenance holds what makes the features as one entry with a format.
FORMAT_VERSION = 3
_OLDEST_READ = 2
# Arrays of every store. ``frames`` is written last: where it stands, a chunk is whole.
ROW_ARRAYS = {"times": np.float64, "frames": np.int64}
# The frame number of a row that could not be used.
UNUSABLE = -1

# What is compared, and how it is shown to people.
Mark = tuple[str, str]

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}
_FORBIDDEN |= {errno.ENOTDIR, errno.ENOENT, errno.EEXIST, errno.ENAMETOOLONG}


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


@dataclass(frozen=True, kw_only=True)
class StoreDescription:
    """All of a store that is known before the first frame is computed.

    Attributes
    ----------
    layout : sequence of TrajectoryLayout
    arrays : mapping of str to (shape of a row, dtype)
        ``times`` and ``frames`` are added.
    batch_size : int
        Frames that are computed at once.
    chunk_size : int
        Frames per chunk, a multiple of ``batch_size``.
    identity : mapping of str to (str, str)
        What must agree for a run to go on with a store: under a name for people, a
        value that is compared and words that are shown.
    tokens : (N,) structured ndarray
    structure, provenance : mapping
        Stored as JSON.
    """

    layout: Sequence[TrajectoryLayout]
    arrays: Mapping[str, tuple[tuple[int, ...], DTypeLike]]
    batch_size: int
    chunk_size: int
    identity: Mapping[str, Mark]
    tokens: NDArray[np.void]
    structure: Mapping[str, Any]
    provenance: Mapping[str, Any]

    def attributes(self) -> dict[str, Any]:
        """Return the attributes of a store in which nothing is computed yet."""
        return {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "complete": False,
            "batch_size": int(self.batch_size),
            "chunk_size": int(self.chunk_size),
            "smallest_batch": int(self.batch_size),
            "continued_with": [],
            "n_trajectories": len(self.layout),
            "identity": {name: list(mark) for name, mark in self.identity.items()},
            "tokens": tokens_to_json(self.tokens),
            "structure": dict(self.structure),
            "provenance": dict(self.provenance),
        }


def group_name(number: int) -> str:
    """Return the name of a trajectory's group."""
    return f"trajectory-{number:04d}"


def tokens_to_json(tokens: NDArray[np.void]) -> dict[str, list[Any]]:
    """Turn a table of tokens into columns that JSON can hold."""
    return {name: tokens[name].tolist() for name in tokens.dtype.names or ()}


def tokens_from_json(columns: Mapping[str, list[Any]]) -> NDArray[np.void]:
    """Turn columns back into a table of tokens, (N,) structured ndarray."""
    arrays = {name: np.asarray(column) for name, column in columns.items()}
    n_tokens = len(next(iter(arrays.values())))
    table = np.empty(n_tokens, [(name, a.dtype) for name, a in arrays.items()])
    for name, values in arrays.items():
        table[name] = values
    return table


def open_root(path: Path, mode: Literal["r", "r+"] = "r") -> Any:
    """Open the root group of a feature store.

    Raises
    ------
    InputError
        If there is none, or one of another format.
    """
    root = open_group(path, mode)
    with damage_errors(path):
        version = int(root.attrs["format_version"])
    if version < _OLDEST_READ:
        raise InputError(
            f"{path} has the format {version}, which this version no longer reads; "
            "make the features again (overwrite=True, --overwrite)."
        )
    if version > FORMAT_VERSION:
        raise InputError(
            f"{path} has the format {version}, newer than {FORMAT_VERSION} that this "
            "version reads; install a newer mdgeomfeat."
        )
    return root


def open_group(path: Path, mode: Literal["r", "r+"] = "r") -> Any:
    """Open the root group of a feature store of any format.

    Raises
    ------
    InputError
        If there is none.
    """
    try:
        root: Any = zarr.open_group(path, mode=mode, zarr_format=3)
    except (FileNotFoundError, zarr.errors.GroupNotFoundError) as error:
        raise InputError(f"{path} is not a feature store: no zarr group.") from error
    except (LookupError, TypeError, ValueError) as error:
        raise InputError(
            f"{path} is not a feature store: its zarr.json cannot be read."
        ) from error
    if root.attrs.get("format") != FORMAT:
        raise InputError(f"{path} is a zarr group, but not one with features.")
    return root


def chunk_key(array: Any, number: int) -> str:
    """Return the file name of a chunk."""
    key: str = array.metadata.encode_chunk_key((number, *(0,) * (array.ndim - 1)))
    return key


def finished_chunks(path: Path, arrays: Mapping[str, Any]) -> NDArray[np.bool_]:
    """Tell which chunks of a trajectory have all of their files.

    Parameters
    ----------
    path : Path
        The store.
    arrays : mapping of str to zarr.Array
        All arrays of the trajectory.
    """
    flags = np.ones(arrays["frames"].nchunks, dtype=bool)
    for array in arrays.values():
        with os.scandir(path / array.path) as entries:
            # A crash of the whole machine may leave files without content.
            present = {entry.name for entry in entries if entry.stat().st_size}
        keys = [chunk_key(array, i) for i in range(len(flags))]
        flags &= np.array([key in present for key in keys], dtype=bool)
    return flags


@contextmanager
def damage_errors(path: object) -> Iterator[None]:
    """Turn what goes wrong with a store that was tampered with into one sentence.

    Raises
    ------
    InputError
        If the store cannot be read.
    """
    try:
        yield
    except InputError:
        raise
    except (
        ArithmeticError,
        AttributeError,
        FileNotFoundError,
        LookupError,
        RuntimeError,  # of decompression
        TypeError,
        ValueError,
    ) as error:
        words = " ".join(str(error).split()) or type(error).__name__
        raise InputError(
            f"{path} is damaged ({words}); delete it, or name another store."
        ) from error


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn a disk that is full or must not be written to into one sentence.

    Raises
    ------
    InputError
        If the disk is full or cannot be written to.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise InputError(
                f"{path} cannot grow, because the disk is full or a quota is used up "
                f"({error.strerror}); free some space and run the same again, which "
                "continues where this run stopped."
            ) from error
        if error.errno in _FORBIDDEN:
            raise InputError(
                f"{path} cannot be written ({error.strerror}); name another place."
            ) from error
        raise
