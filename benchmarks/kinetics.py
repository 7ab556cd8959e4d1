r"""Score networks, mixers and classical descriptors on held-out trajectories.

    python benchmarks/kinetics.py --out kinetics --imported et_l6_h64_rbf64_r75.pth
    python benchmarks/kinetics.py --out kinetics --systems beta-peptide ala2-explicit \
        --others FOLDER --networks et-64 --mixers flat attention

Every network stands beside its twin with random weights; ``--imported`` adds published
checkpoints. All fits of a system share lag, outputs, held-out parts, number of
parameters (the width of each lobe is chosen for it) and training budget. Every fit is
written down when it is done, and a run that is repeated goes on where it was stopped.
Writes ``fits.jsonl`` and ``agreement.jsonl``, and of these ``kinetics.md`` and
``kinetics.json``. A score is VAMP-2 of trajectories (of thirds, where there is one
trajectory) that neither training nor stopping saw: mean ± standard deviation over
held-out parts and seeds. Differences are paired, part by part and seed by seed.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from joblib import Parallel, delayed

from mdgeomfeat import GeomGNNFeaturizer
from mdgeomfeat.descriptors import angles, applicable, compute_descriptors
from mdgeomfeat.featurespec import FeatureSpec
from mdgeomfeat.featurizer import TokenEncoder, compute_invariants
from mdgeomfeat.gnn import load_model, random_twin
from mdgeomfeat.kinetics import (
    Fold,
    ScoreError,
    fit_tica_guarded,
    fit_vampnet,
    make_folds,
    vamp2_score,
)
from mdgeomfeat.kinetics.arrays import cut
from mdgeomfeat.mixing import MixerSpec, build_mixer, count_parameters
from mdgeomfeat.projection import agreement, fit_map, knn_r2
from mdgeomfeat.reading import open_universe

ROOT = Path(__file__).resolve().parents[1]
TWIN_SEED = 1
MIXERS = ("flat", "mlp", "attention", "equivariant")
#: Parameters of every lobe, about: those of 64-64 on a hundred inputs.
PARAMETERS = 25_000
MAP_POINTS = 2000


@dataclass(frozen=True)
class System:
    """Files and settings; lag in frames after `step`.

    `share` is the part of every training trajectory that training sees; `slowest` the
    slowest timescale in frames, which parts of one trajectory are kept apart by.
    """

    folder: str
    topology: str
    trajectories: str
    step: int
    lag: int
    dim: int
    slowest: float
    own: bool = True
    share: float = 1.0


# Slowest timescales: data/README.md; for other people's data, TICA of the dihedrals.
SYSTEMS = {
    "ala2": System("ala2", "ala2.pdb", "ala2-*.xtc", 2, 1, 2, 27),
    "ala2-tenth": System("ala2", "ala2.pdb", "ala2-*.xtc", 2, 1, 2, 27, share=0.1),
    "gly2": System("gly2", "gly2.pdb", "gly2-*.xtc", 2, 2, 2, 10),
    "wlall": System("wlall", "wlall.pdb", "wlall-*.xtc", 1, 10, 3, 280),
    "aagaa": System("aagaa", "aagaa.pdb", "aagaa-*.xtc", 1, 10, 3, 40),
    "villin": System("folding/villin", "villin.pdb", "villin-*.xtc", 1, 10, 2, 30),
    "beta-peptide": System(
        "beta-peptide", "beta-peptide.pdb", "beta-peptide.xtc", 1, 20, 3, 500, own=False
    ),
    "ala2-explicit": System(
        "ala2-explicit", "native.pdb", "RUN*.xtc", 1, 2, 2, 11, own=False
    ),
}


@dataclass(frozen=True, eq=False)
class Input:
    """What estimators see: (F, N, K) numbers, and scalars with vectors for a mixer."""

    kind: str
    flat: list[np.ndarray]
    vectors: list[np.ndarray] | None = None


def read(system: System, others: Path | None) -> GeomGNNFeaturizer:
    folder = ROOT / "data" if system.own else others
    if folder is None:
        raise SystemExit(f"{system.folder} is not ours: give its folder with --others")
    files = sorted((folder / system.folder).glob(system.trajectories))
    universe = open_universe([str(folder / system.folder / system.topology), *files])
    return GeomGNNFeaturizer(universe).run(step=system.step)


def split(values: np.ndarray, run: GeomGNNFeaturizer) -> list[np.ndarray]:
    return [np.ascontiguousarray(values[rows]) for rows in run.results.segments]


def encoded(run: GeomGNNFeaturizer, network: Any, kind: str) -> Input:
    """Return the tokens of a network, of the positions that were read."""
    results = run.results
    structure = results.structure
    encoder = TokenEncoder(structure, FeatureSpec(model=network, allow_unseen=True))
    positions, boxes = np.asarray(results.positions), results.boxes
    numbers, joined = [], []
    for start in range(0, len(positions), encoder.batch_size):
        rows = slice(start, start + encoder.batch_size)
        scalars, vectors = encoder.encode(
            positions[rows], None if boxes is None else boxes[rows]
        )
        numbers.append(
            compute_invariants(scalars, vectors, structure.next_token, "geometric")
        )
        joined.append(np.concatenate([scalars[:, :, None], vectors], axis=2))
    return Input(
        kind, split(np.concatenate(numbers), run), split(np.concatenate(joined), run)
    )


def inputs(
    run: GeomGNNFeaturizer, options: argparse.Namespace
) -> Iterator[tuple[str, Callable[[], Input]]]:
    """Yield every input's name, and how it is made."""
    for name in options.networks:
        network = load_model(name)
        yield name, lambda n=network: encoded(run, n, "trained")
        twin = random_twin(network, TWIN_SEED)
        yield f"{name} random", lambda n=twin: encoded(run, n, "random")
    for path in options.imported:
        yield (
            f"{path.stem} (published)",
            lambda p=path: encoded(run, load_model(str(p)), "published"),
        )
    results = run.results
    positions, boxes = np.asarray(results.positions), results.boxes
    for kind in applicable(results.structure):
        if kind == "ca_distances":
            continue
        yield (
            kind,
            lambda k=kind: Input(
                "classical",
                split(
                    compute_descriptors(k, results.structure, positions, boxes).values,
                    run,
                ),
            ),
        )


