"""Safe reading of the zip archives that ``torch.save`` writes.

A checkpoint is a pickle beside raw storages. ``torch.load(weights_only=True)``
executes none of the pickle's code, but believes the sizes it declares. So the pickle
is first read with stand-ins for the few names that weights need, and every tensor is
measured against the bytes that are really in the file.
"""

from __future__ import annotations

import io
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mdgeomfeat.errors import InputError

__all__ = ["read_state_dict"]

_ITEM_BYTES = {
    "FloatStorage": 4,
    "DoubleStorage": 8,
    "HalfStorage": 2,
    "BFloat16Storage": 2,
    "LongStorage": 8,
    "IntStorage": 4,
    "BoolStorage": 1,
}
_MAX_PICKLE_BYTES = 16 * 2**20
_MAX_FILE_BYTES = 4 * 2**30


class _Storage(NamedTuple):
    key: str
    n_items: int
    item_bytes: int


class _Foreign(pickle.UnpicklingError):
    """The pickle names something that weights do not need."""


def _rebuild_tensor(
    storage: object, offset: object, size: object, *_others: object
) -> _Storage:
    """Check one declared tensor against its declared storage."""
    if not isinstance(storage, _Storage) or not isinstance(size, tuple):
        raise _Foreign("a malformed tensor")
    count = 1
    for length in (*size, offset):
        if type(length) is not int or length < 0:
            raise _Foreign("a malformed tensor")
    for length in size:
        count *= length
    if count and int(str(offset)) + count > storage.n_items:
        raise _Foreign(f"a tensor of shape {size} in {storage.n_items} stored values")
    return storage


def _rebuild_parameter(data: object, *_others: object) -> object:
    """Pass a parameter's tensor on."""
    return data


class _Inspector(pickle.Unpickler):
    """Walk through a checkpoint's pickle without building anything of it."""

    def __init__(self, payload: bytes) -> None:
        super().__init__(io.BytesIO(payload))
        self.storages: list[_Storage] = []

    def find_class(self, module: str, name: str) -> Any:
        """Return a stand-in, and refuse every name that weights do not need."""
        if module == "torch" and name in _ITEM_BYTES:
            return name
        stand_ins: dict[tuple[str, str], Any] = {
            ("collections", "OrderedDict"): OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
            ("torch._utils", "_rebuild_parameter"): _rebuild_parameter,
        }
        if (module, name) not in stand_ins:
            raise _Foreign(f"{module}.{name}")
        return stand_ins[module, name]

    def persistent_load(self, pid: Any) -> _Storage:
        """Note a storage's declared size."""
        kind, item, key, _location, n_items = pid
        if kind != "storage" or item not in _ITEM_BYTES or type(n_items) is not int:
            raise _Foreign("a malformed storage")
        storage = _Storage(str(key), n_items, _ITEM_BYTES[item])
        self.storages.append(storage)
        return storage


def _inspect(path: Path) -> None:
    """Refuse whatever is not a plain archive of weights."""
    with zipfile.ZipFile(path) as archive:
        entries = {entry.filename: entry for entry in archive.infolist()}
        if any(e.compress_type != zipfile.ZIP_STORED for e in entries.values()):
            raise InputError(
                f"{path} is a compressed archive, which torch.save does not write; "
                "give the checkpoint as it was published"
            )
        pickles = [name for name in entries if name.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise InputError(
                f"{path} is a zip archive but holds no torch checkpoint; give a .pth "
                "file of weights"
            )
        if entries[pickles[0]].file_size > _MAX_PICKLE_BYTES:
            raise InputError(
                f"{path} has an index of {entries[pickles[0]].file_size} bytes, more "
                "than weights need; give a .pth file of weights"
            )
        inspector = _Inspector(archive.read(pickles[0]))
        try:
            inspector.load()
        except _Foreign as error:
            raise InputError(
                f"{path} holds more than weights ({error}), so it was not opened; ask "
                "its author for a plain state dictionary"
            ) from error
        root = pickles[0].removesuffix("data.pkl")
        for storage in inspector.storages:
            entry = entries.get(f"{root}data/{storage.key}")
            declared = storage.n_items * storage.item_bytes
            if entry is None or not 0 <= declared <= entry.file_size:
                raise InputError(
                    f"{path} declares {declared} bytes for tensor {storage.key} and "
                    f"holds {0 if entry is None else entry.file_size}; the file is "
                    "damaged, so fetch it again"
                )


def read_state_dict(path: str | Path) -> dict[str, Tensor]:
    """Read a published state dictionary without executing anything in it.

    Parameters
    ----------
    path : path
        A ``.pth`` or ``.pt`` file that ``torch.save`` wrote from a state dictionary.

    Returns
    -------
    dict of str to Tensor
        On the CPU.

    Raises
    ------
    InputError
        If the file is absent, no checkpoint, damaged, or holds anything but weights.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path} is not a file; give the path of a checkpoint")
    if path.stat().st_size > _MAX_FILE_BYTES:
        raise InputError(
            f"{path} has {path.stat().st_size} bytes, more than any of the networks "
            "here; give the checkpoint of an ET, ViSNet or TensorNet"
        )
    if not zipfile.is_zipfile(path):
        raise InputError(
            f"{path} is not a checkpoint that torch.save wrote; give a .pth file of "
            "weights, or a .safetensors file with its .json card"
        )
    try:
        _inspect(path)
        values = torch.load(path, map_location="cpu", weights_only=True)
    except InputError:
        raise
    except Exception as error:  # a damaged pickle can raise anything
        raise InputError(
            f"{path} cannot be read as a checkpoint ({type(error).__name__}: "
            f"{str(error).splitlines()[0][:120] if str(error) else 'no details'}); "
            "fetch it again"
        ) from error
    if isinstance(values, Mapping) and isinstance(values.get("state_dict"), Mapping):
        values = values["state_dict"]
    if not isinstance(values, Mapping) or not values:
        raise InputError(
            f"{path} holds a {type(values).__name__} and no weights; give a state "
            "dictionary"
        )
    for name, tensor in values.items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            raise InputError(
                f"{path} holds {type(tensor).__name__} under {name!r} where a tensor "
                "is expected; give a plain state dictionary"
            )
    return dict(values)
