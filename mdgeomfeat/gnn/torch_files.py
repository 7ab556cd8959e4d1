"""Safe reading of the zip archives that ``torch.save`` writes.

A checkpoint is a pickle beside raw storages. ``torch.load(weights_only=True)``
executes none of the pickle's code, but believes the sizes it declares. So the pickle
is first read as a list of instructions, of which only those pass that weights need,
and every tensor is measured against the bytes that are really in the file.
"""

from __future__ import annotations

import math
import pickletools
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

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


class _Foreign(Exception):  # noqa: N818 (it is no error of the program)
    """The index holds something that weights do not need."""


#: What the names in an index of weights stand for, while it is read.
_KNOWN: Final = {
    "collections OrderedDict": "dict",
    "torch._utils _rebuild_tensor_v2": "tensor",
    "torch._utils _rebuild_parameter": "parameter",
    **{f"torch {name}": name for name in _ITEM_BYTES},
}
_MARK: Final = object()


class _Index:
    """Walks through a checkpoint's pickle without building anything of it.

    A machine for those few instructions that ``torch.save`` writes for weights. It
    keeps numbers, strings, tuples and the declared storages, and calls nothing.
    """

    def __init__(self, payload: bytes) -> None:
        self.storages: list[_Storage] = []
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}
        for instruction, argument, _ in pickletools.genops(payload):
            act = getattr(self, f"_{instruction.name.lower()}", None)
            if act is not None:
                act(argument)
            elif instruction.name in _PUSHED:
                self._stack.append(argument)
            elif instruction.name in _CONSTANTS:
                self._stack.append(_CONSTANTS[instruction.name])
            elif instruction.name not in _IGNORED:
                raise _Foreign(f"the instruction {instruction.name}")

    def _pop(self, count: int) -> list[Any]:
        if len(self._stack) < count:
            raise _Foreign("a malformed index")
        taken = self._stack[len(self._stack) - count :]
        del self._stack[len(self._stack) - count :]
        return taken

    def _pop_to_mark(self) -> list[Any]:
        for place in range(len(self._stack) - 1, -1, -1):
            if self._stack[place] is _MARK:
                taken = self._stack[place + 1 :]
                del self._stack[place:]
                return taken
        raise _Foreign("a malformed index")

    def _binput(self, number: int) -> None:
        self._memo[number] = self._stack[-1] if self._stack else None

    _long_binput = _binput

    def _binget(self, number: int) -> None:
        self._stack.append(self._memo.get(number))

    _long_binget = _binget

    def _mark(self, _: object) -> None:
        self._stack.append(_MARK)

    def _tuple1(self, _: object) -> None:
        self._stack.append(tuple(self._pop(1)))

    def _tuple2(self, _: object) -> None:
        self._stack.append(tuple(self._pop(2)))

    def _tuple3(self, _: object) -> None:
        self._stack.append(tuple(self._pop(3)))

    def _tuple(self, _: object) -> None:
        self._stack.append(tuple(self._pop_to_mark()))

    def _global(self, name: str) -> None:
        if name not in _KNOWN:
            raise _Foreign(name.replace(" ", "."))
        self._stack.append(_KNOWN[name])

    def _binpersid(self, _: object) -> None:
        (declared,) = self._pop(1)
        if not isinstance(declared, tuple) or len(declared) != 5:
            raise _Foreign("a malformed storage")
        kind, item, key, _location, n_items = declared
        # A hash or the text of nested tuples could take for ever.
        texts = all(isinstance(text, str) for text in (kind, item, key))
        if not texts or kind != "storage" or item not in _ITEM_BYTES:
            raise _Foreign("a malformed storage")
        if not _count(n_items):
            raise _Foreign("a malformed storage")
        storage = _Storage(key, n_items, _ITEM_BYTES[item])
        self.storages.append(storage)
        self._stack.append(storage)

    def _reduce(self, _: object) -> None:
        what, arguments = self._pop(2)
        if what == "tensor" and isinstance(arguments, tuple) and len(arguments) > 3:
            _check_tensor(*arguments[:4])
        elif what not in ("dict", "parameter"):
            raise _Foreign("a malformed tensor")
        self._stack.append(None)

    def _setitem(self, _: object) -> None:
        self._check_keys(self._pop(2))

    def _setitems(self, _: object) -> None:
        self._check_keys(self._pop_to_mark())

    def _append(self, _: object) -> None:
        self._pop(1)

    _build = _append

    def _appends(self, _: object) -> None:
        self._pop_to_mark()

    @staticmethod
    def _check_keys(items: list[Any]) -> None:
        if not all(isinstance(key, str | int) for key in items[::2]):
            raise _Foreign("names that are not text")


