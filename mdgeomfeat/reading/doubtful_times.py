"""Times that a file states and that are likely to be wrong.

They are used all the same, and the doubt is told: whoever wrote the file knows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["doubt_about", "made_up", "time_rounding"]

# Frames nearer to each other than this (ps) are an oversight: 1 fs is a common time
# step of a simulation, and hardly any keeps every step.
_SHORTEST = 1e-3
# Readers whose frames are numbered by MDAnalysis, not by the program that wrote them.
_NUMBERED_HERE = ("TRC",)


def doubt_about(frames: NDArray[np.int64], times: NDArray[np.float64]) -> str | None:
    """Say why times are likely to be wrong, None where they look right.

    Parameters
    ----------
    frames : (n,) ndarray of int
        Frames of one file.
    times : (n,) ndarray, ps

    Returns
    -------
    str or None
        Words that go on "its frames …".
    """
    times = np.asarray(times, dtype=np.float64)
    apart = np.diff(frames)
    if not len(apart) or not apart.all() or not np.isfinite(times).all():
        return None
    steps = np.diff(times) / apart
    if not steps.any():
        return f"all have the time {times[0]:g} ps"
    if (steps <= 0).all():
        return f"go back in time, from {times[0]:,.6g} to {times[-1]:,.6g} ps"
    usual = float(np.median(steps))
    if 0 < usual < _SHORTEST * (1 - 1e-3):
        return f"are only {usual * 1e3:.3g} fs apart"
    return None


def made_up(
    reader: Any,
    frames: NDArray[np.int64],
    times: NDArray[np.float64],
    steps: Sequence[int | None],
) -> str | None:
    """Say that times are what programs write that know none, None if they are not.

    MDAnalysis and mdtraj take frames for 1 ps apart where they know nothing of times,
    and write that: in formats that number the time steps (XTC, TRR, DCD) as a time step
    of 1 ps, which no simulation takes, in others as times of 0, 1, 2 ps and so on.

    Parameters
    ----------
    reader : MDAnalysis reader
    frames : (n,) ndarray of int
    times : (n,) ndarray, ps
    steps : sequence of (int or None)
        Numbers of the time steps of the first frames, as far as they are stated.

    Returns
    -------
    str or None
        Words that go on "its frames …".
    """
    stated = getattr(reader, "_kwargs", {}).get("dt") is not None
    format_ = getattr(reader, "format", None)
    if len(times) < 2 or stated or format_ in _NUMBERED_HERE:
        return None
    even = np.abs(times - times[0] - (frames - frames[0])) <= time_rounding(times)
    known = [step for step in steps if step is not None]
    if len(known) > 1:
        counted = known[1] - known[0] == 1
    else:
        counted = times[0] == 0 and frames[0] == 0
    if not (even.all() and counted):
        return None
    return "are exactly 1 ps apart, as MDAnalysis and mdtraj write where they know none"


def time_rounding(times: NDArray[np.float64]) -> float:
    """Return what single precision cannot tell apart at the largest of times, ps."""
    return float(np.spacing(np.float32(np.abs(times).max())))
