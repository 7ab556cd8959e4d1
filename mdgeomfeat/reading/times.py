"""What the times of trajectories say: how long they are, and their time steps.

A time is known only if the file states one, or its user does (``dt=``, ``--dt``).
MDAnalysis makes up a time step of 1 ps where there is none.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from MDAnalysis.coordinates.DCD import DCDReader

from mdgeomfeat.boxes import has_box
from mdgeomfeat.errors import InputError
from mdgeomfeat.reading.chain import file_readers
from mdgeomfeat.reading.dcd import read_header, states_times
from mdgeomfeat.reading.doubtful_times import doubt_about, made_up, time_rounding
from mdgeomfeat.upstream import is_one_run, no_made_up_dt, read_frame

if TYPE_CHECKING:
    from MDAnalysis.coordinates.timestep import Timestep
    from MDAnalysis.core.universe import Universe
    from numpy.typing import NDArray

__all__ = [
    "DURATION",
    "TIME_UNITS",
    "TrajectoryInfo",
    "common_dt",
    "frame_time",
    "made_up_times",
    "odd_steps",
    "read_dt",
    "step_slack",
    "trajectory_info",
]

#: Units of time as people write them, in ps.
TIME_UNITS = {
    "fs": 1e-3,
    "ps": 1.0,
    "ns": 1e3,
    "us": 1e6,
    "µs": 1e6,
    "μs": 1e6,
    "ms": 1e9,
}
#: A number and, perhaps, a unit.
DURATION = re.compile(r"\s*([0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?)\s*([a-zµμ]*)\s*")

# What MDAnalysis's reader of arrays takes where nothing is said, and what its reader of
# DCD files makes of a time step of 1: times of frames that were put into memory.
_MADE_UP = (1.0, 0.04888821)
# NetCDF fills numbers that were never written with 9.97e36.
_ABSURD = 1e30
# Of the steps of a file, the share that must be the usual one for the others to be
# seams. With fewer, times are irregular, and cutting would leave crumbs.
_USUAL = 0.9


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
        Time between frames, ps; None if it is unknown, zero or not constant but for
        seams.
    file_dt : float or None
        The same as the file has it, whatever was stated.
    seams : tuple of int
        Frames that do not follow on the one before them, where runs were joined.
    no_dt : str or None
        Why there is no time step, where there are frames enough for one.
    doubt : str or None
        Why the times are likely to be wrong, where they are; see
        :mod:`mdgeomfeat.reading.doubtful_times`.
    overruled : str or None
        What the file says of its times, where another time step was stated.
    box : tuple of 6 floats or None
        Lengths (Å) and angles (degrees) of the first frame.
    """

    path: str
    n_frames: int
    first_time: float | None
    last_time: float | None
    dt: float | None
    file_dt: float | None
    seams: tuple[int, ...]
    no_dt: str | None
    doubt: str | None
    overruled: str | None
    box: tuple[float, ...] | None

    @property
    def knows_times(self) -> bool:
        """Whether any frame that was looked at has a time."""
        return self.last_time is not None


def read_dt(dt: float | str | None) -> float | None:
    """Read the time between the frames of a file as its user states it.

    Parameters
    ----------
    dt : float, str or None
        ps, or a time with its unit such as ``"100ps"`` or ``"0.1ns"``.

    Returns
    -------
    float or None
        ps; None for None.

    Raises
    ------
    InputError
        If it cannot be read or is not above 0.
    """
    if dt is None:
        return None
    match = DURATION.fullmatch(str(dt))
    value = math.nan
    if match is not None:
        value = float(match.group(1)) * TIME_UNITS.get(match.group(2) or "ps", math.nan)
    if isinstance(dt, bool) or not 0 < value < math.inf:
        raise InputError(
            f"--dt (dt=) is {dt!r}, but must be a time above 0 with its unit, such as "
            "100ps or 0.1ns, or a number of ps."
        )
    return value


def trajectory_info(
    universe: Universe, dt: float | None = None
) -> list[TrajectoryInfo]:
    """Tell frames, times, time step and box of every trajectory of a Universe.

    Of formats that tell all times at once, the first frame of each is read, of others
    at most six, so that seams may stay unseen. The current frame is kept.

    Parameters
    ----------
    universe : MDAnalysis Universe
    dt : float, optional
        Time between the frames of each file, ps, as its user states it. It takes the
        place of what files say.

    Returns
    -------
    list of TrajectoryInfo

    Examples
    --------
    >>> from mdgeomfeat.reading import open_universe, trajectory_info
    >>> (info,) = trajectory_info(open_universe(["top.pdb", "traj.xtc"]))
    >>> info.n_frames, info.dt
    (40, 1.0)
    """
    trajectory = universe.trajectory
    readers = file_readers(trajectory)
    current = trajectory.ts.frame
    infos, start = [], 0
    for reader in readers:
        infos.append(_describe(trajectory, reader, start))
        start += reader.n_frames
    if trajectory.ts.frame != current:
        read_frame(trajectory, current)
    return infos if dt is None else [_overruled(info, dt) for info in infos]


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
            f"The time steps differ: {dt:g} ps in {path} and {others[0][1]:g} ps in "
            f"{others[0][0]}{more}; analyse them apart, or write them again with one "
            "time step."
        )
    return dt if len(known) == len(long) else None


