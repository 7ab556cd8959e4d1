"""The commands ``weights list | show | import | verify``."""

from __future__ import annotations

import typer

__all__ = ["app"]

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="List, show, import and check pre-trained networks.",
)


@app.command("list")
def list_() -> None:
    """List the networks that come with the package."""
    from mdgeomfeat.gnn import list_models

    typer.echo(str(list_models()))
