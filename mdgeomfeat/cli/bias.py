"""The command ``bias``: a simulation that is driven along a learnt variable."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from mdgeomfeat.cli import options as o
from mdgeomfeat.cli.progress import make_reporter

__all__ = ["bias"]

_SYSTEM = "What is simulated"
_BIAS = "How it is biased"


class Method(StrEnum):
    """How a bias grows."""

    OPES = "opes"
    METAD = "metad"


def bias(
    model: Annotated[
        Path,
        typer.Argument(metavar="MODEL", help="Folder of a report of vamp or tica."),
    ],
    structure: Annotated[
        Path,
        typer.Argument(
            metavar="STRUCTURE",
            help="PDB or mmCIF file of the whole system, with hydrogens.",
        ),
    ],
    steps: Annotated[
        int, typer.Option(min=1, metavar="N", help="Steps from the beginning.")
    ],
    out: o.Out = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Begin anew instead of going on.")
    ] = False,
    forcefield: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="A force field file of OpenMM, such as amber14-all.xml; may be "
            "given several times.",
            show_default=False,
            rich_help_panel=_SYSTEM,
        ),
    ] = None,
    system: Annotated[
        Path | None,
        typer.Option(
            metavar="XML",
            help="The system as OpenMM wrote it, in place of a force field.",
            show_default=False,
            rich_help_panel=_SYSTEM,
        ),
    ] = None,
    temperature: Annotated[
        float, typer.Option(metavar="KELVIN", rich_help_panel=_SYSTEM)
    ] = 300.0,
    time_step: Annotated[
        float, typer.Option(metavar="FS", help="Femtoseconds.", rich_help_panel=_SYSTEM)
    ] = 2.0,
    friction: Annotated[
        float,
        typer.Option(
            metavar="1/PS", help="Of the thermostat.", rich_help_panel=_SYSTEM
        ),
    ] = 1.0,
    seed: Annotated[
        int, typer.Option(help="Of velocities and thermostat.", rich_help_panel=_SYSTEM)
    ] = 1,
    platform: Annotated[
        str | None,
        typer.Option(
            help="OpenMM's platform: Reference, CPU, CUDA, ... (default: its choice).",
            show_default=False,
            rich_help_panel=_SYSTEM,
        ),
    ] = None,
    method: Annotated[
        Method, typer.Option(help="OPES or metadynamics.", rich_help_panel=_BIAS)
    ] = Method.OPES,
    variable: Annotated[
        list[int] | None,
        typer.Option(
            min=1,
            metavar="K",
            help="Which variable, from 1; may be given up to three times (default: "
            "the first, or the first two).",
            show_default=False,
            rich_help_panel=_BIAS,
        ),
    ] = None,
    barrier: Annotated[
        float,
        typer.Option(
            metavar="KJ/MOL",
            help="The highest barrier that is to be crossed.",
            rich_help_panel=_BIAS,
        ),
    ] = 40.0,
    bias_factor: Annotated[
        float | None,
        typer.Option(
            metavar="G",
            help="Of the well-tempered distribution (default: barrier over kT).",
            show_default=False,
            rich_help_panel=_BIAS,
        ),
    ] = None,
    height: Annotated[
        float,
        typer.Option(
            metavar="KJ/MOL",
            help="Of the first Gaussians of metadynamics.",
            rich_help_panel=_BIAS,
        ),
    ] = 1.0,
    pace: Annotated[
        int,
        typer.Option(
            min=1,
            metavar="N",
            help="Steps from one Gaussian to the next.",
            rich_help_panel=_BIAS,
        ),
    ] = 500,
    width: Annotated[
        float | None,
        typer.Option(
            metavar="W",
            help="Of the Gaussians (default: from the training data).",
            show_default=False,
            rich_help_panel=_BIAS,
        ),
    ] = None,
    grid: Annotated[
        tuple[float, float] | None,
        typer.Option(
            metavar="LOW HIGH",
            help="Ends of the grid (default: from the training data).",
            show_default=False,
            rich_help_panel=_BIAS,
        ),
    ] = None,
    fade: Annotated[
        float | None,
        typer.Option(
            metavar="W",
            help="Let the bias fade out over this width beyond a distance of 1 from "
            "the training data (default: it does not).",
            show_default=False,
            rich_help_panel=_BIAS,
        ),
    ] = None,
    select: Annotated[
        str | None,
        typer.Option(
            metavar="SELECTION",
            help="The model's atoms, if they are named differently here.",
            show_default=False,
            rich_help_panel=_BIAS,
        ),
    ] = None,
    periodic: Annotated[
        bool | None,
        typer.Option(
            "--pbc/--no-pbc",
            help="Whether nearest images count (default: as in training).",
            show_default=False,
            rich_help_panel=_BIAS,
        ),
    ] = None,
    engine: Annotated[
        str,
        typer.Option(
            help="What computes the variables: auto, cpu or torch.",
            rich_help_panel=_BIAS,
        ),
    ] = "auto",
    record: Annotated[
        int,
        typer.Option(min=1, metavar="N", help="Steps between lines of COLVAR."),
    ] = 500,
    frames: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Steps between frames (default: as COLVAR).",
            show_default=False,
        ),
    ] = None,
    checkpoint: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Steps between checkpoints (default: every 20 frames).",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Simulate with a bias on a learnt variable, by OpenMM.

    The same command goes on where it was stopped.
    For example: mdgeomfeat bias report top.pdb --forcefield amber14-all.xml
    --forcefield implicit/gbn2.xml --steps 500000
    """
    from mdgeomfeat.bias.sampler import BiasSettings
    from mdgeomfeat.bias.simulation import RunSettings
    from mdgeomfeat.commands.bias import BiasOptions, run_bias

    frames = record if frames is None else frames
    options = BiasOptions(
        model=model,
        structure=structure,
        n_steps=steps,
        system=system,
        force_field=tuple(forcefield or ()),
        outputs=tuple(k - 1 for k in variable or ()),
        select=select,
        periodic=periodic,
        width=width,
        grid=grid,
        engine=engine,
        bias=BiasSettings(
            method=method.value,
            temperature=temperature,
            barrier=barrier,
            height=height,
            bias_factor=bias_factor,
            pace=pace,
            fade=fade,
        ),
        run=RunSettings(
            time_step=time_step / 1000,
            friction=friction,
            seed=seed,
            platform=platform,
            record=record,
            frames=frames,
            checkpoint=20 * frames if checkpoint is None else checkpoint,
        ),
    )
    folder = run_bias(options, out, overwrite, make_reporter())
    typer.echo(str(folder / "report.html"))
