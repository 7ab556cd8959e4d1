"""The command ``features``: only featurize, to a store."""

from __future__ import annotations

from typing import Annotated

import typer

from mdgeomfeat.cli import options as o
from mdgeomfeat.cli.progress import make_reporter
from mdgeomfeat.cli.reading import takes_read_options
from mdgeomfeat.commands.options import ReadOptions

__all__ = ["features"]


@takes_read_options
def features(
    read: ReadOptions,
    out: o.Out = None,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite", help="Compute all features again instead of continuing."
        ),
    ] = False,
) -> None:
    """Compute geometric features and write them to a store, without a report.

    To continue a run that was interrupted, give the same command again.
    """
    from mdgeomfeat.commands.features import write_features

    folder = write_features(read, out, overwrite, make_reporter())
    typer.echo(str(folder))
