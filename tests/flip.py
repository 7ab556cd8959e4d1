"""One residue of fifty whose side chain turns now and then, under noise."""

from __future__ import annotations

import warnings
from pathlib import Path

import MDAnalysis as mda
import numpy as np
from motions import turned
from systems import entry

#: By how much the side chain turns.
DEGREES = 120.0


def flips(
    rng: np.random.Generator, length: int, rate: float, share: float = 0.5
) -> np.ndarray:
    """Return states 0 and 1 of a chain in equilibrium, 1 in a share of the frames.

    Parameters
    ----------
    rng : Generator
    length : int
        Frames.
    rate : float
        Probability of a change per frame, on average.
    share : float
    """
    chances = rng.random(length)
    leave = rate / (2 * np.array([1 - share, share]))
    states = np.empty(length, dtype=np.int64)
    states[0] = chances[0] < share
    for t in range(1, length):
        states[t] = states[t - 1] ^ (chances[t] < leave[states[t - 1]])
    return states


def fifty() -> mda.Universe:
    """Return two small proteins, 52 residues without hydrogen, far apart."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        parts = [
            entry(name).select_atoms("protein and not name H*")
            for name in ("2juy", "1t2y")
        ]
        parts[1].positions += parts[0].center_of_mass() - parts[1].center_of_mass()
        parts[1].positions += (60.0, 0.0, 0.0)
        merged = mda.Merge(*parts)
    for segment, letter in zip(merged.segments, "AB", strict=False):
        segment.atoms.chainIDs = letter
    return merged


def write_flips(
    folder: Path,
    token: int,
    *,
    sigma: float,
    n_runs: int = 4,
    length: int = 400,
    seed: int = 0,
    rate: float = 0.02,
    share: float = 0.5,
    name: str = "run",
) -> list[Path]:
    """Write a topology and runs in which one residue's side chain turns.

    Parameters
    ----------
    folder : Path
    token : int
        The residue, from 0.
    sigma : float
        Noise of every coordinate, Å.
    rate : float
        Turns per frame, forth and back.
    share : float
        Share of the time, in equilibrium, in which the side chain is turned.
    name : str
        Of the runs.
    """
    universe = fifty()
    atoms = universe.atoms
    residue = universe.residues[token].atoms
    names = residue.names
    axis = [int(residue[names == name][0].index) for name in ("CA", "CB")]
    side = residue[~np.isin(names, ["N", "CA", "C", "O", "CB", "OXT"])].indices
    still = atoms.positions.astype(float)
    moved = turned(still, side, *axis, DEGREES)
    rng = np.random.default_rng(seed)
    files = [folder / "fifty.pdb"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        atoms.write(files[0])
        for run in range(n_runs):
            states = flips(rng, length, rate, share)
            frames = np.where(states[:, None, None] == 1, moved, still)
            frames = frames + rng.normal(0, sigma, frames.shape)
            universe.load_new(frames.astype(np.float32), order="fac", dt=10.0)
            files.append(folder / f"{name}-{run}.xtc")
            universe.atoms.write(files[-1], frames="all")
    return files
