"""The command ``info``: what is in these files, and what would be done with them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from mdgeomfeat.commands.notes import remembered_warnings
from mdgeomfeat.commands.options import ReadOptions
from mdgeomfeat.errors import InputError, sentence
from mdgeomfeat.reading.times import read_dt
from mdgeomfeat.text import count, format_time

if TYPE_CHECKING:
    from MDAnalysis.core.universe import Universe

    from mdgeomfeat.reading import TrajectoryInfo
    from mdgeomfeat.structure import Structure

__all__ = ["Inspection", "inspect_files"]

Facts = dict[str, Any]
_MAX_NAMES = 12


@dataclass(frozen=True)
class Inspection:
    """What was found in files.

    Attributes
    ----------
    facts : dict
        Facts by name, for people: text, or a list of lines.
    numbers : dict
        The same for programs, JSON types; see docs/file-formats.md.
    """

    facts: Facts = field(default_factory=dict)
    numbers: dict[str, Any] = field(default_factory=dict)


def inspect_files(read: ReadOptions) -> Inspection:
    """Describe files, the default selection, and how features would be computed.

    What cannot be done with the files is told among the facts: this command explains
    problems rather than stopping at them, as long as the files can be opened.

    Parameters
    ----------
    read : ReadOptions
        Files and the options that change the selection or the engine.

    Returns
    -------
    Inspection

    Raises
    ------
    InputError
        If the files cannot be opened, or no frame is chosen.
    """
    from mdgeomfeat.commands.features import chosen_frames
    from mdgeomfeat.commands.inspected import INFO_FORMAT, file_numbers
    from mdgeomfeat.reading import open_universe, trajectory_info

    with remembered_warnings(show=False) as notes:
        universe = open_universe(
            [str(f) for f in read.files],
            skip_bad_frames=read.skip_bad_frames,
            dt=read.dt,
        )
        stated = read_dt(read.dt)
        infos = trajectory_info(universe, stated)
        frames = chosen_frames(universe, read.start, read.stop, read.step)
        topology = str(universe.filename or read.files[0])
        facts: Facts = {
            "topology": topology,
            **_contents(universe),
            **_frames(infos, read),
        }
        if len(frames) != sum(info.n_frames for info in infos):
            facts["frames"] += f", of which {len(frames):,} would be used"
        numbers = {
            "format": INFO_FORMAT,
            "topology": topology,
            **file_numbers(universe, infos, frames, stated),
        }
        try:
            facts |= _selected(universe, read, numbers)
        except InputError as error:
            facts["problem"] = str(error)
    told = [*notes, *notes.assumed]
    if told:
        facts["notes"] = told
    numbers |= {"problem": facts.get("problem"), "notes": told}
    return Inspection(facts, numbers)


def _contents(universe: Universe) -> Facts:
    """Count atoms, residues and chains."""
    atoms = universe.atoms
    names, counts = np.unique(
        [str(r) for r in getattr(atoms.residues, "resnames", [])], return_counts=True
    )
    order = np.argsort(-counts, kind="stable")
    listed = [f"{names[i]} {counts[i]}" for i in order[:_MAX_NAMES]]
    if len(names) > _MAX_NAMES:
        listed.append(f"and {count(len(names) - _MAX_NAMES, 'other kind')}")
    chains = getattr(atoms, "chainIDs", None)
    ids = sorted({str(c) for c in chains if str(c)}) if chains is not None else []
    return {
        "atoms": f"{len(atoms):,}",
        "residues": f"{len(atoms.residues):,} ({', '.join(listed)})",
        "chains": ", ".join(ids) if ids else "not named",
        "segments": count(len(atoms.segments), "segment"),
    }


def _frames(infos: list[TrajectoryInfo], read: ReadOptions) -> Facts:
    """Describe every trajectory in one line."""
    lines = []
    for info in infos:
        line = f"{info.path}: {count(info.n_frames, 'frame')}"
        if info.dt is not None:
            line += f", {format_time(info.dt)} apart"
            if read.dt is not None:
                line += " as --dt states"
        if info.overruled is not None:
            line += f" (the file has {info.overruled})"
        if info.seams:
            line += (
                f", in {count(len(info.seams) + 1, 'piece')} (times jump first at "
                f"frame {info.seams[0]:,})"
            )
        if info.no_dt is not None:
            line += f", {info.no_dt} (give lags in frames, or state --dt)"
        elif info.doubt is not None:
            line += f" (doubtful: its frames {info.doubt}; state --dt if that is wrong)"
        if info.first_time != info.last_time:
            line += f", {_clock(info.first_time)} to {_clock(info.last_time)} ps"
        lines.append(line)
    box = infos[0].box
    return {
        "trajectories": lines,
        "frames": f"{sum(i.n_frames for i in infos):,}",
        "box": "none" if box is None else _box(box),
    }


def _clock(time: float | None) -> str:
    """Write a time in ps without the digits that sums in float32 add."""
    if time is None:
        return "unknown"
    decimals = max(0, 4 - int(np.log10(max(abs(time), 1.0))))
    return f"{round(time, decimals):,.10g}"


def _box(box: tuple[float, ...]) -> str:
    lengths = " x ".join(f"{v:.2f}" for v in box[:3])
    angles = ", ".join(f"{v:.1f}" for v in box[3:])
    kind = "orthorhombic" if np.allclose(box[3:], 90.0) else "triclinic"
    return f"{lengths} Å, angles {angles} degrees ({kind})"


def _selected(universe: Universe, read: ReadOptions, found: dict[str, Any]) -> Facts:
    """Describe what would be selected, and how features would be computed.

    Numbers are put into what was ``found`` as far as it goes.
    """
    from mdgeomfeat.commands.inspected import selection_numbers
    from mdgeomfeat.gnn import load_model
    from mdgeomfeat.structure.elements import SYMBOLS
    from mdgeomfeat.structure.selected import select_structure

    select = read.features.select
    _, structure = select_structure(universe, select, tokens=read.features.tokens)
    found["selection"] = selection_numbers(
        structure, str(read.features.tokens), read.features.window
    )
    numbers, counts = np.unique(structure.numbers, return_counts=True)
    labels = structure.token_labels()
    shown = ", ".join(labels[:_MAX_NAMES])
    if len(labels) > _MAX_NAMES:
        shown += f" … {labels[-1]}"
    facts = {
        "selected": f"{count(structure.n_atoms, 'atom')} "
        + (
            "by default"
            if read.features.select is None
            else f"by '{read.features.select}'"
        ),
        "elements": ", ".join(
            f"{SYMBOLS[z]} {n}" for z, n in zip(numbers, counts, strict=True)
        ),
        "tokens": f"{count(structure.n_tokens, str(read.features.tokens))} in "
        f"{count(int(structure.chain[-1]) + 1, 'unbroken chain')}: {shown}",
    }
    if read.features.window is not None:
        facts["window"] = (
            f"a token sees {count(read.features.window, 'token')} on either side "
            "along its chain"
        )
    model = load_model(read.features.model)
    problems: list[str] = []
    facts["periodic"] = _periodic(universe, structure, read, model, problems, found)
    facts |= _network(read, structure, model, problems, found)
    return facts | ({"problem": " ".join(problems)} if problems else {})


def _periodic(
    universe: Universe,
    structure: Structure,
    read: ReadOptions,
    model: Any,
    problems: list[str],
    found: dict[str, Any],
) -> str:
    """Say whether the box would be used, as the features themselves decide it."""
    from mdgeomfeat.commands.features import chosen_frames
    from mdgeomfeat.featurizer.boxes import decide_box
    from mdgeomfeat.featurizer.frames import FramePlan

    frames = chosen_frames(universe, read.start, read.stop, read.step)
    try:
        verdict = decide_box(
            universe.trajectory,
            FramePlan.of(universe.trajectory, frames, chunk_size=1),
            structure,
            read.features.periodic,
            cutoff=model.spec.cutoff,
            skip_bad=read.skip_bad_frames,
            allow_implausible=read.allow_implausible,
        )
    except InputError as error:
        problems.append(str(error))
        return "not decided"
    found["uses_box"] = verdict.used
    return str(verdict)


def _network(
    read: ReadOptions,
    structure: Structure,
    model: Any,
    problems: list[str],
    found: dict[str, Any],
) -> Facts:
    """Describe the network and the engine that would run it."""
    from mdgeomfeat.commands.inspected import network_numbers

    spec = model.spec
    unseen = model.unseen(structure.numbers)
    facts = {
        "network": f"{read.features.model_name}: {spec.architecture}, "
        f"{spec.n_channels} channels, cutoff {spec.cutoff:g} Å"
    }
    found["network"] = network_numbers(read.features.model_name, model, structure)
    facts["engine"] = _engine(read, model, found)
    if unseen:
        from mdgeomfeat.structure.elements import SYMBOLS
        from mdgeomfeat.structure.misread import doubtful_element

        said = f"the network has never seen {', '.join(SYMBOLS[z] for z in unseen)}"
        if read.features.allow_unseen:
            facts["unseen"] = f"{said}, accepted by --allow-unseen"
        else:
            doubt = doubtful_element(structure, unseen)
            problems.append(
                sentence(
                    f"{said}; "
                    + (
                        doubt
                        or "leave these atoms out with --select, take another --model, "
                        "or accept them with --allow-unseen"
                    )
                )
            )
    return facts


def _engine(read: ReadOptions, model: Any, found: dict[str, Any]) -> str:
    """Name the engine that would be used, without making it (kernels compile)."""
    from mdgeomfeat.gnn.engine.choice import choose_engine

    name, device, reason = choose_engine(model, read.engine, read.device)
    found |= {"engine": name, "device": str(device)}
    return f"{name} on {device} ({reason})"
