"""The command ``pick``: where to simulate next."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mdgeomfeat.cli import options as o
from mdgeomfeat.cli.progress import make_reporter
from mdgeomfeat.cli.reading import takes_read_options
from mdgeomfeat.commands.options import ReadOptions

__all__ = ["pick"]


@takes_read_options
def pick(
    report: Annotated[
        Path,
        typer.Argument(metavar="REPORT", help="Results folder of vamp, spib or tica."),
    ],
    read: ReadOptions,
    number: Annotated[
        int,
        typer.Option("--number", "-n", metavar="N", help="Number of start structures."),
    ] = 10,
    out: o.Out = None,
    overwrite: o.Overwrite = False,
) -> None:
    """Pick frames of the whole system as start structures of new simulations.

    For example: mdgeomfeat pick report run1.xtc run2.xtc top.pdb -n 10
    """
    from mdgeomfeat.commands.pick import write_picks

    folder = write_picks(report, read, number, out, overwrite, make_reporter())
    typer.echo(str(folder / "picks.csv"))
