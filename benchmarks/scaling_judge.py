"""What the networks of `scaling` are judged by: molecules kept apart, fixed noise.

Noise of 0.2 Å seldom puts two atoms almost in one place. There the mean square says
nothing of a network but how its numbers grow: one of 180 molecules, with two atoms
0.12 Å apart, gave a network of an error of 0.36 one of 1e9. Conformations with a pair
closer than `CLOSEST` after noise are left out, the same ones for all networks.
"""

from __future__ import annotations

import numpy as np

from mdgeomfeat.pretraining.denoiser import Denoiser
from mdgeomfeat.pretraining.evaluate import MODES, predictor, rigid_freedom
from mdgeomfeat.pretraining.fused import pair_list
from mdgeomfeat.pretraining.packed import Packed
from mdgeomfeat.pretraining.task import Batch, make_batch

#: Share of the molecules that nothing is trained on.
VALIDATION = 0.1
#: Å, between two atoms after noise.
CLOSEST = 0.4
#: Of the noise, Å.
SIGMA = 0.2


def some(indices: np.ndarray, data: Packed, limit: int) -> np.ndarray:
    """Return at most so many conformations of each source, evenly spread."""
    source = data.source_of[data.mol_of[indices]]
    found = []
    for number in np.unique(source):
        members = indices[source == number]
        places = np.linspace(0, len(members) - 1, min(limit, len(members)))
        found.append(members[places.astype(int)])
    return np.concatenate(found)


def held_out(data: Packed, limit: int) -> dict[str, np.ndarray]:
    """Return conformations to tune with, to report, and some that are trained on.

    The first two are of different molecules: those of equal keys stay together.
    """
    unseen = data.indices("validation", VALIDATION)
    keys = data.keys[data.mol_of[unseen]]
    if len(set(keys.tolist())) < 2:
        raise SystemExit(
            f"{len(set(keys.tolist()))} of the data's molecules fall to validation; "
            "give data of at least some tens of molecules."
        )
    odd = np.unique(keys, return_inverse=True)[1] % 2 == 1
    parts = {
        "tune": unseen[~odd],
        "test": unseen[odd],
        "train": data.indices("train", VALIDATION),
    }
    return {name: some(indices, data, limit) for name, indices in parts.items()}


def apart(batch: Batch, closest: float = CLOSEST) -> np.ndarray:
    """Tell which graphs of a batch have no pair of atoms closer than that."""
    first = pair_list(batch.positions, batch.graph_ptr, closest).first
    found = np.ones(len(batch.graph_ptr) - 1, bool)
    found[np.searchsorted(batch.graph_ptr, first, side="right") - 1] = False
    return found


def judge(
    network: Denoiser, data: Packed, indices: np.ndarray, batch_graphs: int = 200
) -> dict[str, dict[str, float]]:
    """Return error and floor with all atoms and with heavy atoms.

    Both are in units of the noise's variance, means over atoms and components. The
    floor is the share of rigid motion, which no network can see.
    """
    predict = predictor(network, fast=True)
    found = {}
    for seen in ("all", "heavy"):
        rng = np.random.default_rng(0)
        squares, lost, atoms, graphs = 0.0, 0, 0, 0
        for start in range(0, len(indices), batch_graphs):
            part = indices[start : start + batch_graphs]
            modes = np.full(len(part), MODES[seen])
            batch = make_batch(data, part, modes, np.full(len(part), SIGMA), rng)
            guess = predict(batch.numbers, batch.positions, batch.graph_ptr)
            error = ((guess - batch.noise).astype(np.float64) ** 2).mean(axis=1)
            clean = batch.positions - SIGMA * batch.noise
            for graph in np.flatnonzero(apart(batch)):
                own = slice(*batch.graph_ptr[graph : graph + 2])
                squares += float(error[own].sum())
                lost += rigid_freedom(clean[own])
                atoms += own.stop - own.start
                graphs += 1
        found[seen] = {
            "mse": squares / atoms,
            "floor": lost / (3.0 * atoms),
            "graphs": graphs,
        }
    return found
