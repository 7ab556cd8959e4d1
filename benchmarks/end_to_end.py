"""Measure `mdgeomfeat features` against what its engine can do.

    python benchmarks/end_to_end.py --model et-64 --out out
    python benchmarks/end_to_end.py --system adk=adk.psf,adk_dims.dcd --no-default

For each system (alanine dipeptide of this repository, a protein of 35 residues, and
those that ``--system`` names) the engine computes frames that lie in memory, the
featurizer reads, computes and stores a trajectory (the library call), and the command
does the same in a process of its own. They take turns; medians over the rounds are
reported, all on one numba and one BLAS thread and with the same malloc settings. The
featurizer reads and stores in threads of its own beside the one that computes, so that
its wall time may be less than its CPU time. Of the command, the time of a run of a few
frames is taken away and shown as its start. Writes ``end_to_end.md`` and
``end_to_end.json``.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import MDAnalysis as mda
import numpy as np
from timed_systems import ala2_files, protein_files

from mdgeomfeat import GeomGNNFeaturizer
from mdgeomfeat.gnn import load_model
from mdgeomfeat.gnn.engine import make_engine
from mdgeomfeat.reading import open_universe

SETTINGS = {
    "MALLOC_TRIM_THRESHOLD_": "8000000000",
    "MALLOC_MMAP_THRESHOLD_": "8000000000",
    "OMP_NUM_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
}
FEW = 64
Spent = tuple[float, float]


def timed(task: Callable[[], object]) -> Spent:
    """Return CPU and wall seconds."""
    cpu, wall = time.process_time(), time.perf_counter()
    task()
    return time.process_time() - cpu, time.perf_counter() - wall


def long_protein(cache: Path, n_frames: int) -> list[str]:
    """Return the protein's topology and its frames again and again, as one xtc."""
    top, short = protein_files(cache)
    path = cache / f"protein35-{n_frames}.xtc"
    if not path.exists():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            universe = mda.Universe(top, short)
            part = path.with_suffix(".part.xtc")
            with mda.Writer(str(part), universe.atoms.n_atoms) as writer:
                for frame in range(n_frames):
                    ts = universe.trajectory[frame % universe.trajectory.n_frames]
                    ts.time = 1.0 * frame
                    writer.write(universe.atoms)
        part.rename(path)
    return [top, str(path)]


def command(
    files: list[str], model: str, out: Path, more: list[str]
) -> tuple[float, float, float]:
    """Run the command; return CPU and wall seconds and its peak memory, MB."""
    run = [sys.executable, "-c", "from mdgeomfeat.cli import main; main()", "features"]
    run += [*files, "--model", model, "--out", str(out), "--overwrite", *more]
    start = time.perf_counter()
    child = subprocess.Popen(run, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    said = child.stderr.read().decode() if child.stderr else ""
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"{' '.join(run)} failed: {said}")
    wall = time.perf_counter() - start
    return used.ru_utime + used.ru_stime, wall, used.ru_maxrss / 1024


