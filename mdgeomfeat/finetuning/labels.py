"""Molecules with labels, as torch-geometric graphs, and what is refused of them."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch_geometric.data import Data

from ..errors import InputError
from .units import Unit, read_unit

__all__ = ["LabelledSet", "Reading", "from_graphs", "graph", "label_units"]

#: A sum of forces above this share of their root mean square, times the square root of
#: the number of atoms, is not that of a molecule in vacuum.
NET_FORCE = 0.1


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What is read of a molecule.

    Parameters
    ----------
    kind : str
        See `LabelConfig`.
    target, forces : str
        Names of the label and of the forces.
    unit, force_unit : Unit or None
        None where there is no such label.
    max_atoms : int
    """

    kind: str
    target: str
    forces: str
    unit: Unit | None
    force_unit: Unit | None
    max_atoms: int = 500

    @property
    def name(self) -> str:
        """Unit of the predictions."""
        unit = self.force_unit if self.kind == "forces" else self.unit
        return unit.name if unit is not None else "class"


def label_units(kind: str, unit: str, force_unit: str = "") -> dict[str, Unit | None]:
    """Units of the label and of the forces.

    Parameters
    ----------
    kind : str
        See `LabelConfig`.
    unit, force_unit : str
        As stated. Forces have the energy's unit over Å by default.

    Returns
    -------
    dict
        The fields ``unit`` and ``force_unit`` of `Reading`.

    Raises
    ------
    InputError
        If a unit is needed and not stated or unknown.
    """
    if kind == "classes":
        return {"unit": None, "force_unit": None}
    if kind == "forces":
        return {
            "unit": None,
            "force_unit": read_unit(force_unit or unit, force=True),
        }
    energy = read_unit(unit)
    if kind == "conservative":
        if energy.name != "eV":
            raise InputError(
                f"The unit of the energy is {unit!r}; state eV, meV, Hartree, kcal/mol "
                "or kJ/mol."
            )
        return {
            "unit": energy,
            "force_unit": read_unit(force_unit or unit, force=True),
        }
    if kind == "dipole" and energy.name != "D":
        raise InputError(
            f"The unit of the dipoles is {unit!r}; state D, e*Å or e*bohr."
        )
    return {"unit": energy, "force_unit": None}


@dataclass(frozen=True, eq=False)
class LabelledSet:
    """Molecules, or frames of one, with what is to be predicted.

    Parameters
    ----------
    graphs : list of torch_geometric.data.Data
        With ``z`` (A,), ``pos`` (A, 3) in Å, ``y`` (1, 1), (1, 3) or class (1,), and
        ``forces`` (A, 3) in eV/Å for the kinds that have them.
    keys : ndarray of str, shape (n,)
        Which molecule each is: equal keys, same molecule.
    reading : Reading
    smiles : list of str, optional
        As they stand in the file.
    about : dict
        Where they come from, for the card.

    Examples
    --------
    >>> import torch
    >>> from torch_geometric.data import Data
    >>> from mdgeomfeat.finetuning import from_graphs
    >>> graphs = [
    ...     Data(
    ...         z=torch.tensor([6, 8]),
    ...         pos=torch.tensor([[0, 0, 0], [0, 0, float(r)]]),
    ...         y=(r - 1.2).square().reshape(1, 1),
    ...     )
    ...     for r in torch.linspace(1.0, 1.5, 12)
    ... ]
    >>> data = from_graphs(graphs, kind="extensive", unit="eV")
    >>> data.graphs[0].pos.shape, len(data.sha256)
    (torch.Size([2, 3]), 64)
    """

    graphs: list[Data]
    keys: NDArray[np.str_]
    reading: Reading
    smiles: list[str] | None = None
    about: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.graphs)

    @property
    def elements(self) -> tuple[int, ...]:
        """Atomic numbers that occur."""
        return tuple(sorted({int(z) for g in self.graphs for z in g.z.unique()}))

    @property
    def sha256(self) -> str:
        """Hash of molecules and labels."""
        digest = hashlib.sha256(self.reading.kind.encode())
        for one in self.graphs:
            for name in ("z", "pos", "y", "forces"):
                value = one.get(name)
                if value is not None:
                    digest.update(value.numpy().tobytes())
        return digest.hexdigest()


