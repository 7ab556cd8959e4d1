"""Trajectories of systems that move in a way which is known, frame by frame."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import MDAnalysis as mda
import numpy as np
from motions import turned
from systems import entry


def chain_of_states(
    rng: np.random.Generator, transition: np.ndarray, length: int
) -> np.ndarray:
    """Return (F,) states of a Markov chain that is in equilibrium at its start."""
    n = len(transition)
    values, vectors = np.linalg.eig(transition.T)
    stationary = np.real(vectors[:, np.argmax(values.real)])
    limits = np.cumsum(transition, axis=1)
    limits[:, -1] = 1.0
    states = np.empty(length, dtype=np.int64)
    states[0] = rng.choice(n, p=stationary / stationary.sum())
    for t, draw in enumerate(rng.random(length - 1), start=1):
        states[t] = np.searchsorted(limits[states[t - 1]], draw)
    return states


def first_passage_times(transition: np.ndarray, lag: int = 1) -> np.ndarray:
    """Return mean first-passage times (S, S), frames, of a chain seen every `lag`."""
    seen = np.linalg.matrix_power(transition, lag)
    n = len(seen)
    times = np.zeros((n, n))
    for target in range(n):
        others = [k for k in range(n) if k != target]
        inside = seen[np.ix_(others, others)]
        times[others, target] = lag * np.linalg.solve(
            np.eye(n - 1) - inside, np.ones(n - 1)
        )
    return times


def write_runs(
    folder: Path,
    atoms: mda.AtomGroup,
    structures: Sequence[np.ndarray],
    runs: Sequence[np.ndarray],
    *,
    sigma: float,
    seed: int,
) -> list[Path]:
    """Write a topology, and a trajectory for every run of states.

    Parameters
    ----------
    folder : Path
    atoms : AtomGroup
    structures : sequence of (A, 3) ndarray, Å
        One for each state.
    runs : sequence of (F,) ndarray of int
    sigma : float
        Noise of every coordinate, Å.
    seed : int
    """
    rng = np.random.default_rng(seed)
    files = [folder / "top.pdb"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        merged = mda.Merge(atoms)
        merged.atoms.write(files[0])
        for k, states in enumerate(runs):
            frames = np.stack(structures)[states]
            frames = frames + rng.normal(0, sigma, frames.shape)
            merged.load_new(frames.astype(np.float32), order="fac", dt=10.0)
            files.append(folder / f"run-{k}.xtc")
            merged.atoms.write(files[-1], frames="all")
    return files


def protein(name: str, select: str) -> mda.AtomGroup:
    """Return heavy atoms of an entry of ``coordinates``."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return entry(name).select_atoms(f"({select}) and not name H*")


def rotamers(
    atoms: mda.AtomGroup, residue: int, degrees: Sequence[float]
) -> list[np.ndarray]:
    """Turn a side chain about its first bond."""
    own = atoms.residues[residue].atoms & atoms
    place = {int(ix): k for k, ix in enumerate(atoms.ix)}
    axis = [place[int(own.ix[own.names == name][0])] for name in ("CA", "CB")]
    side = ~np.isin(own.names, ["N", "CA", "C", "O", "CB", "OXT"])
    moved = [place[int(ix)] for ix in own.ix[side]]
    still = atoms.positions.astype(float)
    return [turned(still, moved, *axis, angle) for angle in degrees]


def bent(atoms: mda.AtomGroup, residue: int, degrees: float) -> np.ndarray:
    """Turn all that follows a residue's N about its bond to CA: phi changes alone."""
    own = atoms.residues[residue].atoms & atoms
    place = {int(ix): k for k, ix in enumerate(atoms.ix)}
    axis = [place[int(own.ix[own.names == name][0])] for name in ("N", "CA")]
    last = place[int(own.ix.max())]
    moved = np.arange(len(atoms)) > last
    moved[[place[int(ix)] for ix in own.ix]] = True
    moved[axis] = False
    return turned(atoms.positions.astype(float), np.flatnonzero(moved), *axis, degrees)
