"""What the input files were: names, sizes and checksums."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["checksum", "describe_input", "sha256_of"]

_BLOCK = 1 << 20
_BLOCKS = 16


def describe_input(source: Any) -> dict[str, Any]:
    """Return name, size and checksum of a reader's or a topology's file.

    Parameters
    ----------
    source : MDAnalysis reader, str, Path or None
        Anything that is neither a file nor held in memory has no checksum.

    Returns
    -------
    dict
        ``name``, ``bytes`` and ``checksum``.
    """
    filename = getattr(source, "filename", source)
    if isinstance(filename, str | Path) and Path(filename).is_file():
        path = Path(filename)
        size = path.stat().st_size
        return {"name": str(path), "bytes": size, "checksum": checksum(path)}
    coordinates = getattr(source, "coordinate_array", None)
    if isinstance(coordinates, np.ndarray):
        digest = sha256_of(np.ascontiguousarray(coordinates))
        return {"name": "memory", "bytes": coordinates.nbytes, "checksum": digest}
    name = str(filename) if isinstance(filename, str | Path) else "memory"
    return {"name": name, "bytes": None, "checksum": None}


def checksum(path: Path) -> str:
    """Return a checksum of a file that costs the same however large the file is.

    Up to 16 MiB it is the SHA-256 of the file; beyond, the SHA-256 of its length and
    of 16 blocks of 1 MiB, evenly spread from its beginning to its end. A file that was
    written anew, prolonged or cut has another one; a change of single bytes in the
    middle of a large file may go unseen.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        if size <= _BLOCKS * _BLOCK:
            return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()
        digest = hashlib.sha256(str(size).encode())
        for number in range(_BLOCKS):
            file.seek((size - _BLOCK) * number // (_BLOCKS - 1))
            digest.update(file.read(_BLOCK))
    return "sha256-of-16-blocks:" + digest.hexdigest()


def sha256_of(data: Any) -> str:
    """Return the SHA-256 of bytes or of a contiguous array."""
    return "sha256:" + hashlib.sha256(data).hexdigest()
