"""Populations and timescales from many short runs that start off equilibrium.

    python benchmarks/short_runs.py

The runs of glycine dipeptide in data/gly2 are cut into pieces of 20 ps. All pieces
start in equilibrium; of those that start with phi > 0 only a tenth is kept, which is
what simulations started from one conformation look like. Timescales are of TICA and of
Markov models of the features at one lag; the share of phi > 0 is that of frames,
weighted or not, and of the Markov model's weights. What is true is taken from the whole
runs. The spread is that over draws of the pieces that are kept.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

import MDAnalysis as mda
import numpy as np

from mdgeomfeat import GeomGNNFeaturizer
from mdgeomfeat.errors import MDGeomFeatWarning
from mdgeomfeat.kinetics import (
    FrameWeights,
    build_states,
    fit_tica,
    koopman_weights,
)

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "data"))


def rows_of(
    pieces: Sequence[np.ndarray],
    angles: Sequence[np.ndarray],
    lag: int,
    weights: FrameWeights | None,
) -> dict[str, float]:
    values = None if weights is None else weights.values
    tica = fit_tica(pieces, lag, 2, weights=values)
    states = build_states(
        tica.transform(pieces), lag, weights=values, n_samples=2, n_micro=50
    )
    positive = np.concatenate(angles) > 0
    frames = np.full(len(positive), 1.0) if values is None else np.concatenate(values)
    model = np.concatenate(states.weights)
    return {
        "φ > 0, frames": frames[positive].sum() / frames.sum(),
        "φ > 0, Markov model": model[positive].sum(),
        "TICA 1 (ps)": tica.timescales[0],
        "TICA 2 (ps)": tica.timescales[1],
        "Markov model 1 (ps)": states.timescales[0],
        "Markov model 2 (ps)": states.timescales[1],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--length", type=int, default=20, help="frames of a piece")
    parser.add_argument("--kept", type=float, default=0.1, help="share with phi > 0")
    parser.add_argument("--lag", type=int, default=2, help="frames (1 ps)")
    parser.add_argument("--draws", type=int, default=5)
    asked = parser.parse_args()
    from reference import dihedrals

    warnings.simplefilter("ignore", MDGeomFeatWarning)
    folder = ROOT / "data" / "gly2"
    universe = mda.Universe(folder / "gly2.pdb", sorted(folder.glob("*.xtc")))
    runs = GeomGNNFeaturizer(universe).run().results.features_list()
    phi = [a[:, 0] for a in dihedrals("gly2")[0]]
    whole = rows_of(runs, phi, asked.lag, None)
    found: dict[str, list[dict[str, float]]] = {
        f"all pieces of {asked.length} ps": [],
        "off equilibrium, as they are": [],
        "off equilibrium, reweighted": [],
    }
    all_pieces, raw, reweighted = found.values()
    places = [
        (run, start)
        for run, values in enumerate(runs)
        for start in range(0, len(values) - asked.length + 1, asked.length)
    ]

    def cut(source: Sequence[np.ndarray], chosen: Sequence[tuple[int, int]]) -> list:
        return [source[run][start : start + asked.length] for run, start in chosen]

    all_pieces.append(rows_of(cut(runs, places), cut(phi, places), asked.lag, None))
    for seed in range(asked.draws):
        random = np.random.default_rng(seed)
        chosen = [
            (run, start)
            for run, start in places
            if phi[run][start] < 0 or random.random() < asked.kept
        ]
        pieces, angles = cut(runs, chosen), cut(phi, chosen)
        raw.append(rows_of(pieces, angles, asked.lag, None))
        weights = koopman_weights(pieces, asked.lag)
        reweighted.append(rows_of(pieces, angles, asked.lag, weights))
    found["whole runs (true)"] = [whole]
    table = []
    for name, draws in found.items():
        cells = [name]
        for key in whole:
            values = [d[key] for d in draws]
            digits = 3 if key.startswith("φ") else 1
            text = f"{np.mean(values):.{digits}f}"
            if len(values) > 1:
                text += f" ± {np.std(values, ddof=1):.{digits}f}"
            cells.append(text)
        table.append(cells)
    for cells in (["data", *whole], ["---"] * (1 + len(whole)), *table):
        print(f"| {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
