"""Representative frames of the states, as PDB files and ready to draw; their angles."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial import cKDTree

from mdgeomfeat.commands.colouring import write_scripts
from mdgeomfeat.descriptors import superpose
from mdgeomfeat.report.data import FrameOrigin, StateAngle, StateFrames
from mdgeomfeat.text import count

if TYPE_CHECKING:
    from MDAnalysis.core.groups import AtomGroup

    from mdgeomfeat.store import Rows
    from mdgeomfeat.structure import Structure

__all__ = ["state_angles", "sticks", "write_states"]

MAX_DRAWN_ATOMS = 150
_RADII = {1: 0.31, 6: 0.76, 7: 0.71, 8: 0.66, 9: 0.57, 15: 1.07, 16: 1.05, 17: 1.02}
_OTHER_RADIUS = 1.3


def write_states(
    folder: Path,
    atoms: AtomGroup,
    structure: Structure,
    positions: Rows,
    frames: Sequence[np.ndarray],
    origins: Sequence[Sequence[FrameOrigin]],
    angles: tuple[StateAngle, ...] = (),
    importance: np.ndarray | None = None,
) -> StateFrames:
    """Write one PDB file of several models per state.

    All frames are superposed on the first state's central one. The header of a file
    tells which file and frame each model is. With `importance` in place of B-factors
    go scripts that colour by them.

    Parameters
    ----------
    folder : Path
        Made if it does not exist.
    atoms : AtomGroup
        The selected atoms, for names and residues.
    structure : Structure
        The same atoms.
    positions : (F, A, 3) ndarray, Å
        Whole molecules.
    frames : sequence of (n_i,) ndarray of int
        Rows of ``positions``, by state.
    origins : sequence of sequence of FrameOrigin
        Where these are from.
    angles : tuple of StateAngle
        Angles that are told of each state.
    importance : (N,) ndarray, optional
        How much each token matters, 0 to 100.
    """
    import MDAnalysis as mda

    folder.mkdir(parents=True, exist_ok=True)
    reference = next(f[0] for f in frames if len(f))
    target = np.asarray(positions[int(reference)], dtype=float)
    target = target - target.mean(axis=0)
    copy = mda.Merge(atoms)
    if importance is not None:
        copy.add_TopologyAttr("tempfactors", importance[structure.token_of_atom])
    aligned, files = [], []
    for index, rows in enumerate(frames):
        name = f"state-{index + 1}.pdb"
        moved = np.array([positions[int(r)] for r in rows], dtype=float)
        moved = superpose(moved.reshape(-1, *target.shape), target)
        aligned.append(moved)
        files.append(name)
        if len(moved):
            copy.load_new(moved.astype(np.float32), order="fac")
            path = folder / name
            with mda.Writer(str(path), copy.atoms.n_atoms, multiframe=True) as out:
                for _ in copy.trajectory:
                    out.write(copy.atoms)
            _write_header(path, index, origins[index], importance is not None)
    if importance is not None:
        written = [name for name, own in zip(files, frames, strict=True) if len(own)]
        write_scripts(folder, written, sticks=structure.n_atoms <= MAX_DRAWN_ATOMS)
    drawn, numbers, bonds = sticks(structure, aligned, target)
    return StateFrames(
        origins=tuple(map(tuple, origins)),
        positions=drawn,
        numbers=numbers,
        bonds=bonds,
        files=tuple(files),
        angles=angles,
    )


def _write_header(
    path: Path, state: int, origins: Sequence[FrameOrigin], coloured: bool
) -> None:
    """Put where every model is from in place of the title that MDAnalysis writes.

    Remark 6 is free text. Names are cut to ASCII, the alphabet of PDB files.
    """
    lines = [
        f"TITLE     STATE {state + 1}, {count(len(origins), 'TYPICAL FRAME')}".upper(),
        "REMARK   6 FRAMES COUNT FROM 0 IN EACH FILE, AS IN VMD AND MDANALYSIS.",
    ]
    if coloured:
        lines.append("REMARK   6 B-FACTORS: HOW MUCH A RESIDUE MATTERS, AT MOST 100.")
    for model, origin in enumerate(origins, start=1):
        line = f"REMARK   6 MODEL {model}: {origin.file} FRAME {origin.frame}"
        if origin.time is not None:
            line += f", {origin.time:.10g} PS"
        lines.append(line.encode("ascii", "replace").decode())
    body = path.read_text().splitlines(keepends=True)
    kept = [line for line in body if not line.startswith("TITLE ")]
    first = next(i for i, line in enumerate(kept) if not line.startswith("HEADER"))
    path.write_text("".join([*kept[:first], *(f"{x}\n" for x in lines), *kept[first:]]))


def sticks(
    structure: Structure, frames: Sequence[np.ndarray], reference: np.ndarray
) -> tuple[tuple[np.ndarray, ...], np.ndarray, np.ndarray]:
    """Return what is drawn of the frames: atoms and bonds, or a trace of tokens.

    Parameters
    ----------
    structure : Structure
    frames : sequence of (n_i, A, 3) ndarray, Å
    reference : (A, 3) ndarray, Å
        Where bonds are looked for beside those that the topology states.

    Returns
    -------
    positions, numbers, bonds
        As in :class:`~mdgeomfeat.report.data.StateFrames`.
    """
    if structure.n_atoms <= MAX_DRAWN_ATOMS:
        bonds = _near_pairs(structure.numbers, reference)
        if structure.bonds is not None:
            # Files often state some bonds only, such as those of caps.
            bonds = np.unique(np.sort(np.vstack([bonds, structure.bonds])), axis=0)
        return tuple(frames), np.asarray(structure.numbers), bonds
    counts = np.bincount(structure.token_of_atom).astype(float)[:, None]
    centres = []
    for block in frames:
        centre = np.zeros((len(block), structure.n_tokens, 3))
        for frame, out in zip(block, centre, strict=True):
            np.add.at(out, structure.token_of_atom, frame)
            out /= counts
        centres.append(centre)
    following = structure.next_token
    first = np.flatnonzero(following >= 0)
    trace = np.stack([first, following[first]], axis=1)
    return tuple(centres), np.zeros(structure.n_tokens, dtype=np.int64), trace


def _near_pairs(numbers: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Return atoms no farther apart than 1.3 times their covalent radii."""
    radii = np.array([_RADII.get(int(z), _OTHER_RADIUS) for z in numbers])
    pairs = cKDTree(positions).query_pairs(2.6 * radii.max(), output_type="ndarray")
    distance = np.linalg.norm(positions[pairs[:, 0]] - positions[pairs[:, 1]], axis=1)
    return pairs[distance < 1.3 * radii[pairs].sum(axis=1)]


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