#: Instructions that put their argument, or a constant, on the stack.
_PUSHED: Final = {"BINUNICODE", "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"}
_CONSTANTS: Final = {
    "EMPTY_TUPLE": (),
    "EMPTY_DICT": None,
    "EMPTY_LIST": None,
    "NEWTRUE": True,
    "NEWFALSE": False,
    "NONE": None,
}
_IGNORED: Final = {"PROTO", "STOP"}


def _count(number: object) -> bool:
    return type(number) is int and number >= 0


def _check_tensor(storage: object, offset: int, size: object, stride: object) -> None:
    """Measure a declared tensor against its declared storage."""
    if (
        not isinstance(storage, _Storage)
        or not isinstance(size, tuple)
        or not isinstance(stride, tuple)
        or len(size) != len(stride)
        or not all(map(_count, (offset, *size, *stride)))
    ):
        raise _Foreign("a malformed tensor")
    reach = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if math.prod(size) > storage.n_items or (
        0 not in size and reach >= storage.n_items
    ):
        raise _Foreign(f"a tensor of shape {size} in {storage.n_items} stored values")


def _inspect(path: Path) -> None:
    """Refuse whatever is not a plain archive of weights."""
    with zipfile.ZipFile(path) as archive:
        listed = archive.infolist()
        entries = {entry.filename: entry for entry in listed}
        if any(e.compress_type != zipfile.ZIP_STORED for e in entries.values()):
            raise InputError(
                f"{path} is a compressed archive, which torch.save does not write; "
                "give the checkpoint as it was published."
            )
        if len(entries) < len(listed) or (
            sum(e.file_size for e in listed) > path.stat().st_size
        ):
            raise InputError(
                f"{path} is an archive whose list of contents cannot be true; fetch "
                "the checkpoint again."
            )
        pickles = [name for name in entries if name.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise InputError(
                f"{path} is a zip archive but holds no torch checkpoint; give a .pth "
                "file of weights."
            )
        if entries[pickles[0]].file_size > _MAX_PICKLE_BYTES:
            raise InputError(
                f"{path} has an index of {entries[pickles[0]].file_size} bytes, more "
                "than weights need; give a .pth file of weights."
            )
        try:
            storages = _Index(archive.read(pickles[0])).storages
        except _Foreign as error:
            raise InputError(
                f"{path} holds more than weights ({error}), so it was not opened; ask "
                "its author for a plain state dictionary."
            ) from error
        root = pickles[0].removesuffix("data.pkl")
        for storage in storages:
            entry = entries.get(f"{root}data/{storage.key}")
            declared = storage.n_items * storage.item_bytes
            if entry is None or declared > entry.file_size:
                raise InputError(
                    f"{path} declares {declared} bytes for tensor {storage.key} and "
                    f"holds {0 if entry is None else entry.file_size}; the file is "
                    "damaged, so fetch it again."
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
        raise InputError(f"{path} is not a file; give the path of a checkpoint.")
    if path.stat().st_size > _MAX_FILE_BYTES:
        raise InputError(
            f"{path} has {path.stat().st_size} bytes, more than any of the networks "
            "here; give the checkpoint of an ET, ViSNet or TensorNet."
        )
    if not zipfile.is_zipfile(path):
        raise InputError(
            f"{path} is not a checkpoint that torch.save wrote; give a .pth file of "
            "weights, or a .safetensors file with its .json card."
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
            "fetch it again."
        ) from error
    if isinstance(values, Mapping) and isinstance(values.get("state_dict"), Mapping):
        values = values["state_dict"]
    if not isinstance(values, Mapping) or not values:
        raise InputError(
            f"{path} holds a {type(values).__name__} and no weights; give a state "
            "dictionary."
        )
    for name, tensor in values.items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            raise InputError(
                f"{path} holds {type(tensor).__name__} under {name!r} where a tensor "
                "is expected; give a plain state dictionary."
            )
    return dict(values)
