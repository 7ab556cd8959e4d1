"""Systems, a backend and measures that the features' tests share."""

from __future__ import annotations

import pickle

import MDAnalysis as mda
import numpy as np

from mdgeomfeat.featurizer.parallel import PortionsBackend


class PickledPortions(PortionsBackend):
    """Every part in this process, but with all that parallel work goes through."""

    def apply(self, func, computations):
        sent = pickle.dumps(func)
        return [
            self._finished(part, pickle.loads(pickle.dumps(pickle.loads(sent)(part))))
            for part in computations
        ]


def peptide(n_residues=6, n_frames=7, *, box=None, seed=0, n_copies=1):
    """Return a Universe of backbones in memory, chain after chain, with bonds."""
    n_atoms = 4 * n_residues * n_copies
    residue = np.repeat(np.arange(n_residues * n_copies), 4)
    u = mda.Universe.empty(
        n_atoms,
        n_residues=n_residues * n_copies,
        n_segments=n_copies,
        atom_resindex=residue,
        residue_segindex=np.repeat(np.arange(n_copies), n_residues),
        trajectory=True,
    )
    names = ["N", "CA", "C", "O"]
    u.add_TopologyAttr("names", names * n_residues * n_copies)
    u.add_TopologyAttr("elements", ["N", "C", "C", "O"] * n_residues * n_copies)
    u.add_TopologyAttr("resnames", ["ALA"] * n_residues * n_copies)
    u.add_TopologyAttr("resids", list(range(1, n_residues + 1)) * n_copies)
    u.add_TopologyAttr("segids", [chr(65 + k) for k in range(n_copies)])
    bonds = []
    for first in range(0, n_atoms, 4):
        bonds += [(first, first + 1), (first + 1, first + 2), (first + 2, first + 3)]
        if (first // 4 + 1) % n_residues:
            bonds.append((first + 2, first + 4))
    u.add_TopologyAttr("bonds", bonds)

    rng = np.random.default_rng(seed)
    chain = np.empty((n_residues, 4, 3))
    chain[:] = np.arange(n_residues)[:, None, None] * [3.6, 0.0, 0.0]
    chain += [[0, 0, 0], [1.2, 0.8, 0], [2.4, 0, 0.3], [2.5, -1.2, 0.4]]
    offsets = np.arange(n_copies)[:, None, None] * [0.0, 6.0, 0.0]
    still = (chain.reshape(1, -1, 3) + offsets).reshape(-1, 3)
    positions = still + rng.normal(0, 0.25, (n_frames, n_atoms, 3))
    boxes = None if box is None else np.broadcast_to(box, (n_frames, 6)).copy()
    u.load_new(positions.astype(np.float32), dimensions=boxes, dt=2.0)
    return u


def rotation(seed=0):
    """Return a random proper rotation."""
    q, r = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    q = q * np.sign(np.diag(r))
    return q * np.sign(np.linalg.det(q))


def error(a, b):
    """Relative L2 difference."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    return np.linalg.norm(a - b) / np.linalg.norm(b)
