"""Motions whose differences between two states are known beforehand."""

from __future__ import annotations

import warnings

import numpy as np
from scipy.spatial.transform import Rotation
from systems import entry

from mdgeomfeat.structure import Structure

#: Frames of each of four runs; every run visits both states.
RUN = 60


def molecule(name: str, select: str = "not name H*") -> tuple[Structure, np.ndarray]:
    """Return a structure of ``coordinates`` and its positions."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        u = entry(name)
        atoms = u.select_atoms(f"({select}) and not resname HOH")
        return Structure.from_atomgroup(atoms), atoms.positions.astype(float)


def visits(n_runs: int = 4, length: int = RUN) -> tuple[np.ndarray, np.ndarray]:
    """Return states 0 and 1, each visited twice by every run, and the runs."""
    states = np.tile(np.arange(length) * 4 // length % 2, n_runs)
    return states, np.repeat(np.arange(n_runs), length)


def shaken(first, second, states, sigma=0.15, seed=0) -> np.ndarray:
    """Return frames of one of two structures, with thermal noise."""
    noise = np.random.default_rng(seed).normal(0, sigma, (len(states), *first.shape))
    return np.where(states[:, None, None] == 1, second, first) + noise


def turned(positions, atoms, axis_from, axis_to, degrees) -> np.ndarray:
    """Turn some atoms about the line through two others."""
    axis = positions[axis_to] - positions[axis_from]
    turn = Rotation.from_rotvec(np.radians(degrees) * axis / np.linalg.norm(axis))
    out = positions.copy()
    out[atoms] = turn.apply(positions[atoms] - positions[axis_to]) + positions[axis_to]
    return out


def atom(structure: Structure, token: int, name: str) -> int:
    """Return the atom of a token that has a name."""
    return int(
        np.flatnonzero((structure.token_of_atom == token) & (structure.names == name))[
            0
        ]
    )
