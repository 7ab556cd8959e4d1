"""Opening a user's files: which is the topology, which are trajectories, are they sane.

The order of the files does not matter. Every trajectory stays a trajectory of its own
(a part of MDAnalysis's ChainReader).
"""

from __future__ import annotations

import gc
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mdgeomfeat import upstream
from mdgeomfeat.errors import InputError, MDGeomFeatWarning
from mdgeomfeat.reading.amber import AmberTextReader, check_text_box
from mdgeomfeat.reading.atoms import atoms_of
from mdgeomfeat.reading.chain import file_readers
from mdgeomfeat.reading.dcd import dcd_problem, turned
from mdgeomfeat.reading.formats import FileKind, recognise
from mdgeomfeat.reading.mdtraj_files import check_h5
from mdgeomfeat.reading.reader_warnings import reader_warnings
from mdgeomfeat.reading.readers import reader_for
from mdgeomfeat.reading.single import check_single
from mdgeomfeat.reading.times import (
    TrajectoryInfo,
    common_dt,
    read_dt,
    trajectory_info,
)

if TYPE_CHECKING:
    from MDAnalysis.core.universe import Universe

__all__ = ["find_topology", "open_universe"]


# They hold frames first of all, and name the atoms on the way.
_CARRIERS = frozenset(
    {"MDTRAJ-H5", "XYZ", "EXTXYZ", "LAMMPSDUMP", "GSD", "TXYZ", "ARC", "HISTORY"}
)


def open_universe(
    files: Sequence[str | Path],
    *,
    skip_bad_frames: bool = False,
    dt: float | str | None = None,
) -> Universe:
    """Open a topology and trajectories, in whatever order they are named.

    Parameters
    ----------
    files : sequence of paths
        One file that serves as topology, and any number of trajectories. A
        structure with coordinates (PDB, GRO, …) may stand alone.
    skip_bad_frames : bool
        Only warn of a trajectory that ends inside a frame.
    dt : float or str, optional
        Time between the frames of each file, as its user states it, so that what the
        files say need not agree; see :func:`mdgeomfeat.reading.times.read_dt`. The
        Universe's own times stay those of the files.

    Returns
    -------
    MDAnalysis Universe
        Several trajectories are the parts of a ChainReader.

    Raises
    ------
    InputError
        If it is not clear which file is the topology, if a file cannot be read or
        has another number of atoms, or if time steps differ.

    Examples
    --------
    >>> from mdgeomfeat.reading import open_universe
    >>> u = open_universe(["traj.xtc", "top.pdb", "other.xtc"])
    >>> u.atoms.n_atoms, int(u.trajectory.n_frames)
    (19, 80)
    """
    if not files:
        raise InputError("No files are given; name a topology and a trajectory.")
    stated = read_dt(dt)
    kinds = [recognise(path) for path in files]
    topology, trajectories = _roles(kinds)
    for path in {k.path: None for k in kinds if k.format == "MDTRAJ-H5"}:
        check_h5(path)
    frames = trajectories or [topology]
    with _half_opened_thrown_away():
        with reader_warnings([topology.path]):
            universe = _try(
                lambda: _topology_universe(topology),
                f"{topology.path} cannot be read as a {topology.format} topology",
            )
        if not trajectories and not topology.coordinates:
            raise InputError(
                f"{topology.path} holds no coordinates; name a trajectory with it."
            )
        with reader_warnings([kind.path for kind in frames]):
            _load(universe, topology, frames)
            _check_tails(universe, frames, skip_bad_frames)
            _say_right_angles(universe, topology)
            _say_turned(universe)
            infos = trajectory_info(universe, stated)
            common_dt(infos)
            _say_doubtful(infos)
    return universe


def find_topology(files: Sequence[str | Path]) -> Path | None:
    """Return which of the files :func:`open_universe` would take as the topology.

    Parameters
    ----------
    files : sequence of paths

    Returns
    -------
    Path or None
        None where no file can be one.

    Raises
    ------
    InputError
        If a file is not recognised, or several can be the topology.
    """
    kinds = [recognise(path) for path in files]
    if not any(kind.topology for kind in kinds):
        return None
    return _roles(kinds)[0].path


def _roles(kinds: list[FileKind]) -> tuple[FileKind, list[FileKind]]:
    """Pick the topology: the file that can only be one, else the one that can be."""
    certain = [k for k in kinds if not k.coordinates]
    # Formats made for frames serve as topology where no better one is named.
    carriers = [k for k in kinds if k.coordinates and k.format in _CARRIERS]
    possible = [k for k in kinds if k.topology and k not in carriers]
    if len(certain) > 1:
        raise InputError(_ambiguous(certain))
    if len(possible) > 1 and not (certain and len(possible) == len(kinds) == 2):
        for kind in possible:
            check_single(kind)
        raise InputError(_ambiguous(possible))
    if certain or possible:
        topology = (certain or possible)[0]
        return topology, [k for k in kinds if k is not topology]
    if len(carriers) == len(kinds):
        return carriers[0], kinds
    if len(carriers) == 1 and carriers[0].format != "MDTRAJ-H5":
        return carriers[0], [k for k in kinds if k is not carriers[0]]
    if carriers:
        raise InputError(
            f"{carriers[0].path} holds frames and a topology, and is named with other "
            "trajectories; name a topology file (pdb, psf, …) too, or each kind alone."
        )
    raise InputError(
        f"None of the files is a topology ({', '.join(str(k.path) for k in kinds)}); "
        "name one too (pdb, gro, psf, prmtop/parm7, tpr, …)."
    )


