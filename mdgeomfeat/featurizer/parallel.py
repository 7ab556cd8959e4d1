"""Backends that spread the frames of an analysis over processes.

MDAnalysis's own multiprocessing backend forks. A process that is forked after OpenMP,
MKL or numba threads have run inherits their locks but not the threads that would open
them, and hangs at the first parallel region. Its dask backend cannot be told about
threads either. The ones here start fresh interpreters with one BLAS, torch and numba
thread each, send the analysis to a worker once, keep few finished portions waiting, and
hand each portion to a callback as soon as it arrives.
"""

from __future__ import annotations

import hashlib
import itertools
import multiprocessing
import os
import pickle
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager
from copy import copy
from multiprocessing.connection import wait as wait_for_any
from typing import Any, Self

from MDAnalysis.analysis.backends import (
    BackendBase,
    BackendDask,
    BackendMultiprocessing,
    BackendSerial,
)

from mdgeomfeat.errors import InputError
from mdgeomfeat.upstream import ignore_made_up_dt

__all__ = [
    "NOT_STORED",
    "ClientBackend",
    "DaskBackend",
    "InProcessBackend",
    "PortionsBackend",
    "SpawnBackend",
    "make_backend",
    "refuse_memory",
    "usable_cores",
]

# What a transformation that remembers earlier frames stands in the way of.
NOT_STORED = (
    "remembers earlier frames, so a store could not continue an interrupted run; write "
    "the transformed trajectory to a file first, or leave store= out"
)
_NOT_SHARED = "needs the frames in one process; use backend='serial'"

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMBA_NUM_THREADS",
)

# Portions that may be under way or waiting to be collected, for each worker.
_IN_FLIGHT = 2


def usable_cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class PortionsBackend(BackendBase):
    """A backend that reports and hands on every portion when it is finished.

    Parameters
    ----------
    n_workers : int
    collect : callable, optional
        Gets each portion as it arrives, in any order, and returns what is kept of it.
    advance : callable, optional
        Gets the number of frames of each finished portion.
    """

    def __init__(
        self,
        n_workers: int = 1,
        *,
        collect: Callable[[Any], Any] | None = None,
        advance: Callable[[int], Any] | None = None,
    ) -> None:
        self.collect = collect
        self.advance = advance
        super().__init__(n_workers)

    def connected(
        self,
        *,
        collect: Callable[[Any], Any] | None = None,
        advance: Callable[[int], Any] | None = None,
    ) -> Self:
        """Return a copy that reports to a run; see the class."""
        other = copy(self)
        other.collect, other.advance = collect, advance
        return other

    def check_transformations(self, transformations: Iterable[Any]) -> None:
        """Refuse transformations of a trajectory that need all frames in one process.

        Raises
        ------
        InputError
            If there is one.
        """
        refuse_memory(transformations, _NOT_SHARED)

    def call(self, func: Callable[..., Any], *args: Any) -> Any:
        """Return ``func(*args)``, computed on the machine that does the work."""
        return func(*args)

    def _finished(self, computation: Sequence[Any], portion: Any) -> Any:
        if self.collect is not None:
            portion = self.collect(portion)
        if self.advance is not None:
            self.advance(len(computation))
        return portion


def refuse_memory(transformations: Iterable[Any], why: str) -> None:
    """Refuse transformations that remember earlier frames.

    Parameters
    ----------
    transformations : iterable
        Of a trajectory.
    why : str
        What such a transformation stands in the way of, and what to do.

    Raises
    ------
    InputError
        If there is one.
    """
    for transformation in transformations:
        if not getattr(transformation, "parallelizable", True):
            name = type(transformation).__name__
            raise InputError(f"The trajectory's transformation {name} {why}.")


class InProcessBackend(PortionsBackend, BackendSerial):
    """One portion after the other in this process, which may use all its threads."""

    def check_transformations(self, transformations: Iterable[Any]) -> None:
        """Accept all: frames are read in order."""
        del transformations

    def apply(self, func: Callable[..., Any], computations: list[Any]) -> list[Any]:
        """Return ``func`` of every portion."""
        return [self._finished(portion, func(portion)) for portion in computations]


