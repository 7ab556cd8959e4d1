"""The command ``compare``: maps and agreement with distances and dihedrals."""

from __future__ import annotations

import typer

from mdgeomfeat.cli import options as o
from mdgeomfeat.cli.progress import make_reporter
from mdgeomfeat.cli.reading import takes_read_options
from mdgeomfeat.commands.options import ReadOptions

__all__ = ["compare"]


@takes_read_options
def compare(
    read: ReadOptions, out: o.Out = None, overwrite: o.Overwrite = False
) -> None:
    """Map the features with UMAP and compare them with distances and dihedrals."""
    from mdgeomfeat.commands.compare import write_comparison

    folder = write_comparison(read, out, overwrite, make_reporter())
    typer.echo(str(folder / "report.html"))
