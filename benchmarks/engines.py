"""Measure the engines: speed, ratios, memory, error, and the floor.

    python benchmarks/engines.py --model et-64 --model visnet-64 --threads 1 2 --out out
    python benchmarks/engines.py --model et_l6_h64_rbf64_r75.pth \
        --system adk=adk.psf,adk_dims.dcd

Systems are alanine dipeptide from this repository's data, a protein of 35 residues
(simulated once, if openmm is there, and kept in the output folder) and what
``--system NAME=TOPOLOGY[,TRAJECTORY]`` names (heavy atoms of the default selection). In
every round each engine computes the same frames once, one after the other, so that a
disturbance meets all of them; medians over the rounds are reported. CPU seconds are
those of the whole process. With several ``--threads`` each round also measures what
they gain in products of matrices: two virtual processors may share one core.
``engine="torch"`` is written as published networks are: one gather, one product and one
scatter over all edges per layer; ``torchmd-net`` is its own code with our weights on
our graphs, in the same batches. glibc is told to keep freed memory, without which half
of the time of both on proteins goes into page faults. The error is the relative L2
difference to float64. See ``memory.py`` for what memory and ``floor.py`` for what the
floor is. Writes ``engines.md``, ``engines.json`` and, unless ``--no-plots`` is given,
``atoms.png`` and ``neighbors.png``.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numba
import numpy as np
import torch
import torchmd
from floor import count_pairs, operations, sgemm_gain, sgemm_rate
from growth import measure_growth
from memory import build, peak_memory
from tables import FACTS, table
from timed_systems import System, named_systems, repeated

from mdgeomfeat.gnn import Backbone, load_model
from mdgeomfeat.gnn.engine import Engine, make_engine

SETTINGS = {
    "MALLOC_TRIM_THRESHOLD_": "8000000000",
    "MALLOC_MMAP_THRESHOLD_": "8000000000",
    # Idle threads of torch would go on spinning into the next engine's turn.
    "OMP_WAIT_POLICY": "passive",
}
BATCH_ATOMS = 4096


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


@dataclass
class Rates:
    """What the rounds on one system gave, as medians.

    Attributes
    ----------
    per_cpu, per_second : dict from (engine, threads) to float
        Frames per CPU second and per second.
    sgemm : float
        Operations per CPU second of a product of matrices on one thread.
    sgemm_gain : dict from threads to float
        How much more of such products several threads get through.
    """

    per_cpu: dict[tuple[str, int], float]
    per_second: dict[tuple[str, int], float]
    sgemm: float
    sgemm_gain: dict[int, float]


def measure_rates(
    engines: dict[str, Engine],
    system: System,
    seconds: float,
    rounds: int,
    threads: Sequence[int] = (1,),
) -> Rates:
    """Measure engines that take turns, on every number of threads in each round."""
    few = repeated(system, max(2, BATCH_ATOMS // len(system[0])))
    frames = {}
    for key, engine in engines.items():
        # One run to warm up, one to see how many frames take the wanted time.
        engine.compute(*few)
        cpu, _ = timed(lambda e=engine: e.compute(*few))
        count = int(np.clip(seconds * len(few[1]) / cpu, 1, 20_000))
        frames[key] = repeated(system, count)
    spent: dict[tuple[str, int], list[tuple[float, float]]] = {}
    sgemm: list[float] = []
    gains: dict[int, list[float]] = {}
    for _ in range(rounds):
        for n in threads:
            numba.set_num_threads(n)
            torch.set_num_threads(n)
            for key, engine in engines.items():
                took = timed(lambda e=engine, f=frames[key]: e.compute(*f))
                spent.setdefault((key, n), []).append(took)
            if n > 1:
                gains.setdefault(n, []).append(sgemm_gain(n))
        sgemm.append(sgemm_rate())
    numba.set_num_threads(1)
    torch.set_num_threads(1)
    counts = {pair: len(frames[pair[0]][1]) for pair in spent}
    return Rates(
        {p: counts[p] / median(cpu for cpu, _ in took) for p, took in spent.items()},
        {p: counts[p] / median(wall for _, wall in took) for p, took in spent.items()},
        median(sgemm),
        {n: median(found) for n, found in gains.items()},
    )


def names_for(model: Backbone, wanted: list[str]) -> list[str]:
    """Leave out torchmd-net where it is not installed or has no such network."""
    fits = torchmd.available() and model.spec.architecture != "visnet"
    return [name for name in wanted if name != "torchmd-net" or fits]


def measure_model(
    name: str, systems: dict[str, System], args: argparse.Namespace
) -> list[dict[str, Any]]:
    """Measure all engines with a model on all systems."""
    model = load_model(name)
    engines = {key: build(model, key) for key in names_for(model, args.engines)}
    exact = make_engine(model, engine="torch", dtype="float64")
    rows = []
    for title, system in systems.items():
        few = repeated(system, 2)
        errors = {key: error(engine, exact, few) for key, engine in engines.items()}
        atoms = len(system[0])
        batch = repeated(system, max(2, min(256, BATCH_ATOMS // atoms)))
        memory: dict[str, float | None] = dict.fromkeys(engines)
        if not args.no_memory:
            memory = {key: peak_memory(name, key, *batch) for key in engines}
        pairs = count_pairs(system[1], model.spec.cutoff)
        work = operations(model.spec, atoms, pairs)
        rates = measure_rates(engines, system, args.seconds, args.rounds, args.threads)
        found = [
            {
                "model": Path(name).stem,
                "architecture": model.spec.architecture,
                "system": title,
                "atoms": atoms,
                "neighbors": 2 * pairs / atoms,
                "engine": key,
                "threads": threads,
                "frames_per_cpu_second": per_cpu,
                "frames_per_second": rates.per_second[key, threads],
                "gain": _ratio(rates.per_second, (key, threads), (key, 1)),
                "sgemm_gain": rates.sgemm_gain.get(threads),
                "ratio_torch": _ratio(
                    rates.per_cpu, (key, threads), ("torch", threads)
                ),
                "ratio_torchmd": _ratio(
                    rates.per_cpu, (key, threads), ("torchmd-net", threads)
                ),
                "peak_memory_MB": memory[key],
                "memory_frames": len(batch[1]),
                "error": errors[key],
                "sgemm_gflops": rates.sgemm / 1e9,
                "floor": rates.sgemm / work,
                "of_floor": per_cpu * work / rates.sgemm,
            }
            for (key, threads), per_cpu in rates.per_cpu.items()
        ]
        print(table(found), flush=True)
        rows += found
    return rows


def _ratio(
    rate: dict[tuple[str, int], float], pair: tuple[str, int], other: tuple[str, int]
) -> float | None:
    return rate[pair] / rate[other] if other in rate else None


def main() -> None:
    """Read the command line, measure, write tables and plots."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--model", action="append", help="registry name or file")
    parser.add_argument("--system", nargs="*", default=[], metavar="NAME=TOP[,TRAJ]")
    parser.add_argument("--engines", nargs="+", default=["torch", "torchmd-net", "cpu"])
    parser.add_argument("--threads", nargs="+", type=int, default=[1])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0, help="CPU s per round")
    parser.add_argument("--no-plots", action="store_true")
    parser.add_argument("--no-memory", action="store_true", help="do not measure it")
    parser.add_argument("--out", type=Path, default=Path("benchmark-engines"))
    args = parser.parse_args()
    if any(os.environ.get(key) != value for key, value in SETTINGS.items()):
        # glibc and OpenMP read their settings when a process starts.
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | SETTINGS)
    numba.set_num_threads(1)
    torch.set_num_threads(1)
    models = args.model or ["default"]
    systems = named_systems(args.system, args.out)
    load = os.getloadavg()[0]
    args.out.mkdir(parents=True, exist_ok=True)
    about = {
        "processor": platform.processor() or platform.machine(),
        "instructions": make_engine(load_model(models[0])).describe()["instructions"],
        "torch": torch.__version__,
        "numba": numba.__version__,
        "torchmd-net": "installed" if torchmd.available() else "not installed",
        "settings": ", ".join(f"{key}={value}" for key, value in SETTINGS.items()),
        "rounds": args.rounds,
        "load of the machine (1 min) at the beginning": f"{load:.1f}",
    }
    rows: list[dict[str, Any]] = []
    for name in models:
        rows += measure_model(name, systems, args)
        about["load at the end"] = f"{os.getloadavg()[0]:.1f}"
        write(args.out, about, rows)
    if not args.no_plots:
        write(args.out, about, rows, measure_growth(models, measure_rates, args))


def write(
    out: Path,
    about: dict[str, Any],
    rows: list[dict[str, Any]],
    growth: dict[str, Any] | None = None,
) -> None:
    """Write what has been measured so far."""
    text = json.dumps({"about": about, "rows": rows, "growth": growth or {}}, indent=2)
    (out / "engines.json").write_text(text + "\n")
    facts = "\n".join(f"- {key}: {value}" for key, value in about.items())
    page = f"# Engines\n\n{facts}\n\n{FACTS}\n\n{table(rows)}\n"
    (out / "engines.md").write_text(page)


if __name__ == "__main__":
    main()
