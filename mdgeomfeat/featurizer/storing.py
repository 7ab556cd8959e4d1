"""The store of a run: a new one, or one that an earlier run has begun."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mdgeomfeat.errors import InputError, MDGeomFeatWarning
from mdgeomfeat.featurizer.encoder import TokenEncoder
from mdgeomfeat.featurizer.frames import FramePlan
from mdgeomfeat.featurizer.provenance import VERSIONS, run_identity
from mdgeomfeat.reading.times import trajectory_info
from mdgeomfeat.store import StoreDescription, StoreWriter, TrajectoryLayout

__all__ = ["open_store", "settle_dt"]


def settle_dt(reader: Any, dt: float | None, store: Path | None) -> float | None:
    """Return the stated time between the frames of each file, and say what it replaces.

    Parameters
    ----------
    reader : MDAnalysis reader
    dt : float or None
        ps, as the user states it for this run.
    store : Path or None
        A store to go on with, which keeps what was stated when it was made.

    Returns
    -------
    float or None
        None leaves the times to the files.
    """
    kept = None if store is None else StoreWriter.stated_dt(store)
    if dt is None:
        if kept is not None:
            _warn(
                f"{store} was made with a stated time of {kept:g} ps between frames, "
                "which is used here as well; state another with --dt (dt=)."
            )
        return kept
    if kept is not None and abs(kept - dt) > 1e-9 * dt:
        _warn(
            f"{store} was made with a stated time of {kept:g} ps between frames, "
            f"which is replaced there by {dt:g} ps."
        )
    overruled = [i for i in trajectory_info(reader, dt) if i.overruled is not None]
    if overruled:
        more = f" (and {len(overruled) - 1} more files)" if overruled[1:] else ""
        _warn(
            f"The time between frames is taken to be {dt:g} ps, as stated with --dt "
            f"(dt=), where {overruled[0].path} has {overruled[0].overruled}{more}."
        )
    return dt


def open_store(
    path: Path,
    encoder: TokenEncoder,
    plan: FramePlan,
    provenance: Mapping[str, Any],
    *,
    overwrite: bool,
    resume: bool,
) -> tuple[StoreWriter, NDArray[np.int64]]:
    """Return the writer of a run's store and the chunks that are missing there.

    Parameters
    ----------
    path : Path
    encoder : TokenEncoder
    plan : FramePlan
    provenance : mapping
    overwrite : bool
        Replace what is there.
    resume : bool
        Go on with what is there.

    Raises
    ------
    InputError
        If the place cannot be used, or holds the features of another run.
    """
    structure = encoder.structure
    identity = run_identity(provenance, encoder.spec, structure, plan)
    if resume:
        writer = StoreWriter.resume(path, identity)
        finished = np.concatenate([np.empty(0, bool), *writer.finished()])
        if len(finished) != plan.n_chunks:
            raise InputError(
                f"{path} is damaged (it has {len(finished)} chunks, not "
                f"{plan.n_chunks}); delete it, or name another store."
            )
        missing = np.flatnonzero(~finished)
        _say_found(path, plan, missing)
        if plan.dt is not None and plan.dt != writer.provenance.get("dt"):
            ends = np.cumsum(plan.counts())[:-1]
            times = np.split(plan.stated_times(plan.frames), ends)
            writer.restate_times(plan.dt, times)
        if len(missing):
            _compare_versions(writer, provenance)
        return writer, missing
    description = StoreDescription(
        layout=[
            TrajectoryLayout(source, n_frames)
            for source, n_frames in zip(plan.sources, plan.counts(), strict=True)
        ],
        arrays=encoder.row_shapes(
            boxes=provenance["box_used"], dtype=provenance["store_dtype"]
        ),
        batch_size=encoder.batch_size,
        chunk_size=plan.chunk_size,
        identity=identity,
        tokens=structure.tokens,
        structure=structure.to_dict(),
        provenance=provenance,
    )
    writer = StoreWriter.create(path, description, overwrite=overwrite)
    return writer, np.arange(plan.n_chunks)


def _say_found(path: Path, plan: FramePlan, missing: NDArray[np.int64]) -> None:
    n_missing = int(np.diff(plan.bounds)[missing].sum())
    text = (
        f"{path} holds {len(plan) - n_missing:,} of {len(plan):,} frames already, and "
        "the run computes the others."
        if n_missing
        else f"{path} holds these features already, so nothing is computed; "
        "overwrite=True (features --overwrite) computes them again."
    )
    _warn(text)


def _compare_versions(writer: StoreWriter, provenance: Mapping[str, Any]) -> None:
    """Put down and say which packages have changed since the store was begun."""
    begun = writer.provenance
    changed = {
        name: str(provenance[name])
        for name in VERSIONS
        if begun[name] != provenance[name]
    }
    if changed:
        writer.note_versions(changed)
        shown = ", ".join(
            f"{name} {begun[name]} (now {new})" for name, new in changed.items()
        )
        _warn(
            f"{writer.path} was begun with {shown}; the features of both agree "
            "to rounding, not bit for bit."
        )


def _warn(message: str) -> None:
    warnings.warn(message, MDGeomFeatWarning, stacklevel=6)
