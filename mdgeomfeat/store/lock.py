"""One process at a time writes a store."""

from __future__ import annotations

import errno
import os
import socket
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Self

from mdgeomfeat.errors import InputError, MDGeomFeatWarning
from mdgeomfeat.store.layout import disk_errors

__all__ = ["StoreLock"]

_UNSUPPORTED = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}


class StoreLock:
    """Holds a store for writing, as a context manager.

    The lock is the operating system's (``flock``) on a file beside the store, which
    says who holds it. It ends with the process that holds it, however that ends; a
    file that a crash leaves behind locks nothing.

    Parameters
    ----------
    path : Path
        The store; it need not exist.

    Raises
    ------
    InputError
        On entering, if another run holds the store.
    """

    def __init__(self, path: Path) -> None:
        self._store = path
        # One lock for all links to a store.
        place = path.resolve()
        self._file = place.with_name(place.name + ".lock")
        self._descriptor: int | None = None

    def __enter__(self) -> Self:
        if self._nothing_to_hold():
            return self
        with disk_errors(self._store):
            self._file.parent.mkdir(parents=True, exist_ok=True)
            while not self._acquire():
                pass
        return self

    def _nothing_to_hold(self) -> bool:
        """Whether a store stands where neither this run nor another can write."""
        folder = self._file.parent
        return self._store.is_dir() and not (
            os.access(folder, os.W_OK) or os.access(self._store, os.W_OK)
        )

    def __exit__(self, *_: object) -> None:
        if self._descriptor is not None:
            # Removed while it is still held, so that nobody else's file goes.
            self._file.unlink(missing_ok=True)
            os.close(self._descriptor)
            self._descriptor = None

    def _acquire(self) -> bool:
        """Take the lock; False if its file was removed in that moment."""
        import fcntl  # not on every system that can read a store

        descriptor = os.open(self._file, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.read(descriptor, 200).decode(errors="replace").strip()
            os.close(descriptor)
            if error.errno in _UNSUPPORTED:
                self._file.unlink(missing_ok=True)
                warnings.warn(
                    f"The file system of {self._store} has no locks, so nothing keeps "
                    "a second run from writing the same store.",
                    MDGeomFeatWarning,
                    stacklevel=6,
                )
                return True
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                raise
            raise InputError(
                f"{self._store} is being written by {holder or 'another run'}; wait "
                "until that has ended, or name another store."
            ) from error
        if not self._still_there(descriptor):
            os.close(descriptor)
            return False
        self._descriptor = descriptor
        with suppress(OSError):  # on a full disk nobody learns who holds the lock
            os.ftruncate(descriptor, 0)
            name = f"process {os.getpid()} on {socket.gethostname()}"
            os.write(descriptor, name.encode())
        return True

    def _still_there(self, descriptor: int) -> bool:
        """Whether the file that was locked is the one that others will find."""
        try:
            return os.path.samestat(os.fstat(descriptor), os.stat(self._file))
        except FileNotFoundError:
            return False
