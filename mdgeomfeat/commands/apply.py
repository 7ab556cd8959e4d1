"""``vamp --apply``: collective variables of new trajectories from a stored model."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from mdgeomfeat.commands.baselines import PRIMARY, gnn_input
from mdgeomfeat.commands.features import default_folder, featurize
from mdgeomfeat.commands.featurized import Featurized
from mdgeomfeat.commands.models import assign_states
from mdgeomfeat.commands.notes import remembered_warnings
from mdgeomfeat.commands.options import ReadOptions
from mdgeomfeat.commands.output import check_output, output_folder
from mdgeomfeat.commands.progress import Reporter
from mdgeomfeat.commands.record import make_record
from mdgeomfeat.commands.summary import record_summary
from mdgeomfeat.commands.tables import write_cvs, write_json
from mdgeomfeat.errors import InputError
from mdgeomfeat.featurespec import FeatureSpec, feature_options
from mdgeomfeat.variables.saved import check_same_molecule, read_model_folder

if TYPE_CHECKING:
    import numpy as np

    from mdgeomfeat.kinetics import CVModel

__all__ = ["Applied", "apply_model", "apply_to_files"]


def apply_model(
    model_folder: Path,
    read: ReadOptions,
    out: Path | None,
    overwrite: bool,
    progress: Reporter,
) -> Path:
    """Write the collective variables of trajectories that a model has not seen.

    What makes the features is the model's own.

    Parameters
    ----------
    model_folder : Path
        The folder ``model`` of a report, or the report's folder.
    read : ReadOptions
        Files, frames, device and engine; a selection only if the atoms are named
        differently here, and the box and unseen elements if they are other ones.
    out : Path or None
        The folder of results.
    overwrite : bool
        Whether earlier results there may be replaced.
    progress : Reporter

    Returns
    -------
    Path
        The folder, with ``cvs.csv`` and ``summary.json``.

    Raises
    ------
    InputError
        If the model cannot be read, or the molecule is another one.
    """
    folder = out or default_folder(read, "applied")
    check_output(folder, overwrite, read.store)
    with remembered_warnings() as notes, output_folder(folder, overwrite) as work:
        applied = apply_to_files(model_folder, read, work, progress)
        data = applied.data
        write_cvs(work / "cvs.csv", data, applied.cvs, applied.states)
        _say_time_step(applied.model, data, progress)
        record = make_record(
            data,
            applied.read,
            title=f"{PRIMARY} of {data.title}",
            warnings=notes,
            files=(),
            assumed=notes.assumed,
        )
        write_json(work / "summary.json", record_summary(record, "application"))
    return folder


@dataclass(frozen=True, eq=False, kw_only=True)
class Applied:
    """A stored model's variables of trajectories.

    Attributes
    ----------
    model : CVModel
    read : ReadOptions
        What was read, with the model's features.
    data : Featurized
    cvs : list of (F_i, d) ndarray
        One array for each unbroken run.
    states : list of (F_i,) ndarray of int
    """

    model: CVModel
    read: ReadOptions
    data: Featurized
    cvs: list[np.ndarray]
    states: list[np.ndarray]


def apply_to_files(
    model_folder: Path, read: ReadOptions, work: Path, progress: Reporter
) -> Applied:
    """Compute the collective variables of trajectories with a stored model.

    Parameters
    ----------
    model_folder, read, progress
        As in :func:`apply_model`.
    work : Path
        Where features are kept unless `read` names another place.

    Raises
    ------
    InputError
        As :func:`apply_model`.
    """
    cv_model, made_with = read_model_folder(model_folder)
    read = replace(read, features=_applied(read.features, made_with))
    data = featurize(read, work, progress, usual_dt=cv_model.metadata.get("stated_dt"))
    _say_stated_dt(cv_model, data, read, progress)
    check_same_molecule(cv_model.metadata, data.structure)
    vectors = len(cv_model.input_shape) == 3
    cvs = cv_model.transform(gnn_input(data, vectors=vectors))
    return Applied(
        model=cv_model,
        read=read,
        data=data,
        cvs=cvs,
        states=assign_states(cv_model, cvs),
    )


def _applied(asked: FeatureSpec, made_with: FeatureSpec) -> FeatureSpec:
    """Return what makes features of other files the model's own.

    Parameters
    ----------
    asked : FeatureSpec
        What the command line says.
    made_with : FeatureSpec
        Of the model.

    Raises
    ------
    InputError
        If an option says something else than the model on what its numbers depend.
    """
    chosen = {}
    for name, option in feature_options().items():
        wanted, own = getattr(asked, name), getattr(made_with, name)
        if wanted in (option.default, own):
            continue
        if not option.metadata["numbers"]:
            chosen[name] = wanted
            continue
        flag = f"--{name.replace('_', '-')}"
        if name == "model":
            raise InputError(
                "--apply uses the network that its model was made with; leave out "
                "--model."
            )
        raise InputError(
            f"{flag} {wanted} is not what the model was made with ({own}); leave it "
            "out with --apply."
        )
    return replace(made_with, **chosen)


def _say_stated_dt(
    model: CVModel, data: Featurized, read: ReadOptions, progress: Reporter
) -> None:
    """Tell when the time between frames is taken from the model."""
    stated = model.metadata.get("stated_dt")
    taken = data.results.provenance.get("dt")
    if read.dt is None and taken is not None and taken == stated:
        progress.say(
            f"note: the files state no times, so frames are taken to be {stated:g} ps "
            "apart, as stated for the model; state another time with --dt."
        )


def _say_time_step(model: CVModel, data: Featurized, progress: Reporter) -> None:
    """Tell when frames lie differently far apart than in training."""
    trained = model.metadata.get("dt")
    if trained is not None and data.dt is not None and abs(trained - data.dt) > 1e-6:
        progress.say(
            f"note: frames are {data.dt:g} ps apart here and were {trained:g} ps apart "
            "in training; values depend on single frames only, so they are not "
            "affected."
        )
