"""The commands ``vamp``, ``spib`` and ``tica``: from trajectories to a report."""

from __future__ import annotations

from pathlib import Path

import typer

from mdgeomfeat.cli import options as o
from mdgeomfeat.cli.progress import make_reporter
from mdgeomfeat.cli.reading import takes_read_options
from mdgeomfeat.commands.options import ReadOptions, StudyOptions
from mdgeomfeat.errors import InputError

__all__ = ["spib", "tica", "vamp"]


@takes_read_options
def vamp(
    read: ReadOptions,
    out: o.Out = None,
    overwrite: o.Overwrite = False,
    apply: o.Apply = None,
    lag: o.Lag = None,
    dim: o.Dim = None,
    mixer: o.Mixer = None,
    states: o.States = None,
    seeds: o.Seeds = None,
    temperature: o.Temperature = None,
    weights: o.Weights = None,
    weights_are: o.WeightsAre = None,
    koopman: o.Koopman = False,
    fes: o.Fes = None,
    whole_systems: o.WholeSystems = None,
    maps: o.MapsOn = True,
) -> None:
    """Learn the slow motions with a VAMPNet and report them beside baselines.

    For example: mdgeomfeat vamp run1.xtc run2.xtc top.pdb --temperature 300
    """
    _refuse_apply(apply)
    study = StudyOptions(
        method="vampnet",
        lag=lag,
        dim=dim,
        mixer=None if mixer is None else mixer.value,
        states=states,
        seeds=seeds,
        temperature=temperature,
        weights=tuple(weights or ()),
        weights_are=weights_are,
        koopman=koopman,
        fes=tuple(fes or ()),
        whole_systems=None if whole_systems is None else whole_systems.value,
        maps=maps,
    )
    _run(read, study, out, overwrite)


@takes_read_options
def tica(
    read: ReadOptions,
    out: o.Out = None,
    overwrite: o.Overwrite = False,
    lag: o.Lag = None,
    dim: o.Dim = None,
    states: o.States = None,
    temperature: o.Temperature = None,
    weights: o.Weights = None,
    weights_are: o.WeightsAre = None,
    smooth: o.Smooth = False,
    koopman: o.Koopman = False,
    fes: o.Fes = None,
    whole_systems: o.WholeSystems = None,
    maps: o.MapsOn = True,
) -> None:
    """Find the slow motions with TICA, which is linear, and report them."""
    study = StudyOptions(
        method="tica",
        lag=lag,
        dim=dim,
        states=states,
        temperature=temperature,
        weights=tuple(weights or ()),
        weights_are=weights_are,
        smooth=smooth,
        koopman=koopman,
        fes=tuple(fes or ()),
        whole_systems=None if whole_systems is None else whole_systems.value,
        maps=maps,
    )
    _run(read, study, out, overwrite)


@takes_read_options
def spib(
    read: ReadOptions,
    out: o.Out = None,
    overwrite: o.Overwrite = False,
    apply: o.Apply = None,
    lag: o.Lag = None,
    dim: o.Dim = None,
    mixer: o.Mixer = None,
    labels: o.Labels = None,
    states: o.States = None,
    seeds: o.Seeds = None,
    temperature: o.Temperature = None,
    weights: o.NoWeights = None,
    fes: o.Fes = None,
    whole_systems: o.WholeSystems = None,
    maps: o.MapsOn = True,
) -> None:
    """Learn states that outlast the lag, and variables that distinguish them.

    This is a state predictive information bottleneck (SPIB): the variables are those
    that best predict the state one lag later.
    """
    _refuse_apply(apply)
    study = StudyOptions(
        method="spib",
        lag=lag,
        dim=dim,
        mixer=None if mixer is None else mixer.value,
        labels=labels,
        states=states,
        seeds=seeds,
        temperature=temperature,
        weights=tuple(weights or ()),
        fes=tuple(fes or ()),
        whole_systems=None if whole_systems is None else whole_systems.value,
        maps=maps,
    )
    _run(read, study, out, overwrite)


def _refuse_apply(model: str | None) -> None:
    """Say where the option --apply has gone."""
    if model is not None:
        raise InputError(
            f"--apply has become a command of its own; type mdgeomfeat apply {model} "
            "and the files."
        )


def _run(
    read: ReadOptions, study: StudyOptions, out: Path | None, overwrite: bool
) -> None:
    """Run a study and say where its report is."""
    from mdgeomfeat.commands.study import write_study

    folder = write_study(read, study, out, overwrite, make_reporter())
    typer.echo(str(folder / "report.html"))
