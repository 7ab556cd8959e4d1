"""Lists of arrays as trajectories: checks, spans, chunks and lagged pairs.

Everything in this room works on a list with one array per unbroken trajectory,
frames first: (F, D) flat features, (F, N, K) token features, or (F, N, 4, C) scalars
and vectors. The arrays may be lazy (:class:`mdgeomfeat.store.RowArray`): everything
is read in chunks. A span cuts such a list without copying or reading, so a part of the
data is again a list of unbroken arrays, and no lagged pair can leave it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mdgeomfeat.errors import InputError
from mdgeomfeat.store import Rows, cut_rows

__all__ = [
    "Arrays",
    "Span",
    "as_arrays",
    "chunks",
    "cut",
    "cut_weights",
    "gather",
    "gather_pairs",
    "lagged_chunks",
    "lagged_index",
    "lagged_runs",
    "listed",
    "n_pairs",
    "nonfinite_frame",
    "pair_weights",
]

Arrays: TypeAlias = Sequence[Rows]

#: Numbers in one chunk of a streaming pass: 16 MB in float64.
_CHUNK_NUMBERS = 2_000_000


class Span(NamedTuple):
    """Frames ``start:stop`` of one trajectory."""

    trajectory: int
    start: int
    stop: int


def as_arrays(arrays: Arrays | NDArray[np.floating], name: str = "input") -> list[Any]:
    """Check a list of trajectories and return it.

    Parameters
    ----------
    arrays : (F, ...) ndarray or sequence of them
        One array per unbroken trajectory.
    name : str
        What to call it in a message.

    Returns
    -------
    list of arrays

    Raises
    ------
    InputError
        If there is none, or the arrays do not have the same shape per frame.
    """
    listed: list[Any] = [arrays] if hasattr(arrays, "ndim") else list(arrays)
    if not listed:
        raise InputError(f"{name!r} has no trajectory; give one array per trajectory.")
    shape = listed[0].shape[1:]
    for i, array in enumerate(listed):
        if array.ndim not in (2, 3, 4) or (array.ndim == 4 and array.shape[2] != 4):
            raise InputError(
                f"Trajectory {i} of {name!r} has shape {array.shape}; give (frames, "
                "features), (frames, tokens, features) or (frames, tokens, 4, "
                "channels)."
            )
        if array.shape[1:] != shape:
            raise InputError(
                f"Trajectory {i} of {name!r} has shape {array.shape[1:]} per frame, "
                f"but trajectory 0 has {shape}; make both with the same features."
            )
    return listed


def cut(arrays: Arrays, spans: Sequence[Span]) -> list[Rows]:
    """Return the parts of `arrays` that `spans` name."""
    return [cut_rows(arrays[s.trajectory], s.start, s.stop) for s in spans]


def cut_weights(weights: Arrays | None, spans: Sequence[Span]) -> list[Rows] | None:
    """Return the parts of weights that `spans` name; None where there are none."""
    return None if weights is None else cut(weights, spans)


def pair_weights(weights: Arrays, lag: int) -> NDArray[np.float64]:
    """Return the weight of every lagged pair: that of its earlier frame.

    So weighted, pairs (x, y) have earlier frames of the density that weights restore,
    and later frames as the dynamics makes them from there (Wu et al., J. Chem. Phys.
    146, 154104 (2017), section II E).

    Parameters
    ----------
    weights : list of (F,) ndarrays
        Of every unbroken trajectory.
    lag : int
        Frames.

    Returns
    -------
    (P,) ndarray
        Trajectory by trajectory, in the order of time.
    """
    return np.concatenate([np.asarray(w[: max(len(w) - lag, 0)]) for w in weights])


def n_pairs(arrays: Arrays, lag: int) -> int:
    """Return the number of lagged pairs inside the trajectories."""
    return sum(max(len(a) - lag, 0) for a in arrays)


def chunks(arrays: Arrays) -> Iterator[NDArray[np.floating]]:
    """Yield runs of frames of bounded size, for streaming passes."""
    for array in arrays:
        rows = _rows(array)
        for start in range(0, len(array), rows):
            yield np.asarray(array[start : start + rows])


def lagged_chunks(
    arrays: Arrays, lag: int
) -> Iterator[tuple[NDArray[np.floating], NDArray[np.floating]]]:
    """Yield runs of pairs (x_t, x_{t+lag}), each inside one trajectory."""
    for array in arrays:
        rows = _rows(array)
        for start in range(0, len(array) - lag, rows):
            stop = min(start + rows, len(array) - lag)
            yield (
                np.asarray(array[start:stop]),
                np.asarray(array[start + lag : stop + lag]),
            )


def lagged_runs(arrays: Arrays, lag: int) -> Iterator[NDArray[np.floating]]:
    """Yield runs of frames whose pairs at `lag` are, all together, those of the data.

    The last `lag` frames of a run are the first of the next one.
    """
    for array in arrays:
        rows = max(_rows(array), lag)
        for start in range(0, len(array) - lag, rows):
            yield np.asarray(array[start : start + rows + lag])


def lagged_index(arrays: Arrays, lag: int) -> NDArray[np.int64]:
    """Return where the lagged pairs start.

    Returns
    -------
    (P, 2) ndarray of int64
        Trajectory and frame of the first half of every pair.
    """
    rows = [
        np.stack([np.full(n, i), np.arange(n)], axis=1)
        for i, n in enumerate(max(len(a) - lag, 0) for a in arrays)
    ]
    return np.concatenate(rows).astype(np.int64)


def gather(arrays: Arrays, index: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the frames at `index`, in the order asked for.

    Parameters
    ----------
    arrays : list of (F, ...) ndarrays
        Trajectories.
    index : (P, 2) ndarray of int64
        Trajectory and frame.

    Returns
    -------
    (P, ...) ndarray of float32
    """
    frames: NDArray[np.float32] = _gather(arrays, index, (0,))[0]
    return frames


