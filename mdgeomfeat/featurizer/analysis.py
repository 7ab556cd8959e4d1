"""Token features of trajectories: where MDAnalysis frames meet the network."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import MDAnalysis as mda
import numpy as np
from MDAnalysis.analysis.base import AnalysisBase
from MDAnalysis.analysis.results import Results
from MDAnalysis.lib.log import ProgressBar
from numpy.typing import NDArray

from mdgeomfeat.errors import InputError, MDGeomFeatWarning
from mdgeomfeat.featurizer.batches import FrameBuffer, Merger, Part, Sink
from mdgeomfeat.featurizer.encoder import Pooling, TokenEncoder
from mdgeomfeat.featurizer.frames import (
    FramePlan,
    frame_time,
    reader_of,
    segments,
    time_step,
    used_frames,
)
from mdgeomfeat.featurizer.invariants import InvariantKind
from mdgeomfeat.featurizer.parallel import InProcessBackend, PartsBackend, make_backend
from mdgeomfeat.featurizer.results import FeatureResults, check_memory
from mdgeomfeat.store import FeatureStore, StoreWriter, TrajectoryLayout
from mdgeomfeat.structure import Structure, Tokens, make_whole
from mdgeomfeat.structure.periodic import has_box, use_box
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
    engine : {"auto", "torch", "cpu"}
        What computes the network; the answer is the same.
    batch_size : int or "auto"
        Frames that are computed at once.
    dtype : {"float32", "float64"}
    store : str or Path, optional
        Write the features to this zarr folder as they come; ``results`` then read
        from there. See :mod:`mdgeomfeat.store`.
    overwrite : bool
        Replace finished features in `store`.
    skip_bad_frames : bool
        Leave out frames that cannot be read or hold NaN, instead of stopping there.
    verbose : bool
        Show a progress bar.

    Attributes
    ----------
    structure : Structure
        The selected atoms and their tokens.
    results.scalars : (F, N, C) ndarray
        Invariant features of N tokens in F frames.
    results.vectors : (F, N, 3, C) ndarray
        Equivariant features: they turn with the molecule.
    results.tokens : (N,) structured ndarray
        segid, chainID, resid, icode, resname, n_atoms.
    results.trajectory : (F,) ndarray of int
        Which of the source trajectories a frame came from.
    results.features : (F, N*K) ndarray
        Rotation-invariant numbers for flat estimators, computed at every access.
    results.token_features : (F, N, K) ndarray
        The same, token by token.
    results.features_list(), results.token_features_list() : list of ndarray
        One array per unbroken trajectory, cut at gaps in the frames.
    results.positions : (F, A, 3) float32 ndarray, Å
        Of the selected atoms, molecules made whole.
    results.boxes : (F, 6) float32 ndarray or None, Å and degrees
        None where no box is used.
    results.times : (F,) ndarray, ps
        NaN where the trajectory has none.
    results.frames : (F,) ndarray of int
        Frame number in the Universe's trajectory.
    results.dt : float or None, ps
        Between analysed frames; None if it is missing, zero or not the same.
    results.structure : Structure
    results.engine : str
        The engine that was used.
    results.provenance : dict
        Options, model, versions and files, for JSON.

    Raises
    ------
    InputError
        If something cannot be used; the message says what and what to do.

    Notes
    -----
    ``run(backend=...)`` takes ``"serial"``, ``"multiprocessing"``, ``"dask"`` and a
    ``dask.distributed.Client``. The first two of the others start fresh processes with
    one thread each (a script that uses them needs ``if __name__ == "__main__":``), as
    many as there are cores unless ``n_workers`` says otherwise, and show progress with
    ``verbose=True``. Results do not depend on the backend: batches are cut on a fixed
    grid of frames.

    With ``store=`` the arrays of ``results`` are :class:`mdgeomfeat.store.LazyArray`,
    which read what is indexed; ``numpy.asarray`` reads them whole.

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
        overwrite: bool = False,
        skip_bad_frames: bool = False,
        verbose: bool = False,
    ) -> None:
        super().__init__(reader_of(universe_or_atomgroup), verbose=verbose)
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
        self._periodic = periodic
        self._store = None if store is None else Path(store)
        self._overwrite = overwrite
        self._skip_bad_frames = skip_bad_frames
        self._sink: Sink | None = None
        self.times: NDArray[np.float64]
        self._asked = {
            "select": select,
            "tokens": tokens if isinstance(tokens, str) else "custom",
            "topology": str(atoms.universe.filename),
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
    ) -> Self:
        """Compute the features.

        Parameters
        ----------
        start, stop, step : int, optional
            Range of frames.
        frames : iterable of int or bool, optional
            Frame numbers or a mask, in place of a range.
        verbose : bool, optional
            Show a progress bar, with every backend.
        n_workers : int, optional
            Processes; by default one for each core this process may use.
        n_parts : int, optional
            Parts that the frames are shared out in, each of whole batches.
        backend : {"serial", "multiprocessing", "dask"} or Client, optional
        unsupported_backend : bool
            Accept a backend object of another kind.
        progressbar_kwargs : mapping, optional
            For MDAnalysis's progress bar.

        Returns
        -------
        GeomGNNFeaturizer

        Raises
        ------
        InputError
            If frames cannot be used, or memory will not do.
        """
        verbose = self._verbose if verbose is None else verbose
        used = used_frames(self._trajectory, start, stop, step, frames)
        self._plan = FramePlan.of(self._trajectory, used, self._encoder.batch_size)
        self._ends = self._plan.batch_ends
        self._box_used = self._decide_box()
        self.results = Results()
        executor = make_backend(backend, n_workers)
        serial = isinstance(executor, InProcessBackend)
        if self._store is None:
            check_memory(
                self._encoder.row_bytes * len(used) * (1 if serial else 2),
                f"the features of {len(used)} frames",
                'write them to disk with store="features.zarr", or take fewer frames',
            )
        elif executor is None:
            raise InputError(
                "store= needs backend='serial', 'multiprocessing', 'dask' or a "
                "dask.distributed.Client."
            )
        self._provenance = self._make_provenance()
        writer = None if self._store is None else self._create_store(self._store)
        sink = None if writer is None else Sink(writer, self._plan)
        bar_options = dict(progressbar_kwargs or {})
        parallel_bar = ProgressBar(
            total=len(used), verbose=verbose and not serial, **bar_options
        )
        if serial:
            self._sink, n_parts = sink, 1
        elif isinstance(executor, PartsBackend):
            executor.advance = parallel_bar.update
            executor.collect = None if sink is None else sink.collect
            n_parts = n_parts or self._plan.default_parts(
                executor.n_workers, few_batches=sink is not None
            )
        try:
            super().run(
                frames=used.tolist(),
                verbose=verbose and serial,
                n_parts=n_parts,
                n_workers=n_workers if executor is None else None,
                backend=backend if executor is None else executor,
                unsupported_backend=unsupported_backend,
                progressbar_kwargs=bar_options if serial else None,
            )
        finally:
            parallel_bar.close()
            # A finished object holds results, not the means by which they came.
            self._sink = None
            for name in ("_part", "_buffer", "_ts", "_rows"):
                self.__dict__.pop(name, None)
        self._finish(writer)
        return self

    # ---- the life cycle of AnalysisBase ------------------------------------------

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
        return self._plan.parts(n_parts)

    def _compute(  # type: ignore[override]
        self,
        indexed_frames: NDArray[np.int64],
        verbose: bool | None = None,
        *,
        progressbar_kwargs: Mapping[str, Any] | None = None,
    ) -> Part:
        self._rows, self.frames = indexed_frames.T
        self.n_frames = len(self.frames)
        self._prepare()
        bar = ProgressBar(
            self.frames.tolist(), verbose=bool(verbose), **(progressbar_kwargs or {})
        )
        for self._frame_index, frame in enumerate(bar):
            self._ts = self._read(frame)
            self._single_frame()
        return self._part.finish()

    def _prepare(self) -> None:
        size = min(self._encoder.batch_size, self.n_frames)
        self._buffer = FrameBuffer(size, self.structure.n_atoms)
        self._part = Part(self._rows, self.frames, keep=self._sink is None)

    def _single_frame(self) -> None:
        row, ts = int(self._rows[self._frame_index]), self._ts
        if ts is None:
            self._buffer.add(row, math.nan, math.nan, None)
        else:
            positions = ts.positions[self.structure.indices]
            self._buffer.add(row, frame_time(ts), positions, ts.dimensions)
        if self._ends[row] or self._frame_index == self.n_frames - 1:
            self._flush()

    def _flush(self) -> None:
        """Compute the batch that has been read."""
        rows, times, positions, boxes = self._buffer.take()
        good = self._usable(rows, positions, boxes)
        arrays = self._encode(positions[good], boxes[good])
        self._part.add(times, good, arrays)
        if self._sink is not None:
            self._sink.write(rows, times, good, arrays)

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

    # ---- reading -----------------------------------------------------------------

    def _read(self, frame: int) -> Timestep | None:
        try:
            return self._trajectory[frame]
        except (OSError, EOFError, ValueError, RuntimeError, StopIteration) as error:
            if self._skip_bad_frames:
                return None
            raise InputError(
                f"{self._plan.describe(frame)} cannot be read ({error}); end the run "
                f"before it with stop={frame}, or pass skip_bad_frames=True."
            ) from error

    def _usable(
        self, rows: NDArray[np.int64], positions: NDArray, boxes: NDArray
    ) -> NDArray[np.bool_]:
        finite = np.isfinite(positions).all(axis=2)
        good = finite.all(axis=1)
        if self._box_used:
            good &= has_box(boxes)
        if good.all() or self._skip_bad_frames:
            return good
        bad = int(np.flatnonzero(~good)[0])
        where = self._plan.describe(int(self._plan.frames[rows[bad]]))
        if finite[bad].all():
            raise InputError(
                f"{where} has no usable box where the first frame has one; pass "
                "periodic=False or skip_bad_frames=True."
            )
        atom = int(np.flatnonzero(~finite[bad])[0])
        raise InputError(
            f"{where} holds positions that are no numbers (first at atom "
            f"{self.structure.names[atom]}, index {self.structure.indices[atom]}); "
            "repair the file or pass skip_bad_frames=True."
        )

    def _decide_box(self) -> bool:
        """Let the first frame that can be read decide for all."""
        for frame in self._plan.frames.tolist():
            ts = self._read(frame)
            if ts is not None:
                x = ts.positions[self.structure.indices]
                return use_box(self._periodic, ts.dimensions, x, self.structure)
        return False

    # ---- before and after --------------------------------------------------------

    def _make_provenance(self) -> dict[str, Any]:
        return {
            "MDAnalysis": mda.__version__,
            **self._encoder.provenance(),
            **self._asked,
            "n_atoms": self.structure.n_atoms,
            "periodic": self._box_used,
            "trajectories": self._plan.sources,
            "n_frames": self._plan.counts(),
        }

    def _create_store(self, path: Path) -> StoreWriter:
        return FeatureStore.create(
            path,
            layout=[
                TrajectoryLayout(source, n_frames)
                for source, n_frames in zip(
                    self._plan.sources, self._plan.counts(), strict=True
                )
            ],
            arrays=self._encoder.row_shapes(boxes=self._box_used),
            batch_size=self._plan.batch_size,
            tokens=self.structure.tokens,
            structure=self.structure.to_dict(),
            provenance=self._provenance,
            overwrite=self._overwrite,
        )

    def _finish(self, writer: StoreWriter | None) -> None:
        """Leave out unusable rows and give the results their final form."""
        good = self.results.pop("good")
        self._say_dropped(good)
        self.frames, self.times = self._plan.frames[good], self.times[good]
        self.n_frames = len(self.frames)
        if writer is not None:
            writer.finish()
            self.results = FeatureResults.load(writer.path)
        else:
            trajectory = self._plan.trajectory[good]
            self.results = FeatureResults(
                {"boxes": None} | self.results.data,
                times=self.times,
                frames=self.frames,
                trajectory=trajectory,
                tokens=self.structure.tokens,
                structure=self.structure,
                engine=self._provenance["engine"],
                provenance=self._provenance,
                dt=time_step(self.times, segments(trajectory, self.frames)),
            )
        differing = self._plan.steps(self.frames, self.times)
        if len(differing) > 1:
            shown = ", ".join(f"{dt:g} ps ({name})" for name, dt in differing.items())
            _say(f"results.dt is None, because time steps differ: {shown}")

    def _say_dropped(self, good: NDArray[np.bool_]) -> None:
        bad = self._plan.frames[~good]
        if not good.any():
            raise InputError(
                f"none of the {len(good)} frames could be used; the first is "
                f"{self._plan.describe(int(bad[0]))}."
            )
        if len(bad):
            shown = "; ".join(map(self._plan.describe, bad[:5].tolist()))
            more = f" and {len(bad) - 5} more" if len(bad) > 5 else ""
            _say(
                f"{len(bad)} frames could not be used and were left out: {shown}{more}"
            )


def _say(message: str) -> None:
    warnings.warn(message, MDGeomFeatWarning, stacklevel=5)
