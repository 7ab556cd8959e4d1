"""Fine-tune a network from its configuration: labels, split, training, evaluation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..gnn import load_model
from ..pretraining.figure import loss_figure
from ..pretraining.loop import Progress
from .config import FinetuneConfig
from .evaluate import write_predictions
from .export import save_finetuned
from .labels import LabelledSet
from .parts import Parts, check_leaks
from .readers import read_labels
from .splits import split
from .trainer import FineTuning, refuse_unseen

__all__ = ["finetune", "stored_config"]

CONFIG = "config.json"


def stored_config(folder: str | Path) -> FinetuneConfig:
    """Read the configuration of a run that was begun.

    Parameters
    ----------
    folder : path

    Returns
    -------
    FinetuneConfig

    Raises
    ------
    InputError
        If there is none.
    """
    path = Path(folder) / CONFIG
    try:
        return FinetuneConfig.from_dict(json.loads(path.read_text()))
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"{folder} holds no run that could go on; give labels to begin one."
        ) from error


def finetune(
    config: FinetuneConfig,
    out: str | Path,
    *,
    data: LabelledSet | None = None,
    parts: Parts | None = None,
    tests: dict[str, LabelledSet] | None = None,
    minutes: float | None = None,
    resume: bool = True,
    threads: int | None = None,
    device: str = "cpu",
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Train a network on labels, test it, and write it with its card.

    Parameters
    ----------
    config : FinetuneConfig
    out : path
        Folder of the run: configuration, checkpoint and log; when it is done,
        ``NAME.safetensors`` with its card and head, ``metrics.json``,
        ``predictions.csv`` and ``loss.png``.
    data : LabelledSet, optional
        Instead of the configuration's file.
    parts : Parts, optional
        Instead of the configuration's split.
    tests : dict of str to LabelledSet, optional
        Sets that are only tested on, instead of the configuration's.
    minutes : float, optional
        Stop cleanly after so long; a later call goes on.
    resume : bool
        Continue; without it the folder must hold no checkpoint.
    threads : int, optional
        CPU threads; what torch takes by default.
    device : str
    progress : callable, optional
        See `TrainingLoop.run`.

    Returns
    -------
    dict
        What ``metrics.json`` holds. ``done`` is false where `minutes` ended the run
        before its schedule; it is not tested then.

    Raises
    ------
    InputError
        If labels, split or network cannot be used, or the folder holds another run.

    Examples
    --------
    >>> import torch
    >>> from torch_geometric.data import Data
    >>> from mdgeomfeat.finetuning import from_graphs
    >>> graphs = [
    ...     Data(
    ...         z=torch.tensor([6, 8]),
    ...         pos=torch.tensor([[0, 0, 0], [0, 0, float(r)]]),
    ...         y=(r - 1.2).square().reshape(1, 1),
    ...     )
    ...     for r in torch.linspace(1.0, 1.5, 12)
    ... ]
    >>> data = from_graphs(graphs, kind="extensive", unit="eV")
    >>> from pathlib import Path
    >>> from mdgeomfeat.finetuning import FinetuneConfig, finetune
    >>> config = FinetuneConfig.from_dict({
    ...     "name": "tiny",
    ...     "split": {"method": "time", "train": 6, "validation": 2, "gap": 1},
    ...     "train": {"steps": 3, "batch": 2},
    ... })
    >>> metrics = finetune(config, "tuned", data=data)
    >>> metrics["done"], sorted(path.name for path in Path("tuned").glob("tiny.*"))
    (True, ['tiny.json', 'tiny.safetensors'])
    """
    if threads is not None:
        import numba
        import torch

        torch.set_num_threads(threads)
        numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))  # type: ignore[attr-defined]
    out = Path(out)
    if data is None:
        data = _read(config, config.labels.file)
    if tests is None:
        names = [p.strip() for p in config.labels.tests.split(",") if p.strip()]
        tests = {Path(name).stem: _read(config, name) for name in names}
    parts = split(data, config.split) if parts is None else parts
    check_leaks(data, parts, tests.values())
    clash = {"train", "validation", "test"} & set(tests)
    if clash:
        raise InputError(
            f"The name {sorted(clash)[0]!r} of a test file is that of a part of the "
            "split; give the file another name."
        )
    trainer = FineTuning(
        config, out, data=data, parts=parts, device=device, resume=resume
    )
    _check_tests(trainer, tests)
    (out / CONFIG).write_text(json.dumps(_absolute(config), indent=1) + "\n")
    if trainer.step == 0:
        trainer.save()
    trainer.run(minutes=minutes, progress=progress)
    found: dict[str, Any] = {"done": trainer.progress >= 1.0, "steps": trainer.step}
    if not found["done"] or trainer.world.rank:
        return found
    loss_figure(out)
    rows = {name: (data, indices) for name, indices in parts.named().items()}
    rows |= {name: (extra, np.arange(len(extra))) for name, extra in tests.items()}
    model = trainer.ema
    scores = write_predictions(out / "predictions.csv", rows, model)
    found |= {"split": _split_facts(parts), "sets": scores}
    card = _card(trainer, found)
    found["network"] = f"{config.name}.safetensors"
    save_finetuned(model, out / found["network"], card)
    (out / "metrics.json").write_text(json.dumps(found, indent=1) + "\n")
    return found


