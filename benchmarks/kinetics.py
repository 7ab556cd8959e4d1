r"""Score networks, poolings, mixers and classical descriptors on held-out trajectories.

    python benchmarks/kinetics.py --out kinetics
    python benchmarks/kinetics.py --out kinetics --systems beta-peptide ala2-explicit \
        --others FOLDER

Everything is fitted as `vamp` fits it: the folds, the mixer and its options, the
budget of steps, the seeds that a ridge-linear map joins; TICA with the ridge and the
width that the stopping part decides. Every network stands beside its twin with random
weights; ``--imported`` adds published checkpoints, ``--pools`` other poolings of the
first network, ``--invariants`` other numbers of its tokens, and ``--windows`` graphs of
a residue and so many on either side of it.
"dihedrals + features" are both behind one linear map: TICA of all their columns, or of
the outputs of both inputs' VAMPNets. ``--shares 0.01 0.1`` fits and stops on the first
part of every run that is not scored.

Features are stored, and every fit is written down when it is done, so a run that is
repeated goes on where it was stopped. Writes ``fits.jsonl`` and ``inputs.jsonl``, and
of these ``results.md``. A score is VAMP-2 of runs (of thirds, where there is one run)
that neither training nor stopping saw: mean ± standard deviation over held-out parts.
Differences are paired, part by part.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import torch
from kinetics_tables import PARTNERS, tables, with_features
from scipy.stats import spearmanr

from mdgeomfeat import GeomGNNFeaturizer
from mdgeomfeat.descriptors import applicable, compute_descriptors
from mdgeomfeat.errors import MDGeomFeatWarning
from mdgeomfeat.featurizer import FeatureResults
from mdgeomfeat.gnn import load_model, random_twin
from mdgeomfeat.kinetics import (
    Fold,
    ScoreError,
    StudySettings,
    fit_tica,
    fit_tica_guarded,
    fit_vampnet,
    make_folds,
    vamp2_score,
)
from mdgeomfeat.kinetics.arrays import cut
from mdgeomfeat.kinetics.model import STACK_RIDGE
from mdgeomfeat.kinetics.networks import choose_mixer
from mdgeomfeat.mixing import count_parameters
from mdgeomfeat.reading import open_universe

ROOT = Path(__file__).resolve().parents[1]
TWIN_SEED = 1


@dataclass(frozen=True)
class System:
    """Files and settings; lag in frames after `step`.

    `slowest` is the slowest timescale in frames, which parts of one run are kept apart
    by; `native` the name of a folding model, whose native contacts the first variable
    is compared with.
    """

    folder: str
    topology: str
    trajectories: str
    step: int
    lag: int
    dim: int
    slowest: float
    own: bool = True
    native: str | None = None


# Slowest timescales: data/README.md; for other people's data, TICA of the dihedrals.
SYSTEMS = {
    "ala2": System("ala2", "ala2.pdb", "ala2-*.xtc", 2, 1, 2, 27),
    "gly2": System("gly2", "gly2.pdb", "gly2-*.xtc", 2, 2, 2, 10),
    "wlall": System("wlall", "wlall.pdb", "wlall-*.xtc", 1, 10, 3, 280),
    "aagaa": System("aagaa", "aagaa.pdb", "aagaa-*.xtc", 1, 10, 3, 40),
    "hairpin": System(
        "folding/hairpin",
        "hairpin.pdb",
        "hairpin-*.xtc",
        1,
        10,
        2,
        30,
        native="hairpin",
    ),
    "villin": System(
        "folding/villin", "villin.pdb", "villin-*.xtc", 1, 10, 2, 30, native="villin"
    ),
    "lambda": System(
        "folding/lambda", "lambda.pdb", "lambda-*.xtc", 1, 10, 2, 90, native="lambda"
    ),
    "beta-peptide": System(
        "beta-peptide", "beta-peptide.pdb", "beta-peptide.xtc", 1, 20, 3, 500, own=False
    ),
    "ala2-explicit": System(
        "ala2-explicit", "native.pdb", "RUN*.xtc", 1, 2, 2, 11, own=False
    ),
}
MIXERS = ("flat", "mlp", "equivariant")
OWN = [name for name, system in SYSTEMS.items() if system.own]


@dataclass(frozen=True, eq=False)
class Data:
    """What was read of a system, whatever it is described by."""

    name: str
    system: System
    results: FeatureResults
    folds: list[Fold]
    order: list[np.ndarray] | None  # native contacts of every frame

    def split(self, values: np.ndarray) -> list[np.ndarray]:
        """Return what belongs to each unbroken run."""
        return [np.ascontiguousarray(values[run]) for run in self.results.segments]


def featurize(
    system: System, others: Path | None, store: Path | None = None, **features: Any
) -> FeatureResults:
    """Return the features of a system, from the store if they are there."""
    folder = ROOT / "data" if system.own else others
    if folder is None:
        raise SystemExit(f"{system.folder} is not ours: give its folder with --others")
    files = sorted((folder / system.folder).glob(system.trajectories))
    universe = open_universe([str(folder / system.folder / system.topology), *files])
    with warnings.catch_warnings():
        # a store that is finished says so
        warnings.simplefilter("ignore", MDGeomFeatWarning)
        run = GeomGNNFeaturizer(universe, store=store, allow_unseen=True, **features)
        return run.run(step=system.step).results


def read(name: str, options: argparse.Namespace) -> Data:
    """Read a system, with the features of the first network."""
    system = SYSTEMS[name]
    main = options.networks[0]
    results = made(name, options, main, load_model(main))
    lengths = [run.stop - run.start for run in results.segments]
    folds = make_folds(
        lengths, system.lag, slowest=system.slowest, max_folds=options.folds
    )
    data = Data(name, system, results, folds, None)
    if system.native is None:
        return data
    sys.path.insert(0, str(ROOT / "data" / "folding"))
    from simulate import load

    model = load(system.native)
    contacts = [
        model.fraction_native(run / 10)
        for run in data.split(np.asarray(results.positions))
    ]
    return replace(data, order=contacts)


def store_path(
    options: argparse.Namespace, name: str, network: str, pool: str, window: int | None
) -> Path:
    words = [name, network.replace(" ", "-"), pool]
    if window is not None:
        words.append(f"window{window}")
    return options.out / "stores" / "-".join(words)


def inputs(
    data: Data, options: argparse.Namespace
) -> Iterator[tuple[str, Callable[[], list[np.ndarray]]]]:
    """Yield every input's name, and how it is made."""
    main = options.networks[0]
    for name in options.networks:
        network = load_model(name)
        yield name, lambda n=name, w=network: stored(data, options, n, w)
        twin = random_twin(network, TWIN_SEED)
        label = f"{name} random"
        yield label, lambda n=label, w=twin: stored(data, options, n, w)
    for pool in options.pools:
        network = load_model(main)
        yield (
            f"{main} by {pool}",
            lambda p=pool, w=network: stored(data, options, main, w, p),
        )
    for window in options.windows:
        network = load_model(main)
        yield (
            f"{main}, window {window}",
            lambda k=window, w=network: stored(data, options, main, w, window=k),
        )
    for kind in options.invariants:
        results = made(data.name, options, main, load_model(main))
        yield (
            f"{main}, {kind} invariants",
            lambda k=kind, r=results: r.token_features_list(k),
        )
    for path in options.imported:
        network = load_model(str(path))
        label = f"{path.stem} (published)"
        yield label, lambda n=label, w=network: stored(data, options, n, w)
    results = data.results
    positions, boxes = np.asarray(results.positions), results.boxes
    for kind in applicable(results.structure):
        if kind != "ca_distances":
            yield (
                kind,
                lambda k=kind: data.split(
                    compute_descriptors(
                        k, results.structure, positions, boxes
                    ).values.astype(np.float32)
                ),
            )


