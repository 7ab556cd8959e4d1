"""Token features of trajectories: where MDAnalysis frames meet the network."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, Unpack

import MDAnalysis as mda
import numpy as np
from MDAnalysis.analysis.base import AnalysisBase
from MDAnalysis.lib.log import ProgressBar
from numpy.typing import NDArray

from mdgeomfeat.errors import InputError
from mdgeomfeat.featurespec import FeatureOptions, FeatureSpec, takes_features
from mdgeomfeat.featurizer.batches import Merger, Portion
from mdgeomfeat.featurizer.encoder import TokenEncoder
from mdgeomfeat.featurizer.frames import reader_of, used_frames
from mdgeomfeat.featurizer.parallel import (
    NOT_STORED,
    InProcessBackend,
    PortionsBackend,
    make_backend,
    refuse_memory,
)
from mdgeomfeat.featurizer.results import NoResults
from mdgeomfeat.featurizer.run import FeatureRun, RunOptions
from mdgeomfeat.memory import check_memory
from mdgeomfeat.reading.times import read_dt
from mdgeomfeat.store import StoreLock
from mdgeomfeat.structure.selected import select_structure
from mdgeomfeat.upstream import no_made_up_dt

if TYPE_CHECKING:
    from MDAnalysis.analysis.backends import BackendBase
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
        An MDAnalysis selection. By default the heavy atoms of the protein, otherwise of
        the nucleic acid, otherwise of everything but solvent and ions; see
        :func:`mdgeomfeat.structure.select_atoms`.
    device : {"auto", "cpu", "cuda", ...}
    engine : {"auto", "torch", "cpu", "cuda"}
        Implementation of the network; all give the same features.
    batch_size : int or "auto"
        Number of frames computed at once.
    store : str or Path, optional
        Write the features to this zarr folder while they are computed; ``results``
        then reads them from there. Run again to continue an interrupted run, or to open
        a finished one. See :mod:`mdgeomfeat.store`.
    store_dtype : {"float16", "float32"}, optional
        Type of scalars and vectors in `store`; by default that of an existing store,
        otherwise `dtype`. float16 takes half the space and rounds by at most one part
        in 2048.
    overwrite : bool
        Replace what is in `store` instead of continuing it.
    dt : float or str, optional
        Time between the frames of each file (before ``step``), in ps or as a text such
        as ``"100ps"``. It replaces the times of the files, and a store keeps it.
    skip_bad_frames : bool
        Leave out frames that cannot be read or hold NaN, instead of stopping there.
    allow_implausible : bool
        Accept positions that look wrong, such as another unit or order of atoms.
    verbose : bool
        Show a progress bar.
    **features
        Any option of :class:`mdgeomfeat.featurespec.FeatureSpec`: ``model``,
        ``tokens``, ``window``, ``pool``, ``invariants`` and so on.

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
        If something cannot be used; the message says what, and what to do.

    Notes
    -----
    ``run(backend=...)`` takes ``"serial"``, ``"multiprocessing"``, ``"dask"`` or a
    ``dask.distributed.Client``. ``"multiprocessing"`` and ``"dask"`` start fresh
    processes with one thread each: ``n_workers`` of them, by default as many as there
    are cores. A script that uses them needs ``if __name__ == "__main__":``. Results do
    not depend on the backend, because batches are cut on a fixed grid of frames.

    Examples
    --------
    >>> import MDAnalysis as mda
    >>> from mdgeomfeat import GeomGNNFeaturizer
    >>> u = mda.Universe("top.pdb", "traj.xtc")
    >>> feat = GeomGNNFeaturizer(u).run(step=10)
    >>> feat.results.scalars.shape
    (4, 3, 64)
    """

    _analysis_algorithm_is_parallelizable = True

    @classmethod
    def get_supported_backends(cls) -> tuple[str, ...]:
        """Names of backends that ``run`` takes, besides a distributed client."""
        return ("serial", "multiprocessing", "dask")

    @takes_features
    def __init__(
        self,
        universe_or_atomgroup: mda.Universe | AtomGroup,
        select: str | None = None,
        *,
        device: str = "auto",
        engine: str = "auto",
        batch_size: int | Literal["auto"] = "auto",
        store: str | Path | None = None,
        store_dtype: str | None = None,
        overwrite: bool = False,
        dt: float | str | None = None,
        skip_bad_frames: bool = False,
        allow_implausible: bool = False,
        verbose: bool = False,
        **features: Unpack[FeatureOptions],
    ) -> None:
        super().__init__(reader_of(universe_or_atomgroup), verbose=verbose)
        self.results = NoResults()
        spec = FeatureSpec(select=select, **features)
        atoms, self.structure = select_structure(
            universe_or_atomgroup, spec.select, tokens=spec.tokens
        )
        self._encoder = TokenEncoder(
            self.structure, spec, device=device, engine=engine, batch_size=batch_size
        )
        self._options = RunOptions(
            topology=str(atoms.universe.filename),
            dt=read_dt(dt),
            store=None if store is None else Path(store).expanduser(),
            store_dtype=store_dtype,
            overwrite=overwrite,
            skip_bad_frames=skip_bad_frames,
            allow_implausible=allow_implausible,
        )
        self._run: FeatureRun | None = None
        self.times: NDArray[np.float64] = np.empty(0)

    @property
    def model(self) -> Backbone:
        """The network."""
        return self._encoder.model

    def __repr__(self) -> str:
        """Say what is featurized, and what has come of it."""
        found = self.structure
        what = f"{found.n_atoms} atoms in {found.n_tokens} tokens"
        return f"<{type(self).__name__}: {what}>\n{self.results!r}"

    def run(
        self,
        start: int | None = None,
        stop: int | None = None,
        step: int | None = None,
        frames: Iterable[Any] | None = None,
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
            Portions that the frames are shared out in, each of whole chunks.
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
        self._check_room(len(used), executor)
        store = self._options.store
        with ExitStack() as held:
            # A finished object holds results, not the means by which they came.
            held.callback(self._forget)
            held.enter_context(no_made_up_dt())
            if store is not None:
                held.enter_context(StoreLock(store))
            run = FeatureRun(
                self._trajectory,
                used,
                self._encoder.settled(None if executor is None else executor.call),
                self._options,
            )
            bar = held.enter_context(
                ProgressBar(
                    total=len(used),
                    initial=run.n_done,
                    verbose=self._verbose if verbose is None else verbose,
                    **(progressbar_kwargs or {}),
                )
            )
            self.results = NoResults()
            if len(run.chunks):
                if executor is not None:
                    tell = run.teller(bar.update, advance)
                    executor, n_parts = run.connect(executor, tell, n_parts)
                    n_workers = None
                self._run = run
                super().run(
                    frames=run.plan.frames,
                    verbose=False,
                    n_parts=n_parts,
                    n_workers=n_workers,
                    backend=backend if executor is None else executor,
                    unsupported_backend=unsupported_backend,
                )
            self.results = run.finish(self.results, self.times)
            self.frames, self.times = self.results.frames, self.results.times
            self.n_frames = len(self.frames)
        return self

    def _check_room(self, n_frames: int, executor: PortionsBackend | None) -> None:
        """Refuse a run that memory, or the store and its backend, will not do for."""
        if self._options.store is None:
            copies = 1 if isinstance(executor, InProcessBackend) else 2
            check_memory(
                self._encoder.row_bytes * n_frames * copies,
                f"the features of {n_frames} frames",
                'write them to disk with store="features.zarr", or take fewer frames',
            )
        elif executor is None:
            raise InputError(
                "store= needs backend='serial', 'multiprocessing', 'dask' or a "
                "dask.distributed.Client."
            )
        else:
            refuse_memory(self._trajectory.transformations, NOT_STORED)

    # What AnalysisBase asks of a subclass, and the run knows.

    def _configure_backend(
        self, backend: Any, n_workers: int, unsupported_backend: bool = False
    ) -> BackendBase:
        if not isinstance(backend, PortionsBackend):
            return super()._configure_backend(backend, n_workers, unsupported_backend)
        backend.check_transformations(self._trajectory.transformations)
        return backend

    def _setup_computation_groups(
        self, n_parts: int, **_: Any
    ) -> list[NDArray[np.int64]]:
        return self._now.portions(n_parts)

    def _compute(self, indexed_frames: NDArray[np.int64], **_: Any) -> Portion:
        return self._now.compute(indexed_frames)

    def _get_aggregator(self) -> Merger:
        return Merger()

    def _conclude(self) -> None:
        self._trajectory.rewind()

    @property
    def _now(self) -> FeatureRun:
        """The run that is going on."""
        if self._run is None:
            raise RuntimeError("no run is going on")
        return self._run

    def _forget(self) -> None:
        self._run = None
