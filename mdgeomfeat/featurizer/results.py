"""The results of a featurization: arrays in memory or on disk under the same names."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Self

import numpy as np
from MDAnalysis.analysis.results import Results
from numpy.typing import NDArray

from mdgeomfeat.featurespec import FeatureSpec, InvariantKind
from mdgeomfeat.featurizer.frames import segments, time_step
from mdgeomfeat.featurizer.invariants import frame_invariants, n_invariants
from mdgeomfeat.memory import check_memory
from mdgeomfeat.store import FeatureStore, RowArray, Rows, cut_rows, flat_rows, map_rows
from mdgeomfeat.store.layout import damage_errors
from mdgeomfeat.structure import Structure

__all__ = ["FeatureResults", "NoResults", "join_channels"]


class NoResults(Results):
    """What stands for the results until a run has made some."""

    def __repr__(self) -> str:
        """Say that there is nothing yet."""
        return "<no results yet: call run() first>"

    __str__ = __repr__

    def __getattr__(self, attr: str) -> Any:
        try:
            return super().__getattr__(attr)
        except AttributeError:
            raise AttributeError(
                f"there is no results.{attr} yet: call run() first"
            ) from None


class FeatureResults(Results):
    """Token features of a run, as attributes and as keys.

    With ``store=`` the arrays of F frames that are large are
    :class:`mdgeomfeat.store.RowArray`, which read, or compute, what is indexed;
    ``numpy.asarray`` reads them whole, ``part`` cuts them without reading.

    Attributes
    ----------
    scalars : (F, N, C) ndarray
        Invariant features of N tokens in F frames.
    vectors : (F, N, 3, C) ndarray
        Equivariant features: they turn with the molecule.
    tokens : (N,) structured ndarray
        segid, chainID, resid, icode, resname, n_atoms.
    trajectory : (F,) ndarray of int
        Which of the source trajectories a frame came from.
    features : (F, N*K) ndarray
        Rotation-invariant numbers for flat estimators, computed at every access (with
        a store: of the rows that are indexed).
    token_features : (F, N, K) ndarray
        The same, token by token.
    positions : (F, A, 3) ndarray of float32, Å
        Of the selected atoms, molecules made whole and put side by side.
    boxes : (F, 6) ndarray of float32 or None, Å and degrees
        None where no box is used.
    times : (F,) ndarray, ps
        NaN where the trajectory has none.
    frames : (F,) ndarray of int
        Frame number in the Universe's trajectory.
    dt : float or None, ps
        Between analysed frames of an unbroken run; None if it is missing, zero or not
        the same.
    structure : Structure
    engine : str
        The engine that was used.
    spec : FeatureSpec
        What makes the features.
    provenance : dict
        The spec, how it was computed, versions and files, for JSON.

    Examples
    --------
    >>> import MDAnalysis as mda
    >>> from mdgeomfeat import GeomGNNFeaturizer
    >>> u = mda.Universe("top.pdb", "traj.xtc")
    >>> results = GeomGNNFeaturizer(u).run(stop=5).results
    >>> results.scalars.shape, results.vectors.shape
    ((5, 3, 64), (5, 3, 3, 64))
    >>> [run.shape[0] for run in results.features_list()]
    [5]
    """

    def __repr__(self) -> str:
        """Say in a few lines what is here, without reading or computing it."""
        n_frames, n_tokens, n_channels = self.scalars.shape
        n_runs = len(self.segments)
        runs = "1 unbroken run" if n_runs == 1 else f"{n_runs} unbroken runs"
        step = "no known time step" if self.dt is None else f"{self.dt:g} ps apart"
        width = n_tokens * n_invariants(self.spec, n_channels)
        where = "on disk" if isinstance(self.scalars, RowArray) else "in memory"
        model = self.spec.model_name
        lines = (
            f"<FeatureResults: {n_frames} frames ({runs}, {step}), {n_tokens} tokens, "
            f"{where}",
            f" scalars {self.scalars.shape}, vectors {self.vectors.shape}, "
            f"{self.scalars.dtype}",
            f" features ({n_frames}, {width}): {self.spec.invariants} invariants",
            f" model {model}, engine {self.engine}>",
        )
        return "\n".join(lines)

    __str__ = __repr__

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Open a finished store; large arrays are read when they are indexed.

        Parameters
        ----------
        path : str or Path
            What was given as ``store=``.

        Raises
        ------
        InputError
            If it is not a finished store of this package.
        """
        return cls.of(FeatureStore(path))

    @classmethod
    def of(cls, store: FeatureStore) -> Self:
        """Return what an open store holds; see :meth:`load`."""
        with damage_errors(store.path):
            return cls._of(store)

    @classmethod
    def _of(cls, store: FeatureStore) -> Self:
        names = ("scalars", "vectors", "positions")
        arrays: dict[str, Any] = {name: store[name] for name in names}
        if "boxes" in store:
            arrays["boxes"] = np.asarray(store["boxes"])
        results = cls.assemble(
            arrays,
            times=np.asarray(store["times"]),
            frames=np.asarray(store["frames"]),
            trajectory=store.trajectory,
            structure=Structure.from_dict(store.structure),
            provenance=store.provenance | {"smallest_batch": store.smallest_batch},
        )
        results.tokens = store.tokens
        return results

    @classmethod
    def assemble(
        cls,
        arrays: Mapping[str, Any],
        *,
        times: NDArray[np.float64],
        frames: NDArray[np.int64],
        trajectory: NDArray[np.int64],
        structure: Structure,
        provenance: dict[str, Any],
    ) -> Self:
        """Put together what the usable frames of a run have given.

        Parameters
        ----------
        arrays : mapping of str to (F, ...) ndarray
            ``scalars``, ``vectors``, ``positions`` and, with a box, ``boxes``.
        times : (F,) ndarray, ps
        frames, trajectory : (F,) ndarray of int
        structure : Structure
        provenance : dict
        """
        return cls(
            {"boxes": None} | dict(arrays),
            times=times,
            frames=frames,
            trajectory=trajectory,
            tokens=structure.tokens,
            structure=structure,
            engine=provenance["engine"],
            spec=FeatureSpec.from_stored(provenance, structure.token_of_atom),
            provenance=provenance,
            dt=time_step(times, segments(trajectory, frames, times)),
        )

    @property
    def token_features(self) -> Rows:
        """(F, N, K) invariants of every token, computed at every access."""
        return self.invariants()

    @property
    def features(self) -> Rows:
        """(F, N*K) invariants, computed at every access."""
        return flat_rows(self.invariants())

    @property
    def segments(self) -> list[slice]:
        """Rows of each unbroken run: one trajectory, frames equally far apart."""
        return segments(self.trajectory, self.frames, self.times)

    def invariants(self, kind: InvariantKind | None = None) -> Rows:
        """Return (F, N, K) invariants of another kind than the run's.

        Parameters
        ----------
        kind : {"spatial", "geometric", "norms", "scalars"}, optional
            By default the kind that was chosen for the run.

        Returns
        -------
        (F, N, K) ndarray, or MappedArray with a store

        Raises
        ------
        InputError
            If the kind is not known, or they would take more than half of the free
            memory, without a store.
        """
        spec = replace(self.spec, invariants=kind) if kind else self.spec
        n_frames, n_tokens, n_channels = self.scalars.shape
        row_shape = (n_tokens, n_invariants(spec, n_channels))
        dtype = np.promote_types(self.scalars.dtype, np.float32)
        if not isinstance(self.scalars, RowArray):
            check_memory(
                n_frames * math.prod(row_shape) * dtype.itemsize,
                "the features of all frames",
                "read blocks of results.scalars and results.vectors instead",
            )
        compute = partial(frame_invariants, structure=self.structure, spec=spec)
        sources = [self.scalars, self.vectors]
        if spec.invariants == "spatial":
            sources.append(self.positions)
            if self.boxes is not None:
                sources.append(self.boxes)
        return map_rows(compute, sources, row_shape, dtype)

    @property
    def channels(self) -> Rows:
        """(F, N, 4, C) scalars and vectors, scalars first, for equivariant mixers."""
        _, n_tokens, n_channels = self.scalars.shape
        row_shape = (n_tokens, 4, n_channels)
        sources = self.scalars, self.vectors
        return map_rows(join_channels, sources, row_shape, self.scalars.dtype)

    def split(self, rows: Rows) -> list[Rows]:
        """Cut an array over all frames into unbroken runs, without reading it."""
        return [cut_rows(rows, run.start, run.stop) for run in self.segments]

    def token_features_list(
        self, kind: InvariantKind | None = None
    ) -> list[NDArray[np.floating]]:
        """Return the token features of each unbroken run, [(F_i, N, K), ...].

        In memory, also with a store; ``split(token_features)`` leaves them on disk.

        Parameters
        ----------
        kind : {"spatial", "geometric", "norms", "scalars"}, optional
            By default the kind that was chosen for the run.
        """
        return self._held(self.invariants(kind))

    def features_list(
        self, kind: InvariantKind | None = None
    ) -> list[NDArray[np.floating]]:
        """Return the features of each unbroken run, [(F_i, N*K), ...].

        A run ends where its trajectory ends, where the distance between frames changes
        and where times jump, so that no lagged pair is made across any of them. In
        memory, also with a store, because deeptime takes nothing else;
        ``split(features)`` leaves them on disk.

        Parameters
        ----------
        kind : {"spatial", "geometric", "norms", "scalars"}, optional
            By default the kind that was chosen for the run.
        """
        return self._held(flat_rows(self.invariants(kind)))

    def _held(self, rows: Rows) -> list[NDArray[np.floating]]:
        values = np.asarray(rows)
        return [values[run] for run in self.segments]


def join_channels(
    scalars: NDArray[np.floating], vectors: NDArray[np.floating]
) -> NDArray[np.floating]:
    """Join scalars (F, N, C) and vectors (F, N, 3, C) to (F, N, 4, C).

    Parameters
    ----------
    scalars : (F, N, C) ndarray
    vectors : (F, N, 3, C) ndarray

    Returns
    -------
    (F, N, 4, C) ndarray
        The scalars first.
    """
    return np.concatenate([scalars[:, :, None, :], vectors], axis=2)
