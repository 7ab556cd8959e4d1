"""Frames of the states and of the way between them, as PDB files; states' angles."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from mdgeomfeat.commands.colouring import write_scripts
from mdgeomfeat.commands.molecule import by_residue, describe_molecule
from mdgeomfeat.commands.pdb_files import write_models, write_origins
from mdgeomfeat.commands.tables import frame_origins
from mdgeomfeat.commands.whole_systems import write_typical_systems
from mdgeomfeat.descriptors import superpose
from mdgeomfeat.explain import Backbone, smooth_path
from mdgeomfeat.report.data import StateAngle, StateFrames, Way
from mdgeomfeat.report.molecule import facing
from mdgeomfeat.structure.topology import AtomTable
from mdgeomfeat.text import count

if TYPE_CHECKING:
    from MDAnalysis.core.universe import Universe

    from mdgeomfeat.commands.featurized import Featurized
    from mdgeomfeat.structure import Structure

__all__ = ["ChosenFrames", "choose_way", "rows_of", "state_angles", "write_states"]

#: Names of what lies beside the states' files.
WAY: Final = "way.pdb"
WHOLE: Final = "whole-systems"
TABLE: Final = "frames.csv"

_ABOUT_IMPORTANCE: Final = "B-factors: how much a residue matters, at most 100."
_ABOUT_NOTHING: Final = "B-factors are 0: which residues matter is not established."


@dataclass(frozen=True, kw_only=True, eq=False)
class ChosenFrames:
    """Which frames are written.

    Attributes
    ----------
    states : list of (n_i,) ndarray of int
        Rows of each state's typical frames, the most central first.
    way : (n,) ndarray of int
        Rows along the slowest variable; may be empty.
    values : (F,) ndarray
        Of the slowest variable.
    state_of : (F,) ndarray of int
        State of every frame, -1 for none.
    """

    states: list[np.ndarray]
    way: np.ndarray
    values: np.ndarray
    state_of: np.ndarray


def choose_way(data: Featurized, values: np.ndarray) -> np.ndarray:
    """Return rows (n,) of a smooth way along a variable.

    Parameters
    ----------
    data : Featurized
    values : (F,) array
        Of the variable.
    """
    positions = data.positions
    return smooth_path(values, lambda rows: np.asarray(positions[rows]))


def rows_of(frames: np.ndarray, data: Featurized) -> np.ndarray:
    """Return rows (n,) of all frames, trajectories one after another.

    Parameters
    ----------
    frames : (n, 2) array of int
        Unbroken run, and frame in it.
    data : Featurized
    """
    starts = np.array([rows.start for rows in data.rows], dtype=np.int64)
    run, frame = np.reshape(frames, (-1, 2)).T
    joined: np.ndarray = starts[run] + frame
    return joined


def write_states(
    folder: Path,
    data: Featurized,
    chosen: ChosenFrames,
    *,
    angles: tuple[StateAngle, ...] = (),
    importance: np.ndarray | None = None,
    solvent: bool | None = None,
) -> StateFrames:
    """Write one PDB file of several models per state, and one of the way.

    Frames of states are superposed on the first state's central one, those of the way
    each on the one before. The header of a file tells which file and frame each model
    is; ``frames.csv`` tells it as a table. B-factors are the `importance`, which
    scripts colour by, or 0.

    Parameters
    ----------
    folder : Path
        Made if it does not exist.
    data : Featurized
    chosen : ChosenFrames
    angles : tuple of StateAngle
        Angles that are told of each state.
    importance : (N,) ndarray, optional
        How much each token matters, 0 to 100; None where that is not established.
    solvent : bool, optional
        Also write each state's most typical frame with all atoms of the topology, with
        solvent or without.
    """
    folder.mkdir(parents=True, exist_ok=True)
    structure, positions = data.structure, data.positions
    reference = next(rows[0] for rows in chosen.states if len(rows))
    target = np.asarray(positions[int(reference)], dtype=float)
    target = target - target.mean(axis=0)
    target = target @ facing(target)
    universe = _universe(data, target, importance)
    table = AtomTable.from_universe(universe)
    residues = by_residue(table, structure)
    molecule = describe_molecule(table, structure, residues, importance)
    states = [superpose(_read(data, rows), target) for rows in chosen.states]
    origins = [tuple(frame_origins(data, rows.tolist())) for rows in chosen.states]
    files = tuple(f"state-{index + 1}.pdb" for index in range(len(states)))
    remark = _ABOUT_NOTHING if importance is None else _ABOUT_IMPORTANCE
    listed = list(zip(files, origins, strict=True))
    for index, (name, moved) in enumerate(zip(files, states, strict=True)):
        if len(moved):
            title = f"state {index + 1}, {count(len(moved), 'typical frame')}"
            write_models(
                folder / name, universe, moved, title, origins[index], [remark]
            )
    way = _way(data, chosen, target, residues)
    if way is not None:
        title = f"{count(len(way.origins), 'frame')} along variable 1, not a trajectory"
        write_models(
            folder / WAY, universe, way.positions, title, way.origins, [remark]
        )
        listed.append((WAY, way.origins))
    if solvent is not None:
        listed += write_typical_systems(
            folder / WHOLE, data, chosen.states, solvent=solvent
        )
    write_origins(folder / TABLE, listed)
    if importance is not None:
        written = [name for name, own in zip(files, states, strict=True) if len(own)]
        write_scripts(folder, written, sticks=not molecule.traced)
    return StateFrames(
        origins=tuple(origins),
        positions=tuple(states),
        secondary=tuple(tuple(_secondary(residues, moved)) for moved in states),
        molecule=molecule,
        files=files,
        way=way,
        angles=angles,
    )


def _universe(
    data: Featurized, target: np.ndarray, importance: np.ndarray | None
) -> Universe:
    """Return a Universe of the selected atoms, with elements and one frame."""
    import MDAnalysis as mda

    from mdgeomfeat.structure.elements import SYMBOLS

    universe = mda.Merge(data.atoms)
    numbers = data.structure.numbers
    universe.add_TopologyAttr("elements", [SYMBOLS[z] for z in numbers.tolist()])
    if importance is None:
        importance = np.zeros(data.structure.n_tokens)
    values = importance[data.structure.token_of_atom]
    universe.add_TopologyAttr("tempfactors", values)
    universe.load_new(target[None].astype(np.float32), order="fac")
    return universe


def _read(data: Featurized, rows: np.ndarray) -> np.ndarray:
    """Return positions (n, A, 3) of rows in any order."""
    read = [np.asarray(data.positions[int(row)], dtype=float) for row in rows]
    return np.array(read).reshape(-1, data.structure.n_atoms, 3)


def _way(
    data: Featurized, chosen: ChosenFrames, target: np.ndarray, residues: Structure
) -> Way | None:
    if len(chosen.way) < 2:
        return None
    moved = _read(data, chosen.way)
    before = target
    for k in range(len(moved)):
        before = moved[k] = superpose(moved[k : k + 1], before)[0]
    return Way(
        origins=tuple(frame_origins(data, chosen.way.tolist())),
        positions=moved,
        secondary=tuple(_secondary(residues, moved)),
        values=chosen.values[chosen.way],
        states=chosen.state_of[chosen.way],
    )


def _secondary(residues: Structure, frames: np.ndarray) -> list[str]:
    """Return the secondary structure of each frame, one letter for each residue."""
    backbone = Backbone(residues)
    letters = np.full((len(frames), residues.n_tokens), "c")
    if len(backbone.tokens) > 1:
        classes, _ = backbone.assign(frames)
        for k, letter in enumerate("chs"):
            rows, places = np.nonzero(classes[:, :, k])
            letters[rows, backbone.tokens[places]] = letter
    return ["".join(row) for row in letters]


def state_angles(
    angles: Iterable[tuple[str, np.ndarray]], states: np.ndarray, n_states: int
) -> tuple[StateAngle, ...]:
    """Return the mean and spread of angles over all frames of each state.

    Parameters
    ----------
    angles : iterable of (name, (F,) ndarray), radians
        One number per frame, so that long trajectories fit into memory too.
    states : (F,) ndarray of int
        State of every frame, -1 where it belongs to none.
    n_states : int
    """
    found = []
    for name, values in angles:
        mean, spread = np.full((2, n_states), np.nan)
        for state in range(n_states):
            own = values[states == state]
            if len(own):
                # the mean point of the circle, in double precision
                point = np.exp(1j * own.astype(float)).mean()
                mean[state] = np.degrees(np.angle(point))
                length = np.clip(abs(point), 1e-12, 1)
                spread[state] = np.degrees(np.sqrt(-2 * np.log(length)))
        found.append(StateAngle(name=name, mean=mean, spread=spread))
    return tuple(found)
