"""``mdgeomfeat pretrain``: data sets, runs and weights."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from .loop import Progress

__all__ = ["app"]

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Pre-train networks by denoising: build data, train, write weights.",
)


@contextmanager
def _bar() -> Iterator[Progress]:
    """Show a bar with loss and end time on a terminal, plain lines otherwise."""
    if not sys.stderr.isatty():

        def line(done: float, record: dict[str, Any]) -> None:
            typer.echo(
                f"{100 * done:5.1f} %  step {record['step']}  "
                f"loss {record['loss']:.4f}  {record['elapsed'] / 60:.1f} min",
                err=True,
            )

        yield line
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("training", total=1.0)

        def show(done: float, record: dict[str, Any]) -> None:
            text = f"step {record['step']}, loss {record['loss']:.4f}"
            bar.update(task, completed=done, description=text)

        yield show


@app.command()
def run(
    config: Annotated[
        str,
        typer.Argument(help="TOML file, or the name of a shipped one, such as et-64."),
    ],
    out: Annotated[Path, typer.Option(help="Folder for the run.")],
    data: Annotated[
        Path | None, typer.Option(help="Packed data (.npz) to train on.")
    ] = None,
    minutes: Annotated[
        float | None, typer.Option(help="Stop cleanly after this many minutes.")
    ] = None,
    resume: Annotated[
        bool, typer.Option(help="Continue from the folder's checkpoint.")
    ] = True,
    threads: Annotated[int | None, typer.Option(help="Number of CPU threads.")] = None,
    device: Annotated[str, typer.Option(help="Device: cpu or cuda.")] = "cpu",
    weights: Annotated[
        Path | None,
        typer.Option(
            help="Also write the weights to NAME.safetensors, with their card."
        ),
    ] = None,
) -> None:
    """Train a network, or continue training it, and write its weights."""
    from .export import export
    from .run import run_pretraining

    with _bar() as progress:
        trainer, _ = run_pretraining(
            config,
            out=out,
            data=data,
            minutes=minutes,
            resume=resume,
            threads=threads,
            device=device,
            progress=progress,
        )
    if weights is not None and trainer.world.rank == 0:
        export(out, weights, data=trainer.data)
    typer.echo(f"{100 * trainer.progress:.1f} % done, step {trainer.step}, in {out}")


@app.command("data")
def data_command(
    config: Annotated[
        str,
        typer.Argument(
            help="TOML file of [\\[source]] tables, or the name of a shipped one, such "
            "as data-small."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Packed file to write, .npz.")],
    root: Annotated[
        Path | None, typer.Option(help="Folder that relative paths start from.")
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option(help="Build only these sources.")
    ] = None,
    evaluation: Annotated[
        bool,
        typer.Option(
            help="Keep the evaluation molecules, for data that train nothing."
        ),
    ] = False,
) -> None:
    """Build a packed data set and its manifest."""
    from .datasets import build_dataset
    from .run import find_config

    manifest = build_dataset(
        find_config(config), out, root=root, only=only, evaluation=evaluation
    )
    for source in manifest["sources"]:
        dropped = ", ".join(f"{n} {why}" for why, n in source["dropped"].items())
        typer.echo(
            f"{source['name']}: {source['molecules']} molecules, "
            f"{source['conformations']} conformations"
            + (f"; dropped: {dropped}" if dropped else "")
        )
    typer.echo(f"{manifest['conformations']} conformations in {out}")


@app.command("merge")
def merge_command(
    parts: Annotated[list[Path], typer.Argument(help="Packed files.")],
    out: Annotated[Path, typer.Option(help="Packed file to write, .npz.")],
) -> None:
    """Join packed data sets."""
    from .packed import merge

    manifest = merge(parts, out)
    typer.echo(f"{manifest['conformations']} conformations in {out}")


@app.command("export")
def export_command(
    folder: Annotated[Path, typer.Argument(help="Folder of a run.")],
    weights: Annotated[Path, typer.Option(help="NAME.safetensors to write.")],
    data: Annotated[
        Path, typer.Option(help="Packed data that the run was trained on.")
    ],
    head: Annotated[
        Path | None, typer.Option(help="Write the noise head here.")
    ] = None,
    facts: Annotated[
        Path | None, typer.Option(help="JSON object with further entries for the card.")
    ] = None,
) -> None:
    """Write a run's averaged weights and their card."""
    from .export import export
    from .packed import load_packed

    extra = json.loads(facts.read_text()) if facts else None
    card = export(folder, weights, data=load_packed(data), head=head, extra=extra)
    typer.echo(f"{weights}: step {card['steps']}, {card['hours']} h")


@app.command("evaluate")
def evaluate_command(
    model: Annotated[str, typer.Argument(help="Name of a model, or folder of a run.")],
    data: Annotated[Path, typer.Option(help="Packed data to evaluate on.")],
    sigma: Annotated[
        list[float] | None,
        typer.Option(help="Noise in Å; can be given more than once (default: 0.2)."),
    ] = None,
    split: Annotated[
        str, typer.Option(help="Part of the data: validation or train.")
    ] = "validation",
    validation: Annotated[
        float, typer.Option(help="Share of the molecules that validate; 1 takes all.")
    ] = 0.02,
    out: Annotated[Path | None, typer.Option(help="JSON file to write.")] = None,
) -> None:
    """Measure the denoising error on each source of a data set."""
    from .evaluate import errors_by_source, predictor
    from .export import load_denoiser
    from .packed import load_packed

    rows = errors_by_source(
        predictor(load_denoiser(model).eval()),
        load_packed(data),
        split=split,
        validation=validation,
        sigmas=tuple(sigma or (0.2,)),
    )
    typer.echo(
        f"{'source':20s} {'seen':6s} sigma  error   floor  explained  by element"
    )
    for row in rows:
        elements = "  ".join(f"{z}:{e:.2f}" for z, e in row["by_element"].items())
        typer.echo(
            f"{row['source']:20s} {row['seen']:6s} {row['sigma']:.2f}   "
            f"{row['mse']:.4f}  {row['floor']:.4f} {row['explained']:.4f}     "
            f"{elements}"
        )
    if out is not None:
        out.write_text(json.dumps(rows, indent=1) + "\n")