def frame_time(ts: Timestep, reader: Any = None) -> float:
    """Return the time of a frame, ps, NaN where neither its file nor its user tells it.

    Parameters
    ----------
    ts : Timestep
    reader : MDAnalysis reader, optional
        The one that has just read it.
    """
    reader = getattr(reader, "active_reader", reader)
    if not ({"time", "dt"} & ts.data.keys()) or not _states_times(reader, ts):
        return math.nan
    time = float(ts.time)
    return time if abs(time) < _ABSURD else math.nan


def _states_times(reader: Any, ts: Timestep) -> bool:
    """Tell whether a reader has the times that it gives from its file or its user.

    Readers of other formats give a frame a time, or a time step, only where they have
    one.
    """
    if isinstance(reader, DCDReader):
        return states_times(reader)
    format_ = getattr(reader, "format", None)
    if format_ == "LAMMPSDUMP":  # counts steps without saying how long one is
        return "dt" in ts.data
    if format_ == "MEMORY":
        return not any(math.isclose(ts.data["dt"], dt, rel_tol=1e-5) for dt in _MADE_UP)
    return True


def made_up_times(trajectory: Any) -> list[str | None]:
    """Say of which files the times are likely to come from no simulation.

    The first two frames of each file are read, and the current one is kept.

    Parameters
    ----------
    trajectory : MDAnalysis reader

    Returns
    -------
    list of (str or None)
        Of each file, or of the one run that they are: what
        :func:`mdgeomfeat.reading.doubtful_times.made_up` says.
    """
    readers = [trajectory] if is_one_run(trajectory) else file_readers(trajectory)
    current = trajectory.ts.frame
    found, start = [], 0
    for reader in readers:
        n = reader.n_frames
        look = _look(trajectory, reader, start, [0, 1][:n])
        found.append(made_up(reader, look.frames, look.times, look.steps))
        start += n
    if trajectory.ts.frame != current:
        read_frame(trajectory, current)
    return found


def step_slack(step: float, times: NDArray[np.float64]) -> float:
    """Return by how much equal steps between times may differ, ps.

    By a thousandth, and by what single precision makes of the times.
    """
    return 1e-3 * step + 2 * time_rounding(times)


def odd_steps(
    times: NDArray[np.float64], counted: NDArray[np.bool_] | None = None
) -> NDArray[np.bool_]:
    """Tell which steps between times are not the usual one.

    The usual step is the median, if it is above zero and nine in ten steps are like
    it. Where there is none, no step is odd.

    Parameters
    ----------
    times : (n,) ndarray, ps
    counted : (n - 1,) ndarray of bool, optional
        Steps that count; the others are not odd.

    Returns
    -------
    (n - 1,) ndarray of bool
    """
    steps = np.diff(np.asarray(times, dtype=np.float64))
    odd = np.ones(len(steps), bool) if counted is None else counted.copy()
    if not odd.any() or not np.isfinite(times).all():
        return np.zeros_like(odd)
    usual = float(np.median(steps[odd]))
    n_counted = np.count_nonzero(odd)
    odd &= np.abs(steps - usual) > step_slack(usual, times)
    if usual <= 0 or np.count_nonzero(odd) > (1 - _USUAL) * n_counted:
        return np.zeros_like(odd)
    return odd


class _Look(NamedTuple):
    """What some frames of a file say.

    Attributes
    ----------
    frames : (n,) ndarray of int
        Those that have a time, counted in the file.
    times : (n,) ndarray of float64, ps
    steps : list of n (int or None)
        Numbers of their time steps, as far as they are stated.
    box : (6,) ndarray or None
        Of the first frame.
    """

    frames: NDArray[np.int64]
    times: NDArray[np.float64]
    steps: list[int | None]
    box: NDArray[np.floating] | None


def _look(trajectory: Any, reader: Any, start: int, wanted: list[int]) -> _Look:
    """Look at some frames of a file whose first is number `start` of a trajectory."""
    sampled: dict[int, float] = {}
    steps: list[int | None] = []
    box = None
    for frame in wanted:
        try:
            with no_made_up_dt():
                ts = read_frame(trajectory, start + frame)
        except InputError:
            # A frame that cannot be read is named by whoever needs it.
            continue
        if math.isfinite(frame_time(ts, reader)):
            sampled[frame] = _time(ts, frame)
            steps.append(_step_number(reader, ts, frame))
        if frame == 0 and ts.dimensions is not None:
            box = np.array(ts.dimensions)
    return _Look(
        np.array(list(sampled), dtype=np.int64),
        np.array(list(sampled.values()), dtype=np.float64),
        steps,
        box,
    )


