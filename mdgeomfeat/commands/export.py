"""The command ``export``: a learnt variable for other programs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from mdgeomfeat.commands.output import output_folder
from mdgeomfeat.commands.record import versions
from mdgeomfeat.commands.tables import write_json
from mdgeomfeat.errors import InputError

if TYPE_CHECKING:
    from mdgeomfeat.featurespec import FeatureSpec
    from mdgeomfeat.kinetics import CVModel
    from mdgeomfeat.structure import Structure
    from mdgeomfeat.variables import CollectiveVariables, TrainingRecord

__all__ = ["TARGETS", "ExportOptions", "export_variables"]

SCRIPT, INPUT = "model.ptc", "plumed.dat"
#: What can be exported for, and the file to look at first.
TARGETS: Final = {"plumed": INPUT, "torch": "model.pt2"}
FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """What is exported, and with which numbers PLUMED's input is filled.

    Attributes
    ----------
    model : Path
        The folder of a report, or its model.
    targets : tuple of {"plumed", "torch"}
        Which files are written.
    structure : Path or None
        A topology of the whole system, with the atoms in the order that the
        simulation has; None takes them as they were in training.
    select : str or None
        A selection, if the atoms are named differently there.
    dtype : {"float32", "float64"}
        Precision of the network.
    reach : bool
        Whether the distance from the training data is one of the outputs.
    temperature : float
        K.
    barrier : float
        kJ/mol.
    pace : int
        Steps.
    """

    model: Path
    targets: tuple[str, ...] = ("plumed",)
    structure: Path | None = None
    select: str | None = None
    dtype: str = "float32"
    reach: bool = True
    temperature: float = 300.0
    barrier: float = 40.0
    pace: int = 500


def export_variables(options: ExportOptions, out: Path | None, overwrite: bool) -> Path:
    """Write variables as files that other programs use.

    Parameters
    ----------
    options : ExportOptions
    out : Path or None
        The folder; None names it after the model's.
    overwrite : bool
        Whether an earlier export there may be replaced.

    Returns
    -------
    Path
        The folder, with the files of the targets and ``summary.json``.

    Raises
    ------
    InputError
        If no target is given, the model has no record of its atoms or data, the atoms
        are others, or a file cannot be written.
    """
    if not options.targets:
        raise InputError(
            "No target of the export is given; give --plumed or --torch-export."
        )
    from mdgeomfeat.variables import (
        CollectiveVariables,
        read_model_folder,
        read_training,
    )

    model, features = read_model_folder(options.model)
    record = read_training(options.model)
    structure, positions = _atoms(options, model, features)
    variables = CollectiveVariables(
        model,
        features,
        structure,
        engine="torch",
        dtype=options.dtype,
        reach=record.reach if options.reach else None,
    )
    kind = "plumed" if options.targets == ("plumed",) else "export"
    folder = out or Path(f"{options.model.resolve().name}-{kind}")
    with output_folder(folder, overwrite) as work:
        for target in options.targets:
            _write(target, options, record, variables, positions, work)
        write_json(
            work / "summary.json",
            {
                "format": FORMAT,
                "kind": "mdgeomfeat export",
                "model": str(options.model),
                "atoms": [int(k) + 1 for k in structure.indices],
                "outputs": variables.dim,
                "precision": options.dtype,
                "versions": versions(),
            },
        )
    return folder


def _write(
    target: str,
    options: ExportOptions,
    record: TrainingRecord,
    variables: CollectiveVariables,
    positions: np.ndarray,
    folder: Path,
) -> None:
    """Write the files of one target."""
    from mdgeomfeat.bias.exported import write_torch_export
    from mdgeomfeat.bias.plumed import plumed_input, write_torchscript
    from mdgeomfeat.bias.ranges import propose_ranges

    if target == "torch":
        write_torch_export(variables, positions, folder / TARGETS[target])
        return
    write_torchscript(variables, positions, folder / SCRIPT)
    structure = variables.structure
    labels = structure.token_labels()
    names = [labels[token] for token in structure.token_of_atom]
    n_biased = min(variables.dim - options.reach, 3)
    text = plumed_input(
        [int(k) + 1 for k in structure.indices],
        names,
        propose_ranges(record, range(n_biased)),
        file=SCRIPT,
        n_outputs=variables.dim,
        temperature=options.temperature,
        barrier=options.barrier,
        pace=options.pace,
    )
    (folder / INPUT).write_text(text, encoding="utf-8")


def _atoms(
    options: ExportOptions, model: CVModel, features: FeatureSpec
) -> tuple[Structure, np.ndarray]:
    """Return the model's atoms, and positions that are all different."""
    from mdgeomfeat.reading import open_universe
    from mdgeomfeat.structure import Structure
    from mdgeomfeat.structure.selected import select_structure

    if options.structure is None:
        table = model.metadata["structure"].get("table")
        if table is None:
            raise InputError(
                f"The model in '{options.model}' was saved by an earlier release and "
                "does not say which atoms of a file it is for; give the topology as "
                "well."
            )
        structure = Structure.from_dict(table)
        return structure, _coil(structure.n_atoms)
    universe = open_universe([str(options.structure)])
    select = features.select if options.select is None else options.select
    _, structure = select_structure(universe, select, tokens=features.tokens)
    return structure, _coil(structure.n_atoms)


def _coil(n_atoms: int) -> np.ndarray:
    """Return positions on a coil, 1.5 Å apart, (A, 3), to record with."""
    turn = np.arange(n_atoms)
    return np.stack([2.3 * np.cos(turn), 2.3 * np.sin(turn), 0.5 * turn], axis=1)
