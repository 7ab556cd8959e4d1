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
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mdgeomfeat.errors import InputError, MDGeomFeatWarning
from mdgeomfeat.reading.formats import FileKind, recognise, tail_problem

if TYPE_CHECKING:
    from MDAnalysis.core.universe import Universe

__all__ = ["TrajectoryInfo", "common_dt", "open_universe", "trajectory_info"]


# They hold frames first of all, and name the atoms on the way.
_CARRIERS = frozenset({"MDTRAJ-H5", "XYZ", "LAMMPSDUMP", "GSD", "ARC", "HISTORY"})


@dataclass(frozen=True)
class TrajectoryInfo:
    """One source trajectory of a Universe.

    Attributes
    ----------
    path : str
        File name, or words for a trajectory in memory.
    n_frames : int
    first_time, last_time : float or None
        ps; None if the file knows no times.
    dt : float or None
        Time between frames, ps; None if it is unknown, zero or not constant.
    box : tuple of 6 floats or None
        Lengths (Å) and angles (degrees) of the first frame.
    """

    path: str
    n_frames: int
    first_time: float | None
    last_time: float | None
    dt: float | None
    box: tuple[float, ...] | None


def open_universe(
    files: Sequence[str | Path], *, skip_bad_frames: bool = False
) -> Universe:
    """Open a topology and trajectories, in whatever order they are named.

    Parameters
    ----------
    files : sequence of paths
        One file that serves as topology, and any number of trajectories. A
        structure with coordinates (PDB, GRO, …) may stand alone.
    skip_bad_frames : bool
        Only warn of a trajectory that ends inside a frame.

    Returns
    -------
    MDAnalysis Universe
        Several trajectories are the parts of a ChainReader.

    Raises
    ------
    InputError
        If it is not clear which file is the topology, if a file cannot be read or
        has another number of atoms, or if time steps differ.
    """
    if not files:
        raise InputError("no files are given: name a topology and a trajectory")
    kinds = [recognise(path) for path in files]
    topology, trajectories = _roles(kinds)
    with _quiet():
        universe = _try(
            lambda: _topology_universe(topology),
            f"{topology.path} cannot be read as a {topology.format} topology",
        )
        if trajectories:
            _load(universe, topology, trajectories)
        elif not _has_frames(universe):
            raise InputError(
                f"{topology.path} holds no coordinates: name a trajectory with it"
            )
        _check_tails(universe, trajectories or [topology], skip_bad_frames)
        common_dt(trajectory_info(universe))
    return universe


def trajectory_info(universe: Universe) -> list[TrajectoryInfo]:
    """Tell frames, times, time step and box of every trajectory of a Universe.

    At most six frames of each are read, and the current frame is kept.

    Parameters
    ----------
    universe : MDAnalysis Universe

    Returns
    -------
    list of TrajectoryInfo
    """
    trajectory = universe.trajectory
    readers = getattr(trajectory, "readers", [trajectory])
    current = trajectory.ts.frame
    infos, start = [], 0
    for reader in readers:
        infos.append(_describe(trajectory, reader, start))
        start += reader.n_frames
    if trajectory.ts.frame != current:
        trajectory[current]
    return infos


def common_dt(infos: Sequence[TrajectoryInfo]) -> float | None:
    """Return the time step that all trajectories share, ps, None if one has none.

    Raises
    ------
    InputError
        If two known time steps differ by more than a thousandth.
    """
    long = [i for i in infos if i.n_frames > 1]
    known = [(i.path, i.dt) for i in long if i.dt is not None]
    if not known:
        return None
    path, dt = known[0]
    others = [(p, d) for p, d in known[1:] if abs(d - dt) > 1e-3 * dt]
    if others:
        more = f" ({len(others)} files differ from the first)" if others[1:] else ""
        raise InputError(
            f"the time steps differ: {dt:g} ps in {path} and {others[0][1]:g} ps in "
            f"{others[0][0]}{more}; analyse them apart, or write them anew with one "
            "time step"
        )
    return dt if len(known) == len(long) else None


