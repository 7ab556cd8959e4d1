"""QM9 from few labels: pre-trained, frozen and random weights.

    pip download --no-deps qm9pack==1.0.3 && unzip qm9pack-1.0.3-py3-none-any.whl
    python benchmarks/qm9.py pool --out runs --data qm9pack/data --shared data
    python benchmarks/qm9.py run --out runs --minutes 60
    python benchmarks/qm9.py table --out runs
    python benchmarks/qm9.py probe --out runs

`pool` reads QM9 once and stores molecules that pre-training has not seen: none of them
is on the list that the shipped recipe and its files (the folder `--shared`) give.
`run` fine-tunes over a grid: targets, numbers of molecules, splits, seeds and starts.
All starts see the same molecules in the same order for the same number of steps; tests
are 2,000 molecules, and nothing is chosen by them, nor by a validation, which there
is not. A run is a folder named by all its settings. The script may be stopped at any
time, goes on where it was, passes over what is done, and begins with what tells most:
few molecules, random splits. `table` tells what is done and what is not.
`probe` fits ridge regressions to features (`qm9_probe.py`).
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from qm9_data import POOL, TARGETS, build_pool, labels, seen_by_pretraining

from mdgeomfeat.finetuning import (
    FinetuneConfig,
    LabelledSet,
    Parts,
    SplitConfig,
    finetune,
    split,
)

STARTS = ("pretrained", "scratch", "frozen")


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A place of the grid: what is trained on what, but for the start."""

    target: str
    n: int
    method: str
    seed: int


def cells(args: argparse.Namespace) -> Iterator[Cell]:
    """Places of the grid, those first that tell most for their price.

    The first three targets come before the others, few molecules before many, all
    seeds of the random split before scaffolds.
    """
    for n in args.sizes:
        for targets in (args.targets[:3], args.targets[3:]):
            for method in args.splits:
                for seed in args.seeds:
                    for target in targets:
                        yield Cell(target=target, n=n, method=method, seed=seed)


def folder(args: argparse.Namespace, cell: Cell, start: str) -> Path:
    """Return the folder of a run, which all that it depends on is a part of."""
    words = (cell.target, cell.n, cell.method, args.tests, args.steps, args.batch)
    words += (args.learning_rate, args.network, start, cell.seed)
    return args.out / "-".join(str(word).replace("/", "_") for word in words)


@lru_cache(maxsize=1)
def pool(out: Path, target: str) -> LabelledSet:
    return labels(out, target)


def parts_of(args: argparse.Namespace, cell: Cell) -> tuple[LabelledSet, Parts]:
    """Choose the molecules of a run, and put only these into a set."""
    data = pool(args.out, cell.target)
    config = SplitConfig(
        method=cell.method, train=cell.n, validation=0, test=args.tests, seed=cell.seed
    )
    parts = split(data, config)
    used = np.concatenate([parts.train, parts.validation, parts.test])
    places = np.split(
        np.arange(len(used)), np.cumsum([len(parts.train), len(parts.validation)])
    )
    assert data.smiles is not None
    own = replace(
        data,
        graphs=[data.graphs[i] for i in used],
        keys=data.keys[used],
        smiles=[data.smiles[i] for i in used],
    )
    names = ("train", "validation", "test")
    return own, replace(parts, **dict(zip(names, places, strict=True)))


def train(args: argparse.Namespace, cell: Cell, start: str, minutes: float) -> bool:
    """Train once, or go on; return whether it is done."""
    out = folder(args, cell, start)
    if (out / "metrics.json").is_file():
        return True
    _, kind, unit = TARGETS[cell.target]
    config = FinetuneConfig.from_dict(
        {
            "labels": {"kind": kind, "target": cell.target, "unit": unit},
            "split": {
                "method": cell.method, "train": cell.n, "validation": 0,
                "test": args.tests, "seed": cell.seed,
            },
            "model": {"start": start, "network": args.network},
            "train": {
                "steps": args.steps, "batch": args.batch, "seed": cell.seed,
                "learning_rate": args.learning_rate, "checkpoint_minutes": 1.0,
            },
        }
    )  # fmt: skip
    data, parts = parts_of(args, cell)
    began = time.process_time()
    found = finetune(
        config, out, data=data, parts=parts, minutes=minutes, threads=args.threads
    )
    if found["done"]:
        # Of no use any more, and 1.7 GB for a whole grid.
        (out / "checkpoint.pt").unlink()
        error = found["sets"]["test"][cell.target]
        spent = time.process_time() - began
        print(
            f"{out.name}: {error['mae']:.4f} {error['unit']}, {spent:.0f} CPU s",
            flush=True,
        )
    return bool(found["done"])


def run(args: argparse.Namespace) -> None:
    """Fine-tune over the grid until it, or the time, is at an end."""
    end = time.monotonic() + 60 * args.minutes
    for cell in cells(args):
        for start in args.starts:
            left = (end - time.monotonic()) / 60
            if left <= 0 or not train(args, cell, start, left):
                print("out of time; the same command goes on", flush=True)
                return


def error(args: argparse.Namespace, cell: Cell, start: str) -> dict[str, Any] | None:
    """Errors of a run on its tests, or None if it is not done."""
    path = folder(args, cell, start) / "metrics.json"
    if not path.is_file():
        return None
    return json.loads(path.read_text())["sets"]["test"][cell.target]


