"""What a long computation may say while it runs; the command line decides how."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

__all__ = ["Advance", "Reporter", "SilentReporter"]

Advance = Callable[[int], None]


class Reporter(Protocol):
    """Receives the steps of a computation."""

    def say(self, text: str) -> None:
        """Tell one line."""

    def stage(self, label: str, total: int | None, unit: str = "frames"):  # type: ignore[no-untyped-def]
        """Return a context manager that yields how to advance by n units."""


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
