"""Labelled molecules from files: extended XYZ, QM9's CSV tables, SDF."""

from __future__ import annotations

import csv
import hashlib
import json
import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from torch_geometric.data import Data

from ..errors import InputError, clause
from .labels import LabelledSet, Reading, graph, label_units, labelled

__all__ = ["read_labels"]


def read_labels(
    files: str | Path | list[str | Path],
    *,
    kind: str,
    target: str = "energy",
    unit: str = "",
    forces: str = "forces",
    force_unit: str = "",
    max_atoms: int = 500,
) -> LabelledSet:
    r"""Read molecules and their labels.

    Parameters
    ----------
    files : path, list of path, or str
        A string may hold several, separated by commas. By their endings:
        ``.xyz``, ``.extxyz`` (needs ASE): labels are entries of the comment line or
        columns. ``.csv`` (needs ASE): a row for each molecule, with columns ``SMILES``,
        ``Elements`` and ``XYZ_Ang`` (lists), and labels, as the package ``qm9pack``
        holds QM9. ``.sdf`` (needs RDKit): labels are data fields of the molecules, or
        columns of a table ``NAME.sdf.csv`` beside it, as in QM9's raw files.
    kind, target, unit, forces, force_unit, max_atoms
        See `LabelConfig`.

    Returns
    -------
    LabelledSet

    Raises
    ------
    InputError
        If a file, a molecule, a label or a unit cannot be used.

    Examples
    --------
    >>> from pathlib import Path
    >>> from mdgeomfeat.finetuning import read_labels
    >>> text = "2\nProperties=species:S:1:pos:R:3 energy=-3.5\nC 0 0 0\nO 0 0 1.1\n"
    >>> _ = Path("qm.xyz").write_text(text)
    >>> data = read_labels("qm.xyz", kind="extensive", target="energy", unit="eV")
    >>> len(data), data.elements, float(data.graphs[0].y)
    (1, (6, 8), -3.5)
    """
    reading = Reading(
        kind=kind,
        target=target,
        forces=forces,
        max_atoms=max_atoms,
        **label_units(kind, unit, force_unit),
    )
    paths = _paths(files)
    graphs: list[Data] = []
    smiles: list[str | None] = []
    for path in paths:
        if not path.is_file():
            raise InputError(f"{path} does not exist; give a file with labels.")
        reader = _READERS.get(path.suffix.lower())
        if reader is None:
            raise InputError(
                f"{path} does not end in {', '.join(_READERS)}; give labels in one of "
                "these formats."
            )
        for one, text in reader(path, reading):
            graphs.append(one)
            smiles.append(text)
    about = {
        "files": [
            {"name": p.name, "sha256": hashlib.sha256(p.read_bytes()).hexdigest()}
            for p in paths
        ]
    }
    texts = [s for s in smiles if s is not None]
    return labelled(
        graphs, reading, texts if len(texts) == len(smiles) else None, about
    )


def _paths(files: str | Path | list[str | Path]) -> list[Path]:
    if isinstance(files, str):
        files = [part.strip() for part in files.split(",") if part.strip()]
    elif isinstance(files, Path):
        files = [files]
    if not files:
        raise InputError("[labels] file is empty; give a file with labels.")
    return [Path(file).expanduser() for file in files]


def _require_ase() -> None:
    if find_spec("ase") is None:
        raise InputError(
            "ASE is not installed, and extended XYZ and tables are read with it; "
            "install it with: pip install 'mdgeomfeat[finetuning]'."
        )


def _extxyz(path: Path, reading: Reading) -> Iterator[tuple[Data, str | None]]:
    """Frames of extended XYZ; a box is refused, since edges would not cross it."""
    _require_ase()
    from ase.io import iread

    frames = iread(str(path), index=":", format="extxyz")
    for index in range(10**9):
        where = f"Frame {index} of {path}"
        try:
            atoms = next(frames, None)
        except Exception as error:  # ASE's parser raises whatever it stumbles over.
            raise InputError(
                f"{where} cannot be read as extended XYZ ({clause(error)})."
            ) from error
        if atoms is None:
            return
        if atoms.pbc.any():
            raise InputError(
                f"{where} is periodic; give molecules without a box (pbc='F F F')."
            )
        found: dict[str, Any] = {**atoms.info, **atoms.arrays}
        if atoms.calc is not None:
            found |= atoms.calc.results
        one = graph(
            atoms.numbers,
            atoms.positions,
            reading,
            label=found.get(reading.target),
            forces=found.get(reading.forces),
            where=where,
        )
        name = found.get("smiles")
        yield one, name if isinstance(name, str) else None


