"""The command ``info``: what is in these files, and what would be done with them."""

from __future__ import annotations

from typing import Annotated

import typer

from mdgeomfeat.cli.reading import takes_read_options
from mdgeomfeat.workflow.options import ReadOptions

__all__ = ["info"]


@takes_read_options
def info(
    read: ReadOptions,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the same as JSON.")
    ] = False,
) -> None:
    """Say what is in these files: atoms, box, times, and what would be selected."""
    from mdgeomfeat.workflow.inspection import inspect_files

    facts = inspect_files(read)
    if as_json:
        import json

        typer.echo(json.dumps(facts, indent=2, ensure_ascii=False))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    for name, value in facts.items():
        shown = "\n".join(map(str, value)) if isinstance(value, list) else str(value)
        table.add_row(name, shown)
    Console(highlight=False, markup=False).print(table)
