"""Forces from few frames: pre-trained against random weights.

    python benchmarks/finetuning.py --data forces-dft --out runs
    python benchmarks/hot_molecules.py --out hot
    python benchmarks/finetuning.py --data hot --out runs --cases malonaldehyde

The first trains on 200 frames of acetylacetone at 300 K (extended XYZ of the BOTNet
data sets, in the folder ``acac``) and tests on the other frames of that file, and on
test frames at 300 K and at 600 K, which is out of distribution. (3BPA of the same data
sets is not among the cases: its frames at mixed temperatures, ``train_mixedT.xyz``,
hold frames of ``train_300K.xyz``, and `finetune` refuses a split that leaks.)
The frames are not consecutive, so that they may be split at random.

The last trains on the beginning of a hot trajectory (``hot_molecules.py``), `--frames`
long, leaves 100 frames (250 fs) out, and tests on what comes later.

With `--random` the same trajectories are split at random, which leaks: tests then stand
between frames that were trained on.

Pre-trained and random weights see the same frames in the same order, seed by seed. A
run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from hot_molecules import MOLECULES

from mdgeomfeat.finetuning import (
    FinetuneConfig,
    energy_drift,
    finetune,
    load_finetuned,
    read_labels,
)


@dataclass(frozen=True, kw_only=True)
class Case:
    """Files below `--data`, and how their frames are split.

    `gap` is how many frames of a trajectory are left out between the parts; None
    stands for frames that are independent of each other.
    """

    file: str
    tests: str = ""
    gap: int | None = 100

    @property
    def split(self) -> dict[str, Any]:
        """Entries of the configuration's table."""
        if self.gap is None:
            return {"independent": True}
        return {"method": "time", "gap": self.gap}


CASES = {
    "acac": Case(
        file="acac/train_300K.xyz",
        tests="acac/test_MD_300K.xyz, acac/test_MD_600K.xyz",
        gap=None,
    ),
    **{name: Case(file=f"{name}.xyz") for name in MOLECULES},
}


def files(folder: Path, names: str) -> str:
    return ", ".join(str(folder / n.strip()) for n in names.split(",") if n.strip())


def folder(args: argparse.Namespace, case: str, start: str, seed: int) -> Path:
    """Return the folder of a run, which all that it depends on is a part of."""
    words = (case, args.kind, args.frames, args.steps, args.learning_rate, start, seed)
    name = "-".join(map(str, words))
    return args.out / (f"{name}-random" if args.random else name)


def train(args: argparse.Namespace, case: str, start: str, seed: int) -> dict[str, Any]:
    """Train once, or go on, and return the run's metrics."""
    out = folder(args, case, start, seed)
    if (out / "metrics.json").is_file():
        return json.loads((out / "metrics.json").read_text())
    chosen = CASES[case]
    config = FinetuneConfig.from_dict(
        {
            "labels": {
                "file": files(args.data, chosen.file),
                "kind": args.kind,
                "unit": "eV",
                "tests": files(args.data, chosen.tests),
            },
            "split": {
                "train": args.frames,
                "validation": 0,
                **({"independent": True} if args.random else chosen.split),
                "seed": seed,
            },
            "model": {"start": start},
            "train": {
                "steps": args.steps,
                "learning_rate": args.learning_rate,
                "seed": seed,
                "checkpoint_minutes": 1.0,
            },
        }
    )
    return finetune(config, out, threads=args.threads)


def drift(args: argparse.Namespace, case: str, start: str, seed: int) -> dict[str, Any]:
    out = folder(args, case, start, seed)
    path = out / f"drift-{args.drift}.json"
    if not path.is_file():
        model = load_finetuned(out / "finetuned.safetensors")
        file = files(args.data, CASES[case].file)
        first = read_labels(file, kind="forces", unit="eV").graphs[0]
        found = energy_drift(model, first.z, first.pos, steps=args.drift, seed=seed)
        path.write_text(json.dumps(found))
    return json.loads(path.read_text())


def spread(values: np.ndarray, sign: str = "") -> str:
    """Return mean and sample standard deviation, which one seed does not have."""
    if len(values) == 1:
        return f"{values[0]:{sign}.1f}"
    return f"{values.mean():{sign}.1f} ± {values.std(ddof=1):.1f}"


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--kind", choices=["forces", "conservative"], default="forces")
    parser.add_argument("--cases", nargs="+", choices=list(CASES), default=["acac"])
    parser.add_argument("--starts", nargs="+", default=["pretrained", "scratch"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--drift", type=int, default=0, help="steps of 0.5 fs")
    told = "split trajectories at random, to see what that hides"
    parser.add_argument("--random", action="store_true", help=told)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args(words)

    table: dict[tuple[str, str, str], list[float]] = {}
    for case in args.cases:
        for seed in args.seeds:
            for start in args.starts:
                sets = train(args, case, start, seed)["sets"]
                for name in sets:
                    for score in ("mae", "rmse"):
                        row = table.setdefault((case, name, score), [])
                        row.append(1e3 * sets[name]["forces"][score])
                told = {n: round(1e3 * s["forces"]["mae"], 1) for n, s in sets.items()}
                print(case, start, seed, told, flush=True)
                if args.drift and args.kind == "conservative":
                    print("  drift", drift(args, case, start, seed), flush=True)

    print(f"\nforces, meV/Å, mean ± s.d. of {len(args.seeds)} seeds")
    first, *others = args.starts
    named = [*args.starts, *(f"{first} - {other}" for other in others)]
    print("| system | frames of | score |", " | ".join(named), "|")
    print("| --- | --- | --- |", "--- |" * len(named))
    for (case, name, score), values in table.items():
        grid = np.array(values).reshape(len(args.seeds), len(args.starts))
        cells = [spread(column) for column in grid.T]
        cells += [spread(grid[:, 0] - column, "+") for column in grid.T[1:]]
        print(f"| {case} | {name} | {score} |", " | ".join(cells), "|")


if __name__ == "__main__":
    main()
