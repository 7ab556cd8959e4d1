"""The command ``apply``: a model of an earlier report on other trajectories."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mdgeomfeat.cli import options as o
from mdgeomfeat.cli.progress import make_reporter
from mdgeomfeat.cli.reading import takes_read_options
from mdgeomfeat.commands.options import ReadOptions

__all__ = ["apply"]


@takes_read_options
def apply(
    report: Annotated[
        Path,
        typer.Argument(
            metavar="MODEL", help="Folder of a report of vamp, spib or tica."
        ),
    ],
    read: ReadOptions,
    align: Annotated[
        bool,
        typer.Option(
            "--align",
            help="For a mutant or a homologue: match its residues with the model's by "
            "their sequences.",
        ),
    ] = False,
    out: o.Out = None,
    overwrite: o.Overwrite = False,
) -> None:
    """Apply the model of an earlier report to other trajectories and write a report.

    For example: mdgeomfeat apply report new.xtc top.pdb
    """
    from mdgeomfeat.commands.apply import apply_model

    folder = apply_model(report, read, out, overwrite, make_reporter(), align=align)
    typer.echo(str(folder / "report.html"))
