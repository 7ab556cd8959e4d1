"""The command ``features``: only featurize, to a store."""

from __future__ import annotations

import typer

from mdgeomfeat.cli import options as o
from mdgeomfeat.cli.progress import make_reporter
from mdgeomfeat.cli.reading import takes_read_options
from mdgeomfeat.workflow.options import ReadOptions

__all__ = ["features"]


@takes_read_options
def features(
    read: ReadOptions, out: o.Out = None, overwrite: o.Overwrite = False
) -> None:
    """Compute geometric features and write them to a store, without a report."""
    from mdgeomfeat.workflow.features import write_features

    typer.echo(str(write_features(read, out, overwrite, make_reporter())))