def lobe(kind: str, arrays: Sequence[np.ndarray], dim: int) -> MixerSpec:
    """Return the lobe of this kind with about ``PARAMETERS`` numbers."""
    shape = arrays[0].shape[1:]
    n_tokens, n_features = (1, shape[0]) if len(shape) == 1 else (shape[0], shape[-1])
    spec = MixerSpec(kind=kind, n_tokens=n_tokens, n_features=n_features, n_outputs=dim)
    widths = [replace(spec, width=width) for width in range(4, 260, 4)]
    return min(widths, key=lambda s: abs(count_parameters(build_mixer(s)) - PARAMETERS))


def training_part(
    arrays: Sequence[np.ndarray], fold: Fold, share: float
) -> list[np.ndarray]:
    return [a[: max(int(share * len(a)), 1)] for a in cut(arrays, fold.train)]


def one_fit(
    arrays: Sequence[np.ndarray], fold: Fold, system: System, kind: str, seed: int
) -> dict[str, Any]:
    """Fit and score once; a failure is a result too."""
    train = training_part(arrays, fold, system.share)
    stop, held_out = cut(arrays, fold.stop), cut(arrays, fold.score)
    n_parameters = None
    try:
        if kind == "tica":
            fit: Any = fit_tica_guarded(train, stop, system.lag, system.dim)
        else:
            spec = lobe(kind, arrays, system.dim)
            fit = fit_vampnet(train, stop, system.lag, spec, seed=seed)
            n_parameters = count_parameters(fit.lobe)
        return {
            "score": vamp2_score(fit.transform(held_out), system.lag),
            "train": vamp2_score(fit.transform(train), system.lag),
            "parameters": n_parameters,
        }
    except (ScoreError, np.linalg.LinAlgError) as error:
        return {"score": None, "train": None, "failure": str(error)}