def spread(values: list[float], digits: int, sign: str = "") -> str:
    """Return mean and sample standard deviation, which one seed does not have."""
    if not values:
        return "not run"
    mean = f"{np.mean(values):{sign}.{digits}f}"
    if len(values) == 1:
        return mean
    return f"{mean} ± {np.std(values, ddof=1):.{digits}f}"


def row(args: argparse.Namespace, target: str, n: int, method: str) -> list[str] | None:
    """Return the cells of a row of the table, or None if nothing of it was run."""
    found = {
        start: {
            seed: one
            for seed in args.seeds
            if (one := error(args, Cell(target=target, n=n, method=method, seed=seed),
                             start))
        }
        for start in args.starts
    }  # fmt: skip
    if not any(found.values()):
        return None
    factor, digits, unit = (1.0, 3, "D") if target == "dipole" else (1e3, 0, "meV")
    maes = {
        start: {seed: factor * one["mae"] for seed, one in runs.items()}
        for start, runs in found.items()
    }
    guesses = {
        seed: factor * one["baseline_mae"]
        for runs in found.values()
        for seed, one in runs.items()
    }
    made = [f"{target}, {unit}", f"{n:,}", method]
    made += [spread(list(maes[start].values()), digits) for start in args.starts]
    for start in args.starts:
        if start != "scratch" and "scratch" in args.starts:
            both = sorted(set(maes[start]) & set(maes["scratch"]))
            pairs = [maes[start][seed] - maes["scratch"][seed] for seed in both]
            made.append(spread(pairs, digits, "+"))
    counts = sorted({len(runs) for runs in maes.values()})
    made.append(spread(list(guesses.values()), digits))
    made.append("-".join(map(str, counts)))
    return made


def table(args: argparse.Namespace) -> None:
    """Print what was found, and what was not run."""
    others = [s for s in args.starts if s != "scratch" and "scratch" in args.starts]
    head = ["target", "molecules", "split", *args.starts]
    head += [f"{other} - scratch" for other in others]
    head += ["guess", "seeds"]
    print(f"MAE of {args.tests} test molecules, mean ± s.d. over seeds")
    print("|", " | ".join(head), "|")
    print("|", " | ".join("---" for _ in head), "|")
    for n in args.sizes:
        for target in args.targets:
            for method in args.splits:
                made = row(args, target, n, method)
                if made:
                    print("|", " | ".join(made), "|")
    lacking = [
        (cell, start)
        for cell in cells(args)
        for start in args.starts
        if error(args, cell, start) is None
    ]
    total = len(list(cells(args))) * len(args.starts)
    print(f"\n{total - len(lacking)} of {total} runs are done.")
    places: dict[tuple[int, str, str], int] = {}
    for cell, _ in lacking:
        place = (cell.n, cell.target, cell.method)
        places[place] = places.get(place, 0) + 1
    for (n, target, method), count in places.items():
        print(f"not run: {target}, {n:,}, {method} split: {count} runs")


def make_pool(args: argparse.Namespace) -> None:
    """Read QM9 and store the pool."""
    files = sorted(args.data.glob("qm9_part*.csv"))
    if not files:
        sys.exit(f"{args.data} holds no qm9_part*.csv; give the package's folder.")
    args.out.mkdir(parents=True, exist_ok=True)
    seen = seen_by_pretraining(args.shared) if args.shared else set()
    print(build_pool(files, args.out, seen, args.size))


def probe(args: argparse.Namespace) -> None:
    """Print the table of ridge regressions on features."""
    from qm9_probe import probe_table

    probe_table(args, labels)


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    made.add_argument("what", choices=["pool", "run", "table", "probe"])
    made.add_argument("--out", type=Path, required=True)
    made.add_argument("--data", type=Path, help="folder of qm9_part1.csv and so on")
    made.add_argument("--shared", type=Path, help="files that networks were trained on")
    made.add_argument("--size", type=int, default=30_000, help="molecules of the pool")
    made.add_argument("--targets", nargs="+", choices=list(TARGETS),
                      default=["gap", "dipole", "u0", "homo", "lumo"])  # fmt: skip
    made.add_argument("--sizes", nargs="+", type=int, default=[1000, 5000, 20_000])
    made.add_argument("--splits", nargs="+", choices=["random", "scaffold"],
                      default=["random", "scaffold"])  # fmt: skip
    made.add_argument("--starts", nargs="+", choices=STARTS, default=list(STARTS))
    made.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    made.add_argument("--tests", type=int, default=2000)
    made.add_argument("--steps", type=int, default=800)
    made.add_argument("--batch", type=int, default=32)
    made.add_argument("--learning-rate", type=float, default=1e-3)
    made.add_argument("--network", default="et-64")
    made.add_argument("--minutes", type=float, default=1e6)
    made.add_argument("--threads", type=int, default=1)
    return made


def main(words: list[str] | None = None) -> None:
    args = parser().parse_args(words)
    if args.what != "pool" and not (args.out / POOL).is_file():
        sys.exit(f"{args.out} holds no {POOL}; make it with: qm9.py pool.")
    {"pool": make_pool, "run": run, "table": table, "probe": probe}[args.what](args)


if __name__ == "__main__":
    main()
