"""One compact file for conformations, with a manifest beside it.

The file is a compressed npz of ``z`` (uint8, atoms of all molecules, once per
molecule), ``pos`` (int16, thousandths of an Å around each conformation's
centre), ``mol_ptr`` (start of each molecule in ``z``), ``mol_of`` (molecule of
each conformation), ``source_of`` (source of each molecule) and ``keys``. The
manifest ``NAME.json`` states sources, counts, elements and the sha256 of the
arrays.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .exclusion import excluded_keys
from .molecules import Keys, Molecule, split_of

__all__ = ["Packed", "Source", "load_packed", "merge", "pack"]

FORMAT = 1
#: Å per unit of the stored positions.
SCALE = 1e-3


@dataclass
class Source:
    """A stream of molecules with the counts of what did not make it.

    Parameters
    ----------
    name : str
        Shown in manifests and tables of losses.
    molecules : iterable of Molecule
    tally : collections.Counter
        Filled by the builder while it streams: failures by reason.
    about : dict
        Origin, licence and settings, written to the manifest.
    """

    name: str
    molecules: Iterable[Molecule]
    tally: Counter[str] = field(default_factory=Counter)
    about: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Packed:
    """Conformations in memory.

    Parameters
    ----------
    z : ndarray, shape (sum of atoms of the molecules,), uint8
    pos : ndarray, shape (sum of atoms of the conformations, 3), int16
        Thousandths of an Å.
    mol_ptr : ndarray, shape (M + 1,), int64
    mol_of : ndarray, shape (G,), int32
        Molecule of each conformation, ascending.
    source_of : ndarray, shape (M,), int16
    keys : ndarray of str, shape (M,)
    manifest : dict
    """

    z: NDArray[np.uint8]
    pos: NDArray[np.int16]
    mol_ptr: NDArray[np.int64]
    mol_of: NDArray[np.int32]
    source_of: NDArray[np.int16]
    keys: NDArray[np.str_]
    manifest: dict[str, Any]

    def __post_init__(self) -> None:
        sizes = np.diff(self.mol_ptr)[self.mol_of]
        pos_ptr = np.concatenate([[0], np.cumsum(sizes)])
        object.__setattr__(self, "sizes", sizes)
        object.__setattr__(self, "pos_ptr", pos_ptr)

    sizes: NDArray[np.int64] = field(init=False)
    pos_ptr: NDArray[np.int64] = field(init=False)

    def __len__(self) -> int:
        return len(self.mol_of)

    @property
    def sources(self) -> list[str]:
        """Names of the sources, in the order of `source_of`."""
        return [source["name"] for source in self.manifest["sources"]]

    def numbers(self, index: int) -> NDArray[np.uint8]:
        """Atomic numbers of a conformation, shape (A,)."""
        mol = self.mol_of[index]
        return self.z[self.mol_ptr[mol] : self.mol_ptr[mol + 1]]

    def positions(self, index: int) -> NDArray[np.float32]:
        """Positions of a conformation, shape (A, 3), Å."""
        part = self.pos[self.pos_ptr[index] : self.pos_ptr[index + 1]]
        return part.astype(np.float32) * np.float32(SCALE)

    def indices(self, split: str, validation: float = 0.02) -> NDArray[np.int64]:
        """Conformations of the molecules of a split, shape (n,)."""
        chosen = np.array([split_of(key, validation) == split for key in self.keys])
        return np.flatnonzero(chosen[self.mol_of])


def _sha256(arrays: dict[str, NDArray[Any]]) -> str:
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name}{array.dtype.str}{array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def pack(
    sources: Iterable[Source],
    path: str | Path,
    *,
    exclude: frozenset[str] | None = None,
    keys: Keys = "smiles",
) -> dict[str, Any]:
    """Write sources to one file and its manifest.

    Molecules on the exclusion list, alone or as part of an aggregate, are dropped
    and counted, and so are those wider than 65 Å or with positions that are not
    finite.

    Parameters
    ----------
    sources : iterable of Source
        Consumed one after another.
    path : str or Path
        Ends in ``.npz``; the manifest is written beside it.
    exclude : frozenset of str, optional
        Keys to drop; the committed list by default.
    keys : {"smiles", "graph"}
        What the molecules are named by.

    Returns
    -------
    dict
        The manifest.

    Raises
    ------
    InputError
        If `path` does not end in ``.npz`` or nothing is left to write.
    """
    path = Path(path)
    if path.suffix != ".npz":
        raise InputError(f"Packed data go to a file ending in .npz, not to {path}.")
    exclude = excluded_keys(keys) if exclude is None else exclude
    z: list[NDArray[np.uint8]] = []
    pos: list[NDArray[np.int16]] = []
    mol_of: list[NDArray[np.int32]] = []
    source_of: list[int] = []
    names: list[str] = []
    reports: list[dict[str, Any]] = []
    elements: Counter[int] = Counter()
    for number, source in enumerate(sources):
        molecules = conformations = atoms = 0
        for molecule in source.molecules:
            if not exclude.isdisjoint(molecule.key.split(".")):
                source.tally["on the exclusion list"] += 1
                continue
            centred = molecule.positions - molecule.positions.mean(1, keepdims=True)
            units = np.rint(centred / SCALE)
            if not np.isfinite(units).all() or np.abs(units).max() > 32767:
                source.tally["not finite or wider than 65 Å"] += 1
                continue
            z.append(molecule.numbers.astype(np.uint8))
            pos.append(units.astype(np.int16).reshape(-1, 3))
            mol_of.append(np.full(len(units), len(names), np.int32))
            source_of.append(number)
            names.append(molecule.key)
            elements.update(molecule.numbers.tolist())
            molecules += 1
            conformations += len(units)
            atoms += len(molecule.numbers) * len(units)
        reports.append(
            {
                "name": source.name,
                "molecules": molecules,
                "conformations": conformations,
                "atoms": atoms,
                "dropped": dict(source.tally),
                **source.about,
            }
        )
    if not names:
        raise InputError(f"No molecule is left to write to {path}: {reports}.")
    arrays: dict[str, NDArray[Any]] = {
        "z": np.concatenate(z),
        "pos": np.concatenate(pos),
        "mol_ptr": np.concatenate([[0], np.cumsum([len(a) for a in z])]),
        "mol_of": np.concatenate(mol_of),
        "source_of": np.array(source_of, np.int16),
        "keys": np.array(names),
    }
    manifest = {
        "format": FORMAT,
        "keys": keys,
        "molecules": len(set(names)),
        "conformations": len(arrays["mol_of"]),
        "atoms": len(arrays["pos"]),
        "elements": {str(k): elements[k] for k in sorted(elements)},
        "sources": reports,
        "excluded_keys": len(exclude),
        "sha256": _sha256(arrays),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
    path.with_suffix(".json").write_text(json.dumps(manifest, indent=1) + "\n")
    return manifest


def load_packed(path: str | Path) -> Packed:
    """Read a file of `pack` and check it against its manifest.

    Raises
    ------
    InputError
        If a file is absent, of another format, or does not match its hash.
    """
    path = Path(path)
    beside = path.with_suffix(".json")
    for needed in (path, beside):
        if not needed.is_file():
            raise InputError(
                f"{needed} does not exist; build it with: mdgeomfeat pretrain data."
            )
    manifest = json.loads(beside.read_text())
    if manifest.get("format") != FORMAT:
        raise InputError(
            f"{beside} has format {manifest.get('format')!r}, this version reads "
            f"{FORMAT}; build the data again."
        )
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    if _sha256(arrays) != manifest["sha256"]:
        raise InputError(
            f"{path} does not match the sha256 in {beside}; build the data again."
        )
    return Packed(**arrays, manifest=manifest)


def merge(
    parts: Iterable[str | Path],
    path: str | Path,
    *,
    exclude: frozenset[str] | None = None,
) -> dict[str, Any]:
    """Join packed files into one; the exclusion list is applied again.

    Parameters
    ----------
    parts : iterable of path
    path, exclude
        See `pack`.

    Returns
    -------
    dict
        The manifest.

    Raises
    ------
    InputError
        If the parts name their molecules by different rules.
    """
    sources = []
    rules: dict[Keys, str | Path] = {}
    for part in parts:
        packed = load_packed(part)
        rules.setdefault(packed.manifest.get("keys", "smiles"), part)
        if len(rules) > 1:
            said = " and ".join(f"{path} ({rule})" for rule, path in rules.items())
            raise InputError(
                f"{said} have different kinds of keys, so the same molecule might be "
                "used for training and for validation; build them with the same keys."
            )
        starts = np.searchsorted(packed.mol_of, np.arange(len(packed.keys) + 1))
        for number, report in enumerate(packed.manifest["sources"]):
            about = {
                k: v
                for k, v in report.items()
                if k not in {"name", "molecules", "conformations", "atoms", "dropped"}
            }
            sources.append(
                Source(
                    report["name"],
                    _molecules(packed, starts, number),
                    Counter(report["dropped"]),
                    about,
                )
            )
    return pack(sources, path, exclude=exclude, keys=next(iter(rules), "smiles"))


def _molecules(
    packed: Packed, starts: NDArray[np.int64], source: int
) -> Iterable[Molecule]:
    for mol in np.flatnonzero(packed.source_of == source):
        numbers = packed.z[packed.mol_ptr[mol] : packed.mol_ptr[mol + 1]]
        first, last = packed.pos_ptr[starts[mol]], packed.pos_ptr[starts[mol + 1]]
        positions = packed.pos[first:last].reshape(-1, len(numbers), 3) * SCALE
        yield Molecule(numbers, positions.astype(np.float32), str(packed.keys[mol]))
