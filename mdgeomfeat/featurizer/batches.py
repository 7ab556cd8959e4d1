"""What travels between reading, computing, merging and writing: blocks of rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from MDAnalysis.analysis.results import Results, ResultsGroup
from numpy.typing import ArrayLike, NDArray

from mdgeomfeat.featurizer.frames import FramePlan
from mdgeomfeat.store import StoreWriter

__all__ = ["FrameBuffer", "Merger", "Part", "Sink"]


class FrameBuffer:
    """Frames that have been read and wait for their batch to be complete.

    Parameters
    ----------
    size : int
        Frames of a batch.
    n_atoms : int
    """

    def __init__(self, size: int, n_atoms: int) -> None:
        self._positions = np.empty((size, n_atoms, 3), dtype=np.float32)
        self._boxes = np.empty((size, 6), dtype=np.float32)
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
        """Return rows, times, positions and boxes (zeros for none), and start anew.

        Positions and boxes are overwritten by the next batch.
        """
        n = len(self._rows)
        rows, times = np.array(self._rows), np.array(self._times)
        self._rows, self._times = [], []
        return rows, times, self._positions[:n], self._boxes[:n]


class Part:
    """The rows that one worker computes, filled batch by batch.

    Parameters
    ----------
    rows, frames : (n,) ndarray of int
    keep : bool
        Hold the arrays; not needed where they are written at once.

    Attributes
    ----------
    frames, times : (n,) ndarray
        Of all rows; AnalysisBase reads them.
    results : Results
        ``good`` (n,) tells which rows could be used, and every other array has one
        entry for each of those.
    """

    def __init__(
        self, rows: NDArray[np.int64], frames: NDArray[np.int64], *, keep: bool
    ) -> None:
        self.rows = rows
        self.frames = frames
        self.times = np.full(len(rows), np.nan)
        self.results = Results(good=np.zeros(len(rows), dtype=bool))
        self._keep = keep
        self._seen = 0
        self._filled = 0

    def add(
        self, times: NDArray, good: NDArray[np.bool_], arrays: Mapping[str, NDArray]
    ) -> None:
        """Append a batch: times and use of n rows, arrays of the usable ones."""
        batch = slice(self._seen, self._seen + len(times))
        self.times[batch] = times
        self.results.good[batch] = good
        self._seen = batch.stop
        if not self._keep:
            return
        place = slice(self._filled, self._filled + int(good.sum()))
        for name, values in arrays.items():
            if name not in self.results:
                shape = (len(self.rows), *values.shape[1:])
                self.results[name] = np.empty(shape, values.dtype)
            self.results[name][place] = values
        self._filled = place.stop

    def finish(self) -> Part:
        """Cut off the room that unusable rows have left."""
        for name, values in self.results.items():
            if name != "good":
                self.results[name] = values[: self._filled]
        return self


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


class Sink:
    """Write rows to a store as they come.

    Parameters
    ----------
    writer : StoreWriter
    plan : FramePlan
    """

    def __init__(self, writer: StoreWriter, plan: FramePlan) -> None:
        self._writer = writer
        self._plan = plan
        self._place = plan.place

    def write(
        self,
        rows: NDArray[np.int64],
        times: NDArray,
        good: NDArray[np.bool_],
        arrays: Mapping[str, NDArray],
    ) -> None:
        """Write rows; `arrays` hold the usable ones, the others become NaN."""
        whole = {name: _spread(values, good) for name, values in arrays.items()}
        whole |= {"times": times, "frames": self._plan.frames[rows]}
        trajectory, place = self._plan.trajectory[rows], self._place[rows]
        cuts = np.flatnonzero((np.diff(trajectory) != 0) | (np.diff(place) != 1)) + 1
        for run in np.split(np.arange(len(rows)), cuts):
            self._writer.write(
                int(trajectory[run[0]]),
                int(place[run[0]]),
                {name: values[run[0] : run[-1] + 1] for name, values in whole.items()},
                bad=np.flatnonzero(~good[run]).tolist(),
            )

    def collect(self, part: Part) -> Part:
        """Write a part and keep only what AnalysisBase needs of it."""
        results = part.results
        good = results.pop("good")
        self.write(part.rows, part.times, good, results)
        part.results = Results(good=good)
        return part


def _spread(values: NDArray, good: NDArray[np.bool_]) -> NDArray:
    if good.all():
        return values
    whole = np.full((len(good), *values.shape[1:]), np.nan, dtype=values.dtype)
    whole[good] = values
    return whole
