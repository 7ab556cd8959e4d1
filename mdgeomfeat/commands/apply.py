"""The command ``apply``: what a stored model finds in trajectories it has not seen."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mdgeomfeat.commands.baselines import gnn_input
from mdgeomfeat.commands.explaining import states_of_frames
from mdgeomfeat.commands.features import default_folder, featurize
from mdgeomfeat.commands.featurized import STORE, Featurized
from mdgeomfeat.commands.models import assign_states
from mdgeomfeat.commands.notes import remembered_warnings
from mdgeomfeat.commands.options import ReadOptions
from mdgeomfeat.commands.output import check_output, output_folder
from mdgeomfeat.commands.progress import Reporter
from mdgeomfeat.commands.record import make_record
from mdgeomfeat.commands.state_structures import (
    ChosenFrames,
    choose_way,
    rows_of,
    write_states,
)
from mdgeomfeat.commands.summary import record_summary
from mdgeomfeat.commands.tables import frame_origins, write_cvs, write_json
from mdgeomfeat.errors import InputError
from mdgeomfeat.featurespec import FeatureSpec, feature_options
from mdgeomfeat.kinetics.typical import central_frames
from mdgeomfeat.report.data import FrameOrigin
from mdgeomfeat.report.wording.application import (
    application_in_words,
    conclusion_in_words,
)
from mdgeomfeat.variables.alignment import TokenAlignment, align_tokens
from mdgeomfeat.variables.novelty import measure_novelty
from mdgeomfeat.variables.saved import (
    check_same_molecule,
    has_training,
    read_model_folder,
    read_training,
)
from mdgeomfeat.variables.training import TrainingRecord, mean_tokens

if TYPE_CHECKING:
    from mdgeomfeat.kinetics import CVModel
    from mdgeomfeat.report import Application
    from mdgeomfeat.report.data import StateFrames
    from mdgeomfeat.store import Rows

__all__ = ["Applied", "apply_model", "apply_to_files"]


_FILES = (
    ("cvs.csv", "variables, state and distance from training of every frame"),
    ("summary.json", "all numbers of this page"),
    (STORE, "token features of every frame"),
    ("states", "typical frames of states and of the way between, as PDB"),
    ("viewer", "the 3-D view of this page; move it together with the page"),
    ("figures", "the figures of this page, as PNG"),
)
_FARTHEST = 10


def apply_model(
    model_folder: Path,
    read: ReadOptions,
    out: Path | None,
    overwrite: bool,
    progress: Reporter,
    *,
    align: bool = False,
) -> Path:
    """Write what a model finds in trajectories that it has not seen.

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
    align : bool
        Whether the molecule may be a mutant or a homologue, whose residues are matched
        with the model's by their sequences.

    Returns
    -------
    Path
        The folder, with ``report.html``, ``cvs.csv`` and ``summary.json``.

    Raises
    ------
    InputError
        If the model cannot be read, or the molecule is another one.
    """
    from mdgeomfeat.report import Gallery, application_page

    folder = out or default_folder(read, "applied")
    check_output(folder, overwrite, read.store)
    with remembered_warnings() as notes, output_folder(folder, overwrite) as work:
        applied = apply_to_files(model_folder, read, work, progress, align=align)
        data = applied.data
        _say_time_step(applied.model, data, progress)
        with progress.stage("report", None):
            application = _application(applied)
            findings = application_in_words(application)
            conclusions = conclusion_in_words(application)
            novelty = application.novelty
            write_cvs(
                work / "cvs.csv",
                data,
                applied.cvs,
                applied.states,
                distances=None if novelty is None else novelty.distances,
            )
            frames = _state_frames(applied, work)
            record = make_record(
                data,
                applied.read,
                title=f"{applied.model.method.upper()} model on {data.title}",
                warnings=notes,
                files=_FILES,
                assumed=notes.assumed,
            )
            page = application_page(
                application, record, Gallery(work / "figures"), data.dt, frames
            )
            (work / "report.html").write_text(page, encoding="utf-8")
            content = record_summary(record, "application")
            content["findings"] = findings
            content["application"] = {
                **application.to_dict(),
                "conclusions": conclusions,
            }
            write_json(work / "summary.json", content)
    for sentence in findings:
        progress.say(sentence)
    for sentence in conclusions:
        progress.say(f"note: {sentence}")
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
    features : list of (F_i, ...) arrays
        What the model was given.
    alignment : TokenAlignment or None
        Tokens of the files beside the model's, where they need not be the same.
    training : TrainingRecord or None
        Of the model's data; None for models of releases that kept none.
    """

    model: CVModel
    read: ReadOptions
    data: Featurized
    cvs: list[np.ndarray]
    states: list[np.ndarray]
    features: list[Rows]
    alignment: TokenAlignment | None
    training: TrainingRecord | None

    @property
    def n_states(self) -> int:
        """States of the model, whether a frame is in them or not."""
        return int(max(self.model.metadata["states"]["state_of_centre"]) + 1)