def stored(
    data: Data,
    options: argparse.Namespace,
    label: str,
    network: Any,
    pool: str = "mean",
    window: int | None = None,
) -> list[np.ndarray]:
    """Return the invariants of every run."""
    return made(data.name, options, label, network, pool, window).token_features_list()


def vectors(data: Data, options: argparse.Namespace, network: str) -> list[np.ndarray]:
    """Return scalars and vectors of every run, (F, N, 4, C)."""
    results = made(data.name, options, network, load_model(network))
    return [np.asarray(run) for run in results.split(results.channels)]


def made(
    name: str,
    options: argparse.Namespace,
    label: str,
    network: Any,
    pool: str = "mean",
    window: int | None = None,
) -> FeatureResults:
    """Compute features, or open their store; write down what computing them took."""
    path = store_path(options, name, label, pool, window)
    there = path.exists()
    began = time.process_time()
    results = featurize(
        SYSTEMS[name], options.others, path, model=network, pool=pool, window=window
    )
    if not there:
        n_bytes = sum(f.stat().st_size for f in path.rglob("*") if f.is_file())
        note(
            options.out / "inputs.jsonl",
            {
                "system": name,
                "input": label
                + (f" by {pool}" if pool != "mean" else "")
                + (f", window {window}" if window is not None else ""),
                "frames": len(results.times),
                "seconds": time.process_time() - began,
                "bytes": n_bytes,
            },
        )
    return results