def _read(config: FinetuneConfig, files: str) -> LabelledSet:
    labels = config.labels
    return read_labels(
        files,
        kind=labels.kind,
        target=labels.target,
        unit=labels.unit,
        forces=labels.forces,
        force_unit=labels.force_unit,
        max_atoms=labels.max_atoms,
    )


def _absolute(config: FinetuneConfig) -> dict[str, Any]:
    """Return a configuration whose files are found from any folder."""
    values = config.to_dict()
    for table, entry in (("labels", "file"), ("labels", "tests"), ("split", "seen")):
        paths = [p.strip() for p in values[table][entry].split(",") if p.strip()]
        values[table][entry] = ", ".join(str(Path(p).resolve()) for p in paths)
    return values


def _check_tests(trainer: FineTuning, tests: dict[str, LabelledSet]) -> None:
    """Refuse tests that the head or the network cannot take."""
    for name, extra in tests.items():
        kinds = (trainer.data.reading.kind, extra.reading.kind)
        if kinds[0] != kinds[1]:
            raise InputError(
                f"The tests {name!r} are labels of kind {kinds[1]!r}, not {kinds[0]!r}."
            )
        refuse_unseen(trainer.model.backbone, extra.elements)


def _split_facts(parts: Parts) -> dict[str, Any]:
    return {
        "method": parts.method,
        **{name: len(indices) for name, indices in parts.named().items()},
        "left_out": parts.left_out,
    }


def _card(trainer: FineTuning, found: dict[str, Any]) -> dict[str, Any]:
    config, start = trainer.config, load_model(trainer.config.model.network)
    recipe = config.to_dict()
    for entry in ("file", "tests"):
        names = [Path(p.strip()).name for p in recipe["labels"][entry].split(",")]
        recipe["labels"][entry] = ", ".join(n for n in names if n)
    return {
        "training": f"labels ({config.labels.kind}), {config.model.start}",
        "from": {
            "name": start.card.get("name"),
            "fingerprint": start.fingerprint,
            "licence": start.card.get("licence") or start.card.get("license"),
            "weights": "random" if config.model.start == "scratch" else "as loaded",
        },
        "data": {
            "molecules": len(set(trainer.data.keys[trainer.parts.train])),
            "entries": len(trainer.parts.train),
            "elements": list(trainer.data.elements),
            "sha256": trainer.data.sha256,
            **trainer.data.about,
        },
        "recipe": recipe,
        "steps": trainer.step,
        "hours": round(trainer.elapsed / 3600, 3),
        "errors": found["sets"],
        "split": found["split"],
    }
