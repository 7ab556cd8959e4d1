"""What a long computation may say while it runs; the command line decides how."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

__all__ = ["Advance", "Reporter", "SilentReporter", "Tell"]

Advance = Callable[[int], None]
Tell = Callable[[int, int, str], None]


class Reporter(Protocol):
    """Receives the steps of a computation."""

    def say(self, text: str) -> None:
        """Tell one line."""

    def stage(
        self, label: str, total: int | None, unit: str = "frames"
    ) -> AbstractContextManager[Advance]:
        """Begin a stage of known length; yields how to advance by n units."""

    def steps(self, label: str) -> AbstractContextManager[Tell]:
        """Begin a stage of named steps; yields ``tell(done, total, step)``."""


class SilentReporter:
    """Says nothing; for use from Python."""

    def say(self, text: str) -> None:
        """Tell nobody."""

    @contextmanager
    def stage(
        self,
        label: str,  # noqa: ARG002
        total: int | None,  # noqa: ARG002
        unit: str = "frames",  # noqa: ARG002
    ) -> Iterator[Advance]:
        """Yield a function that does nothing."""
        yield lambda _: None

    @contextmanager
    def steps(self, label: str) -> Iterator[Tell]:  # noqa: ARG002
        """Yield a function that does nothing."""
        yield lambda *_: None
