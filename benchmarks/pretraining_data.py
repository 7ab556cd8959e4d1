r"""Which conformations to pre-train on: relaxed ones, hot ones, or both.

    python benchmarks/pretraining_data.py --smiles FILES --forces forces-dft/acac \
        --out pretraining-data --wlall

builds fragments of molecules once (`conformers`: embedded, minimised with MMFF94, then
Langevin dynamics at 500 K) and makes three data sets of the same molecules, with one
conformation of each: minimised, from the dynamics, or one or the other by turns. The
same network is pre-trained on each for the same number of steps, then judged by

- the denoising error on all three kinds of conformations of molecules kept apart,
- forces after a short fine-tuning on 200 frames of acetylacetone at 300 K, on frames
  at 300 K and 600 K, beside random weights (``scratch``),
- with ``--wlall``, the VAMP-2 score of TICA on `data/wlall`, every fourth frame.

Stops and goes on like `scaling.py`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numba
import numpy as np
import torch
from kinetics import SYSTEMS, featurize
from label_noise import Clock
from scaling import Shape, read_shape
from scaling_tables import markdown, spread

from mdgeomfeat.finetuning import FinetuneConfig, finetune
from mdgeomfeat.gnn import load_model
from mdgeomfeat.kinetics import fit_tica_guarded, make_folds, vamp2_score
from mdgeomfeat.kinetics.arrays import cut
from mdgeomfeat.pretraining.config import DataConfig, RunConfig, TrainConfig
from mdgeomfeat.pretraining.conformers import (
    ConformerSettings,
    conformers,
    read_smiles,
)
from mdgeomfeat.pretraining.evaluate import denoising_error, predictor
from mdgeomfeat.pretraining.export import export
from mdgeomfeat.pretraining.molecules import Molecule
from mdgeomfeat.pretraining.packed import Packed, Source, load_packed, pack
from mdgeomfeat.pretraining.trainer import Trainer

KINDS = ("equilibrium", "500 K", "mixed")
VALIDATION = 0.1
SCRATCH = "random weights"


def chosen(molecules: list[Molecule], kind: str) -> Iterator[Molecule]:
    """Yield one conformation of every molecule: the first, the last, or by turns."""
    for number, molecule in enumerate(molecules):
        hot = kind == "500 K" or (kind == "mixed" and number % 2 == 1)
        frame = -1 if hot else 0
        yield replace(molecule, positions=molecule.positions[[frame]])


def build(options: argparse.Namespace) -> dict[str, Packed]:
    """Build the data sets, or read them."""
    paths = {kind: options.out / f"{kind.replace(' ', '')}.npz" for kind in KINDS}
    if not all(path.is_file() for path in paths.values()):
        smiles = [text for file in options.smiles for text in read_smiles(file)]
        np.random.default_rng(0).shuffle(smiles)
        settings = ConformerSettings(
            mode="fragments",
            max_heavy=12,
            n_conformers=1,
            snapshots=2,
            interval=0.15,
            temperatures=(500.0, 500.0),
            max_molecules=options.molecules,
        )
        # Molecules without force field parameters have no dynamics.
        made = [
            m for m in conformers(smiles, settings).molecules if len(m.positions) > 1
        ]
        for kind, path in paths.items():
            pack([Source(kind, chosen(made, kind))], path)
    return {kind: load_packed(path) for kind, path in paths.items()}


def pretrain(
    options: argparse.Namespace, shape: Shape, kind: str, data: Packed, seed: int,
    clock: Clock,
) -> Path | None:  # fmt: skip
    """Pre-train once, or go on, and export; None if the time is over."""
    name = f"{shape.name}-{kind.replace(' ', '')}-atoms{options.atoms}-seed{seed}"
    network = options.out / "networks" / f"{name}.safetensors"
    if network.is_file():
        return network
    config = RunConfig(
        name=name,
        model=shape.spec,
        data=DataConfig(validation=VALIDATION),
        train=TrainConfig(
            steps=round(options.atoms / 500),
            atoms=500,
            learning_rate=options.rate,
            warmup=0.05,
            seed=seed,
            checkpoint_minutes=0.5,
        ),
    )
    left = clock.left()
    if left == 0.0:
        return None
    trainer = Trainer(config, options.out / "pretrained" / name, data=data)
    trainer.run(minutes=left)
    if trainer.progress < 1.0:
        return None
    network.parent.mkdir(parents=True, exist_ok=True)
    export(trainer.folder, network, data=data)
    return network


def denoising(
    options: argparse.Namespace, network: Path, sets: dict[str, Packed]
) -> dict[str, float]:
    """Return errors on relaxed and hot conformations that were not trained on."""
    from mdgeomfeat.pretraining.export import load_denoiser

    denoiser = load_denoiser(options.out / "pretrained" / network.stem)
    return {
        kind: denoising_error(
            predictor(denoiser, fast=True),
            sets[kind],
            sets[kind].indices("validation", VALIDATION),
        ).mse
        for kind in KINDS[:2]
    }


def forces(
    options: argparse.Namespace, network: Path, start: str, name: str, seed: int,
    clock: Clock,
) -> dict[str, float] | None:  # fmt: skip
    """Fine-tune on forces; return the errors of the test files, meV/Å."""
    out = options.out / "forces" / f"{name}-steps{options.steps}-seed{seed}"
    metrics = out / "metrics.json"
    if metrics.is_file():
        found = json.loads(metrics.read_text())
    else:
        left = clock.left()
        if left == 0.0:
            return None
        tests = [options.forces / f"test_MD_{t}K.xyz" for t in (300, 600)]
        config = FinetuneConfig.from_dict(
            {
                "labels": {
                    "file": str(options.forces / "train_300K.xyz"),
                    "kind": "forces",
                    "unit": "eV",
                    "tests": ", ".join(map(str, tests)),
                },
                "split": {
                    "train": 200,
                    "validation": 0,
                    "test": 50,
                    "independent": True,
                    "seed": seed,
                },
                "model": {"start": start, "network": str(network)},
                "train": {
                    "steps": options.steps,
                    "learning_rate": 2e-3,
                    "seed": seed,
                    "checkpoint_minutes": 0.5,
                },
            }
        )
        found = finetune(config, out, minutes=left, threads=1)
        if not found["done"]:
            return None
    return {
        f"{t} K": 1e3 * found["sets"][f"test_MD_{t}K"]["forces"]["mae"]
        for t in (300, 600)
    }


def kinetic_score(network: Path) -> float:
    """Return the mean VAMP-2 score of TICA over the folds of `data/wlall`."""
    path = network.with_suffix(".vamp.json")
    if path.is_file():
        return json.loads(path.read_text())
    system = replace(SYSTEMS["wlall"], step=4, lag=3)
    results = featurize(system, None, model=load_model(str(network)))
    lengths = [run.stop - run.start for run in results.segments]
    folds = make_folds(lengths, system.lag, slowest=system.slowest / 4, max_folds=4)
    arrays = results.token_features_list()
    scores = []
    for fold in folds:
        parts = [cut(arrays, part) for part in (fold.train, fold.stop, fold.score)]
        linear = fit_tica_guarded(parts[0], parts[1], system.lag, system.dim)
        scores.append(vamp2_score(linear.transform(parts[2]), system.lag))
    path.write_text(json.dumps(float(np.mean(scores))))
    return float(np.mean(scores))


def measure(options: argparse.Namespace, clock: Clock) -> list[dict[str, Any]]:
    """Make all runs that the time allows."""
    sets, shape = build(options), read_shape(options.shape, "et")
    rows: list[dict[str, Any]] = []
    for seed in options.seeds:
        for kind in KINDS:
            network = pretrain(options, shape, kind, sets[kind], seed, clock)
            if network is None:
                return rows
            row: dict[str, Any] = {"data": kind, "seed": seed}
            row["denoising"] = denoising(options, network, sets)
            found = forces(options, network, "pretrained", network.stem, seed, clock)
            if found is None:
                return rows
            row["forces"] = found
            if options.wlall:
                row["vamp"] = kinetic_score(network)
            rows.append(row)
            print(row, flush=True)
        found = forces(
            options, network, "scratch", f"{shape.name}-scratch", seed, clock
        )
        if found is None:
            return rows
        rows.append({"data": SCRATCH, "seed": seed, "forces": found})
        print(rows[-1], flush=True)
    return rows


def value(row: dict[str, Any], table: str, entry: str = "") -> float:
    found = row.get(table, np.nan)
    return found[entry] if isinstance(found, dict) else found


def report(rows: list[dict[str, Any]]) -> str:
    """Return the errors, and their paired differences to the mixed data."""
    columns = [
        ("denoising", "equilibrium", 4), ("denoising", "500 K", 4),
        ("forces", "300 K", 1), ("forces", "600 K", 1), ("vamp", "", 3),
    ]  # fmt: skip
    body = []
    mixed = {r["seed"]: r for r in rows if r["data"] == "mixed"}
    for kind in [*KINDS, SCRATCH]:
        runs = [r for r in rows if r["data"] == kind]
        for paired in (False, True):
            if not runs or (paired and kind == "mixed"):
                continue
            cells = []
            for table, entry, digits in columns:
                values = [value(r, table, entry) for r in runs]
                if paired:
                    both = [r for r in runs if r["seed"] in mixed]
                    values = [
                        value(r, table, entry) - value(mixed[r["seed"]], table, entry)
                        for r in both
                    ]
                known = bool(values) and not np.isnan(values).any()
                text = spread(values, digits, "+" if paired else "") if known else ""
                cells.append(text)
            body.append([f"{kind} - mixed" if paired else kind, len(runs), *cells])
    head = [
        "pre-trained on", "seeds", "denoising, minimised", "denoising, 500 K",
        "forces 300 K, meV/Å", "forces 600 K", "VAMP-2, wlall",
    ]  # fmt: skip
    return markdown(head, body)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--smiles", nargs="+", type=Path, required=True)
    parser.add_argument("--forces", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("pretraining-data"))
    parser.add_argument("--molecules", type=int, default=2000)
    parser.add_argument("--shape", default="32x4")
    parser.add_argument("--atoms", type=int, default=300_000, help="seen in a run")
    parser.add_argument("--rate", type=float, default=4.5e-3)
    parser.add_argument("--steps", type=int, default=300, help="of fine-tuning")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--wlall", action="store_true")
    parser.add_argument("--minutes", type=float)
    options = parser.parse_args()
    torch.set_num_threads(1)
    numba.set_num_threads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    rows = measure(options, Clock(options.minutes))
    (options.out / "rows.json").write_text(json.dumps(rows, indent=1) + "\n")
    print(report(rows))


if __name__ == "__main__":
    main()
