"""Token features of trajectories: where MDAnalysis frames meet the network."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import MDAnalysis as mda
import numpy as np
from MDAnalysis.analysis.base import AnalysisBase
from MDAnalysis.lib.log import ProgressBar
from numpy.typing import NDArray

from mdgeomfeat.errors import InputError
from mdgeomfeat.featurizer.batches import (
    Batch,
    Collector,
    Keeper,
    Merger,
    Part,
    Recorder,
    join_batches,
)
from mdgeomfeat.featurizer.boxes import decide_box
from mdgeomfeat.featurizer.encoder import STORE_DTYPES, TokenEncoder, check_choice
from mdgeomfeat.featurizer.frames import (
    FramePlan,
    frame_time,
    reader_of,
    used_frames,
)
from mdgeomfeat.featurizer.invariants import InvariantKind
from mdgeomfeat.featurizer.parallel import (
    NOT_STORED,
    InProcessBackend,
    PartsBackend,
    make_backend,
    refuse_memory,
)
from mdgeomfeat.featurizer.pipeline import Behind, ahead
from mdgeomfeat.featurizer.pooling import Pooling
from mdgeomfeat.featurizer.provenance import run_provenance
from mdgeomfeat.featurizer.results import FeatureResults, NoResults
from mdgeomfeat.featurizer.storing import open_store
from mdgeomfeat.featurizer.unusable import read_frame, say_dropped, usable_rows
from mdgeomfeat.memory import check_memory
from mdgeomfeat.store import FeatureStore, StoreLock, StoreWriter
from mdgeomfeat.structure import Structure, Tokens, make_whole
from mdgeomfeat.structure.selection import select_atoms

if TYPE_CHECKING:
    from MDAnalysis.analysis.backends import BackendBase
    from MDAnalysis.coordinates.timestep import Timestep
    from MDAnalysis.core.groups import AtomGroup

    from mdgeomfeat.gnn import Backbone

__all__ = ["GeomGNNFeaturizer"]


class GeomGNNFeaturizer(AnalysisBase):
    """Geometric features of the tokens (by default residues) of a trajectory.

    A pre-trained equivariant network turns every frame into scalars and vectors of
    atoms, which are pooled into tokens. Every pair of atoms within the network's
    cutoff counts, under the minimum image where there is a box, so that molecules
    need no unwrapping and the features turn exactly as the molecule does.

    Parameters
    ----------
    universe_or_atomgroup : MDAnalysis.Universe or MDAnalysis.AtomGroup
        Several trajectories in one Universe stay apart.
    select : str, optional
        An MDAnalysis selection. By default the heavy atoms of the protein, else of
        the nucleic acid, else of everything that is neither solvent nor ion; see
        :func:`mdgeomfeat.structure.select_atoms`.
    model : str, Path or Backbone
        A name from the registry, or the path of a safetensors file with its card or
        of a published checkpoint.
    tokens : {"residue", "atom", "molecule"} or (A,) array of int
        What gets one row of features.
    window : int, optional
        Give each token a graph of its own that holds the tokens up to this many
        places away in its unbroken chain. By default all selected atoms are one graph.
    pool : {"mean", "sum"}
        How atoms make a token.
    invariants : {"geometric", "norms", "scalars"}
        What ``results.features`` holds; see :mod:`mdgeomfeat.featurizer.invariants`.
    max_neighbors : int, optional
        Keep only this many nearest neighbours of an atom. By default all within the
        network's cutoff.
    periodic : {"auto", True, False}
        ``"auto"`` uses the box unless it is absent or smaller than the selection.
    allow_unseen : bool
        Accept elements that the network was not trained on.
    device : {"auto", "cpu", "cuda", ...}
    engine : {"auto", "torch", "cpu", "cuda"}
        What computes the network; the answer is the same.
    batch_size : int or "auto"
        Frames that are computed at once.
    dtype : {"float32", "float64"}
    store : str or Path, optional
        Write the features to this zarr folder as they come; ``results`` then read
        from there. A run that was interrupted goes on where it stopped when it is
        started again; a finished one is opened. See :mod:`mdgeomfeat.store`.
    store_dtype : {"float16", "float32"}, optional
        Type of scalars and vectors in `store`; by default what is there already has,
        else `dtype`. float16 takes half the space and rounds by at most a part in 2048.
    overwrite : bool
        Replace what is in `store` instead of going on with it.
    skip_bad_frames : bool
        Leave out frames that cannot be read or hold NaN, instead of stopping there.
    verbose : bool
        Show a progress bar.

    Attributes
    ----------
    structure : Structure
        The selected atoms and their tokens.
    results : FeatureResults
        ``scalars`` (F, N, C), ``vectors`` (F, N, 3, C), ``features`` (F, N*K),
        ``features_list()``, ``positions``, ``times`` and more; see
        :class:`mdgeomfeat.featurizer.FeatureResults`.

    Raises
    ------
    InputError
        If something cannot be used; the message says what and what to do.

    Notes
    -----
    ``run(backend=...)`` takes ``"serial"``, ``"multiprocessing"``, ``"dask"`` and a
    ``dask.distributed.Client``. The first two of the others start fresh processes with
    one thread each (a script that uses them needs ``if __name__ == "__main__":``), as
    many as there are cores unless ``n_workers`` says otherwise. Results do not depend
    on the backend: batches are cut on a fixed grid of frames.

    Examples
    --------
    >>> import MDAnalysis as mda
    >>> from mdgeomfeat import GeomGNNFeaturizer
    >>> u = mda.Universe("top.pdb", "traj.xtc")  # doctest: +SKIP
    >>> feat = GeomGNNFeaturizer(u).run(step=10)  # doctest: +SKIP
    >>> feat.results.scalars.shape  # doctest: +SKIP
    (1000, 5, 64)
    """

    _analysis_algorithm_is_parallelizable = True

    @classmethod
    def get_supported_backends(cls) -> tuple[str, ...]:
        """Names of backends that ``run`` takes, besides a distributed client."""
        return ("serial", "multiprocessing", "dask")

    def __init__(
        self,
        universe_or_atomgroup: mda.Universe | AtomGroup,
        select: str | None = None,
        *,
        model: str | Path | Backbone = "default",
        tokens: Tokens = "residue",
        window: int | None = None,
        pool: Pooling = "mean",
        invariants: InvariantKind = "geometric",
        max_neighbors: int | None = None,
        periodic: bool | Literal["auto"] = "auto",
        allow_unseen: bool = False,
        device: str = "auto",
        engine: str = "auto",
        batch_size: int | Literal["auto"] = "auto",
        dtype: str = "float32",
        store: str | Path | None = None,
        store_dtype: str | None = None,
        overwrite: bool = False,
        skip_bad_frames: bool = False,
        verbose: bool = False,
    ) -> None:
        super().__init__(reader_of(universe_or_atomgroup), verbose=verbose)
        self.results = NoResults()
        atoms = select_atoms(universe_or_atomgroup, select)
        self.structure = Structure.from_atomgroup(atoms, tokens=tokens)
        self._encoder = TokenEncoder(
            self.structure,
            model=model,
            window=window,
            pool=pool,
            invariants=invariants,
            max_neighbors=max_neighbors,
            allow_unseen=allow_unseen,
            device=device,
            engine=engine,
            batch_size=batch_size,
            dtype=dtype,
        )
        if store_dtype is not None:
            check_choice("store_dtype", store_dtype, STORE_DTYPES)
            if store is None:
                raise InputError("store_dtype= needs store=, which says where.")
        self._periodic = periodic
        self._store = None if store is None else Path(store).expanduser()
        self._store_dtype = store_dtype
        self._overwrite = overwrite
        self._skip_bad_frames = skip_bad_frames
        self._writer: StoreWriter | None = None
        self._advance: Callable[[int], object] | None = None
        self.times: NDArray[np.float64]
        self._asked = {
            "select": select,
            "tokens": tokens if isinstance(tokens, str) else "custom",
            "topology": atoms.universe.filename,
        }

    def run(  # type: ignore[override]
        self,
        start: int | None = None,
        stop: int | None = None,
        step: int | None = None,
        frames: Iterable | None = None,
        verbose: bool | None = None,
        n_workers: int | None = None,
        n_parts: int | None = None,
        backend: Any = None,
        *,
        unsupported_backend: bool = False,
        progressbar_kwargs: Mapping[str, Any] | None = None,
        advance: Callable[[int], object] | None = None,
    ) -> Self:
        """Compute the features.

        Parameters
        ----------
        start, stop, step : int, optional
            Range of frames.
        frames : iterable of int or bool, optional
            Frame numbers or a mask, in place of a range. Those of several trajectories
            come out trajectory by trajectory.
        verbose : bool, optional
            Show a progress bar, with every backend.
        n_workers : int, optional
            Processes; by default one for each core this process may use.
        n_parts : int, optional
            Parts that the frames are shared out in, each of whole chunks.
        backend : {"serial", "multiprocessing", "dask"} or Client, optional
        unsupported_backend : bool
            Accept a backend object of another kind.
        progressbar_kwargs : mapping, optional
            For MDAnalysis's progress bar.
        advance : callable, optional
            Is told, again and again, how many more frames are done.

        Returns
        -------
        GeomGNNFeaturizer

        Raises
        ------
        InputError
            If frames cannot be used, memory or disk will not do, or the store holds
            something else or is being written by another run.
        """
        used = used_frames(self._trajectory, start, stop, step, frames)
        executor = make_backend(backend, n_workers)
        if self._store is None:
            copies = 1 if isinstance(executor, InProcessBackend) else 2
            check_memory(
                self._encoder.row_bytes * len(used) * copies,
                f"the features of {len(used)} frames",
                'write them to disk with store="features.zarr", or take fewer frames',
            )
        elif executor is None:
            raise InputError(
                "store= needs backend='serial', 'multiprocessing', 'dask' or a "
                "dask.distributed.Client."
            )
        else:
            refuse_memory(self._trajectory.transformations, NOT_STORED)
        verbose = self._verbose if verbose is None else verbose
        with ExitStack() as held:
            # A finished object holds results, not the means by which they came.
            held.callback(self._forget)
            if self._store is not None:
                held.enter_context(StoreLock(self._store))
            self._encoder.settle(
                executor.call if isinstance(executor, PartsBackend) else None
            )
            todo = self._plan_chunks(used)
            done = len(used) - int(np.diff(self._plan.bounds)[todo].sum())
            bar = held.enter_context(
                ProgressBar(
                    total=len(used),
                    initial=done,
                    verbose=verbose,
                    **(progressbar_kwargs or {}),
                )
            )

            def tell(n: int) -> None:
                nonlocal done
                bar.update(n)
                if advance is not None:
                    # What an earlier run has done comes with the first frames of this
                    # one, so that starting up counts for nobody's rate.
                    advance(done + n)
                    done = 0

            self.results = NoResults()
            if len(todo):
                self._chunks = todo
                if isinstance(executor, PartsBackend):
                    n_parts, n_workers = self._connect(executor, tell, n_parts), None
                super().run(
                    frames=self._plan.frames,
                    verbose=False,
                    n_parts=n_parts,
                    n_workers=n_workers,
                    backend=backend if executor is None else executor,
                    unsupported_backend=unsupported_backend,
                )
            self._finish()
        return self

    def _connect(
        self, executor: PartsBackend, tell: Callable[[int], object], n_parts: int | None
    ) -> int:
        """Let a backend report to this run; return how many parts it shall get."""
        executor.collect = self._note_batch
        if not isinstance(executor, InProcessBackend):
            executor.advance = tell
        else:
            self._advance = tell
            if self._writer is None:
                return 1
        return n_parts or self._plan.default_parts(
            len(self._chunks), executor.n_workers
        )

    def _configure_backend(
        self, backend: Any, n_workers: int, unsupported_backend: bool = False
    ) -> BackendBase:
        if not isinstance(backend, PartsBackend):
            return super()._configure_backend(backend, n_workers, unsupported_backend)
        backend.check_transformations(self._trajectory.transformations)
        return backend

    def _setup_computation_groups(  # type: ignore[override]
        self, n_parts: int, **_: Any
    ) -> list[NDArray[np.int64]]:
        return self._plan.parts(self._chunks, n_parts)

    def _compute(  # type: ignore[override]
        self, indexed_frames: NDArray[np.int64], **_: Any
    ) -> Part:
        rows, self.frames = indexed_frames.T
        collector: Collector = (
            Keeper(self.frames)
            if self._writer is None
            else Recorder(self._writer, self._plan)
        )
        with (
            closing(ahead(self._batches(rows, self.frames))) as batches,
            Behind(collector.add) as keep,
        ):
            chunk: list[tuple[Batch, dict[str, NDArray]]] = []
            for batch in batches:
                use = batch.good
                arrays = self._encode(batch.positions[use], batch.boxes[use])
                chunk.append((batch, arrays))
                if self._advance is not None:
                    self._advance(len(use))
                if self._plan.chunk_ends[batch.rows[-1]]:
                    keep(*join_batches(chunk))
                    chunk = []
        part = collector.finish()
        part.results.batch = np.array([self._encoder.batch_limit])
        return part

    def _batches(
        self, rows: NDArray[np.int64], frames: NDArray[np.int64]
    ) -> Iterator[Batch]:
        """Read the batches of whole chunks, and tell which of their rows are usable."""
        for part in self._plan.batches(rows, self._encoder.batch_size):
            batch = self._read_batch(rows[part], frames[part])
            batch.good = usable_rows(
                self._plan,
                self.structure,
                batch.rows,
                batch.positions,
                batch.boxes if self._box_used else None,
                skip_bad=self._skip_bad_frames,
            )
            yield batch

    def _read_batch(self, rows: NDArray[np.int64], frames: NDArray[np.int64]) -> Batch:
        indices = self.structure.indices
        batch = Batch(rows, len(indices))
        for place, frame in enumerate(frames.tolist()):
            ts = self._read(frame)
            if ts is None:
                continue
            batch.times[place] = frame_time(ts, self._trajectory)
            batch.positions[place] = ts.positions[indices]
            if self._box_used and ts.dimensions is not None:
                batch.boxes[place] = ts.dimensions
        return batch

    def _encode(self, positions: NDArray, boxes: NDArray) -> dict[str, NDArray]:
        used = boxes if self._box_used else None
        whole = make_whole(self.structure, positions, used)
        scalars, vectors = self._encoder.encode(positions, used)
        arrays = {"scalars": scalars, "vectors": vectors, "positions": whole}
        return arrays if used is None else arrays | {"boxes": used}

    def _get_aggregator(self) -> Merger:
        return Merger()

    def _conclude(self) -> None:
        self._trajectory.rewind()

    def _plan_chunks(self, used: NDArray[np.int64]) -> NDArray[np.int64]:
        """Lay the grid, open or create the store, and return the chunks to compute."""
        encoder, grid = self._encoder, None
        if self._store is not None and not self._overwrite:
            grid = StoreWriter.grid(self._store)
        if grid is not None:
            encoder.adopt_batch(grid[0])
        chunk = encoder.batch_size if self._store is None else encoder.chunk_size
        if grid is not None and grid[0] == encoder.batch_size:
            chunk = grid[1]
        stored = self._store_dtype or encoder.dtype
        if self._store_dtype is None and self._store is not None and grid is not None:
            stored = StoreWriter.feature_dtype(self._store)
        self._plan = FramePlan.of(self._trajectory, used, chunk)
        self._box_used = decide_box(
            self._trajectory,
            self._plan,
            self.structure,
            self._periodic,
            skip_bad=self._skip_bad_frames,
        )
        self._provenance = run_provenance(
            encoder,
            self._trajectory,
            self._plan,
            self._asked | {"periodic": self._box_used, "store_dtype": stored},
        )
        if self._store is None:
            return np.arange(self._plan.n_chunks)
        self._writer, missing = open_store(
            self._store,
            encoder,
            self._plan,
            self._provenance,
            overwrite=self._overwrite,
            resume=grid is not None,
        )
        return missing

    def _read(self, frame: int) -> Timestep | None:
        return read_frame(
            self._trajectory, self._plan, frame, skip_bad=self._skip_bad_frames
        )

    def _note_batch(self, part: Part) -> Part:
        """Put down that memory has forced smaller batches, if it has."""
        if self._writer is not None:
            self._writer.note_batch(int(part.results.batch.min()))
        return part

    def _finish(self) -> None:
        """Leave out unusable rows and give the results their final form."""
        if self._writer is not None:
            store = FeatureStore(self._writer.path, unfinished=True)
            say_dropped(self._plan, store.usable)
            self._writer.finish()
            self.results = FeatureResults.of(store)
            self.frames, self.times = self.results.frames, self.results.times
        else:
            good = self.results.pop("good")
            say_dropped(self._plan, good)
            self._provenance["smallest_batch"] = int(self.results.pop("batch").min())
            self.frames, self.times = self._plan.frames[good], self.times[good]
            self.results = FeatureResults.assemble(
                self.results.data,
                times=self.times,
                frames=self.frames,
                trajectory=self._plan.trajectory[good],
                structure=self.structure,
                provenance=self._provenance,
            )
        self.n_frames = len(self.frames)
        self._plan.say_steps(self.frames, self.times)

    def _forget(self) -> None:
        self._writer = self._advance = None
        self.__dict__.pop("_chunks", None)
