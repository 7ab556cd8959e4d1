"""The command ``compare``: maps and agreement, or two ensembles beside each other."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperCommand

from mdgeomfeat.cli import options as o
from mdgeomfeat.cli.progress import make_reporter
from mdgeomfeat.cli.reading import takes_read_options
from mdgeomfeat.commands.options import ReadOptions

__all__ = ["TakesTwoEnsembles", "compare"]

_WITH = "--with"


class TakesTwoEnsembles(TyperCommand):
    """Takes all files that follow ``--with`` for its own, as a shell's * gives them."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Repeat the option before each of its files."""
        spelled: list[str] = []
        inside = False
        for word in args:
            if word.startswith("-"):
                inside = word == _WITH
            elif inside and spelled[-1] != _WITH:
                spelled.append(_WITH)
            spelled.append(word)
        return super().parse_args(ctx, spelled)


@takes_read_options
def compare(
    read: ReadOptions,
    with_: o.With = None,
    out: o.Out = None,
    overwrite: o.Overwrite = False,
) -> None:
    """Map the features and compare them with distances and dihedrals, or two ensembles.

    Two ensembles are a wild type and its mutant, runs with and without a ligand, or at
    two temperatures; --with names the files of the second, and the page tells which
    residues differ. For example: mdgeomfeat compare wt/*.xtc wt.pdb --with mut/*.xtc
    mut.pdb
    """
    if with_:
        from mdgeomfeat.commands.ensembles import write_ensembles

        folder = write_ensembles(read, with_, out, overwrite, make_reporter())
    else:
        from mdgeomfeat.commands.compare import write_comparison

        folder = write_comparison(read, out, overwrite, make_reporter())
    typer.echo(str(folder / "report.html"))
