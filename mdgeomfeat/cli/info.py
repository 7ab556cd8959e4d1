"""The command ``info``: what is in these files, and what would be done with them."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer

from mdgeomfeat.cli.reading import takes_read_options
from mdgeomfeat.commands.options import ReadOptions

__all__ = ["info"]


# Nothing is computed, so there is nothing to share or to keep.
_UNUSED = ("batch_size", "workers", "store", "store_dtype")


@partial(takes_read_options, without=_UNUSED)
def info(
    read: ReadOptions,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON, with numbers instead of words.")
    ] = False,
) -> None:
    """Show what the files hold (atoms, box, times) and what would be selected."""
    from mdgeomfeat.commands.inspection import inspect_files

    found = inspect_files(read)
    if as_json:
        import json

        typer.echo(json.dumps(found.numbers, indent=2, ensure_ascii=False))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    for name, value in found.facts.items():
        shown = "\n".join(map(str, value)) if isinstance(value, list) else str(value)
        table.add_row(name, shown)
    Console(highlight=False, markup=False).print(table)