def fits(
    name: str,
    run: GeomGNNFeaturizer,
    options: argparse.Namespace,
    done: dict[tuple, dict],
) -> None:
    system = SYSTEMS[name]
    lengths = [rows.stop - rows.start for rows in run.results.segments]
    folds = make_folds(
        lengths, system.lag, slowest=system.slowest, max_folds=options.folds
    )
    with (
        (options.out / "fits.jsonl").open("a") as log,
        Parallel(n_jobs=options.jobs, return_as="generator", max_nbytes="1M") as pool,
    ):
        for label, make in inputs(run, options):
            todo = []
            for mixer in ("tica", *options.mixers):
                seeds = range(1 if mixer == "tica" else options.seeds)
                todo += [
                    (name, label, mixer, fold, seed)
                    for fold in range(len(folds))
                    for seed in seeds
                    if (name, label, mixer, fold, seed) not in done
                ]
            if not todo:
                continue
            data = make()
            if data.vectors is None:
                todo = [key for key in todo if key[2] in ("tica", "flat")]

            def arrays(key: tuple, data: Input = data) -> list[np.ndarray]:
                return data.vectors if key[2] == "equivariant" else data.flat  # type: ignore[return-value]

            found = pool(
                delayed(one_fit)(arrays(key), folds[key[3]], system, key[2], key[4])
                for key in todo
            )
            for key, result in zip(todo, found, strict=True):
                entry = {
                    **dict(
                        zip(
                            ("system", "input", "mixer", "fold", "seed"),
                            key,
                            strict=True,
                        )
                    ),
                    "kind": data.kind,
                    "independent": folds[key[3]].independent,
                    **result,
                }
                done[key] = entry
                log.write(json.dumps(entry) + "\n")
                log.flush()
            print(f"{name}: {label}, {len(todo)} fits", flush=True)


def agreements(
    name: str, run: GeomGNNFeaturizer, options: argparse.Namespace, done: dict
) -> None:
    """Measure what of the dihedrals the inputs hold, and their UMAP maps show."""
    results = run.results
    torsions = angles(results.structure, np.asarray(results.positions), results.boxes)
    circle = np.concatenate([np.sin(torsions.values), np.cos(torsions.values)], axis=1)
    groups = np.repeat(
        np.arange(len(results.segments)), [len(c) for c in split(circle, run)]
    )
    with (options.out / "agreement.jsonl").open("a") as log:
        for label, make in inputs(run, options):
            if (name, label) in done:
                continue
            data = make()
            parts = [a.reshape(len(a), -1) for a in data.flat]
            entry = {"system": name, "input": label, "kind": data.kind}
            if label != "dihedrals":
                entry["ridge"] = agreement(parts, split(circle, run)).mean
            layout = fit_map(np.concatenate(parts), max_points=MAP_POINTS)
            near = groups[layout.frames]
            entry["map"] = float(
                knn_r2(
                    layout.embedding,
                    torsions.values[layout.frames],
                    groups=near if len(np.unique(near)) > 1 else None,
                ).mean()
            )
            done[name, label] = entry
            log.write(json.dumps(entry) + "\n")
            log.flush()
            print(f"{name}: agreement of {label}", flush=True)


def spread(values: Sequence[float | None]) -> str:
    known = [v for v in values if v is not None]
    if not known:
        return "failed"
    text = f"{np.mean(known):.3f}"
    if len(known) > 1:
        text += f" ± {np.std(known, ddof=1):.3f}"
    lost = len(values) - len(known)
    return text + (f" ({lost} of {len(values)} failed)" if lost else "")


def differences(
    rows: Sequence[dict], one: str, other: str, mixer: str
) -> list[float | None]:
    """Return the paired differences of two inputs."""
    found: dict[str, dict[tuple[int, int], float | None]] = {one: {}, other: {}}
    for row in rows:
        if row["mixer"] == mixer and row["input"] in found:
            found[row["input"]][row["fold"], row["seed"]] = row["score"]
    return [
        a - b
        for key, a in found[one].items()
        if (b := found[other].get(key)) is not None and a is not None
    ]