def graph(
    numbers: Any,
    positions: Any,
    reading: Reading,
    *,
    label: Any = None,
    forces: Any = None,
    where: str,
) -> Data:
    """Make the graph of a labelled molecule, in this package's units.

    Parameters
    ----------
    numbers : array, shape (A,)
    positions : array, shape (A, 3), Å
    reading : Reading
    label, forces : array, optional
        In the units of `reading`.
    where : str
        What messages call the molecule.

    Returns
    -------
    torch_geometric.data.Data

    Raises
    ------
    InputError
        If the molecule or a label cannot be used.
    """
    z = np.asarray(numbers, np.int64)
    x = np.asarray(positions, np.float64)
    if len(z) > reading.max_atoms:
        raise InputError(
            f"{where} has {len(z)} atoms, more than max_atoms={reading.max_atoms}; "
            "leave it out or raise max_atoms."
        )
    if len(z) == 0 or x.shape != (len(z), 3) or not np.isfinite(x).all():
        raise InputError(
            f"{where} has positions that are not {len(z)} finite points; leave it out."
        )
    data = Data(z=torch.from_numpy(z), pos=torch.from_numpy(x.astype(np.float32)))
    if reading.kind != "forces":
        data.y = _label(label, reading, where)
    if reading.force_unit is not None:
        data.forces = _forces(forces, len(z), reading, where)
    return data


def _label(label: Any, reading: Reading, where: str) -> torch.Tensor:
    if label is None:
        raise InputError(
            f"{where} has no {reading.target!r}; give the name of a label in the file."
        )
    if reading.unit is None:
        try:
            number = float(label)
        except (TypeError, ValueError):
            number = math.nan
        if not number.is_integer() or number < 0:
            raise InputError(
                f"{where} has the class {label!r}; number the classes from 0."
            )
        return torch.tensor([int(number)])
    try:
        value = np.asarray(label, np.float64).reshape(1, -1)
    except (TypeError, ValueError):
        value = np.full((1, 1), math.nan)
    if not np.isfinite(value).all():
        raise InputError(
            f"{where} has {reading.target}={label!r}, which is not a finite number; "
            "leave it out or mend the file."
        )
    widths = (1, 3) if reading.kind == "dipole" else (1,)
    if value.shape[1] not in widths:
        raise InputError(
            f"{where} has {value.shape[1]} values of {reading.target!r} where "
            f"{' or '.join(map(str, widths))} can be learnt at a time; choose one."
        )
    return torch.from_numpy(value * reading.unit.factor)


def _forces(forces: Any, n: int, reading: Reading, where: str) -> torch.Tensor:
    assert reading.force_unit is not None
    if forces is None:
        raise InputError(
            f"{where} has no {reading.forces!r}; give the name of the forces in the "
            "file."
        )
    value = np.asarray(forces, np.float64)
    if value.shape != (n, 3) or not np.isfinite(value).all():
        raise InputError(
            f"{where} has forces that are not {n} finite vectors; leave it out or mend "
            "the file."
        )
    net = float(np.linalg.norm(value.sum(axis=0)))
    size = float(np.sqrt((value * value).sum(axis=1).mean()))
    if net > NET_FORCE * size * math.sqrt(n):
        raise InputError(
            f"{where} has forces that sum to {net:.3g}, not to zero (their root mean "
            f"square is {size:.3g}); a molecule without surroundings needs forces of "
            "all of its atoms."
        )
    return torch.from_numpy(value * reading.force_unit.factor)


