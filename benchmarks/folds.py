"""Folds and families of proteins, with and without residue tokens.

    python benchmarks/folds.py train FOLDER --out runs

trains the residue network on a fold benchmark in the layout of HomologyTAPE (FOLDER
has ``class_map.txt``, lists and coordinates), without tokens, with those of the shipped
network, and with those of its untrained twin, with the same protocol and seeds. A run
that was stopped goes on.

    python benchmarks/folds.py retrieve FOLDER

asks which protein is nearest in the residue tokens, and whether it is of the same
family. FOLDER holds structure files, and each chain of at least 40 residues is a
protein; of chains that are 90 % identical, one stays. Families are those of
``families.tsv`` in FOLDER (``file:chain``, tab, family), else they are made of
sequences: two chains are of one family whose best local alignment (BLOSUM62, gaps 11
and 1) scores at least 100, covers 60 % of the longer one, and has 20 % identical
residues; and so on along such pairs. With ``--lists FOLDER`` they are the folds that
the benchmark's lists give for entries whose chain is one domain. Neighbours of the
same entry do not count.

    python benchmarks/folds.py collect FOLDER ARCHIVE ...

copies entries of the Protein Data Bank, known by the names of their files, into FOLDER,
from source distributions of Python packages, which bring them for their tests, and from
folders. Of an entry that is found twice the first one is taken.

    python benchmarks/folds.py cost FOLDER

measures how long tokens and steps of training take, with the chains of FOLDER.
"""

from __future__ import annotations

import argparse
import json
import re
import tarfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np

from mdgeomfeat.errors import InputError
from mdgeomfeat.folds import (
    Domain,
    FoldConfig,
    fit_folds,
    nearest_family,
    pooled_tokens,
    read_fold_lists,
    residue_tokens,
)
from mdgeomfeat.folds.domains import refuse_elements, without_selenium
from mdgeomfeat.folds.graphs import AMINO_ACIDS, amino_numbers
from mdgeomfeat.folds.network import NetworkSpec
from mdgeomfeat.folds.retrieval import composition
from mdgeomfeat.gnn import load_model, random_twin
from mdgeomfeat.reading import open_universe
from mdgeomfeat.structure.selected import select_structure

SAME, RELATED, COVERED, SCORE = 0.9, 0.2, 0.6, 100
LEAST = 40  # residues
ENDINGS = {".pdb", ".ent", ".cif", ".gz"}
#: One letter for each of AMINO_ACIDS, and X for all others.
LETTERS = "ARNDCQEGHILKMFPSTWYVX"


@dataclass
class Chain:
    """A chain of an entry."""

    name: str
    entry: str
    letter: str
    domain: Domain

    @property
    def sequence(self) -> str:
        """One letter for each residue."""
        return "".join(LETTERS[i] for i in amino_numbers(self.domain.residues))


def chains_of(path: Path) -> list[Chain]:
    """Return the protein chains of a structure file."""
    universe = open_universe([path])
    atoms, structure = select_structure(universe, "protein")
    labels = structure.tokens["chainID"][structure.token_of_atom]
    found = []
    for label in dict.fromkeys(labels.tolist()):
        part, one = select_structure(atoms[labels == label], "protein")
        names = one.tokens["resname"]
        known = np.isin(names, AMINO_ACIDS) | (names == "MSE")
        if known.sum() < LEAST:
            continue
        name = path.name.split(".")[0]
        domain = Domain(f"{name}:{label}", one, part.positions.astype(float))
        found.append(
            Chain(domain.name, name[:4].lower(), label, without_selenium(domain))
        )
    return found


def read_chains(folder: Path) -> list[Chain]:
    """Return the chains of all files that can be used; print which cannot."""
    network, found = load_model(), []
    for path in sorted(p for p in folder.iterdir() if p.suffix in ENDINGS):
        try:
            chains = chains_of(path)
            refuse_elements([chain.domain for chain in chains], network)
        except InputError as error:
            print(f"left out: {str(error)[:150]}")
            continue
        distinct: dict[str, Chain] = {}
        for chain in chains:
            if np.isfinite(chain.domain.backbone).all(axis=(1, 2)).mean() > 0.5:
                distinct.setdefault(chain.sequence, chain)
        found += distinct.values()
    return found


