"""What travels between reading, computing, merging and writing: chunks of rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np
from MDAnalysis.analysis.results import Results, ResultsGroup
from numpy.typing import ArrayLike, NDArray

from mdgeomfeat.featurizer.frames import FramePlan
from mdgeomfeat.store import StoreWriter
from mdgeomfeat.store.layout import UNUSABLE

__all__ = [
    "Background",
    "Collector",
    "FrameBuffer",
    "Keeper",
    "Merger",
    "Part",
    "Recorder",
]


class FrameBuffer:
    """Frames that have been read and wait for their chunk to be complete.

    Parameters
    ----------
    size : int
        Frames of a chunk.
    n_atoms : int
    """

    def __init__(self, size: int, n_atoms: int) -> None:
        self._shape = (size, n_atoms, 3)
        self._start()

    def _start(self) -> None:
        self._positions = np.empty(self._shape, dtype=np.float32)
        self._boxes = np.empty((self._shape[0], 6), dtype=np.float32)
        self._rows: list[int] = []
        self._times: list[float] = []

    def add(
        self, row: int, time: float, positions: ArrayLike, box: ArrayLike | None
    ) -> None:
        """Take in a frame: its row, time (ps), positions (A, 3) Å and box (6,)."""
        place = len(self._rows)
        self._positions[place] = positions
        self._boxes[place] = 0 if box is None else box
        self._rows.append(row)
        self._times.append(time)

    def take(self) -> tuple[NDArray, NDArray, NDArray, NDArray]:
        """Return rows, times, positions and boxes (zeros for none), and start anew."""
        n = len(self._rows)
        rows, times = np.array(self._rows), np.array(self._times)
        positions, boxes = self._positions[:n], self._boxes[:n]
        self._start()
        return rows, times, positions, boxes


class Background:
    """A thread that computes a chunk while the next one is read.

    Parameters
    ----------
    on : bool
        Otherwise all is done at once: a processor that computes has no time to spare
        for reading, a GPU leaves it idle.
    """

    def __init__(self, on: bool) -> None:
        self._pool = ThreadPoolExecutor(max_workers=1) if on else None
        self._last: Future[None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._pool is None:
            return
        try:
            if kind is None:
                self._wait()
        finally:
            self._pool.shutdown()

    def do(self, function: Callable[..., None], *given: Any) -> None:
        """Call a function once the last call is over; its error is raised later."""
        if self._pool is None:
            function(*given)
            return
        self._wait()
        self._last = self._pool.submit(function, *given)

    def _wait(self) -> None:
        last, self._last = self._last, None
        if last is not None:
            last.result()


@dataclass(frozen=True)
class Part:
    """What a worker hands back, with the attributes that AnalysisBase reads.

    Attributes
    ----------
    frames, times : (n,) ndarray
        Empty where rows were written to a store.
    results : Results
        Arrays to be joined with those of other parts.
    """

    frames: NDArray[np.int64]
    times: NDArray[np.float64]
    results: Results


class Collector(Protocol):
    """Takes the chunks of a part as they are computed."""

    def add(
        self,
        rows: NDArray[np.int64],
        times: NDArray,
        good: NDArray[np.bool_],
        arrays: Mapping[str, NDArray],
    ) -> None:
        """Take in n rows: their times and use, and arrays of the usable ones."""

    def finish(self) -> Part:
        """Return what goes back to the parent."""


class Keeper:
    """Holds the rows of a part in memory.

    ``good`` (n,) among the results tells which rows could be used; every other array
    has one entry for each of those.

    Parameters
    ----------
    frames : (n,) ndarray of int
        Of the whole part.
    """

    def __init__(self, frames: NDArray[np.int64]) -> None:
        self._frames = frames
        self._times = np.full(len(frames), np.nan)
        self._results = Results(good=np.zeros(len(frames), dtype=bool))
        self._seen = 0
        self._filled = 0

    def add(
        self,
        rows: NDArray[np.int64],
        times: NDArray,
        good: NDArray[np.bool_],
        arrays: Mapping[str, NDArray],
    ) -> None:
        """Take in n rows: their times and use, and arrays of the usable ones."""
        chunk = slice(self._seen, self._seen + len(rows))
        self._times[chunk] = times
        self._results.good[chunk] = good
        self._seen = chunk.stop
        place = slice(self._filled, self._filled + int(good.sum()))
        for name, values in arrays.items():
            if name not in self._results:
                shape = (len(self._frames), *values.shape[1:])
                self._results[name] = np.empty(shape, values.dtype)
            self._results[name][place] = values
        self._filled = place.stop

    def finish(self) -> Part:
        """Return the arrays, without the room that unusable rows have left."""
        for name, values in self._results.items():
            if name != "good":
                self._results[name] = values[: self._filled]
        return Part(self._frames, self._times, self._results)


class Recorder:
    """Writes the rows of a part to a store, chunk by chunk.

    Only the ranges of rows go back to the parent.

    Parameters
    ----------
    writer : StoreWriter
    plan : FramePlan
    """

    def __init__(self, writer: StoreWriter, plan: FramePlan) -> None:
        self._writer = writer
        self._plan = plan
        self._ranges: list[tuple[int, int]] = []

    def add(
        self,
        rows: NDArray[np.int64],
        times: NDArray,
        good: NDArray[np.bool_],
        arrays: Mapping[str, NDArray],
    ) -> None:
        """Write a chunk; rows that cannot be used become NaN."""
        trajectory = int(self._plan.trajectory[rows[0]])
        whole = {name: _spread(values, good) for name, values in arrays.items()}
        frames = np.where(good, self._plan.frames[rows], UNUSABLE)
        self._writer.write(
            trajectory,
            int(rows[0] - self._plan.first_rows[trajectory]),
            whole | {"times": times, "frames": frames},
        )
        self._ranges.append((int(rows[0]), int(rows[-1]) + 1))

    def finish(self) -> Part:
        """Return the ranges of rows that stand in the store now."""
        ranges = np.array(self._ranges, dtype=np.int64)
        nothing = np.empty(0)
        return Part(nothing.astype(np.int64), nothing, Results(ranges=ranges))


class Merger(ResultsGroup):
    """Join the results of parts, freeing each part's arrays on the way."""

    def merge(
        self, objects: Sequence[Results], require_all_aggregators: bool = True
    ) -> Results:
        """Concatenate every array over the parts."""
        del require_all_aggregators
        if len(objects) == 1:
            return objects[0]
        return Results(
            {
                name: np.concatenate([part.pop(name) for part in objects])
                for name in list(objects[0])
            }
        )


def _spread(values: NDArray, good: NDArray[np.bool_]) -> NDArray:
    if good.all():
        return values
    whole = np.full((len(good), *values.shape[1:]), np.nan, dtype=values.dtype)
    whole[good] = values
    return whole