def apply_to_files(
    model_folder: Path,
    read: ReadOptions,
    work: Path,
    progress: Reporter,
    *,
    align: bool = False,
) -> Applied:
    """Compute the collective variables of trajectories with a stored model.

    Parameters
    ----------
    model_folder, read, progress, align
        As in :func:`apply_model`.
    work : Path
        Where features are kept unless `read` names another place.

    Raises
    ------
    InputError
        As :func:`apply_model`.
    """
    model, made_with = read_model_folder(model_folder)
    training = None
    if align or has_training(model_folder):
        training = read_training(model_folder)
    read = replace(read, features=_model_features(read.features, made_with))
    data = featurize(read, work, progress, usual_dt=model.metadata.get("stated_dt"))
    _say_stated_dt(model, data, read, progress)
    features = gnn_input(data, vectors=len(model.input_shape) == 3)
    alignment = None
    if align and training is not None:
        alignment = align_tokens(model.metadata, data.structure)
        mean = mean_tokens(training.reach, model.input_shape)
        features = [alignment.carry(rows, mean) for rows in features]
    else:
        check_same_molecule(model.metadata, data.structure)
    cvs = model.transform(features)
    return Applied(
        model=model,
        read=read,
        data=data,
        cvs=cvs,
        states=assign_states(model, cvs),
        features=features,
        alignment=alignment,
        training=training,
    )


def _state_frames(applied: Applied, work: Path) -> StateFrames | None:
    """Write typical frames of the states that were found, and the way between.

    Returns
    -------
    StateFrames or None
        None if no frame belongs to a state.
    """
    from mdgeomfeat.report import write_viewer

    data, n_states = applied.data, applied.n_states
    typical = central_frames(applied.cvs, applied.states, n_states)
    states = [rows_of(own, data) for own in typical]
    if not any(map(len, states)):
        return None
    first = np.concatenate(applied.cvs)[:, 0]
    frames = write_states(
        work / "states",
        data,
        ChosenFrames(
            states=states,
            way=choose_way(data, first),
            values=first,
            state_of=states_of_frames(applied.states, data),
        ),
    )
    write_viewer(work, frames)
    return frames


def _application(applied: Applied) -> Application:
    """Measure how far the frames lie from training, and gather what a page shows."""
    from mdgeomfeat.report import Application

    training, alignment = applied.training, applied.alignment
    labels = tuple(applied.model.metadata["structure"]["labels"])
    novelty = None
    farthest: tuple[tuple[FrameOrigin, float], ...] = ()
    if training is not None:
        novelty = measure_novelty(
            training.reach,
            applied.features,
            len(labels),
            None if alignment is None else alignment.same,
        )
        distances = np.concatenate(novelty.distances)
        rows = np.argsort(distances)[::-1][:_FARTHEST]
        origins = frame_origins(applied.data, rows.tolist())
        farthest = tuple(zip(origins, distances[rows].tolist(), strict=True))
    return Application(
        method=applied.model.method,
        cvs=applied.cvs,
        states=applied.states,
        trajectories=applied.data.groups,
        n_states=applied.n_states,
        training=training,
        novelty=novelty,
        alignment=alignment,
        labels=labels,
        farthest=farthest,
    )


def _model_features(asked: FeatureSpec, made_with: FeatureSpec) -> FeatureSpec:
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
                "The model brings the network that it was made with; leave out --model."
            )
        raise InputError(
            f"{flag} {wanted} is not what the model was made with ({own}); leave it "
            "out."
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
