"""QM9's gap from frozen features by ridge regression, for the networks of `scaling`.

The numbers of a molecule are means over its atoms of the scalars and of the vectors'
lengths. Molecules that pre-training has seen are left out by their keys. The strength
of the ridge is chosen on molecules apart.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mdgeomfeat.finetuning import LabelledSet, SplitConfig, read_labels, split
from mdgeomfeat.gnn import Backbone, build_model
from mdgeomfeat.pretraining.export import read_checkpoint
from mdgeomfeat.pretraining.forward import atom_features
from mdgeomfeat.pretraining.packed import Packed

#: Molecules to fit, to choose the ridge with and to report.
TRAIN, VALIDATION, TEST = 1500, 300, 700
RIDGES = 10.0 ** np.arange(-6, 3)
TWIN_SEED = 1


def sample(folder: Path, out: Path, n: int, seed: int = 0) -> Path:
    """Write a random sample of QM9's tables, once."""
    path = out / f"qm9-{n}.csv"
    if path.is_file():
        return path
    found = sorted(folder.rglob("qm9_part*.csv"))
    if not found:
        raise SystemExit(f"{folder} has no qm9_part1.csv; give qm9pack's data folder.")
    names: list[str] = []
    rows: list[dict[str, str]] = []
    for part in found:
        with part.open(newline="") as file:
            table = csv.DictReader(file)
            names = list(table.fieldnames or ())
            rows.extend(table)
    chosen = np.sort(np.random.default_rng(seed).permutation(len(rows))[:n])
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows(rows[i] for i in chosen)
    return path


def read_gap(path: Path) -> LabelledSet:
    return read_labels(
        path, kind="intensive", target="HOMO_LUMO_gap_au", unit="Hartree"
    )


def unseen(data: LabelledSet, seen: Packed) -> LabelledSet:
    """Leave out the molecules that packed data hold, by their keys."""
    known = frozenset(seen.keys.tolist())
    fresh = [i for i, key in enumerate(data.keys) if key not in known]
    return LabelledSet([data.graphs[i] for i in fresh], data.keys[fresh], data.reading)


def features(network: Backbone, data: LabelledSet) -> NDArray[np.float64]:
    """Return the means over the atoms of each molecule, (n, 2 C)."""
    rows = []
    for start in range(0, len(data), 100):
        graphs = data.graphs[start : start + 100]
        sizes = np.array([len(g.z) for g in graphs])
        ptr = np.concatenate([[0], np.cumsum(sizes)])
        with torch.no_grad():
            scalars, vectors = atom_features(
                network,
                torch.cat([g.z for g in graphs]),
                torch.cat([g.pos for g in graphs]),
                ptr,
            )
        atoms = torch.cat([scalars, vectors.norm(dim=1)], dim=1).double().numpy()
        rows.append(np.add.reduceat(atoms, ptr[:-1]) / sizes[:, None])
    return np.concatenate(rows)


def ridge_error(
    x: NDArray[np.float64], y: NDArray[np.float64], parts: dict[str, NDArray[np.int64]]
) -> float:
    """Return the mean absolute error of the test part, in units of `y`."""
    train, validation, test = (parts[n] for n in ("train", "validation", "test"))
    mean, spread = x[train].mean(0), x[train].std(0)
    x = (x - mean) / np.where(spread > 0, spread, 1.0)
    u, s, vt = np.linalg.svd(x[train], full_matrices=False)
    shift = y[train].mean()
    target = u.T @ (y[train] - shift)

    def guess(ridge: float, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        return x[rows] @ (vt.T @ (s / (s**2 + ridge * len(train)) * target)) + shift

    def error(ridge: float, rows: NDArray[np.int64]) -> float:
        return float(np.abs(guess(ridge, rows) - y[rows]).mean())

    return error(min(RIDGES, key=lambda r: error(r, validation)), test)


def probe_all(
    out: Path, folder: Path, seen: Packed, minutes_left: Callable[[], Any]
) -> None:
    """Judge every finished run that has not been judged by the gap yet."""
    todo = [
        path.parent
        for path in sorted(out.glob("runs/*/result.json"))
        if not (path.parent / "probe.json").is_file()
    ]
    if not todo:
        return
    n = 2 * (TRAIN + VALIDATION + TEST)
    data = unseen(read_gap(sample(folder, out, n)), seen)
    sizes = {"train": TRAIN, "validation": VALIDATION, "test": TEST}
    parts = split(data, SplitConfig(method="random", **sizes)).named()
    y = np.array([float(g.y) for g in data.graphs])
    guess = np.median(y[parts["train"]])
    for path in todo:
        minutes_left()
        network = read_checkpoint(path)[0].backbone
        random = build_model(network.spec, seed=TWIN_SEED).eval()
        found = {
            "gap_meV": 1e3 * ridge_error(features(network, data), y, parts),
            "random_meV": 1e3 * ridge_error(features(random, data), y, parts),
            "median_meV": 1e3 * float(np.abs(y[parts["test"]] - guess).mean()),
            "molecules": sizes,
        }
        (path / "probe.json").write_text(json.dumps(found, indent=1) + "\n")
        print(path.name, {k: round(v) for k, v in found.items() if "meV" in k})