def gather_pairs(
    arrays: Arrays, index: NDArray[np.int64], lag: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the frames at `index`, and those one lag later.

    Parameters
    ----------
    arrays : list of (F, ...) ndarrays
        Trajectories.
    index : (P, 2) ndarray of int64
        Trajectory and frame of the first half of every pair.
    lag : int
        Frames.

    Returns
    -------
    early, late : (P, ...) ndarray of float32
    """
    early, late = _gather(arrays, index, (0, lag))
    return early, late


def _gather(
    arrays: Arrays, index: NDArray[np.int64], offsets: tuple[int, ...]
) -> NDArray[np.float32]:
    """Return (len(offsets), P, ...): what stands so many frames after `index`."""
    shape = (len(offsets), len(index), *arrays[0].shape[1:])
    out = np.empty(shape, dtype=np.float32)
    numbers, frames = index.T
    step = _rows(arrays[0])
    for trajectory in np.unique(numbers):
        array = arrays[trajectory]
        mine = np.flatnonzero(numbers == trajectory)
        for start in range(0, len(mine), step):
            rows = mine[start : start + step]
            for part, offset in zip(out, offsets, strict=True):
                part[rows] = array[frames[rows] + offset]
    return out


def _rows(array: Rows) -> int:
    """Return how many frames make a chunk."""
    width = max(int(np.prod(array.shape[1:])), 1)
    return int(np.clip(_CHUNK_NUMBERS // width, 16, 8192))


def nonfinite_frame(arrays: Arrays) -> tuple[int, int] | None:
    """Return trajectory and frame of the first value that is not finite, if any."""
    for i, array in enumerate(arrays):
        seen = 0
        for chunk in chunks([array]):
            bad = ~np.isfinite(chunk).reshape(len(chunk), -1).all(axis=1)
            if bad.any():
                return i, seen + int(np.argmax(bad))
            seen += len(chunk)
    return None


def listed(values: NDArray[Any] | None) -> list[Any] | None:
    """Return nested lists for JSON, with None for what is not finite."""
    if values is None:
        return None
    if values.ndim > 1:
        return [listed(v) for v in values]
    return [float(v) if np.isfinite(v) else None for v in values]
