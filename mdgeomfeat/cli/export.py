"""The command ``export``: a learnt variable for other programs."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from mdgeomfeat.cli import options as o

__all__ = ["export"]


class Precision(StrEnum):
    """Of the network."""

    SINGLE = "float32"
    DOUBLE = "float64"


def export(
    model: Annotated[
        Path,
        typer.Argument(metavar="MODEL", help="Results folder of vamp or tica."),
    ],
    structure: Annotated[
        Path | None,
        typer.Argument(
            metavar="TOPOLOGY",
            help="Topology of the whole system, with the atoms in the order of the "
            "simulation (default: that of the files the model was learnt from).",
            show_default=False,
        ),
    ] = None,
    plumed: Annotated[
        bool, typer.Option("--plumed", help="Write for PLUMED's PYTORCH_MODEL.")
    ] = False,
    torch_export: Annotated[
        bool,
        typer.Option(
            "--torch-export", help="Write a program that torch.export.load reads."
        ),
    ] = False,
    out: o.Out = None,
    overwrite: o.Overwrite = False,
    select: Annotated[
        str | None,
        typer.Option(
            metavar="SELECTION",
            help="Selection of the model's atoms, if they have other names there.",
            show_default=False,
        ),
    ] = None,
    dtype: Annotated[
        Precision, typer.Option(help="Precision of the network.")
    ] = Precision.SINGLE,
    reach: Annotated[
        bool,
        typer.Option(
            "--distance/--no-distance",
            help="Add the distance from the training data as the last output, or do "
            "not.",
        ),
    ] = True,
    temperature: Annotated[
        float, typer.Option(metavar="KELVIN", help="Temperature of the simulation.")
    ] = 300.0,
    barrier: Annotated[
        float,
        typer.Option(
            metavar="KJ/MOL", help="Highest barrier that the bias should overcome."
        ),
    ] = 40.0,
    pace: Annotated[
        int,
        typer.Option(min=1, metavar="N", help="Number of steps between Gaussians."),
    ] = 500,
) -> None:
    """Export learnt variables to PLUMED, or as a program of torch.export.

    For example: mdgeomfeat export report top.pdb --plumed
    """
    from mdgeomfeat.commands.export import TARGETS, ExportOptions, export_variables

    asked = {"plumed": plumed, "torch": torch_export}
    options = ExportOptions(
        model=model,
        targets=tuple(target for target in TARGETS if asked[target]),
        structure=structure,
        select=select,
        dtype=dtype.value,
        reach=reach,
        temperature=temperature,
        barrier=barrier,
        pace=pace,
    )
    folder = export_variables(options, out, overwrite)
    for target in options.targets:
        typer.echo(str(folder / TARGETS[target]))
