"""The denoising task: which atoms are seen, how they are moved, what is asked."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .config import DataConfig, TaskConfig
from .packed import Packed

__all__ = ["Batch", "Sampler", "make_batch", "remove_rigid_motion"]


@dataclass(frozen=True, eq=False)
class Batch:
    """Graphs of one step.

    Parameters
    ----------
    numbers : ndarray, shape (M,), int64
    positions : ndarray, shape (M, 3), float32, Å
        With noise.
    noise : ndarray, shape (M, 3), float32
        Noise in units of its standard deviation.
    graph_ptr : ndarray, shape (G + 1,), int64
    """

    numbers: NDArray[np.int64]
    positions: NDArray[np.float32]
    noise: NDArray[np.float32]
    graph_ptr: NDArray[np.int64]


def _choose_atoms(
    numbers: NDArray[np.uint8], mode: int, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Mask of the atoms that are seen: 0 all, 1 heavy only, 2 some hydrogens."""
    heavy = numbers > 1
    if mode == 0 or not heavy.any():
        return np.ones(len(numbers), bool)
    if mode == 1:
        return heavy
    return heavy | (rng.random(len(numbers)) < rng.random())


def make_batch(
    data: Packed,
    indices: NDArray[np.int64],
    modes: NDArray[np.int64],
    sigmas: NDArray[np.float64],
    rng: np.random.Generator,
) -> Batch:
    """Put noise on conformations.

    Parameters
    ----------
    data : Packed
    indices : ndarray, shape (G,)
        Conformations.
    modes : ndarray, shape (G,)
        0 all atoms, 1 heavy atoms only, 2 some of the hydrogens.
    sigmas : ndarray, shape (G,), Å
    rng : numpy.random.Generator

    Returns
    -------
    Batch
    """
    numbers, positions, sizes = [], [], []
    for index, mode in zip(indices, modes, strict=True):
        z = data.numbers(index)
        seen = _choose_atoms(z, int(mode), rng)
        numbers.append(z[seen])
        positions.append(data.positions(index)[seen])
        sizes.append(int(seen.sum()))
    clean = np.concatenate(positions)
    noise = rng.standard_normal(clean.shape, dtype=np.float32)
    scale = np.repeat(np.asarray(sigmas, np.float32), sizes)[:, None]
    return Batch(
        np.concatenate(numbers).astype(np.int64),
        clean + scale * noise,
        noise,
        np.concatenate([[0], np.cumsum(sizes)]),
    )


def remove_rigid_motion(batch: Batch) -> NDArray[np.float32]:
    """Noise without each graph's translation and rotation.

    Nothing can be known about how a molecule as a whole was moved: by symmetry the
    expectation of that part of the noise, given the noisy positions, is zero. Taking
    it out of the target changes no optimum and makes gradients less noisy.

    Parameters
    ----------
    batch : Batch

    Returns
    -------
    ndarray, shape (M, 3), float32
    """
    starts = batch.graph_ptr[:-1]
    sizes = np.diff(batch.graph_ptr)

    def per_graph(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.add.reduceat(values, starts, axis=0)

    def centred(given: NDArray[np.floating]) -> NDArray[np.float64]:
        values = given.astype(np.float64)
        return values - np.repeat(per_graph(values) / sizes[:, None], sizes, axis=0)

    x, noise = centred(batch.positions), centred(batch.noise)
    square = per_graph((x * x).sum(1)[:, None, None] * np.eye(3))
    inertia = square - per_graph(x[:, :, None] * x[:, None, :])
    torque = per_graph(np.cross(x, noise))
    # The pseudo-inverse leaves out rotation about the axis of linear molecules.
    inverse = np.linalg.pinv(inertia, rcond=1e-6, hermitian=True)
    omega = np.einsum("gij,gj->gi", inverse, torque)
    turned = np.cross(np.repeat(omega, sizes, axis=0), x)
    return (noise - turned).astype(np.float32)


class Sampler:
    """Batches that depend on the seed and the step's number only.

    So a run that is resumed at a step sees what an unbroken one would have seen.

    Parameters
    ----------
    data : Packed
    data_config : DataConfig
    task : TaskConfig
    atoms : int
        Atoms per batch.
    seed : int
    rank : int
        Of the process; each draws its own batches.
    """

    def __init__(
        self,
        data: Packed,
        data_config: DataConfig,
        task: TaskConfig,
        *,
        atoms: int,
        seed: int,
        rank: int = 0,
    ) -> None:
        self.data, self.task, self.atoms = data, task, atoms
        self.seed, self.rank = seed, rank
        chosen = data.indices("train", data_config.validation)
        # Conformations are stored molecule by molecule: ranges [start, stop).
        molecules, first, counts = np.unique(
            data.mol_of[chosen], return_index=True, return_counts=True
        )
        self.first, self.counts = chosen[first], counts
        source = data.source_of[molecules]
        weights = np.array(
            [
                data_config.weights.get(name, 1.0) * (source == number).any()
                for number, name in enumerate(data.sources)
            ]
        )
        self.source_weights = weights / weights.sum()
        self.members = [np.flatnonzero(source == i) for i in range(len(weights))]
        self.modes = np.array(task.modes) / sum(task.modes)
        self.sigma_weights = np.array(task.sigma_weights) / sum(task.sigma_weights)

    def batch(self, step: int) -> Batch:
        """Draw the batch of a step."""
        rng = np.random.default_rng([self.seed, step, self.rank])
        picked, modes, total = [], [], 0
        while total < self.atoms:
            source = rng.choice(len(self.source_weights), p=self.source_weights)
            group = self.members[source]
            member = group[rng.integers(len(group))]
            index = self.first[member] + rng.integers(self.counts[member])
            mode = int(rng.choice(3, p=self.modes))
            picked.append(index)
            modes.append(mode)
            size = int(self.data.sizes[index])
            # Hydrogens are about half of the atoms.
            total += size if mode == 0 else size // 2
        sigmas = rng.choice(self.task.sigmas, size=len(picked), p=self.sigma_weights)
        return make_batch(self.data, np.array(picked), np.array(modes), sigmas, rng)
