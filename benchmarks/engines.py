"""Measure the engines: speed, ratios, memory, error, and the floor.

    python benchmarks/engines.py --model et-64 --model visnet-64 --threads 1 2 --out out
    python benchmarks/engines.py --model et_l6_h64_rbf64_r75.pth \
        --system adk=adk.psf,adk_dims.dcd

Systems are alanine dipeptide from this repository's data, a protein of 35 residues
(simulated once, if openmm is there, and kept in the output folder) and what
``--system NAME=TOPOLOGY[,TRAJECTORY]`` names (heavy atoms of the default selection). In
every round each engine computes the same frames once, one after the other, so that a
disturbance meets all of them; medians over the rounds are reported. CPU seconds are
those of the whole process. ``engine="torch"`` is written as published networks are: one
gather, one product and one scatter over all edges per layer; ``torchmd-net`` is its own
code with our weights on our graphs, in the same batches. glibc is told to keep freed
memory, without which half of the time of both on proteins goes into page faults. The
error is the relative L2 difference to float64. See ``memory.py`` for what memory and
``floor.py`` for what the floor is. Writes ``engines.md``, ``engines.json`` and, unless
``--no-plots`` is given, ``atoms.png`` and ``neighbors.png``.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from typing import Any

import numba
import numpy as np
import torch
import torchmd
from floor import count_pairs, operations, sgemm_rate
from growth import measure_growth
from memory import build, peak_memory
from systems import System, named_systems, repeated
from tables import FACTS, table

from mdgeomfeat.gnn import Backbone, load_model
from mdgeomfeat.gnn.engine import Engine, make_engine

MALLOC = {
    "MALLOC_TRIM_THRESHOLD_": "8000000000",
    "MALLOC_MMAP_THRESHOLD_": "8000000000",
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


def rates(
    engines: dict[str, Engine],
    system: System,
    seconds: float,
    rounds: int,
    floor: list[float] | None = None,
) -> dict[str, tuple[float, float]]:
    """Return frames per CPU second and per second, engines taking turns.

    The rate of sgemm is measured in the same rounds and added to `floor`.
    """
    few = repeated(system, 2)
    counts = {}
    for key, engine in engines.items():
        # One run to warm up, one to see how many frames take the wanted time.
        engine.compute(*few)
        cpu, _ = timed(lambda e=engine: e.compute(*few))
        counts[key] = int(np.clip(seconds * 2 / cpu, 1, 20_000))
    times: dict[str, list[tuple[float, float]]] = {key: [] for key in engines}
    for _ in range(rounds):
        for key, engine in engines.items():
            frames = repeated(system, counts[key])
            times[key].append(timed(lambda e=engine, f=frames: e.compute(*f)))
        if floor is not None:
            floor.append(sgemm_rate())
    return {
        key: (
            counts[key] / median(cpu for cpu, _ in spent),
            counts[key] / median(wall for _, wall in spent),
        )
        for key, spent in times.items()
    }


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
        alone: dict[str, float] = {}
        for threads in args.threads:
            numba.set_num_threads(threads)
            torch.set_num_threads(threads)
            sgemm: list[float] = []
            rate = rates(engines, system, args.seconds, args.rounds, sgemm)
            for key, (per_cpu, per_second) in rate.items():
                alone.setdefault(key, per_second)
                rows.append(
                    {
                        "model": Path(name).stem,
                        "architecture": model.spec.architecture,
                        "system": title,
                        "atoms": atoms,
                        "neighbors": 2 * pairs / atoms,
                        "engine": key,
                        "threads": threads,
                        "frames_per_cpu_second": per_cpu,
                        "frames_per_second": per_second,
                        "gain": per_second / alone[key],
                        "ratio_torch": _ratio(rate, key, "torch"),
                        "ratio_torchmd": _ratio(rate, key, "torchmd-net"),
                        "peak_memory_MB": memory[key],
                        "memory_frames": len(batch[1]),
                        "error": errors[key],
                        "sgemm_gflops": median(sgemm) / 1e9,
                        "floor": median(sgemm) / work,
                        "of_floor": per_cpu * work / median(sgemm),
                    }
                )
            print(table(rows[-len(engines) :]), flush=True)
    return rows


def _ratio(
    rate: dict[str, tuple[float, float]], engine: str, other: str
) -> float | None:
    return rate[engine][0] / rate[other][0] if other in rate else None


def thread_gain(threads: int, rounds: int = 5) -> dict[str, float]:
    """Return how much more work several threads do, by what they do.

    ``"sgemm"`` fills the vector units, ``"counting"`` a loop of integers none: where
    two processors are one core, the first gains nothing. Both need no memory.
    """

    @numba.njit(nogil=True)
    def count(n: int) -> int:
        x = 1
        for k in range(n):
            x = (x * 1103515245 + k) % 2147483648
        return x

    a = torch.rand(256, 256)
    tasks = {
        "sgemm": lambda: [torch.mm(a, a) for _ in range(200)],
        "counting": lambda: count(20_000_000),
    }
    torch.set_num_threads(1)
    gains = {}
    with ThreadPoolExecutor(threads) as pool:
        for name, task in tasks.items():
            task()
            list(pool.map(lambda _, t=task: t(), range(threads)))
            found = []
            for _ in range(rounds):
                _, one = timed(task)
                _, many = timed(
                    lambda t=task: list(pool.map(lambda _: t(), range(threads)))
                )
                found.append(threads * one / many)
            gains[name] = median(found)
    return gains


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
    if any(os.environ.get(key) != value for key, value in MALLOC.items()):
        # glibc reads its settings when a process starts.
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | MALLOC)
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
        "malloc": ", ".join(f"{key}={value}" for key, value in MALLOC.items()),
        "rounds": args.rounds,
        "load of the machine (1 min) at the beginning": f"{load:.1f}",
    }
    if max(args.threads) > 1:
        about["gain of other work"] = thread_gain(max(args.threads))
    rows: list[dict[str, Any]] = []
    for name in models:
        rows += measure_model(name, systems, args)
        about["load at the end"] = f"{os.getloadavg()[0]:.1f}"
        write(args.out, about, rows)
    if not args.no_plots:
        numba.set_num_threads(1)
        torch.set_num_threads(1)
        write(args.out, about, rows, measure_growth(models, rates, args))


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
