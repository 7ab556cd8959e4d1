"""Options that several commands share, declared once."""

from __future__ import annotations

import inspect
from dataclasses import Field
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from mdgeomfeat.featurespec import FeatureSpec, feature_options

__all__ = [
    "AllowImplausible",
    "Apply",
    "BatchSize",
    "Device",
    "Dim",
    "Dt",
    "EngineName",
    "Fes",
    "Files",
    "Koopman",
    "Labels",
    "Lag",
    "MapsOn",
    "Mixer",
    "MixerName",
    "Out",
    "Overwrite",
    "Seeds",
    "SkipBadFrames",
    "Start",
    "States",
    "Step",
    "Stop",
    "Store",
    "StoreDtype",
    "Temperature",
    "Weights",
    "WeightsAre",
    "With",
    "Workers",
    "feature_parameters",
    "feature_spec",
]

_ATOMS = "What becomes features"
_STUDY = "Slow motions"
_FRAMES = "Frames"
_RUN = "Running"


class WholeSystemsChoice(StrEnum):
    """Which atoms of whole systems are written."""

    SOLVATED = "solvated"
    DRY = "dry"


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
With = Annotated[
    list[Path] | None,
    typer.Option(
        "--with",
        metavar="FILES",
        help="Second ensemble: all files up to the next option; the topology may be "
        "left out if it is the same.",
        show_default=False,
    ),
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace earlier results in that folder.")
]
Lag = Annotated[
    str | None,
    typer.Option(
        metavar="LAG",
        help="Lag as a number of frames, or as a time such as 20ps or 0.5ns (default: "
        "chosen).",
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
        help="How the network mixes tokens (default: attention).",
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
        help="Number of independent trainings for each score (default: 3, or fewer "
        "for large networks).",
        rich_help_panel=_STUDY,
        show_default=False,
    ),
]
Temperature = Annotated[
    float | None,
    typer.Option(
        metavar="KELVIN",
        help="Temperature; free energies are then in kJ/mol instead of kT.",
        show_default=False,
        rich_help_panel=_STUDY,
    ),
]
Fes = Annotated[
    list[str] | None,
    typer.Option(
        "--fes",
        metavar="COORDINATES",
        help="Free energy over one or two coordinates, with a comma between them: "
        "'phi A:ALA2, psi A:ALA2', 'distance resid 1 to resid 9', 'rmsd name CA' "
        "(from the first frame) or 'rmsd name CA to native.pdb'. May be given again.",
        show_default=False,
        rich_help_panel=_STUDY,
    ),
]
WholeSystems = Annotated[
    WholeSystemsChoice | None,
    typer.Option(
        "--whole-systems",
        help="Also write each state's most typical frame with all atoms, with solvent "
        "(solvated) or without (dry).",
        show_default=False,
        rich_help_panel=_STUDY,
    ),
]
Weights = Annotated[
    list[str] | None,
    typer.Option(
        "--weights",
        metavar="COLUMN@COLVAR",
        help="For biased runs: the column and the file (PLUMED's or plain text) with "
        "the logarithms of the frames' weights; give it once for each trajectory. "
        "This gives populations and free energies of the unbiased system, but no "
        "timescales.",
        show_default=False,
        rich_help_panel=_STUDY,
    ),
]
NoWeights = Annotated[
    list[str] | None,
    typer.Option("--weights", hidden=True, help="Refused, with the reason."),
]
WeightsAre = Annotated[
    Literal["log", "plain", "bias"] | None,
    typer.Option(
        "--weights-are",
        help="What the column of --weights holds, if not logarithms: plain weights, "
        "or a bias in kJ/mol (which needs --temperature).",
        show_default=False,
        rich_help_panel=_STUDY,
    ),
]
Smooth = Annotated[
    bool,
    typer.Option(
        "--smooth",
        help="Also learn variables that hardly change when atoms are displaced, for "
        "biased simulations, and write them to the folder smooth.",
        rich_help_panel=_STUDY,
    ),
]
Koopman = Annotated[
    bool,
    typer.Option(
        "--koopman",
        help="For many short unbiased runs: weight the frames to remove the effect of "
        "where the runs start.",
        rich_help_panel=_STUDY,
    ),
]
Labels = Annotated[
    int | None,
    typer.Option(
        min=2,
        metavar="N",
        help="Number of labels to begin with, some of which remain as states (default: "
        "20).",
        show_default=False,
        rich_help_panel=_STUDY,
    ),
]
Apply = Annotated[
    str | None,
    typer.Option(hidden=True, help="This has become the command apply."),
]
MapsOn = Annotated[
    bool,
    typer.Option("--maps/--no-maps", help="Draw UMAP maps.", rich_help_panel=_STUDY),
]
Start = Annotated[
    int | None,
    typer.Option(
        metavar="FRAME",
        help="First frame of each trajectory to use.",
        show_default=False,
        rich_help_panel=_FRAMES,
    ),
]
Stop = Annotated[
    int | None,
    typer.Option(
        metavar="FRAME",
        help="Frame of each trajectory to stop before.",
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
Dt = Annotated[
    str | None,
    typer.Option(
        "--dt",
        metavar="TIME",
        help="Time between the frames of each file, such as 100ps, if the files do "
        "not state it or are wrong.",
        show_default=False,
        rich_help_panel=_FRAMES,
    ),
]
SkipBadFrames = Annotated[
    bool,
    typer.Option(
        "--skip-bad-frames",
        help="Leave out frames that cannot be used instead of stopping.",
        rich_help_panel=_FRAMES,
    ),
]
AllowImplausible = Annotated[
    bool,
    typer.Option(
        "--allow-implausible",
        help="Accept positions that look wrong, such as positions in another unit or "
        "atoms in another order.",
        rich_help_panel=_FRAMES,
    ),
]
Device = Annotated[
    str,
    typer.Option(
        metavar="DEVICE",
        help="Device to compute on: auto, cpu, cuda, cuda:1, ...",
        rich_help_panel=_RUN,
    ),
]
EngineName = Annotated[
    str,
    typer.Option(
        "--engine",
        metavar="ENGINE",
        help="Implementation of the network: auto, torch, cpu or cuda.",
        rich_help_panel=_RUN,
    ),
]
BatchSize = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="N",
        help="Number of frames computed at once (default: chosen to fit in memory).",
        show_default=False,
        rich_help_panel=_RUN,
    ),
]
Workers = Annotated[
    int,
    typer.Option(
        min=1,
        metavar="N",
        help="Number of processes that compute the features.",
        rich_help_panel=_RUN,
    ),
]
Store = Annotated[
    Path | None,
    typer.Option(
        metavar="PATH",
        help="Store of the token features; those already in it are reused, even after "
        "an interruption (default: features.zarr in the results folder).",
        show_default=False,
        rich_help_panel=_RUN,
    ),
]
StoreDtype = Annotated[
    Literal["float16", "float32"] | None,
    typer.Option(
        help="Precision of the stored features; float16 halves the store (default: "
        "that of an existing store, otherwise float32).",
        show_default=False,
        rich_help_panel=_RUN,
    ),
]


