"""The loss curve of a run."""

from __future__ import annotations

import json
from pathlib import Path

__all__ = ["loss_figure"]


def loss_figure(folder: str | Path) -> Path | None:
    """Draw ``loss.png`` from a run's ``log.jsonl``.

    Parameters
    ----------
    folder : path

    Returns
    -------
    Path or None
        None if nothing has been logged yet.
    """
    log = Path(folder) / "log.jsonl"
    records = [json.loads(line) for line in log.read_text().splitlines()]
    if not records:
        return None
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    steps = [record["step"] for record in records]
    axes.plot(steps, [record["loss"] for record in records], color="#0072B2")
    axes.set_xlabel("step")
    axes.set_ylabel("training loss (1 = predicts nothing)")
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter("{x:.2g}")
    axes.yaxis.set_minor_formatter("{x:.2g}")
    rate = axes.twinx()
    rate.plot(
        steps, [r["learning_rate"] for r in records], color="#E69F00", linestyle="--"
    )
    rate.set_ylabel("learning rate (dashed)")
    path = Path(folder) / "loss.png"
    figure.savefig(path, dpi=150)
    return path
