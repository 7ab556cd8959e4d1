r"""Measure how VAMPNets are best fitted: mixers, read-outs, inputs and their scale.

    python benchmarks/recipes.py --out recipes --systems wlall gly2 --seeds 2

Every recipe is an input, a pooling, a mixer with options, and the scale of the columns:
as large as they are slow, or "alike" (`vamp` decides by their number). The held-out
parts are those of `vamp` (four folds of whole runs). Beside each seed by itself stands
what the seeds joined by the ridge-linear map of `vamp` score; differences
to the dihedrals' recipe are paired, part by part. Fits are written down one by one, and
a run that is repeated goes on where it was stopped. Writes ``fits.jsonl`` and
``recipes.md``.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from kinetics import SYSTEMS, TWIN_SEED, System, featurize

from mdgeomfeat.descriptors import compute_descriptors
from mdgeomfeat.featurespec import FeatureSpec
from mdgeomfeat.featurizer import FeatureResults, TokenEncoder
from mdgeomfeat.featurizer.invariants import frame_invariants
from mdgeomfeat.gnn import load_model, random_twin
from mdgeomfeat.kinetics import (
    Fold,
    ScoreError,
    fit_vampnet,
    make_folds,
    vamp2_score,
)
from mdgeomfeat.kinetics.arrays import cut
from mdgeomfeat.kinetics.model import join_lobes
from mdgeomfeat.kinetics.standardize import fit_standardizer, scale_by_autocorrelation
from mdgeomfeat.kinetics.vampnet import run_lobe
from mdgeomfeat.mixing import MixerSpec

REFERENCE = "dihedrals, flat, 0.1"
ALIKE = ", alike"


class Recipe(NamedTuple):
    """An input ("features", "random" or a descriptor) and how it is fitted."""

    source: str
    pool: str
    kind: str
    options: dict[str, Any]
    alike: bool = False


def attention(depth: int, readout: str, dropped: float) -> dict[str, Any]:
    return {"depth": depth, "readout": readout, "input_dropout": dropped}


RECIPES = {
    REFERENCE: Recipe("dihedrals", "mean", "flat", {"input_dropout": 0.1}),
    "distances, flat, 0.3": Recipe("distances", "mean", "flat", {"input_dropout": 0.3}),
    "features, mlp, 0.3": Recipe("features", "mean", "mlp", {"input_dropout": 0.3}),
    "features, flat, 0.3": Recipe("features", "mean", "flat", {"input_dropout": 0.3}),
    "features, attention 1 joined, 0.3": Recipe(
        "features", "mean", "attention", attention(1, "joined", 0.3)
    ),
    "features, attention 2 joined, 0.3": Recipe(
        "features", "mean", "attention", attention(2, "joined", 0.3)
    ),
    "features, attention 1 pooled, 0.3": Recipe(
        "features", "mean", "attention", attention(1, "pooled", 0.3)
    ),
    "features by element, attention 1 joined, 0.3": Recipe(
        "features", "element", "attention", attention(1, "joined", 0.3)
    ),
    "features by side chain, attention 1 joined, 0.3": Recipe(
        "features", "sidechain", "attention", attention(1, "joined", 0.3)
    ),
    "random weights, attention 1 joined, 0.3": Recipe(
        "random", "mean", "attention", attention(1, "joined", 0.3)
    ),
}
RECIPES |= {
    label + ALIKE: recipe._replace(alike=True) for label, recipe in RECIPES.items()
}


def arrays(recipe: Recipe, results: FeatureResults) -> list[np.ndarray]:
    """Return the input of a recipe, one array per run."""
    positions, boxes = np.asarray(results.positions), results.boxes
    structure = results.structure
    if recipe.source not in ("features", "random"):
        found = compute_descriptors(recipe.source, structure, positions, boxes)
        return results.split(found.values.astype(np.float32))
    network = load_model("default")
    if recipe.source == "random":
        network = random_twin(network, TWIN_SEED)
    spec = FeatureSpec(model=network, pool=recipe.pool, allow_unseen=True)
    encoder = TokenEncoder(structure, spec)
    scalars, vectors = encoder.encode(positions, boxes)
    return results.split(
        frame_invariants(
            scalars, vectors, positions, boxes, structure=structure, spec=encoder.spec
        )
    )


def fold_fits(
    data: Sequence[np.ndarray], fold: Fold, system: System, recipe: Recipe, seeds: int
) -> dict[str, Any]:
    """Fit every seed on one fold; return their scores, and that of all joined."""
    train, stop = cut(data, fold.train), cut(data, fold.stop)
    held_out = cut(data, fold.score)
    shape = data[0].shape[1:]
    n_tokens, n_features = (1, shape[0]) if len(shape) == 1 else shape
    spec = MixerSpec(
        kind=recipe.kind,
        n_tokens=n_tokens,
        n_features=n_features,
        n_outputs=system.dim,
        **recipe.options,
    )
    standardizer = fit_standardizer(train)
    if not recipe.alike:
        standardizer = scale_by_autocorrelation(standardizer, train, system.lag)
    began = time.process_time()
    lobes, scores, steps = [], [], []
    for seed in range(seeds):
        try:
            fit = fit_vampnet(
                train,
                stop,
                system.lag,
                spec,
                seed=seed,
                standardizer=standardizer,
            )
        except ScoreError:
            scores.append(None)
            continue
        scores.append(vamp2_score(fit.transform(held_out), system.lag))
        steps.append(fit.history[-1][0])
        lobes.append(fit.lobe)
    seconds = (time.process_time() - began) / seeds
    joined = None
    if lobes:
        stack, rotation, _ = join_lobes(lobes, [*train, *stop], system.lag)
        outputs = rotation.transform(run_lobe(stack, held_out))
        joined = vamp2_score(outputs, system.lag)
    return {"seeds": scores, "joined": joined, "steps": steps, "seconds": seconds}


def table(rows: Sequence[dict[str, Any]], name: str) -> str:
    """Return a system's results as markdown."""
    mine = [r for r in rows if r["system"] == name]
    reference = {r["fold"]: r["joined"] for r in mine if r["recipe"] == REFERENCE}
    lines = [
        f"### {name}",
        "",
        "| recipe | one seed | joined | joined minus dihedrals | failed fits | "
        "CPU s per fit |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for recipe in dict.fromkeys(r["recipe"] for r in mine):
        found = [r for r in mine if r["recipe"] == recipe]
        singles = [s for r in found for s in r["seeds"]]
        known = [s for s in singles if s is not None]
        pairs = [
            r["joined"] - reference[r["fold"]]
            for r in found
            if r["joined"] is not None and reference.get(r["fold"]) is not None
        ]
        joined = [r["joined"] for r in found if r["joined"] is not None]
        lines.append(
            f"| {recipe} | {np.mean(known):.3f} | {spread(joined)} | {spread(pairs)} | "
            f"{len(singles) - len(known)} of {len(singles)} | "
            f"{np.mean([r['seconds'] for r in found]):.1f} |"
        )
    return "\n".join([*lines, ""])


def spread(values: Sequence[float]) -> str:
    if not values:
        return ""
    if len(values) == 1:
        return f"{values[0]:.3f}"
    return f"{np.mean(values):.3f} ± {np.std(values, ddof=1):.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--systems", nargs="+", choices=SYSTEMS, default=["wlall"])
    parser.add_argument("--recipes", nargs="+", choices=RECIPES, default=list(RECIPES))
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--others", type=Path, help="folder of other people's data")
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    log = options.out / "fits.jsonl"
    lines = log.read_text().splitlines() if log.exists() else []
    rows = [json.loads(line) for line in lines]
    done = {(r["system"], r["recipe"], r["fold"]) for r in rows}
    for name in options.systems:
        system = SYSTEMS[name]
        results = featurize(system, options.others)
        lengths = [run.stop - run.start for run in results.segments]
        folds = make_folds(lengths, system.lag, slowest=system.slowest)
        for label in options.recipes:
            todo = [k for k in range(len(folds)) if (name, label, k) not in done]
            data = arrays(RECIPES[label], results) if todo else []
            for k in todo:
                found = fold_fits(data, folds[k], system, RECIPES[label], options.seeds)
                row = {"system": name, "recipe": label, "fold": k, **found}
                rows.append(row)
                with log.open("a") as file:
                    file.write(json.dumps(row) + "\n")
            print(f"{name}: {label}", flush=True)
    text = "\n".join(table(rows, name) for name in options.systems)
    (options.out / "recipes.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
