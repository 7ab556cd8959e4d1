"""From files to token features: what every command begins with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mdgeomfeat.errors import InputError
from mdgeomfeat.workflow.notes import remembered_warnings
from mdgeomfeat.workflow.options import ReadOptions
from mdgeomfeat.workflow.output import check_output, output_folder
from mdgeomfeat.workflow.progress import Advance, Reporter

if TYPE_CHECKING:
    from MDAnalysis.core.groups import AtomGroup
    from MDAnalysis.core.universe import Universe

    from mdgeomfeat.featurizer import FeatureResults
    from mdgeomfeat.gnn import Backbone
    from mdgeomfeat.structure import Structure

__all__ = [
    "Featurized",
    "chosen_frames",
    "default_folder",
    "featurize",
    "source_names",
    "write_features",
]


@dataclass(frozen=True, eq=False, kw_only=True)
class Featurized:
    """Features of trajectories, and where they came from.

    Attributes
    ----------
    universe : Universe
    atoms : AtomGroup
        The selected atoms.
    structure : Structure
        The same atoms.
    results : FeatureResults
    model : Backbone
        The network.
    sources : tuple of str
        File name of each source trajectory.
    """

    universe: Universe
    atoms: AtomGroup
    structure: Structure
    results: FeatureResults
    model: Backbone
    sources: tuple[str, ...]

    @property
    def dt(self) -> float | None:
        """Time between analysed frames, ps."""
        return self.results.dt

    @property
    def title(self) -> str:
        """The trajectories in few words."""
        more = len(self.sources) - 1
        return self.sources[0] + (f" and {more} more" if more else "")

    @property
    def rows(self) -> list[slice]:
        """Rows of each unbroken run."""
        return list(self.results.segments)

    @property
    def groups(self) -> tuple[int, ...]:
        """Source trajectory of each unbroken run."""
        return tuple(int(self.results.trajectory[rows.start]) for rows in self.rows)

    @property
    def positions(self) -> np.ndarray:
        """(F, A, 3) whole molecules, Å, in memory."""
        return np.asarray(self.results.positions)

    def split(self, values: np.ndarray) -> list[np.ndarray]:
        """Cut an array over all frames into unbroken runs."""
        return [values[rows] for rows in self.rows]


def featurize(
    read: ReadOptions,
    store: Path,
    progress: Reporter,
    *,
    model: Any = None,
    **options: Any,
) -> Featurized:
    """Read trajectories and compute their features into a store.

    Parameters
    ----------
    read : ReadOptions
    store : Path
        Where the features are written.
    progress : Reporter
    model : Backbone, optional
        In place of the one that ``read`` names.
    **options
        Further options of the featurizer.

    Raises
    ------
    InputError
        If the files, the selection or the frames cannot be used.
    """
    from mdgeomfeat.featurizer import GeomGNNFeaturizer
    from mdgeomfeat.gnn import load_model
    from mdgeomfeat.reading import open_universe

    class Reporting(GeomGNNFeaturizer):
        """Tells the reporter about every frame."""

        advance: Advance

        def _single_frame(self) -> None:
            super()._single_frame()
            self.advance(1)

    universe = open_universe(
        [str(f) for f in read.files], skip_bad_frames=read.skip_bad_frames
    )
    network = load_model(read.model) if model is None else model
    featurizer = Reporting(
        universe,
        read.select,
        model=network,
        tokens=read.tokens,
        window=read.window,
        periodic=read.periodic,
        allow_unseen=read.allow_unseen,
        skip_bad_frames=read.skip_bad_frames,
        device=read.device,
        engine=read.engine,
        store=store,
        **options,
    )
    frames = chosen_frames(universe, read.start, read.stop, read.step)
    with progress.stage("features", len(frames)) as advance:
        featurizer.advance = advance
        featurizer.run(frames=frames, backend="serial")
    return Featurized(
        universe=universe,
        atoms=universe.atoms[featurizer.structure.indices],
        structure=featurizer.structure,
        results=featurizer.results,
        model=network,
        sources=tuple(source_names(universe)),
    )


def source_names(universe: Universe) -> list[str]:
    """Return the file name of each trajectory of a Universe."""
    readers = getattr(universe.trajectory, "readers", [universe.trajectory])
    return [Path(str(r.filename)).name if r.filename else "memory" for r in readers]


def chosen_frames(
    universe: Universe, start: int | None, stop: int | None, step: int | None
) -> list[int]:
    """Return the frames of all trajectories that a slice of each of them gives.

    Raises
    ------
    InputError
        If none is left.
    """
    readers = getattr(universe.trajectory, "readers", [universe.trajectory])
    first = 0
    frames: list[int] = []
    for reader in readers:
        n = int(reader.n_frames)
        frames += [first + i for i in range(*slice(start, stop, step).indices(n))]
        first += n
    if not frames:
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
    read: ReadOptions, out: Path | None, overwrite: bool, progress: Reporter
) -> Path:
    """Featurize to a store, without a report.

    Parameters
    ----------
    read : ReadOptions
    out : Path or None
        The folder of results; None names it after the first file.
    overwrite : bool
        Whether earlier results there may be replaced.
    progress : Reporter

    Returns
    -------
    Path
        The folder, with ``features.zarr`` and ``summary.json``.
    """
    from mdgeomfeat.workflow.record import make_record
    from mdgeomfeat.workflow.summary import record_summary
    from mdgeomfeat.workflow.tables import write_json

    folder = out or default_folder(read, "features")
    check_output(folder, overwrite)
    with remembered_warnings() as notes, output_folder(folder, overwrite) as work:
        data = featurize(read, work / "features.zarr", progress)
        record = make_record(
            data,
            read,
            title=f"Features of {data.title}",
            warnings=notes,
            files=(),
        )
        write_json(work / "summary.json", record_summary(record, "features"))
    return folder