def _step_number(reader: Any, ts: Timestep, frame: int) -> int | None:
    """Return the number of a frame's time step, None if its file does not state it."""
    if isinstance(reader, DCDReader):  # whose frames MDAnalysis counts for itself
        return frame * read_header(reader.filename).nsavc
    step: int | None = ts.data.get("step")
    return step


def _describe(trajectory: Any, reader: Any, start: int) -> TrajectoryInfo:
    n = reader.n_frames
    every = _all_times(reader)
    look = _look(trajectory, reader, start, _sample(n) if every is None else [0, 1][:n])
    if every is None:
        frames, times = look.frames, look.times
        odd = np.zeros(max(0, len(times) - 1), dtype=bool)
    else:
        frames, times, odd = np.arange(n), every, odd_steps(every)
    dt, box = _step(frames, times, odd), look.box
    doubt = doubt_about(frames, times) or made_up(reader, frames, times, look.steps)
    return TrajectoryInfo(
        path=str(getattr(reader, "filename", None) or "the trajectory in memory"),
        n_frames=n,
        first_time=float(times[0]) if 0 in frames[:1] else None,
        last_time=float(times[-1]) if len(times) else None,
        dt=dt,
        file_dt=dt,
        seams=() if dt is None else tuple((np.flatnonzero(odd) + 1).tolist()),
        no_dt=_why_no_step(times) if dt is None and n > 1 else None,
        doubt=doubt,
        overruled=None,
        box=None if box is None or not has_box(box).all() else tuple(box.tolist()),
    )


def _sample(n: int) -> list[int]:
    """Return frames whose steps, at beginning, middle and end, stand for all."""
    pairs = {0, max(0, n // 2 - 1), max(0, n - 2)} if n > 1 else set()
    return sorted({0, n - 1, *pairs, *(p + 1 for p in pairs)})


def _all_times(reader: Any) -> NDArray[np.float64] | None:
    """Return the times of all frames, ps, where a file tells them without its frames.

    Our readers of XTC, TRR and mdtraj's HDF5 do; MDAnalysis's of NetCDF holds them.
    """
    times = getattr(reader, "frame_times", None)
    if times is None and getattr(reader, "has_time", False):
        scale = reader.scale_factors["time"]
        times = reader.trjfile.variables["time"][:] * (1.0 if scale is None else scale)
    if times is None or len(times) != reader.n_frames:
        return None
    times = np.array(times, dtype=np.float64)
    return times if (np.abs(times) < _ABSURD).all() else None


def _time(ts: Timestep, frame: int) -> float:
    """Time of a frame in its own file, ps."""
    if "time" in ts.data:
        return float(ts.data["time"])
    return frame * float(ts.data["dt"]) + float(ts.data.get("time_offset", 0.0))


def _overruled(info: TrajectoryInfo, dt: float) -> TrajectoryInfo:
    """Put the time step that a user states in the place of a file's times."""
    if not info.knows_times or info.n_frames < 2:
        own = None
    elif info.dt is None:
        own = info.no_dt
    else:
        agrees = abs(info.dt - dt) <= 1e-3 * dt
        own = None if agrees else f"{info.dt:g} ps between frames"
    return replace(
        info,
        first_time=0.0,
        last_time=(info.n_frames - 1) * dt,
        dt=dt if info.n_frames > 1 else None,
        seams=(),
        no_dt=None,
        doubt=None,
        overruled=own,
    )


def _why_no_step(times: NDArray[np.float64]) -> str:
    if not len(times):
        return "no times"
    if (times == times[0]).all():
        return f"all times {times[0]:g} ps"
    return "times that do not grow evenly"


def _step(
    frames: NDArray[np.int64], times: NDArray[np.float64], odd: NDArray[np.bool_]
) -> float | None:
    """Return the step that all neighbours share, but those with an odd one."""
    steps = np.diff(times)[(np.diff(frames) == 1) & ~odd]
    if not len(steps) or steps.min() <= 0 or not np.isfinite(steps).all():
        return None
    if odd.any():
        mean, n = float(steps.mean()), len(steps) / (np.count_nonzero(odd) + 1)
    else:
        n = frames[-1] - frames[0]
        mean = float(times[-1] - times[0]) / n
    if np.abs(steps - mean).max() > step_slack(mean, times):
        return None
    # Times are rounded: of all steps within their rounding, the roundest is meant.
    for digits in range(1, 7):
        step = float(f"{mean:.{digits}g}")
        if abs(step - mean) <= 2 * time_rounding(times) / n:
            return step
    return float(f"{mean:.6g}")
