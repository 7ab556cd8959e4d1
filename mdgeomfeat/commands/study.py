"""The commands ``vamp``, ``spib`` and ``tica``: from files to a folder of results."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from mdgeomfeat.commands.baselines import (
    PRIMARY,
    RANDOM,
    classical_baselines,
    gnn_input,
    untrained_twin,
)
from mdgeomfeat.commands.chosen_coordinates import (
    FreeEnergyPlan,
    chosen_free_energies,
)
from mdgeomfeat.commands.explaining import state_differences
from mdgeomfeat.commands.features import chosen_frames, default_folder, featurize
from mdgeomfeat.commands.featurized import Featurized
from mdgeomfeat.commands.frame_weights import WeightTables, read_weight_tables
from mdgeomfeat.commands.importance import token_importance
from mdgeomfeat.commands.lag import parse_lag, split_lag
from mdgeomfeat.commands.mapping import compare_inputs
from mdgeomfeat.commands.models import feature_recipe
from mdgeomfeat.commands.notes import remembered_warnings
from mdgeomfeat.commands.options import ReadOptions, StudyOptions
from mdgeomfeat.commands.output import check_output, output_folder
from mdgeomfeat.commands.progress import Reporter
from mdgeomfeat.commands.smooth import SmoothVariables, smooth_variables
from mdgeomfeat.commands.study_folder import Found, tell, write_folder
from mdgeomfeat.errors import InputError
from mdgeomfeat.reading.chain import file_readers
from mdgeomfeat.text import count

if TYPE_CHECKING:
    from MDAnalysis.core.groups import AtomGroup
    from MDAnalysis.core.universe import Universe

    from mdgeomfeat.kinetics import FrameWeights, StudyResult
    from mdgeomfeat.store import Rows
    from mdgeomfeat.structure import Structure

__all__ = ["write_study"]


#: What is done after the files have been found to be usable, in this order.
_STAGES = (
    "features",
    "classical descriptors",
    "untrained twin",
    "slow motions",
    "maps and agreement",
    "what differs between states",
    "which residues matter",
    "variables for biased simulations",
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
    folder = out or default_folder(read, options.command)
    check_output(folder, overwrite, read.store)
    tables, plan = read_weight_tables(options), FreeEnergyPlan(options)

    def begin(structure: Structure, atoms: AtomGroup) -> None:
        plan.find(structure, atoms)
        left_out = {"maps and agreement"} if not options.maps else set()
        if not options.smooth:
            left_out.add("variables for biased simulations")
        stages = [stage for stage in _STAGES if stage not in left_out]
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
        found = _find(read, options, data, plan, weights, progress)
        with progress.stage("report", None):
            write_folder(work, read, options, data, found, notes)
    tell(found, progress)
    return folder


def _find(
    read: ReadOptions,
    options: StudyOptions,
    data: Featurized,
    plan: FreeEnergyPlan,
    weights: FrameWeights | None,
    progress: Reporter,
) -> Found:
    """Compute what the features are set beside, the study, and what explains it."""
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
    smooth = _smooth(study, data, flat, progress) if options.smooth else None
    return Found(
        study=study,
        inputs=inputs,
        baselines=baselines,
        comparison=comparison,
        differences=differences,
        importance=importance,
        chosen=chosen_free_energies(plan.found, study, data),
        smooth=smooth,
    )


def _smooth(
    study: StudyResult, data: Featurized, flat: list[Rows], progress: Reporter
) -> SmoothVariables | None:
    """Return variables for a bias, or None and a note where nothing is slow."""
    from mdgeomfeat.kinetics import ScoreError

    try:
        with progress.stage("variables for biased simulations", None):
            return smooth_variables(study, data, flat)
    except ScoreError as error:
        progress.say(f"note: {error}")
        return None


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
        study: StudyResult = run_study(
            inputs, PRIMARY, settings, progress=tell, weights=weights
        )
        return study
