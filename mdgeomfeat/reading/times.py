"""What the times of trajectories say: how long they are, and their time steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mdgeomfeat.errors import InputError
from mdgeomfeat.reading.chain import file_readers

if TYPE_CHECKING:
    from MDAnalysis.core.universe import Universe

__all__ = ["TrajectoryInfo", "common_dt", "trajectory_info"]


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
    no_dt: str | None
    box: tuple[float, ...] | None


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
    readers = file_readers(trajectory)
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
    dt = _constant(steps, known)
    return TrajectoryInfo(
        path=str(getattr(reader, "filename", None) or "the trajectory in memory"),
        n_frames=n,
        first_time=known.get(0),
        last_time=known[max(known)] if known else None,
        dt=dt,
        no_dt=_why_no_step(known) if dt is None and n > 1 else None,
        box=None if box is None or not all(v > 0 for v in box) else box,
    )


def _time(ts: Any, frame: int) -> float | None:
    """Time of a frame in its own file, ps, if the file knows one."""
    if "time" in ts.data:
        return float(ts.data["time"])
    if "dt" in ts.data:
        return frame * float(ts.data["dt"]) + float(ts.data.get("time_offset", 0.0))
    return None


def _why_no_step(times: dict[int, float]) -> str:
    if not times:
        return "no times"
    values = set(times.values())
    if len(values) == 1:
        return f"all times {values.pop():g} ps"
    return "times that do not grow evenly"


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
