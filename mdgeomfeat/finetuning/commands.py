"""``mdgeomfeat finetune``: a network that predicts labels."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from ..pretraining.loop import Progress
    from .config import FinetuneConfig

__all__ = ["app"]

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

_LABELS, _SPLIT, _NETWORK, _TRAINING = "Labels", "Split", "Network", "Training"


def _option(panel: str, text: str, *names: str) -> Any:
    return typer.Option(*names, help=text, rich_help_panel=panel)


@app.command()
def finetune(
    data: Annotated[
        Path | None,
        typer.Argument(
            help="Labels (.xyz, .extxyz, .csv, .sdf), or a TOML file of the run. "
            "Without it, the run in --out is continued as it was begun."
        ),
    ] = None,
    *,
    out: Annotated[Path, typer.Option(help="Folder of the run.")],
    resume: Annotated[
        bool, typer.Option(help="Continue from the folder's checkpoint.")
    ] = True,
    minutes: Annotated[
        float | None, typer.Option(help="Stop cleanly after this many minutes.")
    ] = None,
    threads: Annotated[int | None, typer.Option(help="CPU threads.")] = None,
    device: Annotated[
        str, typer.Option(help="Device to train on: cpu or cuda.")
    ] = "cpu",
    name: Annotated[
        str | None, typer.Option(help="Name of the network that is written.")
    ] = None,
    kind: Annotated[
        str | None,
        _option(
            _LABELS,
            "Kind of the label: intensive, extensive, dipole, forces, conservative "
            "(energy and its gradient) or classes.",
        ),
    ] = None,
    target: Annotated[
        str | None, _option(_LABELS, "Name of the label in the file (default: energy).")
    ] = None,
    unit: Annotated[
        str | None,
        _option(_LABELS, "Unit of the label, such as eV, kcal/mol, Hartree, D."),
    ] = None,
    forces: Annotated[
        str | None,
        _option(_LABELS, "Name of the forces in the file (default: forces)."),
    ] = None,
    force_unit: Annotated[
        str | None,
        _option(_LABELS, "Unit of the forces (default: the energy's over Å)."),
    ] = None,
    tests: Annotated[
        list[Path] | None, _option(_LABELS, "Another file to test on; repeatable.")
    ] = None,
    max_atoms: Annotated[
        int | None, _option(_LABELS, "Larger molecules are refused (default: 500).")
    ] = None,
    split: Annotated[
        str | None,
        _option(_SPLIT, "Kind of split: auto, random, scaffold or time (in order)."),
    ] = None,
    train: Annotated[
        float | None,
        _option(_SPLIT, "Share (below 1) or number to train on (default: 0.8)."),
    ] = None,
    validation: Annotated[
        float | None,
        _option(_SPLIT, "Share or number to validate with (default: 0.1)."),
    ] = None,
    test: Annotated[
        float | None, _option(_SPLIT, "Share or number to test on (default: the rest).")
    ] = None,
    gap: Annotated[
        int | None,
        _option(_SPLIT, "Frames between parts of a trajectory (default: 10)."),
    ] = None,
    independent: Annotated[
        bool | None,
        _option(_SPLIT, "The frames are not a trajectory: split them at random."),
    ] = None,
    seen: Annotated[
        Path | None,
        _option(_SPLIT, "Molecules not to test on: packed data, or SMILES."),
    ] = None,
    start: Annotated[
        str | None,
        _option(
            _NETWORK,
            "Begin pretrained, from scratch (random weights) or frozen (head only).",
        ),
    ] = None,
    network: Annotated[
        str | None,
        _option(_NETWORK, "Name or file of a network (default: default).", "--model"),
    ] = None,
    head: Annotated[
        str | None, _option(_NETWORK, "Kind of head: gated or linear.")
    ] = None,
    steps: Annotated[
        int | None, _option(_TRAINING, "Steps to train (default: 2000).")
    ] = None,
    batch: Annotated[
        int | None, _option(_TRAINING, "Molecules in a step (default: 16).")
    ] = None,
    learning_rate: Annotated[
        float | None, _option(_TRAINING, "Learning rate (default: 0.001).")
    ] = None,
    loss: Annotated[
        str | None, _option(_TRAINING, "Loss: l1 (lengths of errors) or mse.")
    ] = None,
    energy_weight: Annotated[
        float | None,
        _option(_TRAINING, "Weight of energies per atom beside forces (default: 1)."),
    ] = None,
    force_weight: Annotated[
        float | None,
        _option(_TRAINING, "Weight of forces beside energies (default: 1)."),
    ] = None,
    denoising: Annotated[
        float | None,
        _option(_TRAINING, "Weight of the pre-training task (default: 0)."),
    ] = None,
    seed: Annotated[
        int | None,
        _option(_TRAINING, "Seed of the split and of the training (default: 0)."),
    ] = None,
) -> None:
    """Fine-tune a network on energies, forces, dipoles, other labels or classes.

    Writes the network with its card and head, metrics.json and predictions.csv.
    Example: mdgeomfeat finetune frames.xyz --kind forces --unit eV --out run
    """
    given: dict[str, dict[str, Any]] = {
        "labels": {
            "kind": kind,
            "target": target,
            "unit": unit,
            "forces": forces,
            "force_unit": force_unit,
            "tests": ", ".join(map(str, tests)) if tests else None,
            "max_atoms": max_atoms,
        },
        "split": {
            "method": split,
            "train": train,
            "validation": validation,
            "test": test,
            "gap": gap,
            "independent": independent,
            "seen": None if seen is None else str(seen),
            "seed": seed,
        },
        "model": {"start": start, "network": network, "head": head},
        "train": {
            "steps": steps,
            "batch": batch,
            "learning_rate": learning_rate,
            "loss": loss,
            "energy_weight": energy_weight,
            "force_weight": force_weight,
            "denoising": denoising,
            "seed": seed,
        },
    }
    from .run import finetune as fit

    config = _config(data, out, name, given)
    with _lines() as progress:
        found = fit(
            config,
            out,
            minutes=minutes,
            resume=resume,
            threads=threads,
            device=device,
            progress=progress,
        )
    _tell(found, out)


def _config(
    data: Path | None, out: Path, name: str | None, given: dict[str, dict[str, Any]]
) -> FinetuneConfig:
    """Make the configuration of a TOML file or a begun run, changed by options."""
    from .config import FinetuneConfig, read_finetune_config
    from .run import stored_config

    if data is None:
        tables = stored_config(out).to_dict()
    elif data.suffix == ".toml":
        tables = read_finetune_config(data)
    else:
        tables = {"labels": {"file": str(data)}}
    for table, entries in given.items():
        chosen = {key: value for key, value in entries.items() if value is not None}
        if chosen:
            tables[table] = {**tables.get(table, {}), **chosen}
    if name is not None:
        tables["name"] = name
    return FinetuneConfig.from_dict(tables)


@contextmanager
def _lines() -> Iterator[Progress]:
    """Say how far the training is, on stderr."""

    def line(done: float, record: dict[str, Any]) -> None:
        end = "\r" if sys.stderr.isatty() and done < 1.0 else "\n"
        text = (
            f"{100 * done:5.1f} %  step {record['step']}  loss {record['loss']:.4f}  "
            f"{record['elapsed'] / 60:.1f} min"
        )
        sys.stderr.write(text + end)
        sys.stderr.flush()

    yield line


def _tell(found: dict[str, Any], out: Path) -> None:
    if not found["done"]:
        typer.echo(f"Stopped at step {found['steps']}; the same command continues.")
        return
    typer.echo(
        f"{'set':16s} {'label':12s} {'n':>6s} {'MAE':>10s} {'RMSE':>10s} "
        f"{'baseline':>10s}  unit"
    )
    for part, scores in found["sets"].items():
        if "accuracy" in scores:
            typer.echo(
                f"{part:16s} {'class':12s} {scores['n']:6d} accuracy "
                f"{scores['accuracy']:.3f}, balanced {scores['balanced_accuracy']:.3f}"
                f", baseline {scores['baseline_accuracy']:.3f}"
            )
            continue
        for label, score in scores.items():
            if label != "n":
                typer.echo(
                    f"{part:16s} {label:12s} {scores['n']:6d} {score['mae']:10.4g} "
                    f"{score['rmse']:10.4g} {score['baseline_mae']:10.4g}  "
                    f"{score['unit']}"
                )
    typer.echo(f"{out / found['network']}, metrics.json, predictions.csv")
