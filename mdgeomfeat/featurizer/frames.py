"""Which frames are analysed, from which trajectory, and in which batch."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby, pairwise
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import MDAnalysis as mda
import numpy as np
from numpy.typing import NDArray

from mdgeomfeat.errors import InputError, MDGeomFeatWarning
from mdgeomfeat.reading.chain import file_readers
from mdgeomfeat.reading.doubtful_times import doubt_about
from mdgeomfeat.reading.times import frame_time, odd_steps, step_slack
from mdgeomfeat.upstream import is_one_run

if TYPE_CHECKING:
    from MDAnalysis.coordinates.timestep import Timestep

__all__ = [
    "FramePlan",
    "reader_of",
    "seams",
    "segments",
    "time_step",
    "used_frames",
]


_PORTIONS_PER_WORKER = 16
_CHUNKS_PER_PORTION = 8


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
    dt : float or None
        Time between the frames of every trajectory, ps, where its user states it.
    """

    frames: NDArray[np.int64]
    trajectory: NDArray[np.int64]
    sources: list[str]
    first_frames: NDArray[np.int64]
    chunk_size: int
    dt: float | None = None

    @classmethod
    def of(
        cls,
        reader: Any,
        frames: NDArray[np.int64],
        chunk_size: int,
        dt: float | None = None,
    ) -> FramePlan:
        """Find the trajectories of a reader's frames.

        The files of a ChainReader are independent runs, unless it was made with
        ``continuous=True``, which joins the files of one run.
        """
        readers = [reader] if is_one_run(reader) else file_readers(reader)
        first = np.cumsum([0, *(r.n_frames for r in readers[:-1])])
        trajectory = np.searchsorted(first, frames, side="right") - 1
        order = np.argsort(trajectory, kind="stable")
        return cls(
            frames[order],
            trajectory[order],
            [_name(r) for r in readers],
            first,
            chunk_size,
            dt,
        )

    def __len__(self) -> int:
        return len(self.frames)

    def counts(self) -> list[int]:
        """Return the rows of every source trajectory."""
        counts: list[int] = np.bincount(
            self.trajectory, minlength=len(self.sources)
        ).tolist()
        return counts

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

    def portions(
        self, chunks: NDArray[np.int64], n_parts: int
    ) -> list[NDArray[np.int64]]:
        """Share chunks out in at most ``n_parts`` portions.

        Returns
        -------
        portions : list of (n, 2) ndarray of int
            Row and frame, the form that AnalysisBase works with.
        """
        portions = []
        for group in np.array_split(chunks, min(n_parts, len(chunks))):
            ranges = zip(self.bounds[group], self.bounds[group + 1], strict=True)
            rows = np.concatenate([np.arange(a, b) for a, b in ranges])
            portions.append(np.column_stack([rows, self.frames[rows]]))
        return portions

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
    def default_portions(n_chunks: int, n_workers: int) -> int:
        """Return how many portions suit some workers.

        Enough for an even load, and for each to be small whatever the length of the
        run: a portion is what a progress bar advances by and what a worker takes with
        it when it is lost.
        """
        return max(
            _PORTIONS_PER_WORKER * n_workers, ceil(n_chunks / _CHUNKS_PER_PORTION)
        )

    def time(self, ts: Timestep, reader: Any) -> float:
        """Return the time of a frame that has just been read, ps, NaN if unknown."""
        if self.dt is None:
            return frame_time(ts, reader)
        return float(self.stated_times(np.array([ts.frame]))[0])

    def stated_times(self, frames: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the times of frames by the stated time step, counted in their file."""
        number = np.searchsorted(self.first_frames, frames, side="right") - 1
        return (frames - self.first_frames[number]) * np.float64(self.dt)

    def say_steps(
        self,
        frames: NDArray[np.int64],
        times: NDArray[np.float64],
        made_up: Sequence[str | None] | None = None,
    ) -> None:
        """Warn of times that are doubtful or jump, and of steps that differ.

        Parameters
        ----------
        frames : (F,) ndarray of int
        times : (F,) ndarray, ps
        made_up : sequence of T (str or None), optional
            What :func:`mdgeomfeat.reading.times.made_up_times` says of the files.
        """
        trajectory = np.searchsorted(self.first_frames, frames, side="right") - 1
        runs = segments(trajectory, frames, times)
        found: dict[float, str] = {}
        uneven: list[str] = []
        self._say_doubts(trajectory, frames, times, made_up)
        for number, own in groupby(runs, key=lambda rows: trajectory[rows.start]):
            pieces = list(own)
            step = time_step(times, pieces)
            grown = [np.ptp(times[rows]) for rows in pieces if len(times[rows]) > 1]
            if step is not None:
                found.setdefault(step, self.sources[number])
            elif any(value > 0 for value in grown):
                uneven.append(self.sources[number])
        self._say_seams(trajectory, frames, times)
        if uneven:
            more = f" and {len(uneven) - 1} more" if uneven[1:] else ""
            _warn(
                f"{uneven[0]}{more} has times that do not grow evenly, so lags are "
                "counted in frames."
            )
        elif len(found) > 1 and time_step(times, runs) is None:
            shown = ", ".join(f"{step:g} ps ({name})" for step, name in found.items())
            _warn(f"The time steps differ, so results.dt is None: {shown}.")

    def _say_doubts(
        self,
        trajectory: NDArray[np.int64],
        frames: NDArray[np.int64],
        times: NDArray[np.float64],
        made_up: Sequence[str | None] | None,
    ) -> None:
        doubts = {}
        for number in range(len(self.sources)):
            own = slice(*np.searchsorted(trajectory, [number, number + 1]))
            doubt = doubt_about(frames[own], times[own])
            if doubt is None and made_up is not None and len(times[own]) > 1:
                doubt = made_up[number]
            if doubt is not None:
                doubts[self.sources[number]] = doubt
        if doubts:
            name, doubt = next(iter(doubts.items()))
            more = (
                f" ({len(doubts) - 1} more files are like it)"
                if len(doubts) > 1
                else ""
            )
            _warn(
                f"The times in {name} are doubtful: its frames {doubt}{more}; state "
                "the time between frames with --dt (dt=) where that is wrong."
            )

    def _say_seams(
        self,
        trajectory: NDArray[np.int64],
        frames: NDArray[np.int64],
        times: NDArray[np.float64],
    ) -> None:
        rows = seams(trajectory, frames, times)
        if not len(rows):
            return
        row = int(rows[0])
        before, after = (round(float(t), 6) for t in times[row - 1 : row + 1])
        number = "once" if len(rows) == 1 else f"{len(rows):,} times"
        _warn(
            f"Times jump {number}, first from {before:,.10g} to {after:,.10g} ps at "
            f"{self.describe(int(frames[row]))}: a new piece begins at each such seam, "
            "and no lagged pair is made across it."
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
            f"Got a {type(source).__name__} where a Universe or an AtomGroup is "
            "needed; arrays and mdtraj trajectories go through GeomGNNTransformer."
        )
    try:
        return universe.trajectory
    except AttributeError as error:
        raise InputError(
            f"{universe.filename} came without coordinates; load a trajectory, too."
        ) from error


def used_frames(
    reader: Any,
    start: int | None = None,
    stop: int | None = None,
    step: int | None = None,
    frames: Iterable[Any] | None = None,
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


def segments(
    trajectory: NDArray[np.int64],
    frames: NDArray[np.int64],
    times: NDArray[np.float64] | None = None,
) -> list[slice]:
    """Cut rows where the trajectory or the distance between frames changes.

    The distance that counts is the most frequent one of the whole run (the smallest
    of several), because a lag in frames must mean the same time everywhere. With
    times, rows are also cut at :func:`seams`.

    Parameters
    ----------
    trajectory : (F,) ndarray of int
    frames : (F,) ndarray of int
    times : (F,) ndarray, ps, optional
    """
    if len(frames) == 0:
        return []
    cuts = np.flatnonzero(~_neighbours(trajectory, frames)) + 1
    if times is not None:
        cuts = np.union1d(cuts, seams(trajectory, frames, times))
    return [slice(a, b) for a, b in pairwise([0, *cuts.tolist(), len(frames)])]


def seams(
    trajectory: NDArray[np.int64], frames: NDArray[np.int64], times: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Return the rows where times jump: where another run was joined to a file.

    A seam lies between neighbouring frames of a file whose time step is not the usual
    one of that file; see :func:`mdgeomfeat.reading.times.odd_steps`.

    Parameters
    ----------
    trajectory : (F,) ndarray of int
    frames : (F,) ndarray of int
    times : (F,) ndarray, ps

    Returns
    -------
    (n,) ndarray of int
        First rows after each seam.
    """
    joined = _neighbours(trajectory, frames)
    odd = np.zeros(len(joined), dtype=bool)
    begins = np.flatnonzero(np.diff(trajectory)) + 1
    for a, b in pairwise([0, *begins.tolist(), len(frames)]):
        odd[a : b - 1] = odd_steps(times[a:b], joined[a : b - 1])
    return np.flatnonzero(odd) + 1


def _neighbours(
    trajectory: NDArray[np.int64], frames: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Tell between which rows (F - 1,) lies the distance of frames that counts."""
    step = np.diff(frames)
    same = np.diff(trajectory) == 0
    forward = step[same & (step > 0)]
    if not forward.size:
        return np.zeros(len(step), dtype=bool)
    values, counts = np.unique(forward, return_counts=True)
    regular: NDArray[np.bool_] = same & (step == values[np.argmax(counts)])
    return regular


def time_step(times: NDArray[np.float64], runs: Sequence[slice]) -> float | None:
    """Return the time between neighbouring frames, ps, or None if there is no such.

    Times that are missing, do not grow, or grow unevenly by more than a thousandth
    (formats round them) say nothing.

    Parameters
    ----------
    times : (F,) ndarray, ps
    runs : sequence of slice
        Unbroken runs.
    """
    steps = [np.diff(np.asarray(times[rows], dtype=np.float64)) for rows in runs]
    every = np.concatenate([*steps, np.empty(0)])
    if every.size == 0 or not np.isfinite(every).all() or (every <= 0).any():
        return None
    mean = every.mean()
    if np.abs(every - mean).max() > step_slack(mean, times):
        return None
    # Rounded times average out over a run; digits that mean nothing are dropped.
    return float(f"{mean:.6g}")


def _name(reader: Any) -> str:
    filename = getattr(reader, "filename", None)
    if isinstance(filename, str | Path):
        return str(filename)
    return "the trajectory in memory"


def _warn(message: str) -> None:
    warnings.warn(message, MDGeomFeatWarning, stacklevel=5)
