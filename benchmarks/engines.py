"""Measure the engines: speed, ratio to the reference path, and error.

    python benchmarks/engines.py --model default --out benchmark-out
    python benchmarks/engines.py --model et_l6_h64_rbf64_r75.pth \
        --system adk=adk.psf,adk_dims.dcd --threads 1 2

Systems are alanine dipeptide from this repository's data and packings of atoms at the
density of a protein's heavy atoms, unless ``--system NAME=TOPOLOGY[,TRAJECTORY]`` names
others (heavy atoms of the default selection). In every round each engine computes the
same frames once, one after the other, so that a disturbance meets all of them; medians
over the rounds are reported. CPU seconds are those of the whole process. The reference
``engine="torch"`` is written as published networks are: one gather, one product and one
scatter over all edges per layer; glibc is told to keep freed memory, without which half
of the reference's time on proteins goes into page faults. The error is the relative L2
difference to float64. Writes ``engines.md`` and ``engines.json``.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numba
import numpy as np
import torch

from mdgeomfeat.gnn import load_model
from mdgeomfeat.gnn.engine import Engine, make_engine

ROOT = Path(__file__).resolve().parents[1]
System = tuple[np.ndarray, np.ndarray]
# Heavy atoms per cubic Å inside a protein, and the distance of bonded ones in Å.
DENSITY, BOND = 0.05, 1.4
MALLOC = {
    "MALLOC_TRIM_THRESHOLD_": "8000000000",
    "MALLOC_MMAP_THRESHOLD_": "8000000000",
}


def packing(n_atoms: int, n_frames: int, seed: int = 0) -> System:
    """Return a ball of atoms at a protein's density, none closer than a bond."""
    rng = np.random.default_rng(seed)
    radius = (3 * n_atoms / (4 * np.pi * DENSITY)) ** (1 / 3)
    placed: list[np.ndarray] = []
    while len(placed) < n_atoms:
        trial = rng.uniform(-radius, radius, 3)
        if np.linalg.norm(trial) < radius and (
            not placed or np.linalg.norm(placed - trial, axis=1).min() > BOND
        ):
            placed.append(trial)
    # Neighbours in space are near in a file, roughly: sort along a chain of slabs.
    frame = np.array(placed)
    frame = frame[np.lexsort((frame[:, 0], frame[:, 1] // 4, frame[:, 2] // 4))]
    frames = frame + rng.normal(0, 0.2, (n_frames, n_atoms, 3))
    return rng.choice([6, 6, 6, 7, 8], n_atoms), frames.astype(np.float32)


def from_files(text: str, n_frames: int) -> System:
    """Read the default selection of TOPOLOGY[,TRAJECTORY]."""
    import MDAnalysis as mda

    from mdgeomfeat.structure import Structure, select_atoms

    universe = mda.Universe(*text.split(","))
    atoms = select_atoms(universe)
    numbers = Structure.from_atomgroup(atoms).numbers
    frames = [atoms.positions.copy() for _ in universe.trajectory[:n_frames]]
    return numbers, np.array(frames, np.float32)


def default_systems(n_frames: int) -> dict[str, System]:
    """Return what is measured where no system is named."""
    systems = {}
    folder = ROOT / "data" / "ala2"
    files = [*folder.glob("*.pdb"), *sorted(folder.glob("*.xtc"))][:2]
    if len(files) == 2:
        systems["ala2 (10 atoms)"] = from_files(",".join(map(str, files)), n_frames)
    for n in (300, 1600):
        systems[f"packing ({n} atoms)"] = packing(n, 4)
    return systems


def repeated(system: System, n_frames: int) -> System:
    """Repeat or cut the frames to a number."""
    numbers, frames = system
    return numbers, np.resize(frames, (n_frames, *frames.shape[1:]))


def timed(task: Callable[[], object]) -> tuple[float, float]:
    """Return CPU and wall seconds."""
    cpu, wall = time.process_time(), time.perf_counter()
    task()
    return time.process_time() - cpu, time.perf_counter() - wall


def error(engine: Engine, exact: Engine, system: System) -> float:
    """Return the larger relative L2 error of scalars and vectors."""
    got, expected = engine.compute(*system), exact.compute(*system)
    return max(
        float(np.linalg.norm(a - b) / np.linalg.norm(b))
        for a, b in zip(got, expected, strict=True)
    )


def measure(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Measure all engines on all systems."""
    model = load_model(args.model)
    engines = {name: make_engine(model, engine=name) for name in args.engines}
    exact = make_engine(model, engine="torch", dtype="float64")
    named = dict(entry.split("=", 1) for entry in args.system)
    systems = {name: from_files(text, 20) for name, text in named.items()}
    rows = []
    for name, system in (systems or default_systems(20)).items():
        few = repeated(system, 2)
        errors = {key: error(engine, exact, few) for key, engine in engines.items()}
        # Frames for about the wanted CPU time per round, after one run to warm up.
        counts = {}
        for key, engine in engines.items():
            engine.compute(*few)
            cpu, _ = timed(lambda e=engine, f=few: e.compute(*f))
            counts[key] = int(np.clip(args.seconds * 2 / cpu, 1, 20_000))
        for threads in args.threads:
            numba.set_num_threads(threads)
            torch.set_num_threads(threads)
            times: dict[str, list[tuple[float, float]]] = {key: [] for key in engines}
            for _ in range(args.rounds):
                for key, engine in engines.items():
                    frames = repeated(system, counts[key])
                    spent = timed(lambda e=engine, f=frames: e.compute(*f))
                    times[key].append(spent)
            rate = {
                key: counts[key] / median(cpu for cpu, _ in spent)
                for key, spent in times.items()
            }
            rows.extend(
                {
                    "system": name,
                    "atoms": len(system[0]),
                    "engine": key,
                    "threads": threads,
                    "frames_per_cpu_second": rate[key],
                    "frames_per_second": counts[key] / median(w for _, w in times[key]),
                    "ratio": rate[key] / rate["torch"] if "torch" in rate else None,
                    "error": errors[key],
                }
                for key in engines
            )
            print(table(rows[-len(engines) :]), flush=True)
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    """Format rows as a markdown table."""
    lines = [
        "| system | engine | threads | frames / CPU s | frames / s | ratio to torch "
        "| error |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        ratio = "" if row["ratio"] is None else f"{row['ratio']:.1f}"
        lines.append(
            f"| {row['system']} | {row['engine']} | {row['threads']} "
            f"| {row['frames_per_cpu_second']:.4g} | {row['frames_per_second']:.4g} "
            f"| {ratio} | {row['error']:.1e} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Read the command line, measure, write the tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--model", default="default", help="registry name or file")
    parser.add_argument("--system", nargs="*", default=[], metavar="NAME=TOP[,TRAJ]")
    parser.add_argument("--engines", nargs="+", default=["torch", "cpu"])
    parser.add_argument("--threads", nargs="+", type=int, default=[1])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0, help="CPU s per round")
    parser.add_argument("--out", type=Path, default=Path("benchmark-engines"))
    args = parser.parse_args()
    if any(os.environ.get(key) != value for key, value in MALLOC.items()):
        # glibc reads its settings when a process starts.
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | MALLOC)
    numba.set_num_threads(1)
    torch.set_num_threads(1)
    fast = make_engine(load_model(args.model)).describe()
    rows = measure(args)
    about = {
        "model": str(args.model),
        "processor": platform.processor() or platform.machine(),
        "instructions": fast.get("instructions", "unknown"),
        "torch": torch.__version__,
        "numba": numba.__version__,
        "malloc": ", ".join(f"{key}={value}" for key, value in MALLOC.items()),
        "rounds": args.rounds,
        "peak_memory_MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    args.out.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"about": about, "rows": rows}, indent=2)
    (args.out / "engines.json").write_text(text + "\n")
    facts = "\n".join(f"- {key}: {value}" for key, value in about.items())
    (args.out / "engines.md").write_text(f"# Engines\n\n{facts}\n\n{table(rows)}\n")


if __name__ == "__main__":
    main()