def from_graphs(
    graphs: Iterable[Data],
    *,
    kind: str,
    target: str = "y",
    column: int | None = None,
    unit: str = "",
    forces: str = "force",
    force_unit: str = "",
    smiles: Sequence[str] | None = None,
    max_atoms: int = 500,
) -> LabelledSet:
    """Take labels from torch-geometric graphs, such as its `QM9` and `MD17`.

    Parameters
    ----------
    graphs : iterable of torch_geometric.data.Data
        With ``z`` and ``pos`` (Å), and the labels as attributes.
    kind : str
        See `LabelConfig`.
    target, forces : str
        Attributes that hold the label and the forces.
    column : int, optional
        Column of the label, where it has several.
    unit, force_unit : str
        See `read_unit`. torch-geometric's QM9 is in eV and D, its MD17 in kcal/mol.
    smiles : sequence of str, optional
        By default the graphs' attribute ``smiles``, if they have one.
    max_atoms : int

    Returns
    -------
    LabelledSet

    Raises
    ------
    InputError
        If a molecule or label cannot be used.

    Examples
    --------
    >>> import torch
    >>> from torch_geometric.data import Data
    >>> from mdgeomfeat.finetuning import from_graphs
    >>> graphs = [
    ...     Data(
    ...         z=torch.tensor([6, 8]),
    ...         pos=torch.tensor([[0, 0, 0], [0, 0, float(r)]]),
    ...         y=(r - 1.2).square().reshape(1, 1),
    ...     )
    ...     for r in torch.linspace(1.0, 1.5, 12)
    ... ]
    >>> data = from_graphs(graphs, kind="extensive", unit="eV")
    >>> len(data), data.elements, data.reading.name
    (12, (6, 8), 'eV')
    """
    reading = Reading(
        kind=kind,
        target=target,
        forces=forces,
        max_atoms=max_atoms,
        **label_units(kind, unit, force_unit),
    )
    made, found = [], []
    for index, given in enumerate(graphs):
        label = given.get(target)
        if label is not None and column is not None:
            label = torch.as_tensor(label).reshape(-1)[column]
        if isinstance(label, torch.Tensor) and kind == "classes":
            label = label.reshape(-1)[0].item()
        made.append(
            graph(
                given.z, given.pos, reading,
                label=label, forces=given.get(forces), where=f"Graph {index}",
            )
        )  # fmt: skip
        found.append(given.get("smiles"))
    names = list(smiles) if smiles is not None else found
    texts = names if names and all(isinstance(s, str) for s in names) else None
    return labelled(made, reading, texts)


def labelled(
    graphs: list[Data],
    reading: Reading,
    smiles: list[str] | None = None,
    about: dict[str, Any] | None = None,
) -> LabelledSet:
    """Put graphs together, with keys that tell which are the same molecule.

    A key is the canonical SMILES of the pre-training data where SMILES are known, and
    otherwise the sequence of elements, which conformations share.

    Parameters
    ----------
    graphs : list of torch_geometric.data.Data
    reading : Reading
    smiles : list of str, optional
    about : dict, optional

    Returns
    -------
    LabelledSet

    Raises
    ------
    InputError
        If there are no graphs, the labels are of different widths, or a SMILES string
        cannot be read.
    """
    if not graphs:
        raise InputError("There are no labelled molecules; check the file.")
    if reading.kind != "forces" and len({tuple(g.y.shape) for g in graphs}) > 1:
        raise InputError(
            f"Some molecules have one value of {reading.target!r}, others three; give "
            "all of them the same."
        )
    if smiles is None:
        keys = [" ".join(map(str, g.z.tolist())) for g in graphs]
    else:
        from ..pretraining.molecules import key_of_smiles, require_rdkit

        require_rdkit()
        keys = []
        for index, text in enumerate(smiles):
            key = key_of_smiles(text)
            if key is None:
                raise InputError(
                    f"Molecule {index} has the SMILES string {text!r}, which cannot be "
                    "read; mend it or leave the molecule out."
                )
            keys.append(key)
    return LabelledSet(graphs, np.array(keys), reading, smiles, about or {})