def tables(rows: Sequence[dict], agreed: Sequence[dict]) -> str:
    """Return the results as markdown."""
    text = []
    for name in dict.fromkeys(r["system"] for r in rows):
        mine = [r for r in rows if r["system"] == name]
        mixers = [m for m in ("tica", *MIXERS) if any(r["mixer"] == m for r in mine)]
        system = SYSTEMS[name]
        parts = len({r["fold"] for r in mine})
        seeds = len({r["seed"] for r in mine})
        independent = "" if mine[0]["independent"] else "; parts not independent"
        text += [
            f"### {name}",
            "",
            f"{system.dim} outputs, step {system.step}, lag {system.lag} (frames), "
            f"{parts} held-out parts, {seeds} seeds"
            f"{independent}.",
            "",
            "| input | " + " | ".join(mixers) + " |",
            "| --- " * (len(mixers) + 1) + "|",
        ]
        labels = list(dict.fromkeys(r["input"] for r in mine))
        for label in labels:
            cells = [scores(mine, label, m) for m in mixers]
            text.append(f"| {label} | " + " | ".join(cells) + " |")
        for label in labels:
            for other in (f"{label} random", *published_twins(label, labels)):
                if other in labels:
                    cells = [spread(differences(mine, label, other, m)) for m in mixers]
                    text.append(f"| {label} - {other} | " + " | ".join(cells) + " |")
        text.append("")
        found = [a for a in agreed if a["system"] == name]
        if found:
            text += [
                "| input | R² of dihedrals, ridge | R² of dihedrals in the UMAP map |",
                "| --- | --- | --- |",
            ]
            for a in found:
                ridge = f"{a['ridge']:.3f}" if "ridge" in a else ""
                text.append(f"| {a['input']} | {ridge} | {a['map']:.3f} |")
            text.append("")
    return "\n".join(text)


def scores(rows: Sequence[dict], label: str, mixer: str) -> str:
    """Return one cell; empty where the input has no such estimator."""
    found = [r["score"] for r in rows if r["input"] == label and r["mixer"] == mixer]
    return spread(found) if found else ""


def published_twins(label: str, labels: Sequence[str]) -> list[str]:
    """Return the published networks of the same architecture."""
    if label.endswith(("random", "(published)")):
        return []
    architecture = label.split("-")[0]
    return [x for x in labels if x.startswith(architecture) and "(published)" in x]


def lines(path: Path) -> list[dict]:
    return (
        [json.loads(x) for x in path.read_text().splitlines()] if path.exists() else []
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument(
        "--systems", nargs="+", choices=SYSTEMS, default=list(SYSTEMS)[:4]
    )
    parser.add_argument("--networks", nargs="+", default=["et-64"])
    parser.add_argument("--imported", nargs="*", type=Path, default=[])
    parser.add_argument("--mixers", nargs="*", choices=MIXERS, default=list(MIXERS))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--folds", type=int, default=2)
    parser.add_argument("--others", type=Path, help="folder of other people's data")
    parser.add_argument("--no-maps", action="store_true")
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    keys = ("system", "input", "mixer", "fold", "seed")
    done = {
        tuple(row[k] for k in keys): row for row in lines(options.out / "fits.jsonl")
    }
    agreed = {
        (row["system"], row["input"]): row
        for row in lines(options.out / "agreement.jsonl")
    }
    for name in options.systems:
        run = read(SYSTEMS[name], options.others)
        fits(name, run, options, done)
        if not options.no_maps and SYSTEMS[name].share == 1:
            agreements(name, run, options, agreed)
        text = tables(list(done.values()), list(agreed.values()))
        (options.out / "kinetics.md").write_text(text)
        summary = {"fits": list(done.values()), "agreement": list(agreed.values())}
        (options.out / "kinetics.json").write_text(json.dumps(summary, indent=1))
    print(text)


if __name__ == "__main__":
    main()