def _ambiguous(kinds: list[FileKind]) -> str:
    names = " and ".join(str(k.path) for k in kinds[:4])
    return (
        f"Each of {names} can be the topology; name only one of them, and give "
        "trajectories as xtc, trr, dcd, nc or h5."
    )


def _topology_universe(topology: FileKind) -> Universe:
    """Read the atoms of a file; its frames are not looked at."""
    universe, note = atoms_of(topology)
    if note is not None:
        _warn(note)
    return universe


def _load(universe: Universe, topology: FileKind, kinds: list[FileKind]) -> None:
    sources = [(str(k.path), reader_for(k)) for k in kinds]
    reason = _reason(lambda: _load_sources(universe, sources))
    if reason is None and universe.trajectory.n_frames:
        return
    n_atoms = len(universe.atoms)
    for kind, source in zip(kinds, sources, strict=True):
        own = _reason(partial(_load_sources, universe, [source]))
        if own is None:
            continue
        counted = _count_atoms(source)
        if counted is not None and counted != n_atoms:
            raise InputError(
                f"{kind.path} has {counted} atoms and the topology {topology.path} "
                f"{n_atoms}; name the topology that the trajectory was written with."
            )
        raise InputError(
            f"{kind.path} cannot be read as {kind.format} ({own}); check that it is "
            "complete and belongs to the topology."
        )
    raise InputError(
        f"The trajectories cannot be read together ({reason}); check that all of them "
        "belong to the topology."
    )


def _load_sources(universe: Universe, sources: list[Any]) -> None:
    if len(sources) > 1:
        universe.load_new(sources)
        return
    path, format_ = sources[0]
    universe.load_new(path, format=format_)


def _count_atoms(source: tuple[str, Any]) -> int | None:
    """Count the atoms of a trajectory file, if its format tells."""
    path, reader = source
    counted: list[int] = []
    return (
        counted[0]
        if _reason(lambda: counted.append(int(reader.parse_n_atoms(path)))) is None
        else None
    )


def _check_tails(
    universe: Universe, kinds: list[FileKind], skip_bad_frames: bool
) -> None:
    """Find trajectories that end inside a frame (killed runs, full disks)."""
    readers = file_readers(universe.trajectory)
    for kind, reader in zip(kinds, readers, strict=True):
        problem = getattr(reader, "problem", None)
        if problem is None and kind.format == "DCD":
            problem = dcd_problem(kind.path)
        if problem is not None:
            last = reader.n_frames - 1
            found = (
                f"{kind.path} is incomplete: {problem}; the last good frame is {last}"
            )
            if not skip_bad_frames:
                raise InputError(
                    f"{found}; repair it, or pass --skip-bad-frames (skip_bad_frames="
                    "True) to use the frames up to there."
                )
            _warn(f"{found}.")
        passed_over = getattr(reader, "n_passed_over", 0)
        if passed_over:
            _warn(
                f"{kind.path} has {passed_over} frames without positions (with "
                f"velocities or forces only) besides {reader.n_frames} with positions; "
                "they are skipped."
            )


def _say_turned(universe: Universe) -> None:
    """Say which frames are not as they stand in their file."""
    names = turned(universe.trajectory)
    if names:
        more = f" and {len(names) - 1} more" if names[1:] else ""
        _warn(
            f"{names[0]}{more} has triclinic cells as CHARMM stores them; frames are "
            "turned so that the first cell vector lies along x."
        )


def _say_right_angles(universe: Universe, topology: FileKind) -> None:
    """Look whether boxes that are stored without angles may be right-angled."""
    for reader in file_readers(universe.trajectory):
        if isinstance(reader, AmberTextReader):
            note = check_text_box(reader.filename, topology.path, reader.has_box)
            if note is not None:
                _warn(note)


def _say_doubtful(infos: list[TrajectoryInfo]) -> None:
    """Point out what may be right and is likelier to be an oversight."""
    paths = [Path(i.path).resolve() for i in infos]
    twice = [i.path for k, i in enumerate(infos) if paths[k] in paths[:k]]
    if twice:
        _warn(
            f"{twice[0]} is named more than once; its frames are counted each "
            "time, and scores on them are not independent."
        )
    short = min(infos, key=lambda i: i.n_frames)
    long = max(infos, key=lambda i: i.n_frames)
    if short.n_frames < long.n_frames:
        _warn(
            f"The trajectories differ in length, from {_length(short)} to "
            f"{_length(long)}; if they should not, a file may have been cut off."
        )


def _length(info: TrajectoryInfo) -> str:
    frames = "1 frame" if info.n_frames == 1 else f"{info.n_frames:,} frames"
    end = "" if info.last_time is None else f" (to {info.last_time:,.6g} ps)"
    return f"{frames}{end} in {info.path}"


def _warn(message: str) -> None:
    warnings.warn(message, MDGeomFeatWarning, stacklevel=4)


@contextmanager
def _half_opened_thrown_away() -> Iterator[None]:
    """Silence readers whose constructor has failed, as they are thrown away.

    They complain then a second time, of the file that they never opened.
    """
    hook = sys.unraisablehook
    sys.unraisablehook = lambda _: None
    try:
        yield
        gc.collect()
    finally:
        sys.unraisablehook = hook


def _try(action: Callable[[], Any], failure: str) -> Any:
    result: list[Any] = []
    reason = _reason(lambda: result.append(action()))
    if reason is not None:
        raise InputError(f"{failure} ({reason}); check the file.")
    return result[0]


def _reason(action: Callable[[], Any]) -> str | None:
    """Why an action on a user's file fails, in one line; None if it does not.

    Readers raise whatever their parsers stumble over, so every exception is an
    answer here; those of ours pass.
    """
    try:
        action()
    except InputError:
        raise
    except Exception as error:
        return upstream.reason(error)
    return None