def note(path: Path, entry: dict[str, Any]) -> None:
    with path.open("a") as file:
        file.write(json.dumps(entry) + "\n")


def parts(
    arrays: Sequence[np.ndarray], fold: Fold, share: float
) -> tuple[list[np.ndarray], list[np.ndarray], list[np.ndarray]]:
    """Return what is trained on, what stops the training, and what is scored."""
    train, stop = (
        [a[: max(int(share * len(a)), 1)] for a in cut(arrays, part)]
        for part in (fold.train, fold.stop)
    )
    return train, stop, cut(arrays, fold.score)


def fit_once(
    data: Data, arrays: Sequence[np.ndarray], key: dict, seeds: int, outputs: Path
) -> dict[str, Any]:
    """Fit and score on one fold; a failure is a result too."""
    system, fold = data.system, data.folds[key["fold"]]
    train, stop, held_out = parts(arrays, fold, key["share"])
    began = time.process_time()
    facts: dict[str, Any] = {}
    try:
        if key["estimator"] == "tica":
            linear = fit_tica_guarded(train, stop, system.lag, system.dim)
            facts |= {"width": linear.width, "pca": linear.pca}
        else:
            joined, facts = train_seeds(data, arrays, key, seeds)
            np.savez(outputs, *joined)
            train, stop, held_out = parts(joined, fold, key["share"])
            linear = fit_tica(
                [*train, *stop], system.lag, system.dim, ridge=STACK_RIDGE
            )
        facts |= judged(data, fold, linear.transform(held_out))
    except (ScoreError, np.linalg.LinAlgError) as error:
        facts |= {"score": None, "failure": str(error)}
    return facts | {"seconds": time.process_time() - began}


def train_seeds(
    data: Data, arrays: Sequence[np.ndarray], key: dict, seeds: int
) -> tuple[list[np.ndarray], dict[str, Any]]:
    """Return the outputs of all seeds side by side, run by run."""
    system, fold = data.system, data.folds[key["fold"]]
    train, stop, held_out = parts(arrays, fold, key["share"])
    kind = None if key["estimator"] == "vampnet" else key["estimator"]
    spec = choose_mixer(arrays, StudySettings(dim=system.dim, mixer=kind))
    outputs, scores, parameters = [], [], None
    for seed in range(seeds):
        try:
            fit = fit_vampnet(train, stop, system.lag, spec, seed=seed)
        except ScoreError:
            scores.append(None)
            continue
        parameters = count_parameters(fit.lobe)
        scores.append(vamp2_score(fit.transform(held_out), system.lag))
        outputs.append(fit.transform(arrays))
    if not outputs:
        raise ScoreError("Every seed failed.")
    joined = [np.concatenate(runs, axis=1) for runs in zip(*outputs, strict=True)]
    return joined, {"seeds": scores, "parameters": parameters}


def judged(data: Data, fold: Fold, outputs: list[np.ndarray]) -> dict[str, Any]:
    """Return the score, and how the first variable goes with native contacts."""
    found = {"score": vamp2_score(outputs, data.system.lag)}
    if data.order is not None:
        first = np.concatenate(outputs)[:, 0]
        contacts = np.concatenate(cut(data.order, fold.score))
        found["spearman"] = float(abs(spearmanr(first, contacts).statistic))
    return found