class SpawnBackend(PortionsBackend):
    """Spawned processes with one thread each."""

    def apply(self, func: Callable[..., Any], computations: list[Any]) -> list[Any]:
        """Return ``func`` of every portion, in order.

        Raises
        ------
        InputError
            If the analysis cannot be sent to another process, or a process ends
            before its portion is finished.
        """
        with _pool(func, min(self.n_workers, len(computations))) as pool:
            return self._drive(pool, computations)

    def _drive(self, pool: ProcessPoolExecutor, computations: list[Any]) -> list[Any]:
        results: list[Any] = [None] * len(computations)
        todo = iter(enumerate(computations))
        waiting = {}

        def submit(n: int) -> None:
            for number, portion in itertools.islice(todo, n):
                waiting[pool.submit(_run, portion)] = number

        submit(_IN_FLIGHT * self.n_workers)
        while waiting:
            done, _ = wait(waiting, return_when=FIRST_COMPLETED)
            for future in done:
                number = waiting.pop(future)
                results[number] = self._finished(computations[number], future.result())
            submit(len(done))
        return results


class DaskBackend(SpawnBackend):
    """dask's process scheduler on our own spawned processes."""

    def _drive(self, pool: ProcessPoolExecutor, computations: list[Any]) -> list[Any]:
        dask = _import_dask("dask")
        results: list[Any] = []
        step = _IN_FLIGHT * self.n_workers
        for first in range(0, len(computations), step):
            wave = computations[first : first + step]
            portions = dask.compute(
                *[dask.delayed(_run, pure=False)(portion) for portion in wave],
                scheduler="processes",
                pool=pool,
                chunksize=1,
            )
            results += map(self._finished, wave, portions)
        return results


class ClientBackend(PortionsBackend):
    """The workers of a ``dask.distributed`` cluster.

    Parameters
    ----------
    client : dask.distributed.Client
        Its workers must see the same files under the same paths.
    **kwargs
        As for :class:`PortionsBackend`.
    """

    def __init__(self, client: Any, **kwargs: Any) -> None:
        self.client = client
        super().__init__(max(1, sum(client.nthreads().values())), **kwargs)

    def call(self, func: Callable[..., Any], *args: Any) -> Any:
        """Return ``func(*args)``, computed by one of the workers."""
        return self.client.submit(func, *args, pure=False).result()

    def apply(self, func: Callable[..., Any], computations: list[Any]) -> list[Any]:
        """Return ``func`` of every portion, in order."""
        distributed = _import_dask("distributed")
        payload = self.client.scatter(_dumps(func), hash=False, broadcast=True)
        todo = iter(enumerate(computations))
        results: list[Any] = [None] * len(computations)
        numbers = {}

        def submit(n: int) -> list[Any]:
            futures = []
            for number, portion in itertools.islice(todo, n):
                future = self.client.submit(
                    _run_on_cluster, payload, portion, pure=False
                )
                numbers[future.key] = number
                futures.append(future)
            return futures

        queue = distributed.as_completed(submit(_IN_FLIGHT * self.n_workers))
        for future in queue:
            number = numbers.pop(future.key)
            results[number] = self._finished(computations[number], future.result())
            queue.update(submit(1))
        return results


