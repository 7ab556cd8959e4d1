"""Reading ahead and writing behind: what goes on while the network computes.

The kernels of the engines release the interpreter's lock, and so do decoders and
compressors, so that a thread that reads and one that stores take next to nothing from
the one that computes. Each holds one piece of work: memory does not grow with the run.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self, TypeVar

__all__ = ["Behind", "ahead"]

Item = TypeVar("Item")
_END: Any = object()


def ahead(items: Iterator[Item]) -> Generator[Item, None, None]:
    """Yield items, each made by another thread while the one before it is used.

    What the iterator raises is raised here, after the items before it. To be closed
    (``contextlib.closing``) by those who may leave early, so that the other thread has
    ended when they go on.

    Parameters
    ----------
    items : iterator
    """
    with ThreadPoolExecutor(1, thread_name_prefix="mdgeomfeat-ahead") as pool:
        coming = pool.submit(next, items, _END)
        while (item := coming.result()) is not _END:
            coming = pool.submit(next, items, _END)
            yield item


class Behind:
    """Calls a function in another thread, one call after the other.

    As a context: at its end all calls are over.

    Parameters
    ----------
    function : callable
    """

    def __init__(self, function: Callable[..., object]) -> None:
        self._function = function
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="mdgeomfeat-behind")
        self._last: Future[object] | None = None

    def __call__(self, *args: object) -> None:
        """Begin a call when the last one is over, and raise what that has raised."""
        self._wait()
        self._last = self._pool.submit(self._function, *args)

    def _wait(self) -> None:
        last, self._last = self._last, None
        if last is not None:
            last.result()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._pool.shutdown(wait=True)
        if kind is None:
            self._wait()
