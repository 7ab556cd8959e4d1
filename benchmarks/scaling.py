r"""Denoising error of networks of many sizes: a grid of widths and depths.

    mdgeomfeat pretrain data benchmarks/scaling-data.toml --root DATA --out data.npz
    python benchmarks/scaling.py --data data.npz --out scaling --atoms 300000 \
        --widths 16 32 64 128 --depths 2 4 6 8 --seeds 0 1

The order of work: the cost of every shape (median of forward and backward over the same
batch, shapes taking turns, in ``costs.json``); a sweep of learning rates per width at
one depth; every shape at equal atoms seen; the three shapes of ``--visnet``; one shape
at several numbers of atoms seen (``--series``); shapes of some depths at equal compute
(``--compute-depths``), where every shape sees as many atoms as its cost allows.

A rate is chosen by molecules that reported errors are not taken from; both are of the
data's validation molecules. Every run is a folder that its settings name, with
``result.json``; tables and fits are made of these files alone (``--tables``,
``scaling_fits.py``). What was stopped goes on, by ``--minutes`` or by a kill.

``--qm9 FOLDER`` (with ``qm9_part1.csv`` to ``qm9_part3.csv``) adds a ridge regression
of the gap on frozen features, beside the same networks with random weights.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, NoReturn

import numba
import numpy as np
import torch
from scaling_judge import VALIDATION, held_out, judge, some
from scaling_probe import probe_all
from scaling_tables import diverged, kind, results, tables

from mdgeomfeat.gnn import ModelSpec, build_model
from mdgeomfeat.pretraining.config import DataConfig, RunConfig, TaskConfig, TrainConfig
from mdgeomfeat.pretraining.denoiser import Denoiser
from mdgeomfeat.pretraining.packed import load_packed
from mdgeomfeat.pretraining.task import Batch, Sampler, remove_rigid_motion
from mdgeomfeat.pretraining.trainer import Trainer

#: Points of a learning curve.
CURVE = 8
#: A network that predicts nothing has an error of 1, a fresh one a little more.
EXPLODED = 1.3


class OutOfTimeError(Exception):
    """The time that was given is over; the same command goes on."""


class DivergedError(Exception):
    """A run's gradient or its errors blew up; its rate is no choice for its width."""


@dataclass(frozen=True)
class Shape:
    """Architecture, channels and layers."""

    architecture: str
    width: int
    depth: int

    @property
    def name(self) -> str:
        """Return the shape as a word."""
        return f"{self.architecture}-{self.width}x{self.depth}"

    @property
    def spec(self) -> ModelSpec:
        """The shipped recipe's network in this shape."""
        visnet = self.architecture == "visnet"
        return ModelSpec(
            architecture=self.architecture,
            n_channels=self.width,
            n_layers=self.depth,
            n_rbf=32 if visnet else 64,
            cutoff=5.0,
            smooth=True,
            vector_norm="rms" if visnet else "none",
        )

    def parameters(self) -> int:
        """Count the parameters, tables of elements left out (most rows are unused)."""
        network = Denoiser(build_model(self.spec, seed=0))
        tables = {
            id(module.weight)
            for module in network.modules()
            if isinstance(module, torch.nn.Embedding)
        }
        return sum(p.numel() for p in network.parameters() if id(p) not in tables)


