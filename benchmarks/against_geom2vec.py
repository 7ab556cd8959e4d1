"""Compare the speed with geom2vec's own networks, where that is installed.

    python benchmarks/against_geom2vec.py --checkpoint et_l6_h64_rbf64_r75.pth \
        --system adk=adk.psf,adk_dims.dcd

Both run the same checkpoint on the same heavy atoms, on one thread, and take turns; the
table shows medians of frames per CPU second. geom2vec is timed with all neighbours
within the cutoff, which are what our features are made of, and with the limit of 32
that its networks set. The difference is that of the outputs of both with all
neighbours: it has to be small, or the times compare different things.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import numba
import numpy as np
import torch
from engines import SETTINGS, measure_rates
from timed_systems import named_systems, repeated

from mdgeomfeat.gnn import load_model
from mdgeomfeat.gnn.engine import make_engine

# Frames are joined into one graph of about this many atoms, as `engine="torch"` does.
BATCH_ATOMS = 4096
LIMIT = 32


class Geom2vec:
    """A network of geom2vec, called like one of our engines."""

    def __init__(self, checkpoint: Path, n_neighbors: int) -> None:
        from geom2vec.models.factory import create_model_from_checkpoint

        self.model = create_model_from_checkpoint(str(checkpoint), device="cpu").eval()
        changed = [
            module
            for module in self.model.modules()
            if isinstance(getattr(module, "max_num_neighbors", None), int)
        ]
        if not changed:
            sys.exit("This version of geom2vec has no max_num_neighbors to set.")
        for module in changed:
            module.max_num_neighbors = n_neighbors

    @torch.inference_mode()
    def compute(
        self, numbers: np.ndarray, positions: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return scalars (F, A, C) and vectors (F, A, 3, C)."""
        n_atoms = len(numbers)
        size = max(1, BATCH_ATOMS // n_atoms)
        scalars, vectors = [], []
        for start in range(0, len(positions), size):
            frames = torch.as_tensor(positions[start : start + size])
            n = len(frames)
            x, v, *_ = self.model(
                z=torch.as_tensor(numbers, dtype=torch.long).repeat(n),
                pos=frames.reshape(-1, 3),
                batch=torch.arange(n).repeat_interleave(n_atoms),
            )
            scalars.append(x.reshape(n, n_atoms, -1).numpy())
            vectors.append(v.reshape(n, n_atoms, 3, -1).numpy())
        return np.concatenate(scalars), np.concatenate(vectors)


def difference(one: np.ndarray, other: np.ndarray) -> float:
    """Return the relative difference in the L2 norm."""
    return float(np.linalg.norm(one - other) / np.linalg.norm(other))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--system", nargs="*", default=[], metavar="NAME=TOP[,TRAJ]")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0, help="CPU s per round")
    parser.add_argument("--out", type=Path, default=Path("benchmark-geom2vec"))
    args = parser.parse_args()
    if any(os.environ.get(key) != value for key, value in SETTINGS.items()):
        # glibc and OpenMP read their settings when a process starts.
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | SETTINGS)
    numba.set_num_threads(1)
    torch.set_num_threads(1)
    ours = make_engine(load_model(str(args.checkpoint)), engine="cpu")
    titles = ("system", "atoms", "geom2vec, all", "limit of 32", "ours", "ratio")
    print(f"| {' | '.join(titles)} | to the limit | difference |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for name, system in named_systems(args.system, args.out).items():
        n_atoms = len(system[0])
        engines = {
            "all": Geom2vec(args.checkpoint, n_atoms + 1),  # itself included
            "limit": Geom2vec(args.checkpoint, LIMIT),
            "ours": ours,
        }
        few = repeated(system, 2)
        apart = max(map(difference, ours.compute(*few), engines["all"].compute(*few)))
        rates = measure_rates(engines, system, args.seconds, args.rounds).per_cpu
        whole, limit, fast = (rates[key, 1] for key in engines)
        print(
            f"| {name} | {n_atoms} | {whole:.3g} | {limit:.3g} | {fast:.3g} | "
            f"{fast / whole:.1f} | {fast / limit:.1f} | {apart:.1e} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
