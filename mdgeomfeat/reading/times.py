"""What the times of trajectories say: how long they are, and their time steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mdgeomfeat.boxes import has_box
from mdgeomfeat.errors import InputError
from mdgeomfeat.reading.chain import file_readers
from mdgeomfeat.reading.dcd import written_by_lammps
from mdgeomfeat.upstream import read_frame

if TYPE_CHECKING:
    from MDAnalysis.coordinates.timestep import Timestep
    from MDAnalysis.core.universe import Universe
    from numpy.typing import NDArray

__all__ = [
    "TrajectoryInfo",
    "common_dt",
    "knows_time",
    "odd_steps",
    "step_slack",
    "trajectory_info",
]

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
    seams : tuple of int
        Frames that do not follow on the one before them, where runs were joined.
    no_dt : str or None
        Why there is no time step, where there are frames enough for one.
    box : tuple of 6 floats or None
        Lengths (Å) and angles (degrees) of the first frame.
    """

    path: str
    n_frames: int
    first_time: float | None
    last_time: float | None
    dt: float | None
    seams: tuple[int, ...]
    no_dt: str | None
    box: tuple[float, ...] | None


def trajectory_info(universe: Universe) -> list[TrajectoryInfo]:
    """Tell frames, times, time step and box of every trajectory of a Universe.

    Of formats that tell all times at once, the first frame of each is read, of others
    at most six, so that seams may stay unseen. The current frame is kept.

    Parameters
    ----------
    universe : MDAnalysis Universe

    Returns
    -------
    list of TrajectoryInfo
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


def knows_time(ts: Timestep, reader: Any = None) -> bool:
    """Tell whether the time of a frame comes from its file or its user.

    MDAnalysis makes up a time step of 1 ps where there is none. It does so for every
    step of a LAMMPS dump, which counts steps without saying how long one is.

    Parameters
    ----------
    ts : Timestep
    reader : MDAnalysis reader, optional
        The one that has just read it.
    """
    reader = getattr(reader, "active_reader", reader)
    if getattr(reader, "format", None) == "LAMMPSDUMP":
        return "dt" in ts.data
    if written_by_lammps(reader):
        return False
    reference = getattr(ts, "_reader", None)
    known = "time" in ts.data or "dt" in ts.data
    return known or (reference is not None and hasattr(reference(), "_get_dt"))


def step_slack(step: float, times: NDArray) -> float:
    """Return by how much equal steps between times may differ, ps.

    By a thousandth, and by what single precision makes of the times.
    """
    return 1e-3 * step + 2 * _rounding(times)


def odd_steps(times: NDArray, counted: NDArray | None = None) -> NDArray[np.bool_]:
    """Tell which steps between times are not the usual one.

    The usual step is the median, if it is above zero and nine in ten steps are like
    it. Where there is none, no step is odd.

    Parameters
    ----------
    times : (n,) array, ps
    counted : (n - 1,) array of bool, optional
        Steps that count; the others are not odd.

    Returns
    -------
    (n - 1,) array of bool
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


def _describe(trajectory: Any, reader: Any, start: int) -> TrajectoryInfo:
    n = reader.n_frames
    every = _all_times(reader)
    sampled: dict[int, float] = {}
    box = None
    for frame in _sample(n) if every is None else [0]:
        try:
            ts = read_frame(trajectory, start + frame)
        except InputError:
            # A frame that cannot be read is named by whoever needs it.
            continue
        if knows_time(ts, reader) and (time := _time(ts, frame)) is not None:
            sampled[frame] = time
        if frame == 0 and ts.dimensions is not None:
            box = tuple(float(v) for v in ts.dimensions)
    if every is None:
        frames, times = np.array(list(sampled)), np.array(list(sampled.values()))
        odd = np.zeros(max(0, len(times) - 1), dtype=bool)
    else:
        frames, times, odd = np.arange(n), every, odd_steps(every)
    dt = _step(frames, times, odd)
    return TrajectoryInfo(
        path=str(getattr(reader, "filename", None) or "the trajectory in memory"),
        n_frames=n,
        first_time=float(times[0]) if 0 in frames[:1] else None,
        last_time=float(times[-1]) if len(times) else None,
        dt=dt,
        seams=() if dt is None else tuple((np.flatnonzero(odd) + 1).tolist()),
        no_dt=_why_no_step(times) if dt is None and n > 1 else None,
        box=box if has_box(box).all() else None,
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
    return np.array(times, dtype=np.float64)


def _time(ts: Any, frame: int) -> float | None:
    """Time of a frame in its own file, ps, if the file knows one."""
    if "time" in ts.data:
        return float(ts.data["time"])
    if "dt" in ts.data:
        return frame * float(ts.data["dt"]) + float(ts.data.get("time_offset", 0.0))
    return None


def _why_no_step(times: NDArray) -> str:
    if not len(times):
        return "no times"
    if (times == times[0]).all():
        return f"all times {times[0]:g} ps"
    return "times that do not grow evenly"


def _step(frames: NDArray, times: NDArray, odd: NDArray) -> float | None:
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
        if abs(step - mean) <= 2 * _rounding(times) / n:
            return step
    return float(f"{mean:.6g}")


def _rounding(times: NDArray) -> float:
    """Return what single precision cannot tell apart at the largest of times, ps."""
    return float(np.spacing(np.float32(np.abs(times).max())))
