"""The command ``export``: a learnt variable for other programs."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from mdgeomfeat.cli import options as o
from mdgeomfeat.errors import InputError

__all__ = ["export"]


class Precision(StrEnum):
    """Of the network."""

    SINGLE = "float32"
    DOUBLE = "float64"


def export(
    model: Annotated[
        Path,
        typer.Argument(metavar="MODEL", help="Folder of a report of vamp or tica."),
    ],
    structure: Annotated[
        Path | None,
        typer.Argument(
            metavar="TOPOLOGY",
            help="The whole system, with the atoms in the order that the simulation "
            "has (default: the files the model was learnt from).",
            show_default=False,
        ),
    ] = None,
    plumed: Annotated[
        bool, typer.Option("--plumed", help="For PLUMED's PYTORCH_MODEL.")
    ] = False,
    out: o.Out = None,
    overwrite: o.Overwrite = False,
    select: Annotated[
        str | None,
        typer.Option(
            metavar="SELECTION",
            help="The model's atoms, if they are named differently there.",
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
            help="Whether the last output tells how far a frame is from the training "
            "data.",
        ),
    ] = True,
    temperature: Annotated[float, typer.Option(metavar="KELVIN")] = 300.0,
    barrier: Annotated[
        float, typer.Option(metavar="KJ/MOL", help="The highest that is to be crossed.")
    ] = 40.0,
    pace: Annotated[
        int,
        typer.Option(min=1, metavar="N", help="Steps from one Gaussian to the next."),
    ] = 500,
) -> None:
    """Write learnt variables for another program: a TorchScript file and its input.

    For example: mdgeomfeat export report top.pdb --plumed
    """
    if not plumed:
        raise InputError("PLUMED is what can be exported for; say so with --plumed.")
    from mdgeomfeat.commands.export import ExportOptions, export_plumed

    folder = export_plumed(
        ExportOptions(
            model=model,
            structure=structure,
            select=select,
            dtype=dtype.value,
            reach=reach,
            temperature=temperature,
            barrier=barrier,
            pace=pace,
        ),
        out,
        overwrite,
    )
    typer.echo(str(folder / "plumed.dat"))