def make_backend(backend: Any, n_workers: int | None) -> PortionsBackend | None:
    """Return our stand-in for what a user may pass as ``run(backend=...)``.

    Parameters
    ----------
    backend : str, dask.distributed.Client, MDAnalysis backend or None
    n_workers : int or None
        None means every core this process may use, or the backend's own number.

    Returns
    -------
    PortionsBackend or None
        None for a custom backend, which MDAnalysis itself has to judge.

    Raises
    ------
    InputError
        If the name is not known or dask is not installed.
    """
    if isinstance(backend, PortionsBackend):
        return backend
    if backend is None or backend == "serial" or isinstance(backend, BackendSerial):
        return InProcessBackend()
    if isinstance(backend, BackendDask | BackendMultiprocessing):
        n_workers = n_workers or backend.n_workers
        dask = isinstance(backend, BackendDask)
        backend = "dask" if dask else "multiprocessing"
    if isinstance(backend, str):
        n_workers = usable_cores() if n_workers is None else n_workers
        if not isinstance(n_workers, int) or n_workers < 1:
            raise InputError(f"n_workers={n_workers!r} must be a positive integer.")
        if backend == "multiprocessing":
            return SpawnBackend(n_workers)
        if backend == "dask":
            _import_dask("dask")
            return DaskBackend(n_workers)
        raise InputError(
            f"backend={backend!r} is not known; use 'serial', 'multiprocessing', "
            "'dask' or a dask.distributed.Client."
        )
    distributed = sys.modules.get("distributed")
    if distributed is not None and isinstance(backend, distributed.Client):
        return ClientBackend(backend)
    return None


def _import_dask(name: str) -> Any:
    try:
        return __import__(name)
    except ImportError as error:
        raise InputError(
            f"backend='dask' needs the package {name}, which is not installed; "
            "install mdgeomfeat[parallel]."
        ) from error


def _dumps(func: Callable[..., Any]) -> bytes:
    try:
        return pickle.dumps(func)
    except (pickle.PicklingError, TypeError, AttributeError) as error:
        raise InputError(
            f"The analysis cannot be sent to other processes ({error}); "
            "use backend='serial'."
        ) from error


@contextmanager
def _pool(func: Callable[..., Any], n_workers: int) -> Iterator[ProcessPoolExecutor]:
    """Spawn workers that hold ``func``; leave none behind, whatever happens."""
    pool = ProcessPoolExecutor(
        n_workers,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_receive,
        initargs=(_dumps(func),),
    )
    with _one_thread_in_children():
        try:
            yield pool
        except BrokenProcessPool as error:
            raise InputError(
                "A worker process ended before its portion was finished: either memory "
                "ran out (use fewer workers), or the script that was started calls "
                "run() outside of `if __name__ == '__main__':`."
            ) from error
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _one_thread_in_children() -> Iterator[None]:
    """Let child processes that start meanwhile use one thread.

    Libraries read these variables while they are imported, before any code of ours
    could run in the child.
    """
    before = {name: os.environ.get(name) for name in THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def _one_thread_here() -> Iterator[None]:
    """Use one thread in this thread of a process that somebody else started."""
    import numba
    import threadpoolctl
    import torch

    with ExitStack() as stack:
        stack.enter_context(threadpoolctl.threadpool_limits(1))
        stack.callback(torch.set_num_threads, torch.get_num_threads())
        stack.callback(numba.set_num_threads, numba.get_num_threads())
        torch.set_num_threads(1)
        numba.set_num_threads(1)
        yield


# What a worker process holds: the pickled analysis, and the analysis once it has been
# needed. A broken pickle must fail in the task, where the error finds its way back.
_payload: bytes = b""
_local = threading.local()


def _receive(payload: bytes) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    global _payload  # noqa: PLW0603 - a pool's initializer has nowhere else to put it
    _payload = payload
    ignore_made_up_dt()


def _end_with_parent() -> None:
    """End this process when the one that started it has ended, however it did.

    A pool's workers would wait for tasks for ever once their parent was killed.
    """
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait_for_any([parent.sentinel])
        os._exit(1)


def _held(payload: bytes) -> Callable[[Any], Any]:
    """Unpickle an analysis once per thread: readers and engines are not shared."""
    digest = hashlib.sha256(payload).digest()
    if getattr(_local, "digest", None) != digest:
        _local.func = pickle.loads(payload)
        _local.digest = digest
    held: Callable[[Any], Any] = _local.func
    return held


def _run(portion: Any) -> Any:
    return _held(_payload)(portion)


def _run_on_cluster(payload: bytes, portion: Any) -> Any:
    with _one_thread_here():
        return _held(payload)(portion)