def _roles(kinds: list[FileKind]) -> tuple[FileKind, list[FileKind]]:
    """Pick the topology: the file that can only be one, else the one that can be."""
    certain = [k for k in kinds if not k.coordinates]
    # Formats made for frames serve as topology where no better one is named.
    carriers = [k for k in kinds if k.coordinates and k.format in _CARRIERS]
    possible = [k for k in kinds if k.topology and k not in carriers]
    if len(certain) > 1:
        raise InputError(_ambiguous(certain))
    if len(possible) > 1 and not (certain and len(possible) == len(kinds) == 2):
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
            "trajectories: name a topology file (pdb, psf, …) too, or each kind alone"
        )
    raise InputError(
        f"none of the files is a topology ({', '.join(str(k.path) for k in kinds)}): "
        "name one too (pdb, gro, psf, prmtop/parm7, tpr, …)"
    )


def _ambiguous(kinds: list[FileKind]) -> str:
    names = " and ".join(str(k.path) for k in kinds[:4])
    return (
        f"each of {names} can be the topology: name only one of them, and "
        "trajectories as xtc, trr, dcd, nc or h5"
    )


def _topology_universe(topology: FileKind) -> Universe:
    import MDAnalysis as mda

    if topology.format == "MDTRAJ-H5":
        from mdgeomfeat.reading.mdtraj_files import h5_topology, universe_from_mdtraj

        return universe_from_mdtraj(h5_topology(topology.path))
    if topology.format.startswith(("CIF", "MMCIF")) and find_spec("gemmi") is None:
        raise InputError(
            f"{topology.path} is an mmCIF file, and reading it needs gemmi: pip "
            "install gemmi, or convert it to PDB"
        )
    return mda.Universe(str(topology.path), topology_format=_unusual_format(topology))


def _unusual_format(kind: FileKind) -> str | None:
    """Name the format where MDAnalysis would not find it by the file's name."""
    suffix = kind.path.suffix.upper().lstrip(".")
    return None if suffix in (kind.format, "GZ", "BZ2") else kind.format


def _load(universe: Universe, topology: FileKind, kinds: list[FileKind]) -> None:
    sources = [_source(k) for k in kinds]
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
                f"{n_atoms}: name the topology that the trajectory was written with"
            )
        raise InputError(
            f"{kind.path} cannot be read as {kind.format} ({own}): check that it is "
            "complete and belongs to the topology"
        )
    raise InputError(f"the trajectories cannot be read together ({reason})")


def _load_sources(universe: Universe, sources: list[Any]) -> None:
    if len(sources) > 1:
        universe.load_new(sources)
        return
    path, format_ = sources[0]
    universe.load_new(path, format=format_)


def _source(kind: FileKind) -> tuple[str, Any]:
    """Return the file name and the reader or format, as MDAnalysis takes them."""
    if kind.format == "MDTRAJ-H5":
        from mdgeomfeat.reading.mdtraj_files import H5Reader

        return (str(kind.path), H5Reader)
    return (str(kind.path), _unusual_format(kind))


def _count_atoms(source: tuple[str, Any]) -> int | None:
    """Count the atoms of a trajectory file, if its format tells."""
    from MDAnalysis.coordinates.core import get_reader_for

    path, format_ = source
    counted: list[int] = []

    def count() -> None:
        counted.append(int(get_reader_for(path, format=format_).parse_n_atoms(path)))

    return counted[0] if _reason(count) is None else None


def _has_frames(universe: Universe) -> bool:
    try:
        return universe.trajectory.n_frames > 0
    except AttributeError:  # MDAnalysis's way of saying that none is loaded
        return False


