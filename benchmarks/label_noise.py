r"""Measure whether the error at which networks end moves with noise of their labels.

    python benchmarks/label_noise.py --qm9 FOLDER --data data.npz --out label-noise \
        --networks scaling/runs/et-16x4-... scaling/runs/et-64x4-...

fine-tunes networks of several sizes (folders of `scaling.py`'s runs on the same data)
on QM9's gap with Gaussian noise added to the labels that are trained on: so many times
the error (RMSE) that the same network has without. The test labels are clean. Beside
them stands what a test on equally noisy labels would show, which rises whatever is
learnt. The noise is the same draw per seed, scaled. Molecules of `data` are left out.

``--gfn2`` (needs ``tblite``) trains on gaps of GFN2-xTB as well, put on the scale of
the labels by a line that is fitted to the training molecules, and says how far they are
off: the error of a real cheap label. A finished run is not repeated; ``--minutes``
stops.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numba
import numpy as np
import torch
from numpy.typing import NDArray
from scaling_probe import read_gap, sample, unseen
from scaling_tables import markdown, spread
from torch_geometric.data import Data

from mdgeomfeat.finetuning import (
    FinetuneConfig,
    LabelledSet,
    Parts,
    SplitConfig,
    finetune,
    split,
)
from mdgeomfeat.pretraining.export import export
from mdgeomfeat.pretraining.packed import Packed, load_packed

HARTREE = 27.211386
BOHR = 0.529177211
GFN2 = "GFN2"


def relabelled(
    data: LabelledSet, y: NDArray[np.float64], rows: NDArray[np.int64]
) -> LabelledSet:
    """Return the set with other labels of some molecules."""
    graphs = list(data.graphs)
    for i in rows:
        one = graphs[i]
        graphs[i] = Data(z=one.z, pos=one.pos, y=torch.tensor([[y[i]]]).double())
    return LabelledSet(graphs, data.keys, data.reading)


def gfn2_gap(data: LabelledSet, index: int) -> float:
    """Return the gap of GFN2-xTB, eV."""
    from tblite.interface import Calculator

    one = data.graphs[index]
    calculator = Calculator("GFN2-xTB", one.z.numpy(), one.pos.double().numpy() / BOHR)
    calculator.set("verbosity", 0)
    found = calculator.singlepoint()
    energies, filled = found.get("orbital-energies"), found.get("orbital-occupations")
    highest = int(np.flatnonzero(filled > 1.0)[-1])
    return float(energies[highest + 1] - energies[highest]) * HARTREE


def gfn2_labels(
    data: LabelledSet, parts: Parts, y: NDArray[np.float64], out: Path
) -> tuple[NDArray[np.float64], dict[str, float]]:
    """Return recalibrated GFN2 gaps of all molecules, and how far off they are."""
    path = out / "gfn2.json"
    stored = json.loads(path.read_text()) if path.is_file() else []
    began = time.process_time()
    if len(stored) != len(data):
        stored = [gfn2_gap(data, i) for i in range(len(data))]
        path.write_text(json.dumps(stored))
    raw = np.array(stored)
    slope, shift = np.polyfit(raw[parts.train], y[parts.train], 1)
    made = slope * raw + shift
    off = made[parts.test] - y[parts.test]
    facts = {
        "molecules": len(raw),
        "correlation": float(np.corrcoef(raw, y)[0, 1]),
        "mae_raw": float(np.abs(raw - y).mean()),
        "mae": float(np.abs(off).mean()),
        "rmse": float(np.sqrt((off**2).mean())),
        "slope": float(slope),
        "cpu_seconds": time.process_time() - began,
    }
    return made, facts


def fit(
    options: argparse.Namespace,
    network: Path,
    name: str,
    data: LabelledSet,
    parts: Parts,
    seed: int,
    minutes: float | None,
) -> dict[str, Any] | None:
    """Fine-tune once, or go on; None if the time is over."""
    out, target = options.out / "runs" / name, data.reading.target
    metrics = out / "metrics.json"
    if metrics.is_file():
        found = json.loads(metrics.read_text())
    else:
        config = FinetuneConfig.from_dict(
            {
                "labels": {"kind": "intensive", "unit": "eV", "target": target},
                "model": {"start": "pretrained", "network": str(network)},
                "train": {
                    "steps": options.steps,
                    "learning_rate": options.learning_rate,
                    "seed": seed,
                    "checkpoint_minutes": 0.5,
                },
            }
        )
        found = finetune(
            config, out, data=data, parts=parts, minutes=minutes, threads=1
        )
    if not found["done"]:
        return None
    scores = found["sets"]["test"][target]
    return {"mae": 1e3 * scores["mae"], "rmse": 1e3 * scores["rmse"]}


class Clock:
    """What is left of the minutes that were given."""

    def __init__(self, minutes: float | None) -> None:
        self.minutes, self.started = minutes, time.monotonic()

    def left(self) -> float | None:
        """Return the minutes that are left, or None for no end."""
        if self.minutes is None:
            return None
        return max(0.0, self.minutes - (time.monotonic() - self.started) / 60)


def measure(
    options: argparse.Namespace, data: LabelledSet, packed: Packed, clock: Clock
) -> tuple[list[dict[str, Any]], dict[str, float]]:
    """Make all runs that the time allows."""
    parts = split(
        data,
        SplitConfig(
            method="random", train=options.train, validation=0, test=options.test
        ),
    )
    y = np.array([float(g.y) for g in data.graphs])
    facts: dict[str, float] = {}
    if options.gfn2:
        made, facts = gfn2_labels(data, parts, y, options.out)
    rows: list[dict[str, Any]] = []
    for seed in options.seeds:
        draw = np.random.default_rng([seed, 7]).standard_normal(len(y))
        for run in options.networks:
            size = run.name.split("-atoms")[0]
            network = options.out / "networks" / f"{run.name}.safetensors"
            if not network.is_file():
                network.parent.mkdir(parents=True, exist_ok=True)
                export(run, network, data=packed)
            clean: dict[str, float] | None = None
            for level in [*options.levels, *([GFN2] if options.gfn2 else [])]:
                noise, labels = 0.0, data
                if level == GFN2:
                    noise = 1e3 * facts["rmse"]
                    labels = relabelled(data, made, parts.train)
                elif level:
                    assert clean is not None
                    noise = level * clean["rmse"]
                    labels = relabelled(data, y + 1e-3 * noise * draw, parts.train)
                name = f"{size}-level{level}-train{options.train}-steps{options.steps}"
                left = clock.left()
                if left == 0.0:
                    return rows, facts
                found = fit(
                    options, network, f"{name}-seed{seed}", labels, parts, seed, left
                )
                if found is None:
                    return rows, facts
                clean = found if level == 0 else clean
                row = {"size": size, "level": level, "seed": seed, "noise": noise}
                rows.append({**row, **found})
                print(rows[-1], flush=True)
    return rows, facts


def table(rows: list[dict[str, Any]]) -> str:
    """Return errors by size and level: absolute, and the change to clean labels."""
    body = []
    for size in dict.fromkeys(r["size"] for r in rows):
        mine = [r for r in rows if r["size"] == size]
        clean = {r["seed"]: r for r in mine if r["level"] == 0}
        for level in dict.fromkeys(r["level"] for r in mine):
            runs = [r for r in mine if r["level"] == level]
            change = [r["rmse"] - clean[r["seed"]]["rmse"] for r in runs]
            seen = [np.hypot(r["rmse"], r["noise"]) for r in runs]
            body.append(
                [
                    size,
                    level,
                    spread([r["noise"] for r in runs], 0),
                    spread([r["mae"] for r in runs], 0),
                    spread([r["rmse"] for r in runs], 0),
                    spread(change, 0, "+") if level != 0 else "",
                    # Errors of real labels are not independent of what is learnt.
                    spread(seen, 0) if level != GFN2 else "",
                ]
            )
    head = [
        "network", "noise / error", "noise, meV", "MAE, clean test", "RMSE, clean test",
        "RMSE - without noise", "RMSE on labels as noisy",
    ]  # fmt: skip
    return markdown(head, body)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--qm9", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True, help="packed data, .npz")
    parser.add_argument("--out", type=Path, default=Path("label-noise"))
    parser.add_argument("--networks", nargs="+", type=Path, required=True)
    parser.add_argument("--levels", nargs="+", type=float, default=[0, 0.5, 1, 2])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--train", type=int, default=1000)
    parser.add_argument("--test", type=int, default=800)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--gfn2", action="store_true")
    parser.add_argument("--minutes", type=float)
    options = parser.parse_args()
    if options.levels[0] != 0:
        parser.error("--levels must begin with 0: the error without noise scales it")
    torch.set_num_threads(1)
    numba.set_num_threads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    clock, packed = Clock(options.minutes), load_packed(options.data)
    n = round(1.3 * (options.train + options.test))
    data = unseen(read_gap(sample(options.qm9, options.out, n)), packed)
    rows, facts = measure(options, data, packed, clock)
    (options.out / "label-noise.json").write_text(
        json.dumps({"rows": rows, "gfn2": facts}, indent=1) + "\n"
    )
    print(facts)
    print(table(rows))


if __name__ == "__main__":
    main()