def fused(
    data: Data, options: argparse.Namespace, key: dict, partner: str
) -> dict[str, Any] | None:
    """Return what a descriptor and the features score behind one linear map."""
    fold, system = data.folds[key["fold"]], data.system
    names = (options.networks[0], partner)
    if key["estimator"] == "tica":
        makers = dict(inputs(data, options))
        columns = [[a.reshape(len(a), -1) for a in makers[name]()] for name in names]
    else:
        files = [outputs_path(options, {**key, "input": name}) for name in names]
        if not all(file.exists() for file in files):
            return None
        columns = [list(np.load(file).values()) for file in files]
    both = [np.concatenate(runs, axis=1) for runs in zip(*columns, strict=True)]
    train, stop, held_out = parts(both, fold, key["share"])
    try:
        if key["estimator"] == "tica":
            linear = fit_tica_guarded(train, stop, system.lag, system.dim)
        else:
            linear = fit_tica(
                [*train, *stop], system.lag, system.dim, ridge=STACK_RIDGE
            )
        return judged(data, fold, linear.transform(held_out))
    except (ScoreError, np.linalg.LinAlgError) as error:
        return {"score": None, "failure": str(error)}


def outputs_path(options: argparse.Namespace, key: dict) -> Path:
    name = "-".join(str(key[k]) for k in KEYS).replace(" ", "_")
    return options.out / "outputs" / f"{name}.npz"


def _takes_vectors(key: dict) -> bool:
    return key["estimator"] == "equivariant"


KEYS = ("system", "input", "estimator", "share", "fold")


def measure(name: str, options: argparse.Namespace, rows: list[dict]) -> None:
    """Make all fits of a system that are not written down yet."""
    done = {tuple(row[k] for k in KEYS) for row in rows}
    data = read(name, options)
    log = options.out / "fits.jsonl"

    def todo(label: str, estimators: Sequence[str]) -> list[dict]:
        keys = [
            dict(zip(KEYS, (name, label, estimator, share, fold), strict=True))
            for estimator in estimators
            for share in options.shares
            for fold in range(len(data.folds))
        ]
        return [key for key in keys if tuple(key.values()) not in done]

    def keep(key: dict, found: dict) -> None:
        row = {**key, "independent": data.folds[0].independent, **found}
        rows.append(row)
        note(log, row)

    labels = []
    for label, make in inputs(data, options):
        labels.append(label)
        if options.inputs and label not in options.inputs:
            continue
        mixers = [] if options.only_tica else ["vampnet"]
        if label in options.networks:
            mixers += options.mixers
        keys = todo(label, ["tica", *mixers])
        for with_vectors, some in groupby(keys, _takes_vectors):
            arrays = vectors(data, options, label) if with_vectors else make()
            for key in some:
                file = outputs_path(options, key)
                keep(key, fit_once(data, arrays, key, options.seeds, file))
        print(f"{name}: {label}, {len(keys)} fits", flush=True)
    estimators = ["tica", *([] if options.only_tica else ["vampnet"])]
    for partner in PARTNERS:
        if partner not in labels:
            continue
        for key in todo(with_features(partner), estimators):
            if (found := fused(data, options, key, partner)) is not None:
                keep(key, found)


def lines(path: Path) -> list[dict]:
    return (
        [json.loads(x) for x in path.read_text().splitlines()] if path.exists() else []
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--systems", nargs="+", choices=SYSTEMS, default=OWN)
    parser.add_argument("--networks", nargs="+", default=["et-64"])
    parser.add_argument("--pools", nargs="*", default=["sidechain", "element"])
    parser.add_argument("--windows", nargs="*", type=int, default=[])
    parser.add_argument(
        "--invariants", nargs="*", default=[], help="other kinds, of the first network"
    )
    parser.add_argument("--imported", nargs="*", type=Path, default=[])
    parser.add_argument("--mixers", nargs="*", choices=MIXERS, default=list(MIXERS))
    parser.add_argument("--inputs", nargs="*", help="of these only, by their names")
    parser.add_argument("--only-tica", action="store_true")
    parser.add_argument("--shares", nargs="+", type=float, default=[1.0])
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--folds", type=int, default=4)
    parser.add_argument("--others", type=Path, help="folder of other people's data")
    options = parser.parse_args()
    torch.set_num_threads(1)
    for folder in ("stores", "outputs"):
        (options.out / folder).mkdir(parents=True, exist_ok=True)
    rows = lines(options.out / "fits.jsonl")
    for name in options.systems:
        measure(name, options, rows)
        text = tables(rows, lines(options.out / "inputs.jsonl"))
        (options.out / "results.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