def identities(chains: list[Chain]) -> tuple[np.ndarray, np.ndarray]:
    """Return the identity (P, P) of pairs, 0 where too little aligns, and scores."""
    from Bio.Align import PairwiseAligner, substitution_matrices

    aligner = PairwiseAligner(
        mode="local",
        substitution_matrix=substitution_matrices.load("BLOSUM62"),
        open_gap_score=-11,
        extend_gap_score=-1,
    )
    n = len(chains)
    same, scores = np.eye(n), np.zeros((n, n))
    for i in range(n):
        for j in range(i):
            one, two = chains[i].sequence, chains[j].sequence
            longer = max(len(one), len(two))
            if min(len(one), len(two)) < COVERED * longer:
                continue
            scores[i, j] = scores[j, i] = aligner.score(one, two)
            if scores[i, j] < SCORE:
                continue
            counts = aligner.align(one, two)[0].counts()
            pairs = counts.identities + counts.mismatches
            if pairs >= COVERED * longer:
                same[i, j] = same[j, i] = counts.identities / pairs
    return same, scores


def joined(pairs: np.ndarray) -> np.ndarray:
    """Return the number of the connected component of each row of (P, P) booleans."""
    from scipy.sparse.csgraph import connected_components

    return connected_components(pairs, directed=False)[1]


def families_of(
    args: argparse.Namespace, chains: list[Chain], related: np.ndarray
) -> list[str]:
    """Return the family of every chain; a chain without one is alone in its own."""
    own = [chain.name for chain in chains]
    table = args.folder / "families.tsv"
    if args.lists is not None:
        return [
            fold_of(read_fold_lists(args.lists), chain) or name
            for chain, name in zip(chains, own, strict=True)
        ]
    if table.is_file():
        rows = (line.split("\t") for line in table.read_text().splitlines())
        given = {row[0]: row[1] for row in rows if len(row) > 1}
        return [given.get(name, name) for name in own]
    first = np.unique(related, return_index=True)[1]
    return [own[first[component]] for component in related]


def fold_of(lists: Any, chain: Chain) -> str | None:
    """Return the fold of a chain that is a single domain in the lists."""
    named = re.compile(f"d{chain.entry}([a-z0-9_])_$")
    for names, labels in lists.parts.values():
        for name, label in zip(names, labels, strict=True):
            found = named.match(name)
            if found and found.group(1) in (chain.letter.lower(), "_"):
                return lists.classes[label]
    return None


def features_of(
    chains: list[Chain], twins: list[int]
) -> dict[str, Callable[[], np.ndarray]]:
    network = load_model()

    def pooled(model: Any) -> np.ndarray:
        return np.array(
            [
                pooled_tokens(
                    residue_tokens(c.domain, model, allow_implausible=True).scalars
                )
                for c in chains
            ]
        )

    found: dict[str, Callable[[], np.ndarray]] = {"et-64": lambda: pooled(network)}
    for seed in twins:
        found[f"untrained {seed}"] = lambda seed=seed: pooled(
            random_twin(network, seed)
        )
    found["composition"] = lambda: np.array(
        [composition(c.domain.residues) for c in chains]
    )
    found["length"] = lambda: np.array([[len(c.sequence)] for c in chains], float)
    return found


def retrieve(args: argparse.Namespace) -> None:
    chains = read_chains(args.folder)
    same, scores = identities(chains)
    kept = np.unique(joined(same >= SAME), return_index=True)[1]
    entries = len({chain.entry for chain in chains})
    print(f"{len(chains)} chains of {entries} entries; {len(kept)} stay")
    chains = [chains[i] for i in kept]
    same, scores = same[np.ix_(kept, kept)], scores[np.ix_(kept, kept)]
    related = joined((same >= RELATED) & (scores >= SCORE))
    families = families_of(args, chains, related)
    members: dict[str, list[str]] = {}
    for chain, family in zip(chains, families, strict=True):
        members.setdefault(family, []).append(chain.name)
    for family, names in members.items():
        if len(names) > 1:
            print(f"  {family}: {' '.join(names)}")
    results = {}
    places = [chain.entry for chain in chains]
    for name, made in features_of(chains, args.twins).items():
        found = results[name] = nearest_family(made(), families, places)
        print(f"{name}: {found.correct.sum()} of {len(found.queries)}", flush=True)
    report(results, args.twins, families, places)


