"""What a ridge regression reads from features that were trained on no label.

Called by ``python benchmarks/qm9.py probe``. Features of a molecule are the mean of its
atoms' scalars (their sum for an energy, which grows with the molecule); and, in a set
of their own, with the lengths of the molecule's mean (or sum of) vectors beside them.
The penalty is chosen by the error of 1,000 molecules apart, and errors are those of
2,000 others. Beside the network stand one of the same shape with random weights, and
the counts of the elements. For an energy, references of the elements are fitted to
the training molecules first, and what is left is learnt.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numba
import numpy as np
import torch
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler
from torch_geometric.loader import DataLoader

from mdgeomfeat.finetuning import LabelledSet, Parts, SplitConfig, split
from mdgeomfeat.gnn import Backbone, load_model, random_twin
from mdgeomfeat.pretraining.forward import atom_features

PENALTIES = tuple(10.0**k for k in range(-6, 6))


def pooled(model: Backbone, data: LabelledSet, indices: np.ndarray) -> np.ndarray:
    """Sum over atoms, (n, 4, C): scalars, and of the components of vectors."""
    found = []
    graphs = [data.graphs[i] for i in indices]
    with torch.no_grad():
        for batch in DataLoader(graphs, batch_size=64):
            ptr = batch.ptr.numpy().astype(np.int64)
            scalars, vectors = atom_features(model, batch.z, batch.pos, ptr)
            joined = torch.cat([scalars[:, None], vectors], dim=1)
            empty = joined.new_zeros(batch.num_graphs, *joined.shape[1:])
            found.append(empty.index_add(0, batch.batch, joined).numpy())
    return np.concatenate(found).astype(np.float64)


def element_counts(data: LabelledSet, indices: np.ndarray) -> np.ndarray:
    """Count the set's elements in each molecule, (n, n_elements)."""
    elements = np.array(data.elements)
    return np.array(
        [
            (data.graphs[i].z.numpy()[:, None] == elements).sum(axis=0)
            for i in indices.tolist()
        ],
        dtype=np.float64,
    )


def ridge_error(
    features: np.ndarray, labels: np.ndarray, parts: list[np.ndarray]
) -> float:
    """MAE of tests, with the penalty that validates best.

    Parameters
    ----------
    features : ndarray, shape (n, K)
    labels : ndarray, shape (n,)
    parts : list of ndarray of int
        Rows to train on, to validate with and to test on.
    """
    train, validation, test = parts
    scaled = StandardScaler().fit(features[train]).transform(features)
    best = (np.inf, np.inf)
    for penalty in PENALTIES:
        model = Ridge(alpha=penalty).fit(scaled[train], labels[train])
        apart, tested = (
            float(np.abs(model.predict(scaled[rows]) - labels[rows]).mean())
            for rows in (validation, test)
        )
        best = min(best, (apart, tested))
    return best[1]


def feature_sets(sums: np.ndarray, sizes: np.ndarray, extensive: bool) -> dict:
    """Return inputs of the regressions by name, invariant under rotation."""
    if not extensive:
        sums = sums / sizes[:, None, None]
    lengths = np.linalg.norm(sums[:, 1:], axis=1)
    return {
        "scalars": sums[:, 0],
        "scalars, vectors": np.concatenate([sums[:, 0], lengths], axis=1),
    }


def errors(
    data: LabelledSet, parts: Parts, features: dict[str, np.ndarray]
) -> dict[str, float]:
    """MAE of each way to predict, in the labels' units.

    Parameters
    ----------
    data : LabelledSet
    parts : Parts
    features : dict of str to ndarray, shape (n, 4, C)
        `pooled` by each network, of the molecules of all parts in their order.
    """
    named = list(parts.named().values())
    used = np.concatenate(named)
    rows = np.split(np.arange(len(used)), np.cumsum([len(p) for p in named])[:2])
    labels = np.array([float(data.graphs[i].y) for i in used])
    counts = element_counts(data, used)
    extensive = data.reading.kind == "extensive"
    if extensive:
        own = np.linalg.lstsq(counts[rows[0]], labels[rows[0]], rcond=None)[0]
        labels = labels - counts @ own
    median = np.median(labels[rows[0]])
    found = {"guess": float(np.abs(labels[rows[2]] - median).mean())}
    found["elements"] = ridge_error(counts, labels, rows)
    for name, sums in features.items():
        sets = feature_sets(sums, counts.sum(axis=1), extensive)
        for kind, inputs in sets.items():
            found[f"{name}: {kind}"] = ridge_error(inputs, labels, rows)
    return found


def probe_table(
    args: argparse.Namespace, labels: Callable[[Path, str], LabelledSet]
) -> None:
    """Print the errors of all targets, mean ± sample standard deviation over seeds.

    A seed draws other molecules, and other random weights.
    """
    torch.set_num_threads(args.threads)
    numba.set_num_threads(args.threads)
    network = load_model(args.network)
    sets = {target: labels(args.out, target) for target in args.targets}
    first = sets[args.targets[0]]
    table: dict[str, dict[str, list[float]]] = {}
    for seed in args.seeds:
        config = SplitConfig(
            method=args.splits[0], train=args.sizes[0],
            validation=args.tests // 2, test=args.tests, seed=seed,
        )  # fmt: skip
        # Molecules and features are the same for all targets.
        parts = split(first, config)
        used = np.concatenate(list(parts.named().values()))
        networks = {"pretrained": network, "random": random_twin(network, seed=seed)}
        features = {name: pooled(one, first, used) for name, one in networks.items()}
        for target, data in sets.items():
            found = errors(data, parts, features)
            for name, value in found.items():
                table.setdefault(target, {}).setdefault(name, []).append(value)
    print(f"MAE of {args.tests} test molecules after {args.sizes[0]} to train on,")
    print(f"{args.splits[0]} split, mean ± s.d. of {len(args.seeds)} seeds")
    for target, columns in table.items():
        factor, digits, unit = (1.0, 3, "D") if target == "dipole" else (1e3, 0, "meV")
        print(f"\n| {target}, {unit} | MAE | pretrained - random |")
        print("| --- | --- | --- |")
        for name, values in columns.items():
            twin = columns.get(name.replace("pretrained", "random"), values)
            paired = factor * (np.array(values) - twin)
            told = spread(factor * np.array(values), digits)
            beside = spread(paired, digits, "+") if name.startswith("pre") else ""
            print(f"| {name} | {told} | {beside} |")


def spread(values: np.ndarray, digits: int, sign: str = "") -> str:
    """Return mean and sample standard deviation, which one seed does not have."""
    mean = f"{values.mean():{sign}.{digits}f}"
    if len(values) == 1:
        return mean
    return f"{mean} ± {values.std(ddof=1):.{digits}f}"