def measure(name: str, files: list[str], args: argparse.Namespace) -> dict[str, Any]:
    """Measure one system."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        universe = open_universe(files)
    n_frames = int(universe.trajectory.n_frames)  # a NumPy integer with several files
    model = load_model(args.model)
    store = args.out / f"{name}.zarr"
    featurizer = GeomGNNFeaturizer(universe, model=model, store=store, overwrite=True)
    structure = featurizer.structure
    positions = np.array(
        [ts.positions[structure.indices] for ts in universe.trajectory[:1024]]
    )
    again = -(-n_frames // len(positions))
    engine = make_engine(model)
    featurizer.run(stop=FEW)

    def compute() -> None:
        for _ in range(again):
            engine.compute(structure.numbers, positions)

    spent: dict[str, list[Spent]] = {"engine": [], "library": [], "command": []}
    starts, peaks, few_peaks = [], [], []
    for _ in range(args.rounds):
        cpu, wall = timed(compute)
        share = n_frames / (again * len(positions))
        spent["engine"].append((cpu * share, wall * share))
        spent["library"].append(timed(featurizer.run))
        *few, few_peak = command(
            files, args.model, args.out / f"{name}-command", ["--stop", str(FEW)]
        )
        *all_, peak = command(files, args.model, args.out / f"{name}-command", [])
        starts.append((few[0], few[1]))
        spent["command"].append((all_[0] - few[0], all_[1] - few[1]))
        peaks.append(peak)
        few_peaks.append(few_peak)
    rate = {
        key: [n_frames / median(column) for column in zip(*found, strict=True)]
        for key, found in spent.items()
    }
    row = {
        "system": name,
        "atoms": structure.n_atoms,
        "frames": n_frames,
        "frames_per_cpu_second": {key: both[0] for key, both in rate.items()},
        "frames_per_second": {key: both[1] for key, both in rate.items()},
        "start_cpu_seconds": median(cpu for cpu, _ in starts),
        "start_seconds": median(wall for _, wall in starts),
        "peak_MB_few_frames": median(few_peaks),
        "peak_MB_all_frames": median(peaks),
    }
    print(table([row]), flush=True)
    return row


def table(rows: list[dict[str, Any]]) -> str:
    """Format rows as a markdown table."""
    lines = [
        "| system | frames | what | frames / CPU s | engine / this | frames / s "
        "| engine / this | start, CPU s | peak MB, few and all frames |",
        "| --- " * 9 + "|",
    ]
    for row in rows:
        cpu, wall = row["frames_per_cpu_second"], row["frames_per_second"]
        for key in cpu:
            last = " | | |"
            if key == "command":
                peaks = row["peak_MB_few_frames"], row["peak_MB_all_frames"]
                last = f" | {row['start_cpu_seconds']:.1f} | {peaks[0]:.0f}, "
                last += f"{peaks[1]:.0f} |"
            lines.append(
                f"| {row['system']} ({row['atoms']:,} atoms) | {row['frames']:,} "
                f"| {key} | {cpu[key]:.4g} | {cpu['engine'] / cpu[key]:.2f} "
                f"| {wall[key]:.4g} | {wall['engine'] / wall[key]:.2f}{last}"
            )
    return "\n".join(lines)


def main() -> None:
    """Read the command line, measure, write the tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--model", default="default", help="registry name or file")
    parser.add_argument("--system", nargs="*", default=[], metavar="NAME=TOP[,TRAJ]")
    parser.add_argument("--no-default", action="store_true", help="only --system")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--frames", type=int, default=1000, help="of the protein")
    parser.add_argument("--out", type=Path, default=Path("benchmark-end-to-end"))
    args = parser.parse_args()
    if any(os.environ.get(key) != value for key, value in SETTINGS.items()):
        # Libraries and glibc read their settings when a process starts.
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | SETTINGS)
    warnings.simplefilter("ignore")
    args.out.mkdir(parents=True, exist_ok=True)
    systems = {}
    if not args.no_default:
        systems["ala2"] = ala2_files()
        systems["protein35"] = long_protein(args.out, args.frames)
    for entry in args.system:
        name, text = entry.split("=", 1)
        systems[name] = text.split(",")
    load = os.getloadavg()[0]
    rows = [measure(name, files, args) for name, files in systems.items()]
    about = {
        "model": args.model,
        "settings": ", ".join(f"{key}={value}" for key, value in SETTINGS.items()),
        "rounds": args.rounds,
        "processors": os.cpu_count(),
        "load of the machine (1 min), begin and end": (
            f"{load:.1f}, {os.getloadavg()[0]:.1f}"
        ),
    }
    text = json.dumps({"about": about, "rows": rows}, indent=2)
    (args.out / "end_to_end.json").write_text(text + "\n")
    facts = "\n".join(f"- {key}: {value}" for key, value in about.items())
    (args.out / "end_to_end.md").write_text(
        f"# End to end\n\n{facts}\n\n{table(rows)}\n"
    )


if __name__ == "__main__":
    main()
