"""What a study writes and says: the folder of results, and lines in the terminal."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mdgeomfeat.commands.baselines import PRIMARY, Baselines
from mdgeomfeat.commands.explaining import states_of_frames
from mdgeomfeat.commands.featurized import STORE, Featurized
from mdgeomfeat.commands.importance import write_importance
from mdgeomfeat.commands.mapping import choose_torsions
from mdgeomfeat.commands.models import write_model
from mdgeomfeat.commands.notes import Notes
from mdgeomfeat.commands.options import ReadOptions, StudyOptions
from mdgeomfeat.commands.progress import Reporter
from mdgeomfeat.commands.record import make_record
from mdgeomfeat.commands.smooth import SMOOTH, SmoothVariables
from mdgeomfeat.commands.state_structures import (
    ChosenFrames,
    choose_way,
    rows_of,
    state_angles,
    write_states,
)
from mdgeomfeat.commands.summary import summary
from mdgeomfeat.commands.tables import write_cvs, write_json

if TYPE_CHECKING:
    from mdgeomfeat.explain import StateDifferences, TokenImportance
    from mdgeomfeat.kinetics import StudyResult
    from mdgeomfeat.report.data import ChosenFreeEnergy, Comparison, StateAngle
    from mdgeomfeat.store import Rows

__all__ = ["Found", "tell", "write_folder"]

_FILES = (
    ("cvs.csv", "collective variables and state of every frame"),
    ("summary.json", "all numbers of this page"),
    (STORE, "token features of every frame"),
    ("importance.csv", "how much every residue matters"),
    ("model", "the trained model, for mdgeomfeat apply"),
    ("smooth", "variables for biased simulations, for mdgeomfeat bias"),
    (
        "states",
        "frames of states and of the way between, as PDB, and how to colour them",
    ),
    ("viewer", "the 3-D view of this page; move it together with the page"),
    ("figures", "the figures of this page, as PNG"),
)


@dataclass(frozen=True, eq=False, kw_only=True)
class Found:
    """A study, what it was made of, and what is shown beside it.

    Attributes
    ----------
    study : StudyResult
    inputs : dict of str to list of arrays
        What the estimators saw, run by run.
    baselines : Baselines
        Classical descriptors.
    comparison : Comparison or None
        Maps and agreement; None where they were not asked for.
    differences : StateDifferences or None
        None where too few states have enough frames.
    importance : TokenImportance or None
        None where there is one token only, or no fold has a model.
    chosen : tuple of ChosenFreeEnergy
        Free energies over coordinates that the user named.
    smooth : SmoothVariables or None
        Variables for biased simulations; None where they were not asked for.
    """

    study: StudyResult
    inputs: dict[str, list[Rows]]
    baselines: Baselines
    comparison: Comparison | None
    differences: StateDifferences | None
    importance: TokenImportance | None
    chosen: tuple[ChosenFreeEnergy, ...]
    smooth: SmoothVariables | None = None


def write_folder(
    work: Path,
    read: ReadOptions,
    options: StudyOptions,
    data: Featurized,
    found: Found,
    notes: Notes,
) -> None:
    """Write what a study has found: tables, model, frames, page and summary.

    Parameters
    ----------
    work : Path
        The folder, which exists.
    read : ReadOptions
    options : StudyOptions
    data : Featurized
    found : Found
    notes : Notes
        Warnings so far.
    """
    from mdgeomfeat.report import (
        Gallery,
        doubts_in_words,
        failures_in_words,
        study_page,
        write_viewer,
    )

    study, importance = found.study, found.importance
    write_cvs(
        work / "cvs.csv",
        data,
        study.cvs,
        study.states.dtrajs,
        None if study.weights is None else study.weights.values,
    )
    write_model(work / "model", data, found.inputs[PRIMARY], study)
    if found.smooth is not None:
        write_model(work / SMOOTH, data, found.inputs[PRIMARY], found.smooth.study)
    if importance is not None:
        write_importance(work / "importance.csv", importance)
    frames = write_states(
        work / "states",
        data,
        _chosen_frames(study, data),
        angles=_told_angles(found.baselines, study, data),
        importance=importance.overall
        if importance is not None and study.evidence.established
        else None,
        solvent=None
        if options.whole_systems is None
        else options.whole_systems == "solvated",
    )
    write_viewer(work, frames)
    doubts, failures = doubts_in_words(study), failures_in_words(study)
    record = make_record(
        data,
        read,
        title=f"Slow motions of {data.title}",
        warnings=list(dict.fromkeys([*doubts, *notes, *failures])),
        files=tuple(f for f in _FILES if f[0] != SMOOTH or found.smooth is not None),
        assumed=notes.assumed,
    )
    page = study_page(
        study,
        record,
        Gallery(work / "figures"),
        frames=frames,
        chosen=found.chosen,
        differences=found.differences,
        importance=importance,
        comparison=found.comparison,
    )
    (work / "report.html").write_text(page, encoding="utf-8")
    content = summary(
        study,
        record,
        frames,
        chosen=found.chosen,
        differences=found.differences,
        importance=importance,
        comparison=found.comparison,
    )
    write_json(work / "summary.json", content)


def tell(found: Found, progress: Reporter) -> None:
    """Say in the terminal what was found, and what speaks against it.

    Parameters
    ----------
    found : Found
    progress : Reporter
    """
    from mdgeomfeat.report import (
        convergence_in_words,
        differences_in_words,
        doubts_in_words,
        failures_in_words,
        findings_in_words,
        importance_in_words,
    )

    study = found.study
    sentences = [*findings_in_words(study), *convergence_in_words(study)]
    if study.evidence.established:
        if found.differences is not None:
            sentences += differences_in_words(found.differences)
        if found.importance is not None:
            sentences += importance_in_words(found.importance)
    for sentence in sentences:
        progress.say(sentence)
    if found.smooth is not None:
        progress.say(
            "The variables for biased simulations allow for displacements of "
            f"{found.smooth.displacement:g} Å."
        )
    for sentence in (*doubts_in_words(study), *failures_in_words(study)):
        progress.say(f"note: {sentence}")


def _chosen_frames(study: StudyResult, data: Featurized) -> ChosenFrames:
    """Return the frames that are shown: typical ones of states, and a way."""
    first = np.concatenate(study.cvs)[:, 0]
    return ChosenFrames(
        states=[rows_of(index, data) for index in study.states.representatives],
        way=choose_way(data, first),
        values=first,
        state_of=states_of_frames(study.states.dtrajs, data),
    )


def _told_angles(
    baselines: Baselines, study: StudyResult, data: Featurized
) -> tuple[StateAngle, ...]:
    """Return the angles that are told of each state, at most three."""
    chosen = choose_torsions(baselines.torsions, np.concatenate(study.cvs), n=3)
    states = states_of_frames(study.states.dtrajs, data)
    named = [(t.name, t.values) for t in chosen]
    return state_angles(named, states, study.states.n_states)
