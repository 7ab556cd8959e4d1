"""From files to token features: what every command begins with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mdgeomfeat.commands.featurized import STORE, Featurized
from mdgeomfeat.commands.notes import remembered_warnings
from mdgeomfeat.commands.options import ReadOptions
from mdgeomfeat.commands.progress import Reporter
from mdgeomfeat.errors import InputError
from mdgeomfeat.reading.chain import file_readers
from mdgeomfeat.reading.times import read_dt

if TYPE_CHECKING:
    from MDAnalysis.core.groups import AtomGroup
    from MDAnalysis.core.universe import Universe

    from mdgeomfeat.structure import Structure

__all__ = [
    "chosen_frames",
    "default_folder",
    "featurize",
    "open_files",
    "source_names",
    "write_features",
]


def featurize(
    read: ReadOptions,
    folder: Path,
    progress: Reporter,
    *,
    overwrite: bool = False,
    check: Callable[[Universe, float | None], object] | None = None,
    usual_dt: float | None = None,
    begin: Callable[[Structure, AtomGroup], object] | None = None,
    atoms: AtomGroup | None = None,
    label: str = "features",
) -> Featurized:
    """Read trajectories and compute their features into a store.

    Parameters
    ----------
    read : ReadOptions
    folder : Path
        Of the results; the store goes there unless ``read`` names another place.
    progress : Reporter
    overwrite : bool
        Whether features that are in the store already are made anew.
    check : callable, optional
        Is shown the open files and the stated time between their frames before
        anything is computed, and may refuse them.
    usual_dt : float, optional
        Time between frames, ps, where neither the files nor ``read`` state one.
    begin : callable, optional
        Is shown the structure and its atoms when files, selection and frames have been
        found to be usable, before any frame is computed, and may refuse them.
    atoms : AtomGroup, optional
        All that become features, of files that are open already; in place of what
        ``read`` selects.
    label : str
        What is shown while frames are computed.

    Raises
    ------
    InputError
        If the files, the selection or the frames cannot be used.
    """
    from mdgeomfeat.featurizer import GeomGNNFeaturizer
    from mdgeomfeat.reading import trajectory_info
    from mdgeomfeat.store import StoreWriter

    store = read.store or folder / STORE
    # a model that is applied keeps its own mixtures, whatever the default is by now
    options = read.features.options()
    options["invariants_seed"] = read.features.invariants_seed
    if atoms is None:
        universe = open_files(read)
    else:
        universe, options["select"] = atoms.universe, "all"
    dt = read_dt(read.dt)
    kept = None if overwrite else StoreWriter.stated_dt(store)
    if dt is None and kept is None and usual_dt is not None:
        known = any(info.knows_times for info in trajectory_info(universe))
        dt = None if known else usual_dt
    if check is not None:
        check(universe, kept if dt is None else dt)
    featurizer = GeomGNNFeaturizer(
        universe if atoms is None else atoms,
        **options,
        dt=dt,
        allow_implausible=read.allow_implausible,
        skip_bad_frames=read.skip_bad_frames,
        device=read.device,
        engine=read.engine,
        batch_size=read.batch_size,
        store=store,
        store_dtype=read.store_dtype,
        overwrite=overwrite,
    )
    frames = chosen_frames(universe, read.start, read.stop, read.step)
    chosen = universe.atoms[featurizer.structure.indices]
    if begin is not None:
        begin(featurizer.structure, chosen)
    with progress.stage(label, len(frames)) as advance:
        featurizer.run(
            frames=frames,
            backend="serial" if read.workers == 1 else "multiprocessing",
            n_workers=read.workers,
            advance=advance,
        )
    return Featurized(
        universe=universe,
        atoms=chosen,
        structure=featurizer.structure,
        results=featurizer.results,
        model=featurizer.model,
        sources=tuple(source_names(universe)),
        scratch=store.parent,
    )


def open_files(read: ReadOptions) -> Universe:
    """Open the files of a command.

    Parameters
    ----------
    read : ReadOptions

    Raises
    ------
    InputError
        If they cannot be read.
    """
    from mdgeomfeat.reading import open_universe

    return open_universe(
        [str(f) for f in read.files], skip_bad_frames=read.skip_bad_frames, dt=read.dt
    )


def source_names(universe: Universe) -> list[str]:
    """Return the file name of each trajectory of a Universe."""
    readers = file_readers(universe.trajectory)
    return [Path(str(r.filename)).name if r.filename else "memory" for r in readers]


def chosen_frames(
    universe: Universe, start: int | None, stop: int | None, step: int | None
) -> np.ndarray:
    """Return the frames (F,) of all trajectories that a slice of each of them gives.

    Raises
    ------
    InputError
        If none is left.
    """
    readers = file_readers(universe.trajectory)
    first = 0
    runs = []
    for reader in readers:
        n = int(reader.n_frames)
        runs.append(first + np.arange(*slice(start, stop, step).indices(n)))
        first += n
    frames = np.concatenate(runs)
    if not len(frames):
        longest = max(int(reader.n_frames) for reader in readers)
        given = [("--start", start), ("--stop", stop), ("--step", step)]
        said = " ".join(f"{name} {value}" for name, value in given if value is not None)
        raise InputError(
            f"{said} leaves no frame, and the longest trajectory has {longest:,}; "
            "choose others."
        )
    return frames


def default_folder(read: ReadOptions, command: str) -> Path:
    """Return where results go when ``--out`` is not given: after the first file."""
    return Path(f"{read.files[0].stem}-{command}")


def write_features(
    read: ReadOptions,
    out: Path | None,
    overwrite: bool,
    progress: Reporter,
) -> Path:
    """Featurize to a store, without a report.

    Unlike the folders of other commands, this one is there from the beginning, so that
    an interrupted run can go on; ``summary.json`` is written last.

    Parameters
    ----------
    read : ReadOptions
    out : Path or None
        The folder of results; None names it after the first file.
    overwrite : bool
        Whether earlier features there are replaced instead of gone on with.
    progress : Reporter

    Returns
    -------
    Path
        The folder, with ``summary.json`` and, unless ``read`` names another place,
        ``features.zarr``.

    Raises
    ------
    InputError
        If the folder or the input cannot be used.
    """
    from mdgeomfeat.commands.record import make_record
    from mdgeomfeat.commands.summary import record_summary
    from mdgeomfeat.commands.tables import write_json

    folder = out or default_folder(read, "features")
    _check_features_folder(folder, read.store)
    summary = folder / "summary.json"

    def forget(*_: object) -> None:
        if overwrite:
            summary.unlink(missing_ok=True)

    with remembered_warnings() as notes:
        data = featurize(read, folder, progress, begin=forget, overwrite=overwrite)
        record = make_record(
            data,
            read,
            title=f"Features of {data.title}",
            warnings=notes,
            files=(),
            assumed=notes.assumed,
        )
        folder.mkdir(parents=True, exist_ok=True)
        write_json(summary, record_summary(record, "features"))
    return folder


def _check_features_folder(folder: Path, store: Path | None) -> None:
    """Refuse a folder that holds anything but features."""
    if folder.exists() and not folder.is_dir():
        raise InputError(f"'{folder}' is a file, so --out must name another folder.")
    if folder.is_dir():
        inside = store is not None and store.parent.resolve() == folder.resolve()
        name = store.name if store is not None and inside else STORE
        for entry in sorted(folder.iterdir()):
            ours = name in entry.name or entry.name == "summary.json"
            if not ours:
                raise InputError(
                    f"The folder '{folder}' holds something other than features "
                    f"('{entry.name}'); choose another with --out."
                )
