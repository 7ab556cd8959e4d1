"""Train and test on a fold benchmark: files, tokens, training, accuracies."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

from ..errors import InputError
from ..gnn import Backbone, load_model
from ..gnn.build import random_twin
from ..pretraining.loop import Progress
from ..tensorfiles import save_with_card
from .config import FoldConfig
from .domains import Domain, refuse_elements
from .graphs import residue_graph
from .lists import PARTS, FoldLists, read_domains, read_fold_lists
from .network import ResidueNetwork
from .tokens import residue_tokens
from .training import FoldTraining, Part, predict_classes

__all__ = ["fit_folds", "make_part"]

#: Called after every file with the part, how many are done, and of how many.
Reading = Callable[[str, int, int], None]


def fit_folds(
    folder: str | Path,
    out: str | Path,
    config: FoldConfig | None = None,
    *,
    parts: Sequence[str] = PARTS,
    missing: Literal["refuse", "skip"] = "refuse",
    max_residues: int | None = 3000,
    selenium_as_sulfur: bool = False,
    minutes: float | None = None,
    resume: bool = True,
    device: str = "cpu",
    reading: Reading | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Train a residue network on a fold benchmark and test it.

    With and without tokens the protocol is the same: Adam, a rate of learning that
    falls along a cosine, the moving average of the weights, and the best look at
    validation. Tests are looked at once, at the end.

    Parameters
    ----------
    folder : path
        The benchmark, see :func:`~mdgeomfeat.folds.lists.read_fold_lists`.
    out : path
        Gets checkpoint and log, and in the end ``metrics.json``, ``predictions.csv``
        and ``residue-network.safetensors`` with its card.
    config : FoldConfig, optional
    parts : sequence of str
        The parts for training and validation, then tests.
    missing, max_residues, selenium_as_sulfur
        As for :func:`~mdgeomfeat.folds.lists.read_domains`.
    minutes : float, optional
        Stop cleanly after so long; a later call goes on.
    resume : bool
    device : str
    reading : callable, optional
        Gets the part, how many of its domains are ready, and how many it has.
    progress : callable, optional
        See :class:`~mdgeomfeat.pretraining.loop.TrainingLoop`.

    Returns
    -------
    dict
        What ``metrics.json`` holds: ``done``, ``steps``, and when it is done
        ``accuracy`` and ``n`` of the parts that were not trained on.

    Raises
    ------
    InputError
        If the benchmark or an option cannot be used, or `out` holds another run.

    Examples
    --------
    >>> from pathlib import Path
    >>> import shutil
    >>> from mdgeomfeat.folds import FoldConfig, fit_folds
    >>> parts = ["training", "validation"]
    >>> for part in parts:
    ...     Path("tiny", part).mkdir(parents=True)
    ...     _ = Path("tiny", f"{part}.txt").write_text(f"{part} a.1")
    ...     _ = shutil.copy("top.pdb", f"tiny/{part}/{part}.pdb")
    >>> _ = Path("tiny/class_map.txt").write_text("a.1 0")
    >>> config = FoldConfig(steps=2, n_channels=16, n_layers=1)
    >>> found = fit_folds("tiny", "tiny-run", config, parts=parts)
    >>> found["accuracy"], found["n"]  # of a class, which is no test
    ({'validation': 1.0}, {'validation': 1})
    """
    config = FoldConfig() if config is None else config
    if len(parts) < 2:
        raise InputError(
            f"parts={tuple(parts)} has no validation; name a part to train on, one for "
            "validation, and tests."
        )
    lists = read_fold_lists(folder, parts)
    network = _token_network(config)
    made: dict[str, Part] = {}
    for part in parts:
        domains, labels = read_domains(
            lists,
            part,
            missing=missing,
            max_residues=max_residues,
            selenium_as_sulfur=selenium_as_sulfur,
        )
        told = None if reading is None else _told(reading, part)
        made[part] = make_part(domains, labels, config, network, told)
    training = FoldTraining(
        config,
        out,
        training=made[parts[0]],
        validation=made[parts[1]],
        n_classes=len(lists.classes),
        device=device,
        resume=resume,
    )
    if training.step == 0:
        training.save()
    training.run(minutes=minutes, progress=progress)
    found: dict[str, Any] = {"done": training.progress >= 1.0, "steps": training.step}
    if found["done"] and training.world.rank == 0:
        found |= _tested(training, lists, made)
        _write(Path(out), found, training, network)
    return found


def make_part(
    domains: Sequence[Domain],
    labels: Sequence[int],
    config: FoldConfig,
    network: Backbone | None,
    progress: Callable[[int, int], None] | None = None,
) -> Part:
    """Make graphs of domains, with the tokens that a configuration asks for.

    Parameters
    ----------
    domains : sequence of Domain
    labels : sequence of int
    config : FoldConfig
    network : Backbone or None
        Makes the tokens.
    progress : callable, optional
        Gets how many of how many are ready.

    Raises
    ------
    InputError
        If a domain cannot be used.
    """
    if network is not None:
        refuse_elements(domains, network)
    graphs = []
    for number, (domain, label) in enumerate(zip(domains, labels, strict=True)):
        tokens = None
        if network is not None:
            tokens = residue_tokens(domain, network, allow_implausible=True)
        graphs.append(
            residue_graph(domain, cutoff=config.cutoff, tokens=tokens, label=label)
        )
        if progress is not None:
            progress(number + 1, len(domains))
    return Part([domain.name for domain in domains], graphs)


def _told(reading: Reading, part: str) -> Callable[[int, int], None]:
    return lambda done, total: reading(part, done, total)


def _token_network(config: FoldConfig) -> Backbone | None:
    if config.tokens == "none":
        return None
    network = load_model(config.model)
    return network if config.twin is None else random_twin(network, config.twin)


def _tested(
    training: FoldTraining, lists: FoldLists, parts: dict[str, Part]
) -> dict[str, Any]:
    """Test the best network on all parts but the first, and write its guesses."""
    model: ResidueNetwork = training.best_network()
    accuracy, counts, rows = {}, {}, []
    for name, part in list(parts.items())[1:]:
        guess = predict_classes(model, part.graphs, batch=training.config.batch)
        accuracy[name] = float((guess == part.labels).mean())
        counts[name] = len(part.names)
        for domain, label, found in zip(part.names, part.labels, guess, strict=True):
            rows.append([name, domain, lists.classes[label], lists.classes[found]])
    with (training.folder / "predictions.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["part", "domain", "class", "predicted"])
        writer.writerows(rows)
    return {
        "accuracy": accuracy,
        "n": counts,
        "best": {"step": training.best[0], "validation": training.best[1]},
    }


def _write(
    out: Path, found: dict[str, Any], training: FoldTraining, network: Backbone | None
) -> None:
    model = training.best_network()
    card = {
        "name": "residue-network",
        "spec": model.spec.to_dict(),
        "recipe": training.config.to_dict(),
        "tokens": None if network is None else network.fingerprint,
        "results": found,
    }
    save_with_card(
        out / "residue-network.safetensors",
        {name: value.cpu().numpy() for name, value in model.state_dict().items()},
        lambda sha256: json.dumps({**card, "sha256": sha256}, indent=1) + "\n",
    )
    (out / "metrics.json").write_text(json.dumps(found, indent=1) + "\n")