def report(
    results: dict[str, Any], twins: list[int], families: list[str], places: list[str]
) -> None:
    """Print shares of right neighbours, and in how many queries two inputs differ."""
    ours = results["et-64"]
    others = [results[f"untrained {seed}"] for seed in twins]
    family, place = np.array(families), np.array(places)
    others_of = place[ours.queries, None] != place
    right = (family[ours.queries, None] == family) & others_of
    guess = (right.sum(1) / others_of.sum(1)).mean()
    print(f"\n{len(ours.queries)} queries among {len(families)} proteins")
    print(
        "| input | nearest is of the family, % | only et-64 right | only this right |"
    )
    print("| --- | --- | --- | --- |")
    rows = [("et-64", [ours]), ("untrained twin", others)]
    rows += [(name, [results[name]]) for name in ("composition", "length")]
    for name, found in rows:
        shares = 100 * np.array([f.accuracy for f in found])
        share = f"{shares.mean():.1f}"
        share += f" ± {shares.std(ddof=1):.1f}" if len(found) > 1 else ""
        won = ", ".join(str((ours.correct & ~f.correct).sum()) for f in found)
        lost = ", ".join(str((~ours.correct & f.correct).sum()) for f in found)
        print(f"| {name} | {share} | {won} | {lost} |")
    print(f"| guessing | {100 * guess:.1f} | | |")


def train(args: argparse.Namespace) -> None:
    inputs = {"no tokens": {}, "et-64": {"tokens": args.tokens}}
    table: dict[str, list[dict[str, float]]] = {}
    for seed in args.seeds:
        runs = inputs | {"untrained": {"tokens": args.tokens, "twin": seed}}
        for name, options in runs.items():
            config = FoldConfig(
                steps=args.steps,
                batch=args.batch,
                learning_rate=args.learning_rate,
                validate_every=args.validate_every,
                patience=args.patience,
                n_channels=args.channels,
                n_layers=args.layers,
                seed=seed,
                **options,
            )
            found = fit_folds(
                args.folder,
                args.out / f"{name.replace(' ', '-')}-{seed}",
                config,
                missing="skip" if args.skip_missing else "refuse",
                selenium_as_sulfur=True,
                device=args.device,
            )
            print(name, seed, json.dumps(found), flush=True)
            table.setdefault(name, []).append(found["accuracy"])
    parts = list(table["no tokens"][0])
    print(f"\naccuracy, %, mean ± s.d. of {len(args.seeds)} seeds")
    print("| input |", " | ".join(parts), "|")
    print("| --- |", "--- |" * len(parts))
    for name, runs in table.items():
        cells = []
        for part in parts:
            values = 100 * np.array([run[part] for run in runs])
            spread = f" ± {values.std(ddof=1):.1f}" if len(values) > 1 else ""
            cells.append(f"{values.mean():.1f}{spread}")
        print(f"| {name} |", " | ".join(cells), "|")


#: Files that are named after an entry, with what packages put around its identifier.
ENTRY = re.compile(
    r"(?:.*/)?(?:pdb|mmcif_|addH_pdb)?(\d[A-Za-z0-9]{3})([A-Z])?"
    r"(?:_single|_protein|-opm|_final|_M1|_3frames|_dssp)?\.(pdb|ent|cif)(\.gz)?"
)
#: Pieces, and files that are no structures.
PIECE = re.compile(
    r"_only|_min|_mod|aligned|short|invalid|header|frag|truncated|oneatom|_ca\.", re.I
)


def named_files(source: Path) -> Iterator[tuple[str, Callable[[], bytes]]]:
    """Yield names of an archive's or folder's files, and what reads them."""
    if source.is_dir():
        for path in sorted(source.iterdir()):
            yield str(path), path.read_bytes
        return
    with tarfile.open(source) as archive:
        for member in archive.getmembers():
            if member.isfile() and member.size > 5000:
                yield (
                    member.name,
                    lambda member=member: archive.extractfile(member).read(),
                )


