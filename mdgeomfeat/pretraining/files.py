"""Readers of molecules that other people computed.

Every reader has the signature ``reader(name, about, key_from, *, …) -> Source``, with
the options of its table in a configuration as keywords, and stands in `READERS` under
the word by which a configuration names it. Molecules are named from their coordinates
by ``key_from``, but for those of SDF and SPICE files that SMILES name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import wraps
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from .graph_keys import graph_key_from_coordinates
from .molecules import (
    Keys,
    Molecule,
    key_from_coordinates,
    key_of_mol,
    key_of_smiles,
    open_file,
    require_rdkit,
)
from .packed import Source

__all__ = ["READERS"]

About = dict[str, Any]
#: (atomic numbers, positions) to the key of a molecule.
KeyFrom = Callable[[np.ndarray, np.ndarray], str]

_KEY_FROM: dict[str, KeyFrom] = {
    "smiles": key_from_coordinates,
    "graph": graph_key_from_coordinates,
}


def _existing(files: Sequence[str]) -> list[Path]:
    """Return the paths of files that are all there."""
    paths = [Path(path) for path in files]
    if not paths:
        raise InputError("files= names no data file; give a path or a list of paths.")
    for path in paths:
        if not path.exists():
            raise InputError(f"The data file {path} does not exist; check its path.")
    return paths


def _manifest_of(paths: Sequence[Path], about: About) -> About:
    """Return what the manifest says of a source."""
    return {"files": [path.name for path in paths], **about}


def _thin(count: int, limit: int | None) -> np.ndarray:
    """At most `limit` of `count` conformations, evenly spread."""
    if limit is None or count <= limit:
        return np.arange(count)
    return np.unique(np.linspace(0, count - 1, limit).astype(int))


def npz(
    name: str,
    about: About,
    key_from: KeyFrom,
    *,
    files: Sequence[str],
    every: int = 1,
    offset: int = 0,
    max_conformations: int | None = None,
) -> Source:
    """Our layout: ``z``, ``pos``, ``ptr`` and, if there, ``mol_index``.

    ``every`` and ``offset`` take the molecules of each file with
    ``mol_index % every == offset``; ``max_conformations`` is per molecule.
    """
    paths = _existing(files)
    tally: Counter[str] = Counter()

    def stream(path: Path) -> Iterator[Molecule]:
        with np.load(path, allow_pickle=False) as file:
            z, pos, ptr = (file[key] for key in ("z", "pos", "ptr"))
            count = len(ptr) - 1
            mol = file["mol_index"] if "mol_index" in file else np.arange(count)
        order = np.argsort(mol, kind="stable")
        starts = np.flatnonzero(np.diff(mol[order], prepend=-1))
        for group in np.split(order, starts[1:]):
            if mol[group[0]] % every != offset:
                tally["left out by every/offset"] += 1
                continue
            group = group[_thin(len(group), max_conformations)]
            numbers = z[ptr[group[0]] : ptr[group[0] + 1]]
            frames = np.stack([pos[ptr[g] : ptr[g + 1]] for g in group])
            yield Molecule(numbers, frames, key_from(numbers, frames[0]))

    molecules = chain.from_iterable(map(stream, paths))
    return Source(name, molecules, tally, _manifest_of(paths, about))


def sdf(
    name: str,
    about: About,
    key_from: KeyFrom,  # noqa: ARG001
    *,
    files: Sequence[str],
    max_atoms: int = 200,
    elements: Sequence[int] = tuple(range(1, 100)),
) -> Source:
    """Molecules of SDF files (``.sdf``, ``.sdf.gz``), PCQM4Mv2's among them.

    Molecules of more than ``max_atoms`` or with other ``elements`` (atomic numbers)
    are passed over. Molecules without hydrogens that they should have, and flat
    drawings, are counted and left out.
    """
    from rdkit import Chem

    paths = _existing(files)
    allowed = set(elements)
    tally: Counter[str] = Counter()

    def stream(path: Path) -> Iterator[Molecule]:
        with open_file(path) as file:
            for mol in Chem.ForwardSDMolSupplier(file, removeHs=False):
                if mol is None:
                    tally["not parsed"] += 1
                    continue
                numbers = np.array([a.GetAtomicNum() for a in mol.GetAtoms()])
                if not 1 <= len(numbers) <= max_atoms:
                    tally["too large or empty"] += 1
                    continue
                positions = mol.GetConformer().GetPositions()
                planar = np.linalg.matrix_rank(positions - positions.mean(0), tol=1e-2)
                if len(numbers) > 4 and planar < 3 and not positions[:, 2].any():
                    tally["flat drawings"] += 1
                elif any(a.GetTotalNumHs() for a in mol.GetAtoms()):
                    tally["hydrogens missing"] += 1
                elif not allowed.issuperset(numbers.tolist()):
                    tally["other elements"] += 1
                else:
                    yield Molecule(
                        numbers.astype(np.uint8),
                        positions[None].astype(np.float32),
                        key_of_mol(mol),
                    )

    molecules = chain.from_iterable(map(stream, paths))
    return Source(name, molecules, tally, _manifest_of(paths, about))


def xyz(
    name: str,
    about: About,
    key_from: KeyFrom,
    *,
    files: Sequence[str],
    max_atoms: int = 200,
) -> Source:
    """Multi-frame xyz and extended xyz (OrbNet-Denali, PCQM4Mv2).

    ``files`` may name folders of ``.xyz`` files; molecules of more than ``max_atoms``
    are passed over. Consecutive frames with equal elements and bonds are
    conformations of one molecule.
    """
    given = _existing(files)
    paths = [
        path
        for root in given
        for path in (sorted(root.rglob("*.xyz*")) if root.is_dir() else [root])
    ]
    tally: Counter[str] = Counter()

    def stream() -> Iterator[Molecule]:
        waiting: list[tuple[np.ndarray, np.ndarray]] = []
        last = ""
        for path in paths:
            for numbers, positions in _xyz_frames(path):
                if len(numbers) > max_atoms:
                    tally["too large"] += 1
                    continue
                key = key_from(numbers, positions)
                same = key == last and np.array_equal(numbers, waiting[0][0])
                if waiting and not same:
                    yield _joined(waiting, last)
                    waiting = []
                waiting.append((numbers, positions))
                last = key
        if waiting:
            yield _joined(waiting, last)

    return Source(name, stream(), tally, _manifest_of(given, about))


def _joined(frames: list[tuple[np.ndarray, np.ndarray]], key: str) -> Molecule:
    positions = np.stack([p for _, p in frames]).astype(np.float32)
    return Molecule(frames[0][0].astype(np.uint8), positions, key)


def _xyz_frames(path: Path) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    with open_file(path) as file:
        for line in file:
            if not line.strip():
                continue
            try:
                count = int(line)
                file.readline()
                rows = [file.readline().decode().split() for _ in range(count)]
                numbers = np.array(
                    [
                        int(row[0]) if row[0].isdigit() else _number(row[0])
                        for row in rows
                    ]
                )
                positions = np.array([[float(x) for x in row[1:4]] for row in rows])
            except (ValueError, IndexError) as error:
                raise InputError(
                    f"{path} is not a multi-frame xyz file (element x y z per line "
                    f"after a count and a comment): {error}."
                ) from error
            yield numbers, positions


def _number(symbol: str) -> int:
    """Return the atomic number of an element; D and T are hydrogen."""
    from mdtraj.core.element import get_by_symbol

    symbol = symbol.capitalize()
    try:
        number = 1 if symbol in ("D", "T") else int(get_by_symbol(symbol).number)
    except KeyError:
        number = 0
    if not number:
        raise ValueError(f"{symbol!r} is not an element")
    return number


def spice(
    name: str,
    about: About,
    key_from: KeyFrom,
    *,
    files: Sequence[str],
    subset: str = "",
    max_conformations: int | None = None,
) -> Source:
    """SPICE HDF5: groups with ``smiles``, ``atomic_numbers``, ``conformations``.

    ``subset`` keeps the groups whose subset contains the text; ``max_conformations``
    is per molecule.
    """
    import h5py

    paths = _existing(files)
    tally: Counter[str] = Counter()
    bohr = 0.529177210903

    def stream(path: Path) -> Iterator[Molecule]:
        with h5py.File(path) as file:
            for group in file.values():
                if subset and subset not in _text(group.get("subset")):
                    tally["of another subset"] += 1
                    continue
                data = group["conformations"]
                unit = data.attrs.get("units", "bohr")
                factor = {"bohr": bohr, "angstrom": 1.0, "nanometer": 10.0}[
                    unit.decode() if isinstance(unit, bytes) else str(unit)
                ]
                frames = data[:][_thin(len(data), max_conformations)] * factor
                numbers = _spice_numbers(group)
                if key_from is key_from_coordinates:
                    named = key_of_smiles(_text(group["smiles"]))
                else:
                    named = key_from(numbers, frames[0])
                if named is None:
                    tally["not parsed"] += 1
                    continue
                yield Molecule(numbers, frames.astype(np.float32), named)

    molecules = chain.from_iterable(map(stream, paths))
    return Source(name, molecules, tally, _manifest_of(paths, about))


def _text(data: Any) -> str:
    if data is None:
        return ""
    value = np.asarray(data[()]).ravel()[0]
    return value.decode() if isinstance(value, bytes) else str(value)


def _spice_numbers(group: Any) -> np.ndarray:
    """Atomic numbers; files before a calculation give them by the mapped SMILES."""
    if "atomic_numbers" in group:
        numbers: np.ndarray = group["atomic_numbers"][:].astype(np.uint8)
        return numbers
    require_rdkit()
    from rdkit import Chem

    options: Any = Chem.SmilesParserParams()
    options.removeHs = False
    mol = Chem.MolFromSmiles(_text(group["smiles"]), options)
    atoms = sorted(mol.GetAtoms(), key=lambda atom: atom.GetAtomMapNum())
    return np.array([atom.GetAtomicNum() for atom in atoms], np.uint8)


def trajectory(
    name: str,
    about: About,
    key_from: KeyFrom,
    *,
    files: Sequence[str],
    select: str = "all",
    step: int = 1,
) -> Source:
    """Any trajectory that MDAnalysis reads.

    ``files`` has the topology first. What ``select`` chooses, in MDAnalysis's
    language, is one molecule, whole in every frame, with its hydrogens; every
    ``step``-th frame is taken.
    """
    paths = _existing(files)
    tally: Counter[str] = Counter()

    def stream() -> Iterator[Molecule]:
        import MDAnalysis as mda

        universe = mda.Universe(*map(str, paths))
        if not hasattr(universe.atoms, "elements"):
            raise InputError(
                f"{paths[0]} gives no elements; use a topology that does (PDB)."
            )
        chosen = universe.select_atoms(select)
        if not len(chosen):
            raise InputError(f"select={select!r} matches no atom of {paths[0]}.")
        try:
            numbers = np.array([_number(e) for e in chosen.elements], np.uint8)
        except ValueError as error:
            raise InputError(
                f"{paths[0]} cannot be used, as {error}; use a topology that states "
                "elements (PDB)."
            ) from error
        frames = np.stack(
            [chosen.positions.copy() for _ in universe.trajectory[::step]]
        )
        yield Molecule(numbers, frames, key_from(numbers, frames[0]))

    return Source(name, stream(), tally, _manifest_of(paths, about))


def geometric(
    name: str,
    about: About,
    key_from: KeyFrom,
    *,
    dataset: str,
    folder: str,
    molecule: str = "",
    max_conformations: int | None = None,
) -> Source:
    """QM9, MD17 and rMD17 through torch-geometric's classes (which download).

    ``dataset`` is ``"QM9"`` or ``"MD17"``, ``folder`` where it lies or is downloaded
    to, ``molecule`` one of MD17's, such as ``"revised aspirin"``, of which
    ``max_conformations`` are taken.
    """
    tally: Counter[str] = Counter()

    def stream() -> Iterator[Molecule]:
        from torch_geometric import datasets

        if dataset == "QM9":
            data = datasets.QM9(folder)
            groups: Any = ([i] for i in range(len(data)))
        elif dataset == "MD17":
            data = datasets.MD17(folder, name=molecule)
            groups = [_thin(len(data), max_conformations)]
        else:
            raise InputError(f"dataset={dataset!r} is unknown; choose QM9 or MD17.")
        yield from molecules_of(data, groups, key_from)

    return Source(name, stream(), tally, {"dataset": dataset, **about})


def molecules_of(
    data: Any, groups: Any, key_from: KeyFrom = key_from_coordinates
) -> Iterator[Molecule]:
    """Molecules of a torch-geometric data set with ``z`` and ``pos``.

    Parameters
    ----------
    data : indexable of torch_geometric.data.Data
    groups : iterable of index lists
        Conformations of one molecule each.
    key_from : callable, optional
        Names a molecule from its numbers (A,) and positions (A, 3).
    """
    for group in groups:
        frames = np.stack([data[int(i)].pos.numpy() for i in group])
        numbers = data[int(group[0])].z.numpy().astype(np.uint8)
        yield Molecule(
            numbers,
            frames.astype(np.float32),
            key_from(numbers, frames[0]),
        )


def _named(reader: Callable[..., Source]) -> Callable[..., Source]:
    """Choose what names molecules, and say that RDKit is missing before a file opens.

    Raises
    ------
    InputError
        If RDKit is needed and not installed.
    """

    @wraps(reader)
    def opened(
        name: str, about: About, keys: Keys = "smiles", **options: Any
    ) -> Source:
        if keys == "smiles":
            require_rdkit()
        return reader(name, about, _KEY_FROM[keys], **options)

    return opened


#: Readers by the word that a configuration names them with.
READERS: dict[str, Callable[..., Source]] = {
    reader.__name__: _named(reader)
    for reader in (npz, sdf, xyz, spice, trajectory, geometric)
}