def _check_tails(
    universe: Universe, kinds: list[FileKind], skip_bad_frames: bool
) -> None:
    """Find trajectories that end inside a frame (killed runs, full disks)."""
    readers = getattr(universe.trajectory, "readers", [universe.trajectory])
    for kind, reader in zip(kinds, readers, strict=True):
        offsets = getattr(getattr(reader, "_xdr", None), "offsets", None)
        listed = None if offsets is None else [int(o) for o in offsets]
        problem = tail_problem(kind.path, kind.format, listed)
        if problem is None:
            continue
        if not skip_bad_frames:
            raise InputError(
                f"{kind.path} is incomplete: {problem}; repair it, end before it with "
                "--stop, or pass --skip-bad-frames"
            )
        warnings.warn(
            f"{kind.path} is incomplete: {problem}", MDGeomFeatWarning, stacklevel=3
        )


def _describe(trajectory: Any, reader: Any, start: int) -> TrajectoryInfo:
    n = reader.n_frames
    # The step at the beginning, in the middle and at the end stands for all.
    pairs = sorted({0, max(0, n // 2 - 1), max(0, n - 2)}) if n > 1 else []
    times: dict[int, float | None] = {}
    box = None
    for frame in sorted({0, n - 1, *pairs, *(p + 1 for p in pairs)}):
        try:
            ts = trajectory[start + frame]
        except (OSError, ValueError, EOFError, StopIteration):
            # A frame that cannot be read is named by whoever needs it.
            continue
        times[frame] = _time(ts, frame)
        if frame == 0 and ts.dimensions is not None:
            box = tuple(float(v) for v in ts.dimensions)
    known = {f: t for f, t in times.items() if t is not None}
    steps = [known[p + 1] - known[p] for p in pairs if p in known and p + 1 in known]
    return TrajectoryInfo(
        path=str(getattr(reader, "filename", None) or "the trajectory in memory"),
        n_frames=n,
        first_time=known.get(0),
        last_time=known[max(known)] if known else None,
        dt=_constant(steps, known),
        box=None if box is None or not all(v > 0 for v in box) else box,
    )


def _time(ts: Any, frame: int) -> float | None:
    """Time of a frame in its own file, ps, if the file knows one."""
    if "time" in ts.data:
        return float(ts.data["time"])
    if "dt" in ts.data:
        return frame * float(ts.data["dt"]) + float(ts.data.get("time_offset", 0.0))
    return None


def _constant(steps: list[float], times: dict[int, float]) -> float | None:
    if not steps or min(steps) <= 0 or not np.isfinite(steps).all():
        return None
    first, last = min(times), max(times)
    mean = (times[last] - times[first]) / (last - first)
    rounding = float(np.spacing(np.float32(max(abs(t) for t in times.values()))))
    if max(abs(s - mean) for s in steps) > 1e-3 * mean + 2 * rounding:
        return None
    # Times are rounded: of all steps within their rounding, the roundest is meant.
    for digits in range(1, 7):
        step = float(f"{mean:.{digits}g}")
        if abs(step - mean) <= 2 * rounding / (last - first):
            return step
    return float(f"{mean:.6g}")


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence what the readers say of elements, masses and half-opened files.

    What matters of it is said by this package, in the user's words. A reader whose
    constructor fails complains a second time when it is thrown away.
    """
    hook = sys.unraisablehook
    sys.unraisablehook = lambda _: None
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"MDAnalysis|mdtraj|tables")
            yield
        gc.collect()
    finally:
        sys.unraisablehook = hook


def _try(action: Callable[[], Any], failure: str) -> Any:
    result: list[Any] = []
    reason = _reason(lambda: result.append(action()))
    if reason is not None:
        raise InputError(f"{failure} ({reason}): check the file")
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
        words = " ".join(str(error).split()) or type(error).__name__
        words = words.split("Error: ", 1)[-1]
        if words.startswith("HDF5 error"):
            words = "its HDF5 structure is damaged"
        return words if len(words) < 200 else words[:200] + " …"
    return None
