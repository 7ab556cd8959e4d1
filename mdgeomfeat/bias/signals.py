"""Ctrl-C and SIGTERM while OpenMM is integrating."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["HeldBack", "hold_back"]

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class HeldBack:
    """A signal that came and has not been passed on yet."""

    def __init__(self) -> None:
        handlers = {s: signal.getsignal(s) for s in _SIGNALS}
        # What is ignored, as in the background of a shell, stays so; None is a handler
        # that Python did not install.
        self._handlers = {
            s: h for s, h in handlers.items() if h not in (signal.SIG_IGN, None)
        }
        self._came: tuple[int, FrameType | None] | None = None

    def __bool__(self) -> bool:
        return self._came is not None

    def install(self) -> None:
        """Note signals from now on, but for those that are ignored."""
        for number in self._handlers:
            signal.signal(number, self.note)

    def restore(self) -> None:
        """Put the handlers back that were there before."""
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def note(self, number: int, frame: FrameType | None) -> None:
        """Take note of a signal; a second one is passed on at once."""
        if self:
            self.pass_on()
        self._came = number, frame

    def pass_on(self) -> None:
        """Do what would have been done when the signal came."""
        if self._came is None:
            return
        (number, frame), self._came = self._came, None
        handler = self._handlers[signal.Signals(number)]
        if callable(handler):
            handler(number, frame)
        else:  # the system's own
            signal.signal(number, handler)
            signal.raise_signal(number)


@contextmanager
def hold_back() -> Iterator[HeldBack]:
    """Hold back SIGINT and SIGTERM, for the caller to pass on between steps.

    Handlers may run inside a PythonForce, and OpenMM turns what they raise there into
    an error of its own: a simulation that is asked to end would seem to have failed.

    Yields
    ------
    HeldBack
        True once a signal has come. Outside the main thread, which alone gets
        signals, it never is.
    """
    held = HeldBack()
    if threading.current_thread() is not threading.main_thread():
        yield held
        return
    held.install()
    try:
        yield held
    finally:
        held.restore()
    held.pass_on()
