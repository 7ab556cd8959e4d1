"""What travels between reading, computing, merging and writing: chunks of rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from MDAnalysis.analysis.results import Results, ResultsGroup
from numpy.typing import NDArray

from mdgeomfeat.featurizer.frames import FramePlan
from mdgeomfeat.featurizer.unusable import read_frame
from mdgeomfeat.store import StoreWriter
from mdgeomfeat.store.layout import UNUSABLE

if TYPE_CHECKING:
    from mdgeomfeat.structure import Structure

__all__ = [
    "Batch",
    "Collector",
    "Keeper",
    "Merger",
    "Portion",
    "Recorder",
    "join_batches",
    "read_batch",
]


class Batch:
    """Frames that are computed at once, filled as they are read.

    Parameters
    ----------
    rows : (n,) ndarray of int
    n_atoms : int

    Attributes
    ----------
    times : (n,) ndarray, ps
    positions : (n, A, 3) ndarray of float32, Å
        NaN, as times are, where a frame could not be read.
    boxes : (n, 6) ndarray of float32
        Zeros where there is none.
    good : (n,) ndarray of bool
        Which of them can be used.
    """

    def __init__(self, rows: NDArray[np.int64], n_atoms: int) -> None:
        self.rows = rows
        self.times = np.full(len(rows), np.nan)
        self.positions = np.full((len(rows), n_atoms, 3), np.nan, dtype=np.float32)
        self.boxes = np.zeros((len(rows), 6), dtype=np.float32)
        self.good = np.zeros(len(rows), dtype=bool)


def read_batch(
    reader: Any,
    plan: FramePlan,
    structure: Structure,
    rows: NDArray[np.int64],
    frames: NDArray[np.int64],
    *,
    boxed: bool,
    skip_bad: bool,
) -> Batch:
    """Read the frames of a batch.

    Parameters
    ----------
    reader : MDAnalysis reader
    plan : FramePlan
    structure : Structure
    rows, frames : (n,) ndarray of int
    boxed : bool
        Whether boxes are wanted.
    skip_bad : bool
        Leave frames that cannot be read empty, instead of stopping there.

    Raises
    ------
    InputError
        If a frame cannot be read.
    """
    batch = Batch(rows, structure.n_atoms)
    for place, frame in enumerate(frames.tolist()):
        ts = read_frame(reader, plan, frame, skip_bad=skip_bad)
        if ts is None:
            continue
        batch.times[place] = plan.time(ts, reader)
        batch.positions[place] = ts.positions[structure.indices]
        if boxed and ts.dimensions is not None:
            batch.boxes[place] = ts.dimensions
    return batch


def join_batches(
    chunk: Sequence[tuple[Batch, Mapping[str, NDArray[np.floating]]]],
) -> tuple[
    NDArray[np.int64],
    NDArray[np.floating],
    NDArray[np.bool_],
    dict[str, NDArray[np.floating]],
]:
    """Return rows, times, use and arrays of batches that make a chunk."""
    batches, arrays = zip(*chunk, strict=True)
    return (
        np.concatenate([batch.rows for batch in batches]),
        np.concatenate([batch.times for batch in batches]),
        np.concatenate([batch.good for batch in batches]),
        {
            name: np.concatenate([portion[name] for portion in arrays])
            for name in arrays[0]
        },
    )


@dataclass(frozen=True)
class Portion:
    """What a worker hands back, with the attributes that AnalysisBase reads.

    Attributes
    ----------
    frames, times : (n,) ndarray
        Empty where rows were written to a store.
    results : Results
        Arrays to be joined with those of other portions.
    """

    frames: NDArray[np.int64]
    times: NDArray[np.float64]
    results: Results


class Collector(Protocol):
    """Takes the chunks of a portion as they are computed."""

    def add(
        self,
        rows: NDArray[np.int64],
        times: NDArray[np.float64],
        good: NDArray[np.bool_],
        arrays: Mapping[str, NDArray[np.floating]],
    ) -> None:
        """Take in n rows: their times and use, and arrays of the usable ones."""

    def finish(self) -> Portion:
        """Return what goes back to the parent."""


class Keeper:
    """Holds the rows of a portion in memory.

    ``good`` (n,) among the results tells which rows could be used; every other array
    has one entry for each of those.

    Parameters
    ----------
    frames : (n,) ndarray of int
        Of the whole portion.
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
        times: NDArray[np.float64],
        good: NDArray[np.bool_],
        arrays: Mapping[str, NDArray[np.floating]],
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

    def finish(self) -> Portion:
        """Return the arrays, without the room that unusable rows have left."""
        for name, values in self._results.items():
            if name != "good":
                self._results[name] = values[: self._filled]
        return Portion(self._frames, self._times, self._results)


class Recorder:
    """Writes the rows of a portion to a store, chunk by chunk.

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
        times: NDArray[np.float64],
        good: NDArray[np.bool_],
        arrays: Mapping[str, NDArray[np.floating]],
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

    def finish(self) -> Portion:
        """Return the ranges of rows that stand in the store now."""
        ranges = np.array(self._ranges, dtype=np.int64)
        nothing = np.empty(0)
        return Portion(nothing.astype(np.int64), nothing, Results(ranges=ranges))


class Merger(ResultsGroup):
    """Join the results of portions, freeing each portion's arrays on the way."""

    def merge(
        self, objects: Sequence[Results], require_all_aggregators: bool = True
    ) -> Results:
        """Concatenate every array over the portions."""
        del require_all_aggregators
        if len(objects) == 1:
            return objects[0]
        return Results(
            {
                name: np.concatenate([portion.pop(name) for portion in objects])
                for name in list(objects[0])
            }
        )


def _spread(
    values: NDArray[np.floating], good: NDArray[np.bool_]
) -> NDArray[np.floating]:
    if good.all():
        return values
    whole = np.full((len(good), *values.shape[1:]), np.nan, dtype=values.dtype)
    whole[good] = values
    return whole