def feature_parameters() -> list[inspect.Parameter]:
    """Return the options that :class:`FeatureSpec` declares, as typer reads them."""
    return [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=_shown_default(option),
            annotation=_annotation(name, option),
        )
        for name, option in feature_options().items()
    ]


def feature_spec(given: dict[str, Any]) -> FeatureSpec:
    """Return the spec that values of :func:`feature_parameters` mean."""
    options = feature_options()
    values: dict[str, Any] = {
        name: options[name].default if value is None else value
        for name, value in given.items()
    }
    return FeatureSpec(**values)


def _shown_default(option: Field[Any]) -> Any:
    """Return what stands for an option that is not given: its default, or None."""
    text = isinstance(option.default, str) and not option.metadata["switch"]
    return option.default if text or option.default is False else None


def _annotation(name: str, option: Field[Any]) -> Any:
    facts = option.metadata
    flag = "--" + name.replace("_", "-")
    kind: Any = str
    settings: dict[str, Any] = {}
    if facts["switch"]:
        flag, kind = facts["switch"], bool
    elif facts["choices"]:
        kind = Literal[facts["choices"]]
    elif facts["least"] is not None:
        kind, settings = int, {"min": facts["least"], "metavar": facts["metavar"]}
    else:
        settings = {"metavar": facts["metavar"]}
    default = _shown_default(option)
    return Annotated[
        kind if default is not None else kind | None,
        typer.Option(
            flag,
            help=facts["help"],
            show_default=bool(default),
            rich_help_panel=_ATOMS,
            **settings,
        ),
    ]
