"""Measure values and gradients of collective variables: compiled beside eager torch.

    OMP_NUM_THREADS=1 python benchmarks/gradients.py --model et-64 --rounds 5

Systems are alanine dipeptide (heavy atoms of ``data/ala2``) and a compact heap of 290
atoms in 35 tokens at a protein's density, in every round once with each engine, on one
thread. The map behind the features is a random one of unit size: what it says does not
matter for the time. An evaluation is one frame: neighbours, network, pooling,
invariants, linear map, and the gradients of all d outputs. Rates are per CPU second,
medians over the rounds; the error is the relative L2 difference of the gradients to
float64. TensorNet and ViSNet have no compiled gradients: both columns are eager.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median

import MDAnalysis as mda
import numpy as np
import torch

from mdgeomfeat.featurespec import FeatureSpec
from mdgeomfeat.featurizer.invariants import n_invariants
from mdgeomfeat.gnn import Backbone, load_model
from mdgeomfeat.kinetics import CVModel
from mdgeomfeat.kinetics.standardize import Standardizer
from mdgeomfeat.kinetics.tica import LinearMap
from mdgeomfeat.structure import Structure
from mdgeomfeat.variables import CollectiveVariables

PDB = Path(__file__).parents[1] / "data" / "ala2" / "ala2.pdb"


def dipeptide() -> tuple[Structure, np.ndarray]:
    """Return alanine dipeptide."""
    heavy = mda.Universe(str(PDB)).select_atoms("not element H")
    return Structure.from_atomgroup(heavy), heavy.positions.astype(np.float64)


def heap() -> tuple[Structure, np.ndarray]:
    """Return 290 heavy atoms, no two nearer than 1.4 Å, 19 Å^3 each."""
    rng = np.random.default_rng(0)
    side, placed = (290 * 19.0) ** (1 / 3), np.empty((0, 3))
    while len(placed) < 290:
        new = rng.uniform(0, side, 3)
        if not len(placed) or np.linalg.norm(placed - new, axis=1).min() > 1.4:
            placed = np.vstack([placed, new])
    token = np.minimum(np.arange(290) // 8, 34)
    numbers = rng.choice([6, 7, 8], 290, p=[0.64, 0.17, 0.19])
    return Structure.from_arrays(numbers, token), placed


def random_map(network: Backbone, structure: Structure, dim: int) -> CVModel:
    """Return a linear map of geometric invariants to `dim` outputs."""
    K = n_invariants(FeatureSpec(), network.spec.n_channels)
    D = structure.n_tokens * K
    rng = np.random.default_rng(1)
    return CVModel(
        method="tica",
        lag=1,
        input_shape=(structure.n_tokens, K),
        lobe=None,
        rotation=LinearMap(
            standardizer=Standardizer(np.zeros(D, np.float32), np.ones(D, np.float32)),
            matrix=rng.normal(size=(D, dim)) / np.sqrt(D),
            offset=np.zeros(dim),
            timescales=np.ones(dim),
            width=D,
        ),
        metadata={
            "features": FeatureSpec(model=network).to_dict(),
            "model_fingerprint": network.fingerprint,
            "structure": {
                "numbers": structure.numbers.tolist(),
                "token_of_atom": structure.token_of_atom.tolist(),
                "labels": structure.token_labels(),
            },
        },
    )


def rate(task: Callable[[], object], seconds: float) -> float:
    """Return how often a task runs in a CPU second."""
    start, count = time.process_time(), 0
    while time.process_time() - start < seconds:
        task()
        count += 1
    return count / (time.process_time() - start)


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", action="append")
    parser.add_argument("--dim", type=int, action="append")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0)
    given = parser.parse_args()
    torch.set_num_threads(1)
    print("| network | atoms | d | compiled /s | eager /s | ratio | error |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name in given.model or ["et-64"]:
        network = load_model(name)
        features = FeatureSpec(model=network)
        for structure, positions in (dipeptide(), heap()):
            frame = positions[None]
            for dim in given.dim or [1, 2]:
                model = random_map(network, structure, dim)
                engines = [
                    CollectiveVariables(model, features, structure, engine=e)
                    for e in ("auto", "torch")
                ]
                exact = CollectiveVariables(
                    model, features, structure, engine="torch", dtype="float64"
                )
                want, got = (c.differentiate(frame)[1] for c in (exact, engines[0]))
                rates: list[list[float]] = [[], []]
                for _ in range(given.rounds):
                    for seen, c in zip(rates, engines, strict=True):
                        seen.append(
                            rate(partial(c.differentiate, frame), given.seconds)
                        )
                fast, slow = map(median, rates)
                ratio = median(a / b for a, b in zip(*rates, strict=True))
                error = np.linalg.norm(got - want) / np.linalg.norm(want)
                print(
                    f"| {name} | {structure.n_atoms} | {dim} | {fast:.0f} | "
                    f"{slow:.1f} | {ratio:.0f} | {error:.1e} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
