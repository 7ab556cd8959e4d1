"""One run of the featurizer: what it computes, where it goes, and how far it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from MDAnalysis.analysis.results import Results
from numpy.typing import NDArray

from mdgeomfeat.errors import InputError
from mdgeomfeat.featurespec import check_choice
from mdgeomfeat.featurizer.batches import (
    Batch,
    Collector,
    Keeper,
    Portion,
    Recorder,
    join_batches,
    read_batch,
)
from mdgeomfeat.featurizer.boxes import decide_box
from mdgeomfeat.featurizer.encoder import STORE_DTYPES, TokenEncoder
from mdgeomfeat.featurizer.frames import FramePlan
from mdgeomfeat.featurizer.parallel import InProcessBackend, PortionsBackend
from mdgeomfeat.featurizer.pipeline import Behind, ahead
from mdgeomfeat.featurizer.provenance import run_provenance
from mdgeomfeat.featurizer.results import FeatureResults
from mdgeomfeat.featurizer.storing import open_store, settle_dt
from mdgeomfeat.featurizer.unusable import say_dropped, usable_rows
from mdgeomfeat.reading.times import made_up_times
from mdgeomfeat.store import FeatureStore, StoreWriter
from mdgeomfeat.structure import make_whole

__all__ = ["FeatureRun", "RunOptions"]


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """What a run is told beside the features that it makes.

    Attributes
    ----------
    topology : str
        The file that the atoms are from, or "None".
    store : Path or None
        Where features go; None keeps them in memory.
    store_dtype : {"float16", "float32"} or None
    overwrite : bool
        Whether what is in the store is replaced.
    dt : float or None
        Time between the frames of each file, ps, in place of what the files say.
    skip_bad_frames : bool
        Whether frames that cannot be used are left out.
    allow_implausible : bool
        Whether positions that cannot be right are only warned of.

    Raises
    ------
    InputError
        If the type is not known, or there is no store for it.
    """

    topology: str
    store: Path | None = None
    store_dtype: str | None = None
    overwrite: bool = False
    dt: float | None = None
    skip_bad_frames: bool = False
    allow_implausible: bool = False

    def __post_init__(self) -> None:
        if self.store_dtype is not None:
            check_choice("store_dtype", self.store_dtype, STORE_DTYPES)
            if self.store is None:
                raise InputError("store_dtype= needs store=, which says where.")


class FeatureRun:
    """Some frames on their way to features.

    It is made when a run begins, is sent to the processes that share the work, and goes
    away when the results are there.

    Parameters
    ----------
    reader : MDAnalysis reader
    used : (F,) ndarray of int
        Frame numbers.
    encoder : TokenEncoder
        Settled; the run makes its batch size the store's.
    options : RunOptions

    Attributes
    ----------
    plan : FramePlan
        The grid of batches and chunks.
    chunks : (n,) ndarray of int
        Those that are to be computed.
    n_done : int
        Frames that an earlier run has computed.

    Raises
    ------
    InputError
        If frames or the store cannot be used.
    """

    def __init__(
        self,
        reader: Any,
        used: NDArray[np.int64],
        encoder: TokenEncoder,
        options: RunOptions,
    ) -> None:
        self._reader = reader
        self._options = options
        self._writer: StoreWriter | None = None
        self._advance: Callable[[int], object] | None = None
        grid = None
        if options.store is not None and not options.overwrite:
            grid = StoreWriter.grid(options.store)
        self._encoder = encoder if grid is None else encoder.with_batch(grid[0])
        dt = settle_dt(reader, options.dt, options.store if grid else None)
        self.plan = FramePlan.of(reader, used, self._chunk_size(grid), dt)
        self._made_up = made_up_times(reader) if dt is None else None
        self._box_used = decide_box(
            reader,
            self.plan,
            encoder.structure,
            encoder.spec.periodic,
            cutoff=encoder.cutoff,
            skip_bad=options.skip_bad_frames,
            allow_implausible=options.allow_implausible,
        ).used
        stored = options.store_dtype or encoder.spec.dtype
        if options.store_dtype is None and options.store and grid is not None:
            stored = StoreWriter.feature_dtype(options.store)
        self._provenance = run_provenance(
            self._encoder,
            reader,
            self.plan,
            {
                "topology": options.topology,
                "box_used": self._box_used,
                "store_dtype": stored,
            },
        )
        self.chunks = np.arange(self.plan.n_chunks)
        if options.store is not None:
            self._writer, self.chunks = open_store(
                options.store,
                self._encoder,
                self.plan,
                self._provenance,
                overwrite=options.overwrite,
                resume=grid is not None,
            )
        todo = int(np.diff(self.plan.bounds)[self.chunks].sum())
        self.n_done = len(used) - todo

    def __getstate__(self) -> dict[str, Any]:
        # Progress is shown where the run was begun.
        return self.__dict__ | {"_advance": None}

    def _chunk_size(self, grid: tuple[int, int] | None) -> int:
        """Return frames per chunk: in memory a batch, on disk the store's or ours."""
        encoder = self._encoder
        if self._options.store is None:
            return encoder.batch_size
        if grid is not None and grid[0] == encoder.batch_size:
            return grid[1]
        return encoder.chunk_size

    def teller(
        self,
        update: Callable[[int], object],
        advance: Callable[[int], object] | None = None,
    ) -> Callable[[int], None]:
        """Return what is to be told how many more frames are done.

        Parameters
        ----------
        update : callable
            Is told the same.
        advance : callable, optional
            Is told, at first, what an earlier run has done as well. That comes with
            the first frames of this one, so that starting up counts for nobody's rate.
        """
        before = self.n_done

        def tell(n: int) -> None:
            nonlocal before
            update(n)
            if advance is not None:
                advance(before + n)
                before = 0

        return tell

    def connect(
        self,
        executor: PortionsBackend,
        tell: Callable[[int], None],
        n_parts: int | None,
    ) -> tuple[PortionsBackend, int]:
        """Return a backend that reports to this run, and how many portions it gets.

        Parameters
        ----------
        executor : PortionsBackend
        tell : callable
            Of :meth:`teller`: by batches in this process, else by portions.
        n_parts : int or None
            What was asked for.
        """
        here = isinstance(executor, InProcessBackend)
        self._advance = tell if here else None
        connected = executor.connected(
            collect=self._note_batch, advance=None if here else tell
        )
        if here and self._writer is None:
            return connected, 1
        wanted = self.plan.default_portions(len(self.chunks), executor.n_workers)
        return connected, n_parts or wanted

    def portions(self, n_parts: int) -> list[NDArray[np.int64]]:
        """Return rows and frames (n, 2) of each portion, of whole chunks."""
        return self.plan.portions(self.chunks, n_parts)

    def compute(self, indexed_frames: NDArray[np.int64]) -> Portion:
        """Read, compute and keep or store the rows of a portion.

        Parameters
        ----------
        indexed_frames : (n, 2) ndarray of int
            Rows and frame numbers of whole chunks.

        Raises
        ------
        InputError
            If a frame cannot be used.
        """
        rows, frames = indexed_frames.T
        collector: Collector = (
            Keeper(frames)
            if self._writer is None
            else Recorder(self._writer, self.plan)
        )
        with (
            closing(ahead(self._batches(rows, frames))) as batches,
            Behind(collector.add) as keep,
        ):
            chunk: list[tuple[Batch, dict[str, NDArray[np.floating]]]] = []
            for batch in batches:
                use = batch.good
                arrays = self._encode(batch.positions[use], batch.boxes[use])
                chunk.append((batch, arrays))
                if self._advance is not None:
                    self._advance(len(use))
                if self.plan.chunk_ends[batch.rows[-1]]:
                    keep(*join_batches(chunk))
                    chunk = []
        portion = collector.finish()
        portion.results.batch = np.array([self._encoder.batch_limit])
        return portion

    def _batches(
        self, rows: NDArray[np.int64], frames: NDArray[np.int64]
    ) -> Iterator[Batch]:
        """Read the batches of whole chunks, and tell which of their rows are usable."""
        for place in self.plan.batches(rows, self._encoder.batch_size):
            batch = read_batch(
                self._reader,
                self.plan,
                self._encoder.structure,
                rows[place],
                frames[place],
                boxed=self._box_used,
                skip_bad=self._options.skip_bad_frames,
            )
            batch.good = usable_rows(
                self.plan,
                self._encoder.structure,
                batch.rows,
                batch.positions,
                batch.boxes if self._box_used else None,
                skip_bad=self._options.skip_bad_frames,
            )
            yield batch

    def _encode(
        self, positions: NDArray[np.floating], boxes: NDArray[np.floating]
    ) -> dict[str, NDArray[np.floating]]:
        used = boxes if self._box_used else None
        whole = make_whole(self._encoder.structure, positions, used)
        scalars, vectors = self._encoder.encode(positions, used)
        arrays = {"scalars": scalars, "vectors": vectors, "positions": whole}
        return arrays if used is None else arrays | {"boxes": used}

    def _note_batch(self, portion: Portion) -> Portion:
        """Put down that memory has forced smaller batches, if it has."""
        if self._writer is not None:
            self._writer.note_batch(int(portion.results.batch.min()))
        return portion

    def finish(self, merged: Results, times: NDArray[np.float64]) -> FeatureResults:
        """Leave out unusable rows and give the results their final form.

        Parameters
        ----------
        merged : Results
            Arrays of all portions; empty where they are in a store.
        times : (F,) ndarray, ps
            Likewise.
        """
        if self._writer is None:
            results = self._held(merged, times)
        else:
            results = self._stored(self._writer)
        self.plan.say_steps(results.frames, results.times, self._made_up)
        return results

    def _stored(self, writer: StoreWriter) -> FeatureResults:
        store = FeatureStore(writer.path, unfinished=True)
        say_dropped(self.plan, store.usable)
        writer.finish()
        return FeatureResults.of(store)

    def _held(self, merged: Results, times: NDArray[np.float64]) -> FeatureResults:
        good = merged.pop("good")
        say_dropped(self.plan, good)
        self._provenance["smallest_batch"] = int(merged.pop("batch").min())
        return FeatureResults.assemble(
            merged.data,
            times=times[good],
            frames=self.plan.frames[good],
            trajectory=self.plan.trajectory[good],
            structure=self._encoder.structure,
            provenance=self._provenance,
        )
