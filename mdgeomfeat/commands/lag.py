"""Lags as people write them: frames as a bare integer, or a time with its unit."""

from __future__ import annotations

import math

from mdgeomfeat.errors import InputError
from mdgeomfeat.reading.times import DURATION, TIME_UNITS
from mdgeomfeat.text import format_time

__all__ = ["parse_lag", "split_lag"]

_WHOLE = 1e-3  # time steps in files are rounded; a thousandth of a frame is nothing


def split_lag(text: str) -> tuple[float, str]:
    """Read a lag's number and unit, without asking how long a frame is.

    Parameters
    ----------
    text : str

    Returns
    -------
    value : float
        Above 0; whole if there is no unit.
    unit : str
        ``""`` for frames.

    Raises
    ------
    InputError
        If it cannot be read, or is not positive.
    """
    match = DURATION.fullmatch(text)
    unit = match.group(2) if match else ""
    value = float(match.group(1)) if match else math.nan
    if not math.isfinite(value) or (unit and unit not in TIME_UNITS):
        raise InputError(
            f"--lag '{text}' cannot be read; give frames as a bare integer (20) or a "
            "time (20ps, 0.5ns)."
        )
    if value <= 0:
        raise InputError(f"--lag '{text}' must be above 0.")
    if not unit and value != int(value):
        raise InputError(
            f"--lag '{text}' has no unit, so it counts frames and must be a whole "
            "number; for a time write a unit (ps, ns)."
        )
    return value, unit


def parse_lag(text: str, dt: float | None) -> int:
    """Turn a lag as written by the user into frames.

    Parameters
    ----------
    text : str
        ``"20"`` (frames after ``step``), ``"20ps"``, ``"0.5ns"``.
    dt : float or None
        Time between analysed frames, ps; None where it is unknown.

    Returns
    -------
    int
        At least 1.

    Raises
    ------
    InputError
        If it cannot be read, is not positive, needs a time step that is not known,
        or is no whole number of frames; then the nearest two are named.
    """
    value, unit = split_lag(text)
    if not unit:
        return int(value)
    if dt is None:
        raise InputError(
            f"--lag '{text}' is a time, but the time between frames is not known here; "
            "state it with --dt (such as --dt 100ps), or give the lag as a number of "
            "frames."
        )
    frames = value * TIME_UNITS[unit] / dt
    if not math.isfinite(frames):
        raise InputError(f"--lag '{text}' is longer than any trajectory.")
    nearest = round(frames)
    if nearest < 1 or abs(frames - nearest) > _WHOLE * max(1.0, frames / 100):
        below = max(1, int(frames))
        raise InputError(
            f"--lag '{text}' is {frames:.4g} frames of {dt:g} ps; the nearest whole "
            f"numbers are {below} ({format_time(below * dt)}) and {below + 1} "
            f"({format_time((below + 1) * dt)})."
        )
    return nearest
