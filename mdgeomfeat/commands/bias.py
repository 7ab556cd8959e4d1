"""The command ``bias``: a simulation that is driven along a learnt variable."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from mdgeomfeat.bias.ranges import BiasRange, propose_ranges
from mdgeomfeat.bias.sampler import BiasSettings
from mdgeomfeat.bias.simulation import (
    CHECKPOINT,
    COLVAR,
    LOGWEIGHT,
    TRAJECTORY,
    RunSettings,
)
from mdgeomfeat.commands.bias_folder import (
    SETTINGS,
    SYSTEM,
    TOPOLOGY,
    agree,
    check_folder,
    empty_folder,
)
from mdgeomfeat.commands.notes import Notes, remembered_warnings
from mdgeomfeat.commands.progress import Reporter
from mdgeomfeat.commands.record import versions
from mdgeomfeat.commands.tables import write_json
from mdgeomfeat.errors import InputError
from mdgeomfeat.text import format_time

if TYPE_CHECKING:
    from mdgeomfeat.bias.simulation import BiasedSimulation
    from mdgeomfeat.bias.systems import Simulated
    from mdgeomfeat.report import BiasedRun

__all__ = ["BiasOptions", "run_bias"]

FORMAT: Final = 1
_FILES = (
    (COLVAR, "variables, bias and weights, for PLUMED's tools and --weights"),
    (TRAJECTORY, "frames, one for each line of COLVAR or every few of them"),
    (TOPOLOGY, "their topology"),
    (SYSTEM, "the system without the bias, as OpenMM wrote it"),
    (SETTINGS, "the options of the run"),
    (CHECKPOINT, "the state from which the same command continues"),
    ("summary.json", "all numbers of this page"),
)


@dataclass(frozen=True, kw_only=True)
class BiasOptions:
    """What is simulated, and how it is biased.

    Attributes
    ----------
    model : Path
        The folder of a report, or its model.
    structure : Path
        PDB or mmCIF of the whole system.
    n_steps : int
        Steps from the beginning.
    system : Path or None
        The system as OpenMM wrote it.
    force_field : tuple of str
        Or what makes one.
    outputs : tuple of int
        Which variables are biased, from 0; none for the first, or the first two.
    select : str or None
        A selection, if the atoms are named differently here.
    periodic : bool or None
        Whether nearest images count; None as in training.
    width : float or None
        Of the bias's Gaussians, in place of what the training data propose.
    grid : (float, float) or None
        Ends of the grid, likewise; walls keep their distance from them.
    engine : str
        What computes the variables.
    bias : BiasSettings
    run : RunSettings
    """

    model: Path
    structure: Path
    n_steps: int
    system: Path | None = None
    force_field: tuple[str, ...] = ()
    outputs: tuple[int, ...] = ()
    select: str | None = None
    periodic: bool | None = None
    width: float | None = None
    grid: tuple[float, float] | None = None
    engine: str = "auto"
    bias: BiasSettings = field(default_factory=BiasSettings)
    run: RunSettings = field(default_factory=RunSettings)


def run_bias(
    options: BiasOptions, out: Path | None, overwrite: bool, progress: Reporter
) -> Path:
    """Run a biased simulation, or go on with one, and write its report.

    The folder is there from the beginning; the same command goes on from its last
    checkpoint, whatever ended the one before. More steps may be asked for then.

    Parameters
    ----------
    options : BiasOptions
    out : Path or None
        The folder; None names it after the structure.
    overwrite : bool
        Whether a simulation that is there is begun anew.
    progress : Reporter

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    InputError
        If files, options or positions cannot be used.
    """
    from mdgeomfeat.bias.force import require_openmm
    from mdgeomfeat.bias.systems import read_simulated
    from mdgeomfeat.store import StoreLock

    require_openmm()
    if options.n_steps < 1:
        raise InputError(f"--steps {options.n_steps} is too few; give at least 1.")
    folder = out or Path(f"{options.structure.stem}-bias")
    simulated = read_simulated(
        options.structure, system=options.system, force_field=options.force_field
    )
    ranges = _ranges(options)
    settings = _settings(options, simulated, ranges)
    check_folder(folder, overwrite)
    with StoreLock(folder / COLVAR), remembered_warnings() as notes:
        if overwrite:
            empty_folder(folder)
        agree(folder, settings, simulated)
        for name, r in zip(_names(options, len(ranges)), ranges, strict=True):
            progress.say(
                f"{name}: width {r.width:.3g}, walls at {r.lower:.3g} and "
                f"{r.upper:.3g}, grid from {r.grid[0]:.3g} to {r.grid[1]:.3g}"
            )
        simulation = _simulation(options, folder, simulated, ranges)
        if simulation.step:
            progress.say(f"note: continuing from step {simulation.step:,}.")
        if not simulation.exact:
            progress.say(
                "note: the checkpoint is of another version or platform of OpenMM, so "
                "the thermostat uses new random numbers."
            )
        left = max(options.n_steps - simulation.step, 0)
        with progress.stage("simulation", left, "steps") as advance:
            simulation.run(options.n_steps, advance)
        simulation.close()
        result = _report(options, folder, simulated, ranges, simulation, notes)
        for sentence in result.findings:
            progress.say(sentence)
    return folder


def _ranges(options: BiasOptions) -> tuple[BiasRange, ...]:
    """Return what is proposed for the variables, with what the user says instead."""
    from mdgeomfeat.variables import read_model_folder, read_training

    model, _ = read_model_folder(options.model)
    outputs = options.outputs or tuple(range(min(model.dim, 2)))
    wrong = [k + 1 for k in outputs if not 0 <= k < model.dim]
    if wrong:
        raise InputError(
            f"--variable {wrong[0]} does not exist in this model; choose from 1 to "
            f"{model.dim}."
        )
    ranges = propose_ranges(read_training(options.model), outputs)
    if options.width is not None:
        ranges = tuple(replace(r, width=options.width) for r in ranges)
    if options.grid is not None:
        if len(ranges) > 1:
            raise InputError(
                "--grid is for one variable, but this bias has "
                f"{len(ranges)}; choose one with --variable, or leave --grid out."
            )
        low, high = options.grid
        margin = (high - low) * 2 / 15  # as of the proposal
        ranges = (
            replace(
                ranges[0], grid=(low, high), lower=low + margin, upper=high - margin
            ),
        )
    return ranges


def _names(options: BiasOptions, n: int) -> list[str]:
    return [f"cv{k + 1}" for k in (options.outputs or range(n))]


def _simulation(
    options: BiasOptions,
    folder: Path,
    simulated: Simulated,
    ranges: Sequence[BiasRange],
) -> BiasedSimulation:
    """Return the simulation, with the variables computed once for all its parts."""
    from mdgeomfeat.bias.force import openmm_variables
    from mdgeomfeat.bias.simulation import BiasedSimulation

    n = len(ranges)
    common: dict[str, Any] = {
        "outputs": options.outputs or range(n),
        "select": options.select,
        "periodic": options.periodic,
        "engine": options.engine,
    }
    forces = openmm_variables(options.model, simulated.topology, reach=True, **common)
    distance = forces.pop()
    if options.bias.fade is None:
        # told with every line only, and so no cost in between
        forces = openmm_variables(options.model, simulated.topology, **common)
    return BiasedSimulation(
        folder,
        simulated.topology,
        simulated.system,
        simulated.positions,
        simulated.box,
        {force.getName(): force for force in forces},
        ranges,
        options.bias,
        options.run,
        distance,
    )


def _settings(
    options: BiasOptions, simulated: Simulated, ranges: Sequence[BiasRange]
) -> dict[str, Any]:
    """Return what must agree for a simulation to be gone on with."""
    import openmm

    from mdgeomfeat.variables import read_model_folder

    model, features = read_model_folder(options.model)
    system = openmm.XmlSerializer.serialize(simulated.system)
    atoms = [(a.name, a.residue.name) for a in simulated.topology.atoms()]
    return {
        "format": FORMAT,
        "model": _digest(
            features.model.fingerprint,  # type: ignore[union-attr]
            model.rotation.matrix.tobytes().hex(),
        ),
        "system": _digest(system),
        "atoms": _digest(json.dumps(atoms)),
        "selection": options.select,
        "periodic": options.periodic,
        "variables": [
            {"name": name, **asdict(r)}
            for name, r in zip(_names(options, len(ranges)), ranges, strict=True)
        ],
        "engine": options.engine,
        "bias": asdict(options.bias),
        "run": asdict(options.run),
    }


def _digest(*texts: str) -> str:
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:16]


def _report(
    options: BiasOptions,
    folder: Path,
    simulated: Simulated,
    ranges: Sequence[BiasRange],
    simulation: BiasedSimulation,
    notes: Notes,
) -> BiasedRun:
    """Write the page and the summary."""
    from mdgeomfeat.reading.colvar import read_colvar
    from mdgeomfeat.report import BiasedRun, Gallery, bias_page

    written = read_colvar(folder / COLVAR)
    columns = {name: written.column(name) for name in written.fields}
    names = _names(options, len(ranges))
    length = format_time(simulation.step * options.run.time_step)
    bias = options.bias
    told = [
        ("Model", str(options.model)),
        ("System", f"{options.structure.name}, {len(simulated.positions):,} atoms"),
        (
            "Method",
            {"opes": "OPES", "metad": "well-tempered metadynamics"}[bias.method],
        ),
        ("Temperature", f"{bias.temperature:g} K"),
        ("Length", f"{length}, {simulation.step:,} steps"),
        *(
            (
                name,
                f"width {r.width:.3g}, walls at {r.lower:.3g} and {r.upper:.3g}, grid "
                f"from {r.grid[0]:.3g} to {r.grid[1]:.3g}",
            )
            for name, r in zip(names, ranges, strict=True)
        ),
        (
            "Far from the training data",
            "the bias is as elsewhere"
            if bias.fade is None
            else f"the bias fades out over {bias.fade:g} beyond a distance of 1",
        ),
        *([("Assumed", " ".join(notes.assumed))] if notes.assumed else []),
    ]
    result = BiasedRun.of(
        columns,
        names,
        LOGWEIGHT,
        told=tuple(told),
        warnings=tuple(notes),
        files=_FILES,
        kt=bias.kt,
    )
    gallery = Gallery(folder / "figures")
    (folder / "report.html").write_text(bias_page(result, gallery), encoding="utf-8")
    write_json(
        folder / "summary.json",
        {
            "format": FORMAT,
            "kind": "mdgeomfeat bias",
            "simulated": dict(told),
            "findings": list(result.findings),
            "warnings": notes,
            "free_energies": {
                name: asdict(profile) for name, profile in result.profiles.items()
            },
            "versions": versions(),
        },
    )
    return result
