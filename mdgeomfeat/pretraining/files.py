"""Readers of molecules that other people computed.

Every reader has the signature ``reader(name, options, about) -> Source`` and stands
in `READERS` under the word by which a configuration names it. Molecules whose file
gives no bonds are named from their coordinates.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from .molecules import (
    Molecule,
    key_from_coordinates,
    key_of_mol,
    open_file,
    require_rdkit,
)
from .packed import Source

__all__ = ["READERS"]

Options = dict[str, Any]


def _existing(path: str) -> Path:
    if not Path(path).exists():
        raise InputError(f"the data file {path} does not exist; check its path")
    return Path(path)


def _thin(count: int, limit: int | None) -> np.ndarray:
    """At most `limit` of `count` conformations, evenly spread."""
    if limit is None or count <= limit:
        return np.arange(count)
    return np.unique(np.linspace(0, count - 1, limit).astype(int))


def npz(name: str, options: Options, about: Options) -> Source:
    """Our layout: ``z``, ``pos``, ``ptr`` and, if there, ``mol_index``.

    Options: ``file``; ``every`` and ``offset`` (take molecules with
    ``mol_index % every == offset``); ``max_conformations`` per molecule.
    """
    path = _existing(options["file"])
    every, offset = options.get("every", 1), options.get("offset", 0)
    limit = options.get("max_conformations")
    tally: Counter[str] = Counter()

    def stream() -> Iterator[Molecule]:
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
            group = group[_thin(len(group), limit)]
            numbers = z[ptr[group[0]] : ptr[group[0] + 1]]
            frames = np.stack([pos[ptr[g] : ptr[g + 1]] for g in group])
            yield Molecule(numbers, frames, key_from_coordinates(numbers, frames[0]))

    return Source(name, stream(), tally, {"file": path.name, **about})


def sdf(name: str, options: Options, about: Options) -> Source:
    """Molecules of an SDF file (``.sdf``, ``.sdf.gz``), PCQM4Mv2's among them.

    Options: ``file``; ``max_atoms``; ``elements`` (others are passed over).
    Molecules without hydrogens that they should have, and flat drawings, are
    counted and left out.
    """
    from rdkit import Chem

    path = _existing(options["file"])
    max_atoms = options.get("max_atoms", 200)
    elements = set(options.get("elements", range(1, 100)))
    tally: Counter[str] = Counter()

    def stream() -> Iterator[Molecule]:
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
                elif not elements.issuperset(numbers.tolist()):
                    tally["other elements"] += 1
                else:
                    yield Molecule(
                        numbers.astype(np.uint8),
                        positions[None].astype(np.float32),
                        key_of_mol(mol),
                    )

    return Source(name, stream(), tally, {"file": path.name, **about})


def xyz(name: str, options: Options, about: Options) -> Source:
    """Multi-frame xyz and extended xyz (OrbNet-Denali, PCQM4Mv2).

    Options: ``file``, or a folder of ``.xyz`` files; ``max_atoms``. Consecutive
    frames with equal elements and bonds are conformations of one molecule.
    """
    root = _existing(options["file"])
    paths = sorted(root.rglob("*.xyz*")) if root.is_dir() else [root]
    max_atoms = options.get("max_atoms", 200)
    tally: Counter[str] = Counter()

    def stream() -> Iterator[Molecule]:
        waiting: list[tuple[np.ndarray, np.ndarray]] = []
        last = ""
        for path in paths:
            for numbers, positions in _xyz_frames(path):
                if len(numbers) > max_atoms:
                    tally["too large"] += 1
                    continue
                key = key_from_coordinates(numbers, positions)
                same = key == last and np.array_equal(numbers, waiting[0][0])
                if waiting and not same:
                    yield _joined(waiting, last)
                    waiting = []
                waiting.append((numbers, positions))
                last = key
        if waiting:
            yield _joined(waiting, last)

    return Source(name, stream(), tally, {"file": root.name, **about})


def _joined(frames: list[tuple[np.ndarray, np.ndarray]], key: str) -> Molecule:
    positions = np.stack([p for _, p in frames]).astype(np.float32)
    return Molecule(frames[0][0].astype(np.uint8), positions, key)


def _xyz_frames(path: Path) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    from rdkit.Chem import GetPeriodicTable

    table = GetPeriodicTable()
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
                        int(row[0])
                        if row[0].isdigit()
                        else table.GetAtomicNumber(row[0].capitalize())
                        for row in rows
                    ]
                )
                positions = np.array([[float(x) for x in row[1:4]] for row in rows])
            except (ValueError, IndexError, RuntimeError) as error:
                raise InputError(
                    f"{path} is not a multi-frame xyz file (element x y z per line "
                    f"after a count and a comment): {error}"
                ) from error
            yield numbers, positions


def spice(name: str, options: Options, about: Options) -> Source:
    """SPICE HDF5: groups with ``smiles``, ``atomic_numbers``, ``conformations``.

    Options: ``file``; ``subset`` (keep groups whose subset contains the text);
    ``max_conformations`` per molecule.
    """
    import h5py
    from rdkit import Chem

    path = _existing(options["file"])
    subset, limit = options.get("subset"), options.get("max_conformations")
    tally: Counter[str] = Counter()
    bohr = 0.529177210903

    def stream() -> Iterator[Molecule]:
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
                frames = data[:][_thin(len(data), limit)] * factor
                mol = Chem.MolFromSmiles(_text(group["smiles"]))
                if mol is None:
                    tally["not parsed"] += 1
                    continue
                numbers = _spice_numbers(group)
                yield Molecule(numbers, frames.astype(np.float32), key_of_mol(mol))

    return Source(name, stream(), tally, {"file": path.name, **about})


def _text(data: Any) -> str:
    if data is None:
        return ""
    value = np.asarray(data[()]).ravel()[0]
    return value.decode() if isinstance(value, bytes) else str(value)


def _spice_numbers(group: Any) -> np.ndarray:
    """Atomic numbers; files before a calculation give them by the mapped SMILES."""
    if "atomic_numbers" in group:
        return group["atomic_numbers"][:].astype(np.uint8)
    from rdkit import Chem

    options: Any = Chem.SmilesParserParams()
    options.removeHs = False
    mol = Chem.MolFromSmiles(_text(group["smiles"]), options)
    atoms = sorted(mol.GetAtoms(), key=lambda atom: atom.GetAtomMapNum())
    return np.array([atom.GetAtomicNum() for atom in atoms], np.uint8)


def trajectory(name: str, options: Options, about: Options) -> Source:
    """Any trajectory that MDAnalysis reads.

    Options: ``files`` (topology first); ``select``; ``step``. The selection is one
    molecule, whole in every frame, with its hydrogens.
    """
    files = [str(_existing(path)) for path in options["files"]]
    select, step = options.get("select", "all"), options.get("step", 1)
    tally: Counter[str] = Counter()

    def stream() -> Iterator[Molecule]:
        import MDAnalysis as mda

        universe = mda.Universe(*files)
        if not hasattr(universe.atoms, "elements"):
            raise InputError(
                f"{files[0]} gives no elements; use a topology that does (PDB)"
            )
        chosen = universe.select_atoms(select)
        if not len(chosen):
            raise InputError(f"select={select!r} matches no atom of {files[0]}")
        from rdkit.Chem import GetPeriodicTable

        table = GetPeriodicTable()
        numbers = np.array(
            [table.GetAtomicNumber(e.capitalize()) for e in chosen.elements], np.uint8
        )
        frames = np.stack(
            [chosen.positions.copy() for _ in universe.trajectory[::step]]
        )
        yield Molecule(numbers, frames, key_from_coordinates(numbers, frames[0]))

    return Source(name, stream(), tally, {"file": Path(files[0]).name, **about})


def geometric(name: str, options: Options, about: Options) -> Source:
    """QM9, MD17 and rMD17 through torch-geometric's classes (which download).

    Options: ``dataset`` (``"QM9"`` or ``"MD17"``), ``folder``, ``molecule`` (of
    MD17, such as ``"revised aspirin"``), ``max_conformations``.
    """
    limit = options.get("max_conformations")
    dataset, folder = options["dataset"], options["folder"]
    tally: Counter[str] = Counter()

    def stream() -> Iterator[Molecule]:
        from torch_geometric import datasets

        if dataset == "QM9":
            data = datasets.QM9(folder)
            groups: Any = ([i] for i in range(len(data)))
        elif dataset == "MD17":
            data = datasets.MD17(folder, name=options["molecule"])
            groups = [_thin(len(data), limit)]
        else:
            raise InputError(f"dataset={dataset!r} is unknown; choose QM9 or MD17")
        yield from molecules_of(data, groups)

    return Source(name, stream(), tally, {"dataset": dataset, **about})


def molecules_of(data: Any, groups: Any) -> Iterator[Molecule]:
    """Molecules of a torch-geometric data set with ``z`` and ``pos``.

    Parameters
    ----------
    data : indexable of torch_geometric.data.Data
    groups : iterable of index lists
        Conformations of one molecule each.
    """
    for group in groups:
        frames = np.stack([data[int(i)].pos.numpy() for i in group])
        numbers = data[int(group[0])].z.numpy().astype(np.uint8)
        yield Molecule(
            numbers,
            frames.astype(np.float32),
            key_from_coordinates(numbers, frames[0]),
        )


def _needs_rdkit(reader: Callable[[str, Options, Options], Source]):
    def opened(name: str, options: Options, about: Options) -> Source:
        require_rdkit()
        return reader(name, options, about)

    return opened


#: Readers by the word that a configuration names them with.
READERS: dict[str, Callable[[str, Options, Options], Source]] = {
    reader.__name__: _needs_rdkit(reader)
    for reader in (npz, sdf, xyz, spice, trajectory, geometric)
}
