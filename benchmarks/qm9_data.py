"""QM9 as the benchmarks of labels use it: read once, without what pre-training saw.

`build_pool` reads the tables of the package ``qm9pack``, leaves out the molecules that
the shipped networks may have seen, and stores a pool drawn at random from the others.
`labels` makes a labelled set of it.
"""

from __future__ import annotations

import csv
import itertools
import json
import time
import tomllib
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from mdgeomfeat.finetuning import LabelledSet, read_labels
from mdgeomfeat.finetuning.labels import Reading, graph, label_units
from mdgeomfeat.pretraining.conformers import ConformerSettings, candidates
from mdgeomfeat.pretraining.datasets import open_source, shuffled_smiles
from mdgeomfeat.pretraining.molecules import key_of_mol, key_of_smiles

#: Column, kind of label and unit of each target.
TARGETS = {
    "gap": ("HOMO_LUMO_gap_au", "intensive", "Hartree"),
    "homo": ("HOMO_au", "intensive", "Hartree"),
    "lumo": ("LUMO_au", "intensive", "Hartree"),
    "dipole": ("Dipole_debye", "dipole", "D"),
    "u0": ("InternalEnergy_0K_au", "extensive", "Hartree"),
}
#: Candidates beyond those that were built: a few could not be embedded.
SPARE = 50
#: The one capped amino acid that is as small as molecules of QM9.
GLYCINE = "CC(=O)NCC(=O)NC"
POOL = "qm9-pool.npz"


def seen_by_pretraining(shared: Path) -> set[str]:
    """Keys of the molecules that the shipped recipe can have put into training.

    Nothing is embedded or simulated for this; a few candidates more than were
    built are taken along.
    """
    recipe = resources.files("mdgeomfeat.pretraining") / "configs" / "data-small.toml"
    found = {str(key_of_smiles(GLYCINE))}
    for source in tomllib.loads(recipe.read_text())["source"]:
        if source["kind"] == "conformers":
            found |= set(candidate_keys(source, shared))
        elif source["kind"] != "peptides":
            found |= {m.key for m in open_source(source, shared).molecules}
    # A key of an aggregate holds those of its molecules.
    return {part for key in found for part in key.split(".")}


def candidate_keys(source: dict[str, Any], shared: Path) -> Iterator[str]:
    settings = ConformerSettings(
        mode=source["mode"], max_heavy=source["max_heavy"], seed=source["seed"]
    )
    files = [str(shared / name) for name in source["files"]]
    chosen = candidates(shuffled_smiles(files, settings.seed), settings)
    for mol in itertools.islice(chosen, source["max_molecules"] + SPARE):
        yield key_of_mol(mol)


def columns(files: list[Path], names: list[str]) -> dict[str, np.ndarray]:
    """Columns of numbers, which QM9's tables write as ``0.`` and ``1.2*^-6``."""
    rows: dict[str, list[float]] = {name: [] for name in names}
    for path in files:
        with path.open(newline="") as file:
            for row in csv.DictReader(file):
                for name, values in rows.items():
                    values.append(float(row[name].replace("*^", "e")))
    return {name: np.array(values) for name, values in rows.items()}


def build_pool(
    files: list[Path], out: Path, seen: set[str], size: int, seed: int = 0
) -> dict[str, Any]:
    """Read QM9, and store a pool of what was not seen; return what was counted."""
    started = time.process_time()
    data = read_labels(
        list(files), kind="intensive", target=TARGETS["gap"][0], unit="Hartree"
    )
    assert data.smiles is not None
    labels = columns(files, [column for column, _, _ in TARGETS.values()])
    hidden = np.isin(data.keys, sorted(seen))
    unseen = np.flatnonzero(~hidden)
    rng = np.random.default_rng(seed)
    chosen = np.sort(rng.permutation(unseen)[:size])
    graphs = [data.graphs[i] for i in chosen]
    facts = {
        "molecules": len(data),
        "seen": int(hidden.sum()),
        "pool": len(chosen),
        "reading_seconds": round(time.process_time() - started, 1),
    }
    np.savez_compressed(
        out / POOL,
        z=np.concatenate([g.z.numpy() for g in graphs]).astype(np.uint8),
        pos=np.concatenate([g.pos.numpy() for g in graphs]),
        ptr=np.cumsum([0, *(g.num_nodes for g in graphs)]),
        keys=data.keys[chosen],
        smiles=np.array([data.smiles[i] for i in chosen]),
        facts=json.dumps(facts),
        **{name: values[chosen] for name, values in labels.items()},
    )
    return facts


def labels(out: Path, target: str) -> LabelledSet:
    """Read the pool, with one label."""
    column, kind, unit = TARGETS[target]
    reading = Reading(
        kind=kind, target=target, forces="forces", **label_units(kind, unit)
    )
    with np.load(out / POOL, allow_pickle=False) as file:
        stored = {name: file[name] for name in ("z", "pos", "ptr", "keys", "smiles")}
        values = file[column]
    ptr = stored["ptr"]
    graphs = [
        graph(
            stored["z"][a:b], stored["pos"][a:b], reading,
            label=value, where=f"Molecule {i} of the pool",
        )
        for i, (a, b, value) in enumerate(zip(ptr, ptr[1:], values, strict=False))
    ]  # fmt: skip
    about = {"files": [{"name": "QM9, qm9pack 1.0.3"}]}
    return LabelledSet(
        graphs, stored["keys"], reading, stored["smiles"].tolist(), about
    )
