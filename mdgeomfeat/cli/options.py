"""Options that several commands share, declared once."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

__all__ = [
    "AllowUnseen",
    "Device",
    "Dim",
    "EngineName",
    "Files",
    "Lag",
    "MapsOn",
    "Mixer",
    "MixerName",
    "Model",
    "NoPbc",
    "Out",
    "Overwrite",
    "Seeds",
    "Select",
    "SkipBadFrames",
    "Start",
    "States",
    "Step",
    "Stop",
    "Store",
    "Temperature",
    "TokenKind",
    "Tokens",
    "Window",
    "Workers",
]

_ATOMS = "What becomes features"
_STUDY = "Slow motions"
_FRAMES = "Frames"
_RUN = "Running"


class TokenKind(StrEnum):
    """What gets one row of features."""

    RESIDUE = "residue"
    ATOM = "atom"
    MOLECULE = "molecule"


class MixerName(StrEnum):
    """How tokens are mixed before the outputs."""

    FLAT = "flat"
    MLP = "mlp"
    ATTENTION = "attention"
    EQUIVARIANT = "equivariant"


Files = Annotated[
    list[Path],
    typer.Argument(
        help="Trajectories and their topology, in any order.",
        metavar="FILES",
        show_default=False,
    ),
]
Out = Annotated[
    Path | None,
    typer.Option(
        "--out",
        "-o",
        metavar="DIR",
        help="Folder for the results (default: named after the first file).",
        show_default=False,
    ),
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace earlier results in that folder.")
]
Select = Annotated[
    str | None,
    typer.Option(
        metavar="TEXT",
        help="Atoms, in MDAnalysis's selection language (default: heavy atoms of "
        "the protein, else of nucleic acids, else of all but solvent and ions).",
        show_default=False,
        rich_help_panel=_ATOMS,
    ),
]
Model = Annotated[
    str,
    typer.Option(
        metavar="NAME|FILE",
        help="Pre-trained network; see 'mdgeomfeat weights list'.",
        rich_help_panel=_ATOMS,
    ),
]
Tokens = Annotated[
    TokenKind,
    typer.Option(help="What gets one row of features.", rich_help_panel=_ATOMS),
]
Window = Annotated[
    int | None,
    typer.Option(
        min=0,
        metavar="K",
        help="Let a token see only K neighbours on either side along its chain "
        "(default: all atoms within the cutoff).",
        show_default=False,
        rich_help_panel=_ATOMS,
    ),
]
NoPbc = Annotated[
    bool,
    typer.Option("--no-pbc", help="Ignore the periodic box.", rich_help_panel=_ATOMS),
]
AllowUnseen = Annotated[
    bool,
    typer.Option(
        "--allow-unseen",
        help="Accept elements that the network was not trained on.",
        rich_help_panel=_ATOMS,
    ),
]
Lag = Annotated[
    str | None,
    typer.Option(
        metavar="LAG",
        help="Frames as a bare integer, or a time: 20ps, 0.5ns (default: chosen).",
        show_default=False,
        rich_help_panel=_STUDY,
    ),
]
Dim = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="D",
        help="Number of collective variables (default: chosen, 1 to 5).",
        show_default=False,
        rich_help_panel=_STUDY,
    ),
]
Mixer = Annotated[
    MixerName | None,
    typer.Option(
        help="How tokens are mixed (default: flat up to 3 tokens, else mlp).",
        show_default=False,
        rich_help_panel=_STUDY,
    ),
]
States = Annotated[
    int | None,
    typer.Option(
        min=2,
        metavar="N",
        help="Number of states (default: chosen).",
        show_default=False,
        rich_help_panel=_STUDY,
    ),
]
Seeds = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="N",
        help="Independent trainings behind each score; 3, or fewer where the "
        "networks are large, unless given.",
        rich_help_panel=_STUDY,
        show_default=False,
    ),
]
Temperature = Annotated[
    float | None,
    typer.Option(
        metavar="KELVIN",
        help="Gives free energies in kJ/mol rather than kT.",
        show_default=False,
        rich_help_panel=_STUDY,
    ),
]
MapsOn = Annotated[
    bool,
    typer.Option("--maps/--no-maps", help="Draw UMAP maps.", rich_help_panel=_STUDY),
]
Start = Annotated[
    int | None,
    typer.Option(
        metavar="FRAME",
        help="First frame used of each trajectory.",
        show_default=False,
        rich_help_panel=_FRAMES,
    ),
]
Stop = Annotated[
    int | None,
    typer.Option(
        metavar="FRAME",
        help="Frame before which each trajectory ends.",
        show_default=False,
        rich_help_panel=_FRAMES,
    ),
]
Step = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="N",
        help="Use every N-th frame.",
        show_default=False,
        rich_help_panel=_FRAMES,
    ),
]
SkipBadFrames = Annotated[
    bool,
    typer.Option(
        "--skip-bad-frames",
        help="Leave out frames that cannot be used, rather than stop.",
        rich_help_panel=_FRAMES,
    ),
]
Device = Annotated[
    str,
    typer.Option(
        metavar="DEVICE", help="auto, cpu, cuda, cuda:1 …", rich_help_panel=_RUN
    ),
]
EngineName = Annotated[
    str,
    typer.Option(
        "--engine",
        metavar="ENGINE",
        help="auto, torch, cpu or cuda.",
        rich_help_panel=_RUN,
    ),
]
Workers = Annotated[
    int,
    typer.Option(
        min=1,
        metavar="N",
        help="Processes that share the computing of features.",
        rich_help_panel=_RUN,
    ),
]
Store = Annotated[
    Path | None,
    typer.Option(
        metavar="PATH",
        help="Keep token features here and go on with those that are there, also "
        "after an interruption (default: features.zarr, with the results).",
        show_default=False,
        rich_help_panel=_RUN,
    ),
]