def collect(args: argparse.Namespace) -> None:
    args.folder.mkdir(parents=True, exist_ok=True)
    taken: set[str] = set()
    for source in args.archives:
        before = len(taken)
        for name, read in named_files(source):
            found = ENTRY.fullmatch(name)
            if not found or PIECE.search(name) or found.group(1).isdigit():
                continue
            entry = found.group(1).lower() + (found.group(2) or "")
            if entry not in taken:
                taken.add(entry)
                ending = found.group(3).replace("ent", "pdb") + (found.group(4) or "")
                (args.folder / f"{entry}.{ending}").write_bytes(read())
        print(f"{source.name}: {len(taken) - before}")
    print(f"{len(taken)} entries")


def cost(args: argparse.Namespace) -> None:
    """Print CPU seconds of tokens and graphs, and of steps on random labels."""
    import torch
    from torch_geometric.data import Batch

    from mdgeomfeat.folds import ResidueNetwork
    from mdgeomfeat.folds.run import make_part

    torch.set_num_threads(1)
    config, network = FoldConfig(tokens="framed"), load_model()
    domains = [chain.domain for chain in read_chains(args.folder)]
    make_part(domains[:1], [0], config, network)  # compiles
    started = process_time()
    labels = np.random.default_rng(0).integers(args.classes, size=len(domains))
    part = make_part(domains, labels.tolist(), config, network)
    made = process_time() - started
    residues = np.mean([domain.n_residues for domain in domains])
    edges = np.mean([graph.num_edges / graph.num_nodes for graph in part.graphs])
    print(f"{len(domains)} chains of {residues:.0f} residues, {edges:.1f} neighbours")
    print(f"tokens and graphs: {made / len(domains):.3f} s a chain")
    for options in ({}, {"tokens": "framed", "token_channels": 64}):
        spec = NetworkSpec(n_classes=args.classes, **options)
        model = ResidueNetwork(spec)
        optimizer = torch.optim.Adam(model.parameters())
        taken = []
        for step in range(args.steps):
            rows = np.random.default_rng(step).choice(len(domains), config.batch)
            batch = Batch.from_data_list([part.graphs[i] for i in rows])
            started = process_time()
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(batch), batch.y).backward()
            optimizer.step()
            taken.append(process_time() - started)
        n = sum(p.numel() for p in model.parameters())
        steps = np.median(taken)
        print(
            f"tokens={spec.tokens}: {n} parameters, {steps:.2f} s a step of "
            f"{config.batch} (median of {len(taken)})"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    jobs = parser.add_subparsers(required=True)
    job = jobs.add_parser("train")
    job.set_defaults(job=train)
    job.add_argument("folder", type=Path)
    job.add_argument("--out", type=Path, required=True)
    job.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    job.add_argument("--tokens", choices=["scalars", "framed"], default="framed")
    job.add_argument("--steps", type=int, default=40_000)
    job.add_argument("--batch", type=int, default=16)
    job.add_argument("--learning-rate", type=float, default=5e-4)
    job.add_argument("--validate-every", type=int, default=800)
    job.add_argument("--patience", type=int, default=15)
    job.add_argument("--channels", type=int, default=128)
    job.add_argument("--layers", type=int, default=4)
    job.add_argument("--skip-missing", action="store_true")
    job.add_argument("--device", default="cpu")
    job = jobs.add_parser("retrieve")
    job.set_defaults(job=retrieve)
    job.add_argument("folder", type=Path)
    job.add_argument("--lists", type=Path)
    job.add_argument("--twins", nargs="+", type=int, default=[0, 1, 2])
    job = jobs.add_parser("collect")
    job.set_defaults(job=collect)
    job.add_argument("folder", type=Path)
    job.add_argument("archives", nargs="+", type=Path)
    job = jobs.add_parser("cost")
    job.set_defaults(job=cost)
    job.add_argument("folder", type=Path)
    job.add_argument("--classes", type=int, default=1195)
    job.add_argument("--steps", type=int, default=20)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    args.job(args)


if __name__ == "__main__":
    main()
