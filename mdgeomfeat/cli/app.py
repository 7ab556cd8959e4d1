"""The program: its commands, and what it does when something goes wrong."""

from __future__ import annotations

import logging
import signal
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from mdgeomfeat.cli.apply import apply
from mdgeomfeat.cli.bias import bias
from mdgeomfeat.cli.compare import TakesTwoEnsembles, compare
from mdgeomfeat.cli.export import export
from mdgeomfeat.cli.features import features
from mdgeomfeat.cli.info import info
from mdgeomfeat.cli.pick import pick
from mdgeomfeat.cli.study import spib, tica, vamp
from mdgeomfeat.cli.weights import app as weights_app
from mdgeomfeat.errors import InputError, MDGeomFeatWarning

__all__ = ["app", "main"]


@contextmanager
def _plain_warnings() -> Iterator[None]:
    """Show our own warnings as single lines, each once, and no one else's."""
    told: set[str] = set()

    def show(message: Warning | str, category: type, *_: object) -> None:
        text = str(message)
        if issubclass(category, MDGeomFeatWarning) and text not in told:
            told.add(text)
            print(f"note: {text}", file=sys.stderr, flush=True)  # noqa: T201

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", MDGeomFeatWarning)
        warnings.showwarning = show  # type: ignore[assignment]
        yield


def _notes_handler() -> logging.Handler:
    """Return what prints the package's log messages as single lines."""
    logger = logging.getLogger("mdgeomfeat")
    logger.setLevel(logging.INFO)
    for old in logger.handlers[:]:
        logger.removeHandler(old)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("note: %(message)s"))
    return handler


class _Commands(TyperGroup):
    """Turns a user's mistake into one sentence and exit status 2."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command; a defect of ours keeps its traceback."""
        logging.getLogger("mdgeomfeat").addHandler(_notes_handler())
        try:
            with _plain_warnings():
                return super().invoke(ctx)
        except InputError as error:
            print(f"mdgeomfeat: {error}", file=sys.stderr)  # noqa: T201
            raise typer.Exit(2) from None
        except KeyboardInterrupt:
            print("mdgeomfeat: interrupted", file=sys.stderr)  # noqa: T201
            raise typer.Exit(130) from None


app = typer.Typer(
    cls=_Commands,
    name="mdgeomfeat",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Geometric features of molecular dynamics trajectories, and the slow "
    "motions in them.",
    epilog="First steps: mdgeomfeat info top.pdb traj.xtc, then "
    "mdgeomfeat vamp top.pdb traj.xtc",
)


def _version(asked: bool) -> None:
    """Print the version and stop."""
    if asked:
        from mdgeomfeat import __version__

        typer.echo(f"mdgeomfeat {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_version, is_eager=True, help="Show the version."
        ),
    ] = False,
) -> None:
    pass


app.command()(vamp)
app.command()(tica)
app.command()(spib)
app.command()(features)
app.command(cls=TakesTwoEnsembles)(compare)
app.command()(info)
app.command()(apply)
app.command()(bias)
app.command()(export)
app.command()(pick)
app.add_typer(weights_app, name="weights")


def _pass_on(wing: typer.Typer, ctx: typer.Context) -> None:
    """Run commands that are mounted when they are called, so that others stay quick."""
    command = typer.main.get_command(wing)
    name = f"mdgeomfeat {ctx.info_name}"
    status = command.main(list(ctx.args), prog_name=name, standalone_mode=False)
    if isinstance(status, int) and status:
        raise typer.Exit(status)


_PASSED_ON = {"allow_extra_args": True, "ignore_unknown_options": True}


@app.command(add_help_option=False, context_settings=_PASSED_ON)
def pretrain(ctx: typer.Context) -> None:
    """Pre-train a network of your own (see 'mdgeomfeat pretrain --help')."""
    from mdgeomfeat.pretraining.commands import app as wing

    _pass_on(wing, ctx)


@app.command(add_help_option=False, context_settings=_PASSED_ON)
def finetune(ctx: typer.Context) -> None:
    """Fine-tune a network on labels (see 'mdgeomfeat finetune --help')."""
    from mdgeomfeat.finetuning.commands import app as wing

    _pass_on(wing, ctx)


def main() -> None:
    """Run the program."""
    # A polite end from outside cleans up like Ctrl-C does.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    app()
