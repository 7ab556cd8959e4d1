"""The command ``bias``: a simulation biased along a learnt variable."""

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
        typer.Argument(metavar="MODEL", help="Results folder of vamp or tica."),
    ],
    structure: Annotated[
        Path,
        typer.Argument(
            metavar="STRUCTURE",
            help="PDB or mmCIF file of the whole system, with hydrogens.",
        ),
    ],
    steps: Annotated[
        int,
        typer.Option(
            min=1, metavar="N", help="Number of steps in all, over all continuations."
        ),
    ],
    out: o.Out = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Start over instead of continuing.")
    ] = False,
    forcefield: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Force field file of OpenMM, such as amber14-all.xml; can be given "
            "more than once.",
            show_default=False,
            rich_help_panel=_SYSTEM,
        ),
    ] = None,
    system: Annotated[
        Path | None,
        typer.Option(
            metavar="XML",
            help="System file written by OpenMM, used instead of a force field.",
            show_default=False,
            rich_help_panel=_SYSTEM,
        ),
    ] = None,
    temperature: Annotated[
        float,
        typer.Option(
            metavar="KELVIN",
            help="Temperature of the simulation.",
            rich_help_panel=_SYSTEM,
        ),
    ] = 300.0,
    time_step: Annotated[
        float,
        typer.Option(
            metavar="FS",
            help="Time step in femtoseconds.",
            rich_help_panel=_SYSTEM,
        ),
    ] = 2.0,
    friction: Annotated[
        float,
        typer.Option(
            metavar="1/PS",
            help="Friction coefficient of the thermostat.",
            rich_help_panel=_SYSTEM,
        ),
    ] = 1.0,
    seed: Annotated[
        int,
        typer.Option(
            help="Random seed of the velocities and the thermostat.",
            rich_help_panel=_SYSTEM,
        ),
    ] = 1,
    platform: Annotated[
        str | None,
        typer.Option(
            help="OpenMM platform, such as Reference, CPU or CUDA (default: OpenMM "
            "chooses).",
            show_default=False,
            rich_help_panel=_SYSTEM,
        ),
    ] = None,
    method: Annotated[
        Method,
        typer.Option(
            help="Type of bias: OPES or well-tempered metadynamics.",
            rich_help_panel=_BIAS,
        ),
    ] = Method.OPES,
    variable: Annotated[
        list[int] | None,
        typer.Option(
            min=1,
            metavar="K",
            help="Variable to bias, counted from 1; can be given up to three times "
            "(default: the first two, or the only one).",
            show_default=False,
            rich_help_panel=_BIAS,
        ),
    ] = None,
    barrier: Annotated[
        float,
        typer.Option(
            metavar="KJ/MOL",
            help="Highest barrier that the bias should overcome.",
            rich_help_panel=_BIAS,
        ),
    ] = 40.0,
    bias_factor: Annotated[
        float | None,
        typer.Option(
            metavar="G",
            help="Bias factor of the well-tempered distribution (default: the barrier "
            "divided by kT).",
            show_default=False,
            rich_help_panel=_BIAS,
        ),
    ] = None,
    height: Annotated[
        float,
        typer.Option(
            metavar="KJ/MOL",
            help="Initial height of the Gaussians in metadynamics.",
            rich_help_panel=_BIAS,
        ),
    ] = 1.0,
    pace: Annotated[
        int,
        typer.Option(
            min=1,
            metavar="N",
            help="Number of steps between Gaussians.",
            rich_help_panel=_BIAS,
        ),
    ] = 500,
    width: Annotated[
        float | None,
        typer.Option(
            metavar="W",
            help="Width of the Gaussians (default: from the training data).",
            show_default=False,
            rich_help_panel=_BIAS,
        ),
    ] = None,
    grid: Annotated[
        tuple[float, float] | None,
        typer.Option(
            metavar="LOW HIGH",
            help="Lower and upper end of the grid (default: from the training data).",
            show_default=False,
            rich_help_panel=_BIAS,
        ),
    ] = None,
    fade: Annotated[
        float | None,
        typer.Option(
            metavar="W",
            help="Let the bias fade out over this width, starting at a distance of 1 "
            "from the training data (default: no fading).",
            show_default=False,
            rich_help_panel=_BIAS,
        ),
    ] = None,
    select: Annotated[
        str | None,
        typer.Option(
            metavar="SELECTION",
            help="Selection of the model's atoms, if they have other names here.",
            show_default=False,
            rich_help_panel=_BIAS,
        ),
    ] = None,
    periodic: Annotated[
        bool | None,
        typer.Option(
            "--pbc/--no-pbc",
            help="Use nearest images in the box, or do not (default: as in training).",
            show_default=False,
            rich_help_panel=_BIAS,
        ),
    ] = None,
    engine: Annotated[
        str,
        typer.Option(
            help="Implementation that computes the variables: auto, cpu or torch.",
            rich_help_panel=_BIAS,
        ),
    ] = "auto",
    record: Annotated[
        int,
        typer.Option(
            min=1, metavar="N", help="Number of steps between lines of COLVAR."
        ),
    ] = 500,
    frames: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Number of steps between saved frames (default: as for COLVAR).",
            show_default=False,
        ),
    ] = None,
    checkpoint: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Number of steps between checkpoints (default: those of 20 frames).",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Run an OpenMM simulation that is biased along a learnt variable.

    To continue a simulation that was stopped, give the same command again.
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
