"""Which frames are analysed, from which trajectory, and in which batch."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import MDAnalysis as mda
import numpy as np
from numpy.typing import NDArray

from mdgeomfeat.errors import InputError, MDGeomFeatWarning
from mdgeomfeat.reading.chain import file_readers

if TYPE_CHECKING:
    from MDAnalysis.coordinates.timestep import Timestep

__all__ = [
    "FramePlan",
    "frame_time",
    "reader_of",
    "segments",
    "time_step",
    "used_frames",
]


_PARTS_PER_WORKER = 16
_CHUNKS_PER_PART = 8


@dataclass(frozen=True, eq=False)
class FramePlan:
    """The rows of a run and the fixed grid of chunks that they are computed in.

    Rows stand trajectory by trajectory. Chunks are counted from the first analysed
    frame of every trajectory, whoever computes them and whenever, so that results do
    not depend on how the work is shared out.

    Attributes
    ----------
    frames : (F,) ndarray of int
        Frame of the reader that each row is.
    trajectory : (F,) ndarray of int
        Source trajectory of each row.
    sources : list of str
        File name of every source trajectory.
    first_frames : (T,) ndarray of int
        The reader's number of each trajectory's first frame.
    chunk_size : int
        Frames of a chunk, all but the last of each trajectory.
    """

    frames: NDArray[np.int64]
    trajectory: NDArray[np.int64]
    sources: list[str]
    first_frames: NDArray[np.int64]
    chunk_size: int

    @classmethod
    def of(cls, reader: Any, frames: NDArray[np.int64], chunk_size: int) -> FramePlan:
        """Find the trajectories of a reader's frames.

        The parts of a ChainReader are independent runs, unless it was made with
        ``continuous=True``, which joins the files of one run.
        """
        # A ChainReader of one continuous run keeps how its files overlap in ``_sf``.
        readers = [reader] if "_sf" in vars(reader) else file_readers(reader)
        first = np.cumsum([0, *(r.n_frames for r in readers[:-1])])
        trajectory = np.searchsorted(first, frames, side="right") - 1
        order = np.argsort(trajectory, kind="stable")
        return cls(
            frames[order],
            trajectory[order],
            [_name(r) for r in readers],
            first,
            chunk_size,
        )

    def __len__(self) -> int:
        return len(self.frames)

    def counts(self) -> list[int]:
        """Return the rows of every source trajectory."""
        return np.bincount(self.trajectory, minlength=len(self.sources)).tolist()

    @cached_property
    def first_rows(self) -> NDArray[np.int64]:
        """(T,) the row where each trajectory begins."""
        return np.cumsum([0, *self.counts()[:-1]])

    @cached_property
    def bounds(self) -> NDArray[np.int64]:
        """(n_chunks + 1,) the row where each chunk begins, and the number of rows."""
        begins = [
            first + np.arange(0, count, self.chunk_size)
            for first, count in zip(self.first_rows, self.counts(), strict=True)
        ]
        return np.concatenate([*begins, [len(self)]])

    @property
    def n_chunks(self) -> int:
        """Number of chunks."""
        return len(self.bounds) - 1

    @cached_property
    def chunk_ends(self) -> NDArray[np.bool_]:
        """(F,) bool: rows after which a chunk is complete."""
        ends = np.zeros(len(self), dtype=bool)
        ends[self.bounds[1:] - 1] = True
        return ends

    def parts(self, chunks: NDArray[np.int64], n_parts: int) -> list[NDArray[np.int64]]:
        """Share chunks out in at most ``n_parts`` parts.

        Returns
        -------
        parts : list of (n, 2) ndarray of int
            Row and frame, the form that AnalysisBase works with.
        """
        parts = []
        for group in np.array_split(chunks, min(n_parts, len(chunks))):
            ranges = zip(self.bounds[group], self.bounds[group + 1], strict=True)
            rows = np.concatenate([np.arange(a, b) for a, b in ranges])
            parts.append(np.column_stack([rows, self.frames[rows]]))
        return parts

    def batches(self, rows: NDArray[np.int64], size: int) -> Iterator[slice]:
        """Cut the rows of whole chunks into batches that lie within a chunk.

        Parameters
        ----------
        rows : (n,) ndarray of int
        size : int
            Frames of a batch, all but the last of a chunk.

        Yields
        ------
        slice
            Of `rows`.
        """
        ends = np.flatnonzero(self.chunk_ends[rows]) + 1
        for begin, end in pairwise([0, *ends.tolist()]):
            for start in range(begin, end, size):
                yield slice(start, min(start + size, end))

    @staticmethod
    def default_parts(n_chunks: int, n_workers: int) -> int:
        """Return how many parts suit some workers.

        Enough for an even load, and for each to be small whatever the length of the
        run: a part is what a progress bar advances by and what is lost with a worker.
        """
        return max(_PARTS_PER_WORKER * n_workers, ceil(n_chunks / _CHUNKS_PER_PART))

    def say_unequal_steps(self, frames: NDArray, times: NDArray) -> None:
        """Warn of time steps that differ, naming a source of each.

        Parameters
        ----------
        frames : (F,) array of int
        times : (F,) array, ps
        """
        trajectory = np.searchsorted(self.first_frames, frames, side="right") - 1
        found: dict[float, str] = {}
        for rows in segments(trajectory, frames):
            step = time_step(times, [rows])
            if step is not None:
                found.setdefault(step, self.sources[trajectory[rows.start]])
        if len(found) > 1:
            shown = ", ".join(f"{step:g} ps ({name})" for step, name in found.items())
            warnings.warn(
                f"results.dt is None, because time steps differ: {shown}",
                MDGeomFeatWarning,
                stacklevel=4,
            )

    def describe(self, frame: int) -> str:
        """Return words for a frame: its number in its file, and the file."""
        number = int(np.searchsorted(self.first_frames, frame, side="right")) - 1
        return f"frame {frame - self.first_frames[number]} of {self.sources[number]}"


def reader_of(source: Any) -> Any:
    """Return the trajectory reader of a Universe or an AtomGroup.

    Raises
    ------
    InputError
        If it is neither, or there are no coordinates.
    """
    universe = getattr(source, "universe", None)
    if not (isinstance(universe, mda.Universe) and hasattr(source, "atoms")):
        raise InputError(
            f"got a {type(source).__name__} where a Universe or an AtomGroup is "
            "needed; arrays and mdtraj trajectories go through GeomGNNTransformer."
        )
    try:
        return universe.trajectory
    except AttributeError as error:
        raise InputError(
            f"{universe.filename} came without coordinates; load a trajectory, too."
        ) from error


def frame_time(ts: Timestep) -> float:
    """Return the time of a frame, ps, NaN where the format has none.

    MDAnalysis would make up a time from a step of 1 ps.
    """
    reference = getattr(ts, "_reader", None)
    known = "time" in ts.data or "dt" in ts.data
    known = known or (reference is not None and hasattr(reference(), "_get_dt"))
    return float(ts.time) if known else math.nan


def used_frames(
    reader: Any,
    start: int | None = None,
    stop: int | None = None,
    step: int | None = None,
    frames: Iterable | None = None,
) -> NDArray[np.int64]:
    """Return the frames that the arguments of ``run`` mean.

    Parameters
    ----------
    reader : MDAnalysis reader
    start, stop, step : int, optional
    frames : iterable of int or bool, optional
        Frame numbers (negative ones count from the end), or a mask as long as the
        trajectory.

    Raises
    ------
    InputError
        If there are none, or `frames` does not fit the trajectory.
    """
    n_frames = reader.n_frames
    if frames is None:
        try:
            used = np.arange(*reader.check_slice_indices(start, stop, step))
        except (TypeError, ValueError) as error:
            raise InputError(
                f"start={start!r}, stop={stop!r}, step={step!r} must be whole numbers, "
                "and step not 0."
            ) from error
        asked = f"start={start}, stop={stop}, step={step}"
    elif (start, stop, step) != (None, None, None):
        raise InputError("frames= cannot be combined with start, stop or step.")
    else:
        if not isinstance(frames, Iterable):
            raise InputError("frames= must be a list of frame numbers or a mask.")
        used = np.asarray(frames if isinstance(frames, np.ndarray) else list(frames))
        asked = "frames="
        if used.dtype == bool:
            if used.shape != (n_frames,):
                raise InputError(
                    f"frames= is a mask of {used.size} where the trajectory has "
                    f"{n_frames} frames; give one value per frame."
                )
            used = np.flatnonzero(used)
    if used.size == 0:
        raise InputError(
            f"{asked} picks none of the {n_frames} frames; pick at least one."
        )
    if used.ndim != 1 or used.dtype.kind not in "iu":
        raise InputError("frames= must be a list of frame numbers or a mask.")
    used = used.astype(np.int64)
    outside = used[(used < -n_frames) | (used >= n_frames)]
    if outside.size:
        raise InputError(
            f"frames= names frame {outside[0]} where the trajectory has {n_frames} "
            f"frames; frames are numbered from 0 to {n_frames - 1}."
        )
    return np.where(used < 0, used + n_frames, used)


def segments(trajectory: NDArray, frames: NDArray) -> list[slice]:
    """Cut rows where the trajectory or the distance between frames changes.

    The distance that counts is the most frequent one of the whole run (the smallest
    of several), because a lag in frames must mean the same time everywhere.

    Parameters
    ----------
    trajectory : (F,) array of int
    frames : (F,) array of int
    """
    if len(frames) == 0:
        return []
    step = np.diff(frames)
    same = np.diff(trajectory) == 0
    forward = step[same & (step > 0)]
    if forward.size:
        values, counts = np.unique(forward, return_counts=True)
        same &= step == values[np.argmax(counts)]
    else:
        same[:] = False
    cuts = np.flatnonzero(~same) + 1
    return [slice(a, b) for a, b in pairwise([0, *cuts.tolist(), len(frames)])]


def time_step(times: NDArray, runs: Sequence[slice]) -> float | None:
    """Return the time between neighbouring frames, ps, or None if there is no such.

    Times that are missing, do not grow, or grow unevenly by more than a thousandth
    (formats round them) say nothing.

    Parameters
    ----------
    times : (F,) array, ps
    runs : sequence of slice
        Unbroken runs.
    """
    steps = [np.diff(np.asarray(times[rows], dtype=np.float64)) for rows in runs]
    every = np.concatenate([*steps, np.empty(0)])
    if every.size == 0 or not np.isfinite(every).all() or (every <= 0).any():
        return None
    mean = every.mean()
    rounding = np.spacing(np.abs(times).max().astype(np.float32))
    if np.abs(every - mean).max() > 1e-3 * mean + 2 * rounding:
        return None
    # Rounded times average out over a run; digits that mean nothing are dropped.
    return float(f"{mean:.6g}")


def _name(reader: Any) -> str:
    filename = getattr(reader, "filename", None)
    if isinstance(filename, str | Path):
        return str(filename)
    return "the trajectory in memory"
