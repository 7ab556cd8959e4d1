"""The commands ``weights list | show | import | verify``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["app"]

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="List, show, import and check pre-trained networks.",
)

Name = Annotated[
    str, typer.Argument(metavar="NAME|FILE", help="A network's name or file.")
]


@app.command("list")
def list_() -> None:
    """List the networks that can be used by name."""
    from rich.console import Console
    from rich.table import Table

    from mdgeomfeat.gnn import describe_model, list_models, user_models

    table = Table(box=None, pad_edge=False)
    for column in ("name", "architecture", "channels", "cutoff", "parameters", "from"):
        table.add_column(column)
    for name in list_models():
        card = describe_model(name)
        spec = card["spec"]
        alias = f" ({card['alias']})" if card["alias"] else ""
        table.add_row(
            name + alias,
            str(spec["architecture"]),
            str(spec["n_channels"]),
            f"{spec['cutoff']:g} Å",
            f"{card['n_parameters']:,}",
            str(card["origin"]),
        )
    Console(highlight=False).print(table)
    typer.echo(f"Imported networks are kept in {user_models()}.")


@app.command()
def show(name: Name) -> None:
    """Show a network's card: what it is, and how it was trained."""
    from mdgeomfeat.gnn import describe_model

    typer.echo(json.dumps(describe_model(name), indent=2, ensure_ascii=False))


@app.command("import")
def import_(
    file: Annotated[
        Path, typer.Argument(metavar="FILE.pth", help="A published checkpoint.")
    ],
    name: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Name for the network (default: that of the file).",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Write to this folder instead of the folder of imported networks.",
            show_default=False,
        ),
    ] = None,
    n_heads: Annotated[
        int,
        typer.Option(
            min=1, help="Number of attention heads, which the file does not state."
        ),
    ] = 8,
    lmax: Annotated[
        int, typer.Option(min=1, max=2, help="Angular order of a ViSNet.")
    ] = 1,
    cutoff: Annotated[
        float | None,
        typer.Option(
            metavar="ANGSTROM",
            help="Cutoff, if the file does not state it.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Convert a published checkpoint and keep it under a name.

    Only tensors are read: nothing in the file is ever run.
    """
    from mdgeomfeat.gnn import import_checkpoint

    model, card = import_checkpoint(
        file, name, out, n_heads=n_heads, lmax=lmax, cutoff=cutoff
    )
    spec = model.spec
    typer.echo(
        f"Imported {card['name']}: {spec.architecture}, {spec.n_layers} layers, "
        f"{spec.n_channels} channels, cutoff {spec.cutoff:g} Å."
    )


@app.command()
def verify(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME|FILE", help="Networks (default: all)."),
    ] = None,
) -> None:
    """Check files against their cards, and outputs against stored references."""
    from mdgeomfeat.gnn import list_models, verify_model

    failed = False
    for name in names or list_models():
        problems = verify_model(name)
        failed = failed or bool(problems)
        typer.echo(f"{name}: {' '.join(problems) if problems else 'intact'}")
    if failed:
        raise typer.Exit(1)
