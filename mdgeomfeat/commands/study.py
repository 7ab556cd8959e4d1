"""The commands ``vamp`` and ``tica``: from files to a folder with a report."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mdgeomfeat.commands.baselines import (
    PRIMARY,
    RANDOM,
    Baselines,
    classical_baselines,
    gnn_input,
    untrained_twin,
)
from mdgeomfeat.commands.chosen_coordinates import (
    FreeEnergyPlan,
    chosen_free_energies,
)
from mdgeomfeat.commands.explaining import state_differences, states_of_frames
from mdgeomfeat.commands.features import chosen_frames, default_folder, featurize
from mdgeomfeat.commands.featurized import STORE, Featurized
from mdgeomfeat.commands.frame_weights import WeightTables, read_weight_tables
from mdgeomfeat.commands.importance import token_importance, write_importance
from mdgeomfeat.commands.lag import parse_lag, split_lag
from mdgeomfeat.commands.mapping import choose_torsions, compare_inputs
from mdgeomfeat.commands.models import feature_recipe, write_model
from mdgeomfeat.commands.notes import remembered_warnings
from mdgeomfeat.commands.options import ReadOptions, StudyOptions
from mdgeomfeat.commands.output import check_output, output_folder
from mdgeomfeat.commands.progress import Reporter
from mdgeomfeat.commands.record import make_record
from mdgeomfeat.commands.state_structures import (
    ChosenFrames,
    choose_way,
    rows_of,
    state_angles,
    write_states,
)
from mdgeomfeat.commands.summary import summary
from mdgeomfeat.commands.tables import write_cvs, write_json
from mdgeomfeat.errors import InputError
from mdgeomfeat.reading.chain import file_readers
from mdgeomfeat.text import count

if TYPE_CHECKING:
    from MDAnalysis.core.groups import AtomGroup
    from MDAnalysis.core.universe import Universe

    from mdgeomfeat.kinetics import FrameWeights, StudyResult
    from mdgeomfeat.report.data import StateAngle
    from mdgeomfeat.store import Rows
    from mdgeomfeat.structure import Structure

__all__ = ["write_study"]


_FILES = (
    ("cvs.csv", "collective variables and state of every frame"),
    ("summary.json", "all numbers of this page"),
    (STORE, "token features of every frame"),
    ("importance.csv", "how much every residue matters"),
    ("model", "the trained model, for mdgeomfeat apply"),
    (
        "states",
        "frames of states and of the way between, as PDB, and how to colour them",
    ),
    ("viewer", "the 3-D view of this page; move it together with the page"),
    ("figures", "the figures of this page, as PNG"),
)


#: What is done after the files have been found to be usable, in this order.
_STAGES = (
    "features",
    "classical descriptors",
    "untrained twin",
    "slow motions",
    "maps and agreement",
    "what differs between states",
    "which residues matter",
    "report",
)


def write_study(
    read: ReadOptions,
    options: StudyOptions,
    out: Path | None,
    overwrite: bool,
    progress: Reporter,
) -> Path:
    """Find the slow motions, score them beside baselines, and write the report.

    Parameters
    ----------
    read : ReadOptions
        What is read.
    options : StudyOptions
        What is looked for.
    out : Path or None
        The folder of results; None names it after the first file.
    overwrite : bool
        Whether earlier results there may be replaced.
    progress : Reporter

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    InputError
        If files, options or frames cannot be used; nothing is left behind then.
    """
    from mdgeomfeat.report import (
        Gallery,
        convergence_in_words,
        differences_in_words,
        doubts_in_words,
        failures_in_words,
        findings_in_words,
        importance_in_words,
        study_page,
        write_viewer,
    )

    folder = out or default_folder(read, options.command)
    check_output(folder, overwrite, read.store)
    tables, plan = read_weight_tables(options), FreeEnergyPlan(options)

    def begin(structure: Structure, atoms: AtomGroup) -> None:
        plan.find(structure, atoms)
        stages = [s for s in _STAGES if options.maps or s != "maps and agreement"]
        progress.say(f"to do: {', '.join(stages)}")

    with remembered_warnings() as notes, output_folder(folder, overwrite) as work:
        data = featurize(
            read,
            work,
            progress,
            check=lambda u, dt: _check_frames(u, read, options.lag, dt, tables),
            begin=begin,
        )
        _check_number(len(data.results.times))
        weights = None if tables is None else tables.weights(data)
        lag = None if options.lag is None else parse_lag(options.lag, data.dt)
        equivariant = options.mixer == "equivariant"
        baselines = classical_baselines(data, progress)
        twin, twin_input = untrained_twin(read, data, progress, vectors=equivariant)
        flat = gnn_input(data)
        inputs = {
            PRIMARY: gnn_input(data, vectors=True) if equivariant else flat,
            RANDOM: twin_input,
            **baselines.inputs,
        }
        study = _study(
            inputs, tuple(baselines.inputs), data, options, lag, weights, progress
        )
        doubts, failures = doubts_in_words(study), failures_in_words(study)
        comparison = None
        if options.maps:
            comparison = compare_inputs(
                {**inputs, PRIMARY: flat, RANDOM: twin},
                torsions=baselines.torsions,
                distances=baselines.distances,
                cvs=study.cvs,
                groups=data.groups,
                same_as=baselines.itself,
                progress=progress,
            )
        with progress.stage("what differs between states", None):
            differences = state_differences(study, data)
        with progress.stage("which residues matter", None):
            importance = token_importance(study, data, inputs)
        chosen = chosen_free_energies(plan.found, study, data)
        with progress.stage("report", None):
            write_cvs(
                work / "cvs.csv",
                data,
                study.cvs,
                study.states.dtrajs,
                None if study.weights is None else study.weights.values,
            )
            write_model(work / "model", data, inputs[PRIMARY], study)
            if importance is not None:
                write_importance(work / "importance.csv", importance)
            frames = write_states(
                work / "states",
                data,
                _chosen_frames(study, data),
                angles=_told_angles(baselines, study, data),
                importance=importance.overall
                if importance is not None and study.evidence.established
                else None,
                solvent=None
                if options.whole_systems is None
                else options.whole_systems == "solvated",
            )
            write_viewer(work, frames)
            record = make_record(
                data,
                read,
                title=f"Slow motions of {data.title}",
                warnings=list(dict.fromkeys([*doubts, *notes, *failures])),
                files=_FILES,
                assumed=notes.assumed,
            )
            page = study_page(
                study,
                record,
                Gallery(work / "figures"),
                frames=frames,
                chosen=chosen,
                differences=differences,
                importance=importance,
                comparison=comparison,
            )
            (work / "report.html").write_text(page, encoding="utf-8")
            write_json(
                work / "summary.json",
                summary(
                    study,
                    record,
                    frames,
                    chosen=chosen,
                    differences=differences,
                    importance=importance,
                    comparison=comparison,
                ),
            )
        for sentence in (*findings_in_words(study), *convergence_in_words(study)):
            progress.say(sentence)
        if differences is not None and study.evidence.established:
            for sentence in differences_in_words(differences):
                progress.say(sentence)
        if importance is not None and study.evidence.established:
            for sentence in importance_in_words(importance):
                progress.say(sentence)
        for sentence in (*doubts, *failures):
            progress.say(f"note: {sentence}")
    return folder


def _check_frames(
    universe: Universe,
    read: ReadOptions,
    lag: str | None,
    stated: float | None,
    tables: WeightTables | None,
) -> None:
    """Refuse what the files alone show to be wrong, before features are computed."""
    from mdgeomfeat.reading.times import common_dt, trajectory_info

    frames = chosen_frames(universe, read.start, read.stop, read.step)
    _check_number(len(frames))
    used = slice(read.start, read.stop, read.step)
    if tables is not None:
        tables.check(universe, used, stated)
    if lag is None:
        return
    value, unit = split_lag(lag)
    infos = trajectory_info(universe, stated)
    dt = common_dt(infos)
    if unit and dt is None and any(info.knows_times for info in infos):
        return  # the chosen frames may know times that are even
    step = None if dt is None else dt * (read.step or 1)
    n = parse_lag(lag, step) if unit or step is not None else int(value)
    readers = file_readers(universe.trajectory)
    longest = max(len(range(*used.indices(reader.n_frames))) for reader in readers)
    if n >= longest:
        raise InputError(
            f"--lag '{lag}' is {count(n, 'frame')}, and the longest trajectory has "
            f"{longest:,}; choose a shorter lag."
        )


def _check_number(n_frames: int) -> None:
    """Refuse fewer frames than a study needs."""
    from mdgeomfeat.commands.compare import MIN_FRAMES as FOR_MAPS
    from mdgeomfeat.kinetics.study import MIN_FRAMES

    if n_frames < MIN_FRAMES:
        be = "is" if n_frames == 1 else "are"
        other = (
            "compare, which maps the features, can use these"
            if n_frames >= FOR_MAPS
            else f"compare needs {FOR_MAPS}, features takes any number"
        )
        raise InputError(
            f"{count(n_frames, 'frame')} {be} too few to find slow motions; "
            f"give at least {MIN_FRAMES} ({other})."
        )


def _study(
    inputs: dict[str, list[Rows]],
    classical: tuple[str, ...],
    data: Featurized,
    options: StudyOptions,
    lag: int | None,
    weights: FrameWeights | None,
    progress: Reporter,
) -> StudyResult:
    """Run the study with its progress shown."""
    from mdgeomfeat.kinetics import DoubtWarning, SpibOptions, StudySettings, run_study

    labels = options.labels

    settings = StudySettings(
        method=options.method,
        lag=lag,
        dim=options.dim,
        mixer=options.mixer,
        n_states=options.states,
        seeds=options.seeds,
        temperature=options.temperature,
        dt=data.dt,
        koopman=options.koopman,
        spib=SpibOptions() if labels is None else SpibOptions(n_labels=labels),
        groups=data.groups,
        fused=classical,
        metadata=feature_recipe(data),
    )
    with progress.steps("slow motions") as tell, warnings.catch_warnings():
        # they are worded for page and terminal
        warnings.simplefilter("ignore", DoubtWarning)
        return run_study(inputs, PRIMARY, settings, progress=tell, weights=weights)


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
