"""Progress on a terminal as bars with a rate and an end time, else as plain lines."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from mdgeomfeat.commands.progress import Advance, Tell

__all__ = ["PlainReporter", "RichReporter", "make_reporter"]


def make_reporter() -> RichReporter | PlainReporter:
    """Return bars where the error stream is a terminal, plain lines elsewhere."""
    return RichReporter() if sys.stderr.isatty() else PlainReporter()


class RichReporter:
    """Bars with rate and remaining time, drawn on the error stream."""

    def __init__(self) -> None:
        from rich.console import Console

        self._console = Console(stderr=True, highlight=False)

    def say(self, text: str) -> None:
        """Print one line."""
        self._console.print(text, markup=False)

    @contextmanager
    def stage(
        self, label: str, total: int | None, unit: str = "frames"
    ) -> Iterator[Advance]:
        """Show one bar while the block runs, and a line with its time after it."""
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            ProgressColumn,
            Task,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )
        from rich.text import Text

        class Rate(ProgressColumn):
            """Units per second."""

            def render(self, task: Task) -> Text:
                speed = task.finished_speed or task.speed
                return Text("" if speed is None else f"{speed:,.0f} {unit}/s")

        start = time.perf_counter()
        columns = [TextColumn("{task.description}"), BarColumn()]
        if total is not None:
            columns += [MofNCompleteColumn(), Rate(), TextColumn("left")]
            columns += [TimeRemainingColumn()]
        with Progress(
            *columns, TimeElapsedColumn(), console=self._console, transient=True
        ) as progress:
            task = progress.add_task(label, total=total)
            yield lambda n: progress.advance(task, n)
        self.say(f"{label}: {_elapsed(time.perf_counter() - start)}")

    @contextmanager
    def steps(self, label: str) -> Iterator[Tell]:
        """Show one bar over named steps, and a line with its time after it."""
        from rich.markup import escape
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        start = time.perf_counter()
        with Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TimeElapsedColumn(),
            console=self._console,
            transient=True,
        ) as progress:
            task = progress.add_task(label, total=None)

            def tell(done: int, total: int, step: str) -> None:
                progress.update(
                    task,
                    completed=done,
                    total=total,
                    description=f"{label}: {escape(step)}",
                )

            yield tell
        self.say(f"{label}: {_elapsed(time.perf_counter() - start)}")


class PlainReporter:
    """Lines for logs: at most one in five seconds."""

    def say(self, text: str) -> None:
        """Print one line."""
        print(text, file=sys.stderr, flush=True)  # noqa: T201

    @contextmanager
    def stage(
        self, label: str, total: int | None, unit: str = "frames"
    ) -> Iterator[Advance]:
        """Print how far the block has come, and a line with its time after it."""
        start = start_of_rate = last = time.perf_counter()
        done = first = 0

        def advance(n: int) -> None:
            nonlocal done, first, start_of_rate, last
            done += n
            now = time.perf_counter()
            if not first:
                # What comes before the first frames (compiling) is no part of a rate.
                first, start_of_rate, last = done, now, now
            elif total and done < total and now - last >= 5.0:
                last = now
                rate = (done - first) / (now - start_of_rate)
                speed = f"{rate:,.0f} {unit}/s, " if rate >= 1 else ""
                left = _elapsed((total - done) / rate)
                self.say(f"{label}: {done}/{total} {unit}, {speed}{left} left")

        yield advance
        self.say(f"{label}: {_elapsed(time.perf_counter() - start)}")

    @contextmanager
    def steps(self, label: str) -> Iterator[Tell]:
        """Print the step that is under way and what remains, and the time after all."""
        start = time.perf_counter()
        last = start - 5.0
        planned, first, begun = 0, 0, start

        def tell(done: int, total: int, step: str) -> None:
            nonlocal last, planned, first, begun
            now = time.perf_counter()
            if total != planned:
                # Steps that were added are of another kind: their pace is not known.
                planned, first, begun = total, done, now
            if done < total and now - last >= 5.0:
                last = now
                left = ""
                if done > first:
                    pace = (now - begun) / (done - first)
                    left = f", about {_elapsed(pace * (total - done))} left"
                self.say(f"{label}: {done}/{total}, {step}{left}")

        yield tell
        self.say(f"{label}: {_elapsed(time.perf_counter() - start)}")


def _elapsed(seconds: float) -> str:
    """Write a duration the way people do."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min"
