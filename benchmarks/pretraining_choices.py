r"""Measure choices of pre-training: short runs that differ in one thing.

    python benchmarks/pretraining_choices.py --data data.npz --out choices --steps 2500

Every run is the shipped et-64 recipe (``mdgeomfeat pretrain run et-64``) with a short
schedule and one change; all see the same number of steps, and the molecules that the
recipe keeps for validation judge them, with noise of 0.2 Å. Beside the errors stand the
CPU seconds of training, and frames per CPU second of features on a packing of 300 atoms
at a protein's density. A finished run is not repeated. Writes ``choices.md`` and
``choices.json``.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from statistics import median

import numpy as np
import torch
from timed_systems import packing

from mdgeomfeat.gnn.engine import make_engine
from mdgeomfeat.pretraining.config import RunConfig, read_config
from mdgeomfeat.pretraining.evaluate import errors_by_source, predictor
from mdgeomfeat.pretraining.export import load_denoiser
from mdgeomfeat.pretraining.packed import Packed, load_packed
from mdgeomfeat.pretraining.run import find_config
from mdgeomfeat.pretraining.trainer import Trainer

#: Name of a run, and the tables of the recipe that it changes.
CHOICES: dict[str, dict[str, dict[str, object]]] = {
    "the recipe": {},
    "cutoff 4 Å": {"model": {"cutoff": 4.0}},
    "cutoff 7.5 Å": {"model": {"cutoff": 7.5}},
    "not smooth at the cutoff": {"model": {"smooth": False}},
    "32 radial functions": {"model": {"n_rbf": 32}},
    "noise of 0.1, 0.2 and 0.3 Å": {
        "task": {"sigmas": (0.1, 0.2, 0.3), "sigma_weights": (1.0, 1.0, 1.0)}
    },
    "all atoms only": {
        "task": {"all_atoms": 1.0, "heavy_only": 0.0, "some_hydrogens": 0.0}
    },
}


def recipe(changes: dict[str, dict[str, object]], steps: int, atoms: int) -> RunConfig:
    """Return the shipped recipe with a short schedule and some changes."""
    config = read_config(find_config("et-64"))
    for table, values in changes.items():
        config = replace(config, **{table: replace(getattr(config, table), **values)})
    return config.with_train(steps=steps, minutes=None, atoms=atoms)


def speeds(folders: list[Path], rounds: int = 7) -> list[float]:
    """Return frames per CPU second of 300 atoms; the networks take turns."""
    engines = [make_engine(load_denoiser(f).backbone, engine="cpu") for f in folders]
    numbers, frames = packing(300, 10)
    spent: list[list[float]] = [[] for _ in engines]
    for _ in range(rounds):
        for engine, times in zip(engines, spent, strict=True):
            started = time.process_time()
            engine.compute(numbers, frames)
            times.append(time.process_time() - started)
    return [len(frames) / median(times) for times in spent]


def measure(
    name: str, options: argparse.Namespace, data: Packed
) -> dict[str, float | str]:
    """Train one run, or take up what it has left, and judge it."""
    folder = options.out / name.replace(" ", "-")
    done = folder / "result.json"
    if done.is_file():
        return json.loads(done.read_text())
    config = recipe(CHOICES[name], options.steps, options.atoms)
    started = time.process_time()
    Trainer(config, folder, data=data).run()
    seconds = time.process_time() - started
    rows = errors_by_source(
        predictor(load_denoiser(folder).eval()),
        data,
        split="validation",
        validation=config.data.validation,
        sigmas=(0.2,),
    )
    errors = {
        seen: float(np.mean([r["mse"] for r in rows if r["seen"] == seen]))
        for seen in ("all", "heavy")
    }
    row = {
        "run": name,
        "all": errors["all"],
        "heavy": errors["heavy"],
        "cpu_minutes": seconds / 60,
    }
    done.write_text(json.dumps(row, indent=1) + "\n")
    return row


def table(rows: list[dict[str, float | str]], options: argparse.Namespace) -> str:
    """Return the results as a Markdown table."""
    lines = [
        f"{options.steps:,} steps of {options.atoms:,} atoms; means over the sources "
        "of the validation molecules.",
        "",
        "| run | all atoms | heavy atoms | CPU minutes | frames / CPU s (300 atoms) |",
        "| --- | --- | --- | --- | --- |",
    ]
    lines += [
        f"| {r['run']} | {r['all']:.3f} | {r['heavy']:.3f} | {r['cpu_minutes']:.1f} | "
        f"{r['frames_per_cpu_second']:.0f} |"
        for r in rows
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="packed data, .npz")
    parser.add_argument("--out", type=Path, default=Path("choices"))
    parser.add_argument("--steps", type=int, default=2500)
    parser.add_argument("--atoms", type=int, default=500, help="in a batch")
    parser.add_argument("--runs", nargs="+", choices=CHOICES, default=list(CHOICES))
    options = parser.parse_args()
    torch.set_num_threads(1)
    data = load_packed(options.data)
    rows = []
    for name in options.runs:
        rows.append(measure(name, options, data))
        print(rows[-1], flush=True)
    folders = [options.out / row["run"].replace(" ", "-") for row in rows]
    for row, rate in zip(rows, speeds(folders), strict=True):
        row["frames_per_cpu_second"] = rate
    text = table(rows, options)
    print(text)
    (options.out / "choices.md").write_text(text)
    (options.out / "choices.json").write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
