"""Numbers and times as words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = [
    "Clock",
    "count",
    "enumerate_words",
    "explained",
    "format_span",
    "format_time",
    "number",
    "percent",
    "pretty_angle",
]

MISSING = "\N{EN DASH}"

#: Units of time and how many picoseconds they are, the longest first.
_UNITS = (("µs", 1e6), ("ns", 1e3), ("ps", 1.0))


def format_time(ps: float) -> str:
    """Write a time in the unit that suits it, with three digits.

    >>> format_time(1500.0)
    '1.5 ns'
    """
    ps = float(f"{ps:.3g}")
    for name, size in _UNITS:
        if abs(ps) >= size:
            return f"{_plain(ps / size)} {name}"
    return f"{_plain(ps)} ps" if abs(ps) >= 0.1 or ps == 0 else f"{_plain(ps * 1e3)} fs"


def format_span(start: float, stop: float) -> str:
    """Write from when to when, in the unit that suits the end.

    With six digits, since the single precision of many files has no more.

    >>> format_span(1.0, 50000.0)
    '0.001 to 50 ns'
    >>> format_span(0.9999999, 97.99999)
    '1 to 98 ps'
    """
    start, stop = (float(f"{ps:.6g}") for ps in (start, stop))
    longest = max(abs(start), abs(stop))
    name, size = next((u for u in _UNITS if longest >= u[1]), _UNITS[-1])
    return f"{_plain(start / size)} to {_plain(stop / size)} {name}"


def _plain(value: float) -> str:
    """Write at most six significant digits, with commas and never an exponent."""
    value = float(f"{value:.6g}")
    return f"{value:,.12f}".rstrip("0").rstrip(".")


@dataclass(frozen=True)
class Clock:
    """Turns frames into times, or leaves them frames where the files know no time.

    Attributes
    ----------
    dt : float or None
        Time between analysed frames, ps.
    """

    dt: float | None

    def show(self, frames: float | None) -> str:
        """Write a duration that is given in frames."""
        if frames is None or not np.isfinite(frames):
            return MISSING
        if self.dt is None:
            return count(round(frames, 1) if frames < 10 else round(frames), "frame")
        return format_time(frames * self.dt)

    def interval(
        self, frames: float, low: float | None = None, high: float | None = None
    ) -> str:
        """Write a duration with its 90 % interval, where there is one."""
        text = self.show(frames)
        if low is None or high is None or not np.isfinite([low, high]).all():
            return text
        return f"{text} (90 % interval {self.show(low)} to {self.show(high)})"


def number(value: float | None, digits: int = 2) -> str:
    """Write a number with fixed decimals, a dash where there is none."""
    if value is None or not np.isfinite(value):
        return MISSING
    return f"{value:.{digits}f}".replace("-", "\N{MINUS SIGN}")


def explained(r2: float | None) -> str:
    """Write a coefficient of determination; one that is not above 0 explains nothing.

    How far it lies below 0 tells how wild a prediction is, not how much it tells.

    >>> explained(0.873), explained(-22.0)
    ('0.87', 'none')
    """
    if r2 is None or not np.isfinite(r2):
        return MISSING
    return number(r2) if r2 >= 0.005 else "none"


def percent(share: float | None) -> str:
    """Write a share in per cent.

    >>> percent(0.123), percent(0.0001)
    ('12 %', '< 0.1 %')
    """
    if share is None or not np.isfinite(share):
        return MISSING
    if 0 < share < 0.0005:
        return "< 0.1 %"
    digits = 0 if share >= 0.0995 else 1
    return f"{100 * share:.{digits}f} %"


def count(n: float, word: str) -> str:
    """Write a number of things.

    >>> count(1, "state"), count(12000, "frame")
    ('1 state', '12,000 frames')
    """
    text = f"{int(n):,}" if n == int(n) else f"{n:,}"
    return f"{text} {word}" if n == 1 else f"{text} {word}s"


def enumerate_words(words: Sequence[str]) -> str:
    """Join words as in a sentence.

    >>> enumerate_words(["a", "b", "c"])
    'a, b and c'
    """
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} and {words[-1]}"


def pretty_angle(name: str) -> str:
    """Write the names of main-chain angles with their Greek letters.

    >>> pretty_angle("A:LEU42:phi")
    'φ A:LEU42'
    """
    owner, _, angle = name.rpartition(":")
    for word, letter in (("phi", "φ"), ("psi", "ψ"), ("omega", "ω"), ("chi", "χ")):
        if angle.startswith(word):
            return f"{letter}{angle[len(word) :]} {owner}"
    return f"{angle} {owner}"