def _lists(text: str) -> Any:
    """Read a list as QM9's table writes it: with ``1.2*^-6`` and bare ``0.``."""
    plain = text.replace("*^", "e").replace("'", '"')
    return json.loads(re.sub(r"\.(?=[\],e])", ".0", plain))


def _number(text: str | None) -> Any:
    """Read a table's number; text that is none stays what it is, to be told of."""
    if text is None:
        return None
    try:
        return float(text.replace("*^", "e"))
    except ValueError:
        return text


def _csv(path: Path, reading: Reading) -> Iterator[tuple[Data, str | None]]:
    _require_ase()
    from ase.data import atomic_numbers

    if reading.force_unit is not None:
        raise InputError(
            f"{path} is a table, which holds no forces; give extended XYZ."
        )
    with path.open(newline="") as file:
        table = csv.DictReader(file)
        lacking = {"Elements", "XYZ_Ang", reading.target} - set(table.fieldnames or ())
        if lacking:
            raise InputError(
                f"{path} lacks the columns {', '.join(sorted(lacking))}; it has "
                f"{', '.join(table.fieldnames or ['none'])}."
            )
        for row in table:
            where = f"Line {table.line_num} of {path}"
            try:
                numbers = [atomic_numbers[s] for s in _lists(row["Elements"])]
                positions = _lists(row["XYZ_Ang"])
            except (KeyError, ValueError, TypeError) as error:
                raise InputError(
                    f"{where} has elements or coordinates that cannot be read "
                    f"({clause(error)})."
                ) from error
            label = _number(row[reading.target])
            yield (
                graph(numbers, positions, reading, label=label, where=where),
                row.get("SMILES"),
            )


def _sdf(path: Path, reading: Reading) -> Iterator[tuple[Data, str | None]]:
    from ..pretraining.molecules import require_rdkit

    require_rdkit()
    from rdkit import Chem

    if reading.force_unit is not None:
        raise InputError(
            f"{path} is an SDF file, which holds no forces; give extended XYZ."
        )
    beside = path.with_name(path.name + ".csv")
    rows = None
    if beside.is_file():
        with beside.open(newline="") as file:
            rows = list(csv.DictReader(file))
    molecules = Chem.SDMolSupplier(str(path), removeHs=False, sanitize=False)
    if rows is not None and len(rows) != len(molecules):
        raise InputError(
            f"{path} holds {len(molecules)} molecules and {beside.name} {len(rows)} "
            "rows; give the table that belongs to it."
        )
    for index, mol in enumerate(molecules):
        where = f"Molecule {index} of {path}"
        if mol is None or not mol.GetNumConformers():
            raise InputError(f"{where} cannot be read; leave it out.")
        values = mol.GetPropsAsDict() if rows is None else rows[index]
        value = values.get(reading.target)
        label = _number(value) if isinstance(value, str) else value
        numbers = [atom.GetAtomicNum() for atom in mol.GetAtoms()]
        yield (
            graph(
                numbers,
                mol.GetConformer().GetPositions(),
                reading,
                label=label,
                where=where,
            ),
            _smiles(mol),
        )


def _smiles(mol: Any) -> str | None:
    """SMILES of a molecule whose valences RDKit accepts, else None."""
    from rdkit import Chem

    if Chem.SanitizeMol(mol, catchErrors=True):
        return None
    return Chem.MolToSmiles(Chem.RemoveHs(mol))


_READERS = {
    ".xyz": _extxyz,
    ".extxyz": _extxyz,
    ".csv": _csv,
    ".sdf": _sdf,
}
