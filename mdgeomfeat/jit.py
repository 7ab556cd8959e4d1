"""numba functions that are compiled once per machine, and threads to run them.

The kernels release the interpreter's lock and are spread over plain Python threads.
numba's own parallel loops are not used: their portable layer ends the process when
two threads of a dask worker enter it together, and their OpenMP layer does not
survive a fork.
"""

from __future__ import annotations

import hashlib
import os
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import numba
from numba.core import event

__all__ = ["cached_njit", "n_threads", "run_threads", "when_compiling"]


def cached_njit(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Return a decorator like ``numba.njit`` whose machine code is kept on disk.

    numba keeps it beside the source file, else in the user's cache folder. Where
    neither can be written to, a private folder among the temporary files is used. It is
    compiled anew when any file of this package that holds kernels has changed.

    Parameters
    ----------
    **options
        Passed on to ``numba.njit``. The interpreter's lock is always released.
    """

    def decorate(function: Callable[..., Any]) -> Any:
        jitted = numba.njit(nogil=True, **options)(function)
        try:
            jitted.enable_caching()
        except RuntimeError:  # numba: no locator available
            config: Any = numba.config
            before = config.CACHE_DIR
            config.CACHE_DIR = str(_temporary_cache())
            try:
                jitted.enable_caching()
            finally:
                config.CACHE_DIR = before
        # numba looks only at the file of the outermost function, and would go on using
        # the old code of functions from other files that became a part of it.
        file = jitted._cache._cache_file
        file._source_stamp = (file._source_stamp, _sources())
        file._load_index = _or_nothing(file._load_index)
        return jitted

    return decorate


def _or_nothing(load: Callable[[], dict[Any, Any]]) -> Callable[[], dict[Any, Any]]:
    """Return a reader of an index that is empty where it names types that are gone.

    numba reads the types of all signatures before it looks whether the index is of the
    same source; those of an earlier version may not exist any more.
    """

    def load_index() -> dict[Any, Any]:
        try:
            return load()
        except (AttributeError, ImportError):
            return {}

    return load_index


@lru_cache
def _sources() -> str:
    """Return a digest of all files of this package that hold compiled functions."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        text = path.read_bytes()
        if b"numba" in text or b"njit" in text:
            digest.update(text)
    return digest.hexdigest()


def _temporary_cache() -> Path:
    """Return a folder among the temporary files that only this user can write to."""
    name = f"mdgeomfeat-numba-{os.getuid() if hasattr(os, 'getuid') else 'user'}"
    folder = Path(tempfile.gettempdir()) / name
    folder.mkdir(mode=0o700, exist_ok=True)
    status = folder.lstat()
    foreign = hasattr(os, "getuid") and status.st_uid != os.getuid()
    if foreign or not stat.S_ISDIR(status.st_mode) or status.st_mode & 0o022:
        # Machine code is loaded from here, so nobody else may be able to plant it.
        return Path(tempfile.mkdtemp(prefix="mdgeomfeat-numba-"))
    return folder


@contextmanager
def when_compiling(tell: Callable[[], object]) -> Iterator[None]:
    """Call ``tell`` once, as soon as a function is compiled rather than loaded.

    Parameters
    ----------
    tell : callable
        Takes nothing.
    """
    told: list[object] = []

    class Once(event.Listener):
        def on_start(self, _: object) -> None:
            if not told:
                told.append(tell())

        def on_end(self, _: object) -> None:
            """Nothing is told of the end."""

    with event.install_listener("numba:compile", Once()):
        yield


def n_threads() -> int:
    """Return how many threads to use: numba's number, which workers set to one.

    numba starts its threads when it is first asked, and so sets OpenMP's number, which
    torch shares. Torch keeps the one it had: a second thread for small kernels costs a
    thousand times the time on a busy machine.
    """
    torch = sys.modules.get("torch")
    before = None if torch is None else torch.get_num_threads()
    wanted = int(numba.get_num_threads())
    if torch is not None and torch.get_num_threads() != before:
        torch.set_num_threads(before)
    return wanted


def run_threads(
    function: Callable[..., object], jobs: Sequence[tuple[Any, ...]], threads: int
) -> None:
    """Call a function once per job, on several threads where that is allowed.

    Parameters
    ----------
    function : callable
        Has to release the interpreter's lock to gain from threads.
    jobs : sequence of tuples
        Positional arguments of each call.
    threads : int
        Upper limit for the number of threads.
    """
    if threads <= 1 or len(jobs) <= 1:
        for job in jobs:
            function(*job)
        return
    with ThreadPoolExecutor(min(threads, len(jobs))) as pool:
        for future in [pool.submit(function, *job) for job in jobs]:
            future.result()