@dataclass(frozen=True)
class Run:
    """All that a run depends on, beside the data."""

    shape: Shape
    atoms: int
    batch: int
    rate: float
    seed: int

    @property
    def name(self) -> str:
        """Return the name of the run's folder."""
        return (
            f"{self.shape.name}-atoms{self.atoms}-batch{self.batch}"
            f"-rate{self.rate:g}-seed{self.seed}"
        )

    @property
    def config(self) -> RunConfig:
        """Return the pre-training run."""
        steps = max(1, round(self.atoms / self.batch))
        return RunConfig(
            name=self.shape.name,
            model=self.shape.spec,
            data=DataConfig(validation=VALIDATION),
            task=TaskConfig(),
            train=TrainConfig(
                steps=steps,
                atoms=self.batch,
                learning_rate=self.rate,
                warmup=0.05,
                seed=self.seed,
                log_every=max(1, steps // CURVE),
                checkpoint_minutes=0.5,
            ),
        )


class Bench:
    """Data, what is judged by, and the clock."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.data = load_packed(options.data)
        self.parts = held_out(self.data, options.limit)
        self.few = some(self.parts["test"], self.data, max(1, options.limit // 3))
        self.started = time.monotonic()

    def minutes_left(self) -> float | None:
        """Return what is left of the minutes, None for no end."""
        if self.options.minutes is None:
            return None
        left = self.options.minutes - (time.monotonic() - self.started) / 60
        if left <= 0:
            raise OutOfTimeError
        return left

    def train(self, run: Run) -> dict[str, Any]:
        """Train once, or go on, or return what is there."""
        folder = self.options.out / "runs" / run.name
        done = folder / "result.json"
        if done.is_file():
            found = json.loads(done.read_text())
            if found["data"] != self.data.manifest["sha256"]:
                raise SystemExit(
                    f"{folder} was trained on other data; give another --out."
                )
            self.check_errors(run, found)
            return found
        if (folder / "diverged.json").is_file():
            raise DivergedError
        left = self.minutes_left()
        trainer = Trainer(run.config, folder, data=self.data)
        curve = Curve(folder / "curve.jsonl", trainer, self.few)
        try:
            trainer.run(minutes=left, progress=curve)
        except FloatingPointError as error:
            self.give_up(run, "its gradient is not finite", error)
        if trainer.progress < 1.0:
            raise OutOfTimeError
        network = trainer.ema.eval()
        found = {
            **asdict(run),
            "steps": trainer.step,
            "parameters": run.shape.parameters(),
            "data": self.data.manifest["sha256"],
            "cpu_seconds": curve.seconds(),
            "errors": {
                name: judge(network, self.data, indices)
                for name, indices in self.parts.items()
            },
            "curve": curve.rows,
        }
        done.write_text(json.dumps(found, indent=1) + "\n")
        errors = found["errors"]["test"]
        print(
            f"{run.name}: all {errors['all']['mse']:.4f}, heavy "
            f"{errors['heavy']['mse']:.4f}, {found['cpu_seconds']:.0f} CPU s",
            flush=True,
        )
        self.check_errors(run, found)
        return found

    def check_errors(self, run: Run, found: dict[str, Any]) -> None:
        """Refuse a run that answers some of what it is judged by with huge numbers."""
        errors = [e["mse"] for part in found["errors"].values() for e in part.values()]
        if not max(errors) <= EXPLODED:
            self.give_up(run, f"an error of {max(errors):.2g}")

    def give_up(self, run: Run, why: str, cause: Exception | None = None) -> NoReturn:
        """Write down that a run blew up, so that its rate is left out."""
        path = self.options.out / "runs" / run.name / "diverged.json"
        if not path.is_file():
            path.write_text(json.dumps({**asdict(run), "why": why}, indent=1) + "\n")
            print(f"{run.name}: diverged ({why})", flush=True)
        raise DivergedError from cause


class Curve:
    """Errors of the averaged weights on some unseen molecules, while they train."""

    def __init__(self, path: Path, trainer: Trainer, indices: np.ndarray) -> None:
        self.path, self.trainer, self.indices = path, trainer, indices
        lines = path.read_text().splitlines() if path.is_file() else []
        # Steps after the checkpoint are done again.
        rows = [json.loads(line) for line in lines]
        self.rows = [row for row in rows if row["step"] <= trainer.step]
        path.write_text("".join(f"{json.dumps(row)}\n" for row in self.rows))
        self.before = self.rows[-1]["cpu_seconds"] if self.rows else 0.0
        self.began = time.process_time()

    def seconds(self) -> float:
        """CPU seconds of training up to now; judging is not counted."""
        return self.before + time.process_time() - self.began

    def __call__(self, _: float, record: dict[str, Any]) -> None:
        """Add a point after a logged step."""
        seconds = self.seconds()
        errors = judge(self.trainer.ema.eval(), self.trainer.data, self.indices)
        self.before, self.began = seconds, time.process_time()
        row = {
            "step": record["step"],
            "loss": record["loss"],
            "cpu_seconds": seconds,
            **{seen: error["mse"] for seen, error in errors.items()},
        }
        self.rows.append(row)
        with self.path.open("a") as file:
            file.write(json.dumps(row) + "\n")


def once(network: Denoiser, batch: Batch) -> float:
    """Return the CPU seconds of one forward and backward pass."""
    target = torch.from_numpy(remove_rigid_motion(batch))
    started = time.process_time()
    network.zero_grad(set_to_none=True)
    guess = network(batch.numbers, batch.positions, batch.graph_ptr)
    (guess - target).square().mean().backward()
    return time.process_time() - started


def measure_costs(
    shapes: list[Shape], bench: Bench, rounds: int = 5
) -> dict[str, float]:
    """Return CPU seconds per atom of forward and backward, medians over rounds.

    Stored; measured again, all together, where a shape is lacking.
    """
    path = bench.options.out / "costs.json"
    stored = json.loads(path.read_text()) if path.is_file() else {}
    if all(shape.name in stored for shape in shapes):
        return stored
    bench.minutes_left()
    sampler = Sampler(
        bench.data,
        DataConfig(validation=VALIDATION),
        TaskConfig(),
        atoms=bench.options.batch,
        seed=0,
    )
    batch = sampler.batch(0)
    networks = [Denoiser(build_model(shape.spec, seed=0)) for shape in shapes]
    for network in networks:
        once(network, batch)  # compiles
    times = [[once(network, batch) for network in networks] for _ in range(rounds)]
    found = {
        shape.name: median(column) / len(batch.numbers)
        for shape, column in zip(shapes, zip(*times, strict=True), strict=True)
    }
    path.write_text(json.dumps(found, indent=1) + "\n")
    return found


def sweep(shape: Shape, rates: list[float], bench: Bench) -> float:
    """Return the learning rate that does best on the molecules to tune with."""
    options = bench.options
    errors = {}
    for rate in rates:
        run = Run(shape, options.atoms, options.batch, rate, options.seeds[0])
        if (*kind(asdict(run)), rate) in diverged(options.out):
            continue
        try:
            tune = bench.train(run)["errors"]["tune"]
        except DivergedError:
            continue
        errors[rate] = tune["all"]["mse"] + tune["heavy"]["mse"]
    if not errors:
        raise SystemExit(f"No rate of {rates} trains {shape.name}; give lower ones.")
    return min(errors, key=errors.__getitem__)


def read_shape(text: str, architecture: str) -> Shape:
    width, depth = (int(part) for part in text.split("x"))
    return Shape(architecture, width, depth)


def plan(
    bench: Bench, grid: list[Shape], visnet: list[Shape], costs: dict[str, float]
) -> Iterator[Run]:
    """Yield the runs in their order; rates are tuned when they are needed."""
    options = bench.options
    rates: dict[tuple[str, int], float] = {}

    def rate(shape: Shape) -> float:
        key = (shape.architecture, shape.width)
        if key not in rates:
            visnet = shape.architecture == "visnet"
            depth = shape.depth if visnet else options.sweep_depth
            tried = options.visnet_rates if visnet else options.rates
            rates[key] = sweep(Shape(*key, depth), tried, bench)
        return rates[key]

    make = partial(Run, batch=options.batch)
    for seed in options.seeds:
        for shape in grid:
            if seed == options.seeds[0] or shape.width <= options.seeds_up_to:
                yield make(shape, options.atoms, rate=rate(shape), seed=seed)
        if seed == options.seeds[0]:
            yield from series(make, rate, options)
            yield from equal_compute(make, rate, grid, costs, options)
            for shape in visnet:
                yield make(shape, options.atoms, rate=rate(shape), seed=seed)


def series(make: Any, rate: Any, options: argparse.Namespace) -> Iterator[Run]:
    """Yield one shape's runs of several lengths."""
    for text in options.series:
        shape = read_shape(text, "et")
        for atoms in options.series_atoms:
            for seed in options.seeds:
                yield make(shape, atoms, rate=rate(shape), seed=seed)


def equal_compute(
    make: Any,
    rate: Any,
    grid: Iterable[Shape],
    costs: dict[str, float],
    options: argparse.Namespace,
) -> Iterator[Run]:
    """Yield runs that cost what one shape's run costs, by the measured costs."""
    path = options.out / "compute.json"
    # Costs that are measured again must not ask for other runs.
    planned = json.loads(path.read_text()) if path.is_file() else {}
    budget = costs[read_shape(options.compute_shape, "et").name] * options.atoms
    for shape in grid:
        if shape.depth in options.compute_depths:
            atoms = planned.setdefault(
                shape.name, max(options.batch, int(budget / costs[shape.name]))
            )
            path.write_text(json.dumps(planned, indent=1) + "\n")
            yield make(shape, atoms, rate=rate(shape), seed=options.seeds[0])


def train_all(bench: Bench, runs: Callable[[], Iterator[Run]]) -> None:
    """Train what is planned; where a run diverges, its width gets another rate."""
    while True:
        try:
            for run in runs():
                bench.train(run)
        except DivergedError:
            # What is finished is not repeated, and the sweep leaves this rate out.
            continue
        return


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="packed data, .npz")
    parser.add_argument("--out", type=Path, default=Path("scaling"))
    parser.add_argument("--widths", nargs="*", type=int, default=[16, 32, 64, 128])
    parser.add_argument("--depths", nargs="*", type=int, default=[2, 4, 6, 8])
    parser.add_argument("--more", nargs="*", default=[], help="ET shapes, as 256x2")
    parser.add_argument("--visnet", nargs="*", default=[], help="as 32x4")
    parser.add_argument("--atoms", type=int, default=300_000, help="seen in a run")
    parser.add_argument("--batch", type=int, default=500, help="atoms in a batch")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument(
        "--seeds-up-to", type=int, default=10**6, help="width of more than one seed"
    )
    parser.add_argument(
        "--rates", nargs="+", type=float, default=[1.5e-3, 4.5e-3, 1.35e-2]
    )
    parser.add_argument("--visnet-rates", nargs="+", type=float, default=[4.5e-3])
    parser.add_argument("--sweep-depth", type=int, default=4)
    parser.add_argument("--series", nargs="*", default=[], help="ET shapes, as 32x4")
    parser.add_argument("--series-atoms", nargs="*", type=int, default=[])
    parser.add_argument("--compute-shape", default="64x6")
    parser.add_argument("--compute-depths", nargs="*", type=int, default=[])
    parser.add_argument("--limit", type=int, default=120, help="judged, per source")
    parser.add_argument("--qm9", type=Path, help="folder of qm9_part1.csv, ...")
    parser.add_argument("--minutes", type=float, help="stop after so long")
    parser.add_argument("--tables", action="store_true", help="of what there is only")
    options = parser.parse_args()
    if options.data is None and not options.tables:
        parser.error("--data is needed for anything but --tables")
    return options


def main() -> None:
    options = arguments()
    torch.set_num_threads(1)
    numba.set_num_threads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    if not options.tables:
        bench = Bench(options)
        grid = [
            *(Shape("et", w, d) for w in options.widths for d in options.depths),
            *(read_shape(text, "et") for text in options.more),
        ]
        visnet = [read_shape(text, "visnet") for text in options.visnet]
        others = [read_shape(t, "et") for t in [*options.series, options.compute_shape]]
        try:
            shapes = list(dict.fromkeys([*grid, *visnet, *others]))
            costs = measure_costs(shapes, bench)
            train_all(bench, lambda: plan(bench, grid, visnet, costs))
            if options.qm9:
                probe_all(options.out, options.qm9, bench.data, bench.minutes_left)
        except OutOfTimeError:
            print("Out of time; the same command goes on.")
    text = tables(results(options.out), options.out)
    (options.out / "scaling.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
