"""Tensors on disk: safetensors files, and files with a card that says what they are.

The same tensors and header always give the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

__all__ = ["hash_file", "save_tensors", "save_with_card"]

_METADATA: Final = "__metadata__"
_ALIGNED: Final = 8  # bytes; the size of a header is a multiple of it


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal digits.

    Parameters
    ----------
    path : Path
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def save_tensors(
    path: str | Path,
    tensors: Mapping[str, NDArray[Any]],
    header: Mapping[str, str] | None = None,
) -> None:
    """Write a safetensors file, which is there as a whole or not at all.

    Parameters
    ----------
    path : path
    tensors : mapping of str to ndarray
    header : mapping of str to str, optional
        What else the file says of itself.
    """
    path = Path(path)
    draft = _draft(path)
    try:
        draft.write_bytes(_encoded(tensors, header))
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def save_with_card(
    path: Path, tensors: Mapping[str, NDArray[Any]], card: Callable[[str], str]
) -> None:
    """Write ``NAME.safetensors`` and its card ``NAME.json``; neither on an error.

    Parameters
    ----------
    path : Path
        ``NAME.safetensors``. Its folder is made if there is none.
    tensors : mapping of str to ndarray
    card : callable
        Gets the SHA-256 of the tensors' file and returns the text of the card.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".json")
    draft, draft_card = _draft(path), _draft(beside)
    try:
        draft.write_bytes(_encoded(tensors, None))
        draft_card.write_text(card(hash_file(draft)), "utf-8")
        draft.replace(path)
        draft_card.replace(beside)
    finally:
        draft.unlink(missing_ok=True)
        draft_card.unlink(missing_ok=True)


def _draft(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}")


def _encoded(
    tensors: Mapping[str, NDArray[Any]], header: Mapping[str, str] | None
) -> bytes:
    # ascontiguousarray would make a scalar an array of one axis
    arrays = {name: np.asarray(tensor, order="C") for name, tensor in tensors.items()}
    if header is None:
        return save(arrays)
    return _in_order(save(arrays, dict(header)))


def _in_order(data: bytes) -> bytes:
    """Sort the entries of a header, which safetensors writes in a random order.

    A file is the size of its JSON header (8 bytes, little-endian), the header padded
    with spaces, and the tensors (section "Format" of the README of safetensors).
    """
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    header[_METADATA] = dict(sorted(header[_METADATA].items()))
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _ALIGNED)
    return len(text).to_bytes(8, "little") + text + data[8 + size :]
