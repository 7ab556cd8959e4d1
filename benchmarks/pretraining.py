r"""Measure how well networks predict the noise that was put on molecules.

    python benchmarks/pretraining.py --molecules spice-des-monomers.npz et-64
    python benchmarks/pretraining.py --molecules ... --peptides peptides.npz \
        et-64 path/to/et_l6_h64_rbf64_r75.pth runs/et-64

Models are names, run folders of ``mdgeomfeat pretrain``, or published ``.pth`` files,
whose own noise head is in the file. Every model gets the same noise.

The molecules are those of the given npz file with an odd ``mol_index``, which are on
the exclusion list; of each, the first 25 conformations (500 K) and the last 25 (100 K)
stand apart. The peptides are a packed file of ``mdgeomfeat pretrain data
peptides-held-out``: amino-acid pairs that nothing is trained on.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from mdgeomfeat.gnn import read_published
from mdgeomfeat.gnn.heads import GatedEquivariantHead
from mdgeomfeat.pretraining.denoiser import Denoiser
from mdgeomfeat.pretraining.evaluate import denoising_error, predictor
from mdgeomfeat.pretraining.export import load_denoiser
from mdgeomfeat.pretraining.files import READERS
from mdgeomfeat.pretraining.packed import Packed, load_packed, pack


def published_denoiser(path: Path) -> Denoiser:
    """Read a published checkpoint with its noise head."""
    state = torch.load(path, weights_only=True, map_location="cpu")
    names = {
        "vec1_proj": "length_proj",
        "vec2_proj": "vector_proj",
        "update_net": "update",
    }
    tensors = {}
    for key, value in state.items():
        _, found, rest = key.partition("output_network.")
        if not found:
            continue
        block, rest = rest.split(".", 1)
        for old, new in names.items():
            rest = rest.replace(old, new)
        tensors[f"{('first', 'second')[int(block)]}.{rest}"] = value.float()
    backbone, _ = read_published(path)
    head = GatedEquivariantHead(backbone.spec.n_channels)
    head.load_state_dict(tensors)
    return Denoiser(backbone, head)


def read_molecules(path: Path) -> Packed:
    """Pack the odd molecules, which the default exclusion list would drop."""
    reader = READERS["npz"]
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "odd.npz"
        odd = reader("odd", {}, files=[str(path)], every=2, offset=1)
        pack([odd], out, exclude=frozenset())
        return load_packed(out)


def sets(options: argparse.Namespace) -> list[tuple[str, Packed, np.ndarray]]:
    found = []
    if options.molecules:
        data = read_molecules(options.molecules)
        within = np.arange(len(data)) - np.searchsorted(data.mol_of, data.mol_of)
        found += [
            ("molecules 100 K", data, np.flatnonzero(within >= 25)),
            ("molecules 500 K", data, np.flatnonzero(within < 25)),
        ]
    if options.peptides:
        data = load_packed(options.peptides)
        found.append(("peptides", data, np.arange(len(data))))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="+")
    parser.add_argument("--molecules", type=Path)
    parser.add_argument("--peptides", type=Path)
    parser.add_argument("--sigma", type=float, nargs="+", default=[0.2], help="Å")
    parser.add_argument("--every", type=int, default=1, help="each n-th conformation")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, help="JSON file")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    tests = sets(options)
    results = []
    print(f"{'model':24s} {'set':16s} {'atoms':6s} sigma  MSE    floor  explained")
    for name in options.models:
        path = Path(name)
        if path.suffix == ".pth":
            denoiser = published_denoiser(path)
        else:
            denoiser = load_denoiser(name)
        predict = predictor(denoiser.eval())
        for title, data, indices in tests:
            for atoms in ("all", "heavy"):
                for sigma in options.sigma:
                    started = time.perf_counter()
                    error = denoising_error(
                        predict,
                        data,
                        indices[:: options.every],
                        atoms=atoms,
                        sigma=sigma,
                        seed=options.seed,
                    )
                    results.append(
                        {
                            "model": path.stem or name,
                            "set": title,
                            "seen": atoms,
                            "sigma": sigma,
                            "seconds": round(time.perf_counter() - started, 1),
                            **error.to_dict(),
                        }
                    )
                    print(
                        f"{path.stem or name:24s} {title:16s} {atoms:6s} {sigma:.2f}   "
                        f"{error.mse:.4f} {error.floor:.4f} {error.explained:.4f}",
                        flush=True,
                    )
    if options.out:
        options.out.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
