"""The command ``pick``: start structures for the next round of simulations."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mdgeomfeat.commands.apply import Applied, apply_to_files
from mdgeomfeat.commands.features import default_folder
from mdgeomfeat.commands.notes import remembered_warnings
from mdgeomfeat.commands.options import ReadOptions
from mdgeomfeat.commands.output import check_output, output_folder
from mdgeomfeat.commands.progress import Reporter
from mdgeomfeat.commands.record import make_record
from mdgeomfeat.commands.summary import record_summary
from mdgeomfeat.commands.tables import frame_origins, write_json
from mdgeomfeat.commands.whole_systems import SystemWriter
from mdgeomfeat.errors import InputError
from mdgeomfeat.text import count

if TYPE_CHECKING:
    from mdgeomfeat.kinetics import Pick

__all__ = ["write_picks"]

_MOST = 999


def write_picks(
    model_folder: Path,
    read: ReadOptions,
    n: int,
    out: Path | None,
    overwrite: bool,
    progress: Reporter,
) -> Path:
    """Write the frames from which new simulations would find most that is new.

    Parameters
    ----------
    model_folder : Path
        The folder of a report, or its folder ``model``.
    read : ReadOptions
        The trajectories so far, and their topology; what makes the features is the
        model's own.
    n : int
        Number of start structures.
    out : Path or None
        The folder of results.
    overwrite : bool
        Whether earlier results there may be replaced.
    progress : Reporter

    Returns
    -------
    Path
        The folder, with one PDB file of the whole system for each pick,
        ``picks.csv`` and ``summary.json``.

    Raises
    ------
    InputError
        If the model cannot be read, the molecule is another one, or there are fewer
        different frames than picks.
    """
    from mdgeomfeat.kinetics import pick_frames

    if not 1 <= n <= _MOST:
        raise InputError(f"--number {n} is not possible; ask for 1 to {_MOST}.")
    folder = out or default_folder(read, "picks")
    check_output(folder, overwrite, read.store)
    with remembered_warnings() as notes, output_folder(folder, overwrite) as work:
        applied = apply_to_files(model_folder, read, work, progress)
        picks = pick_frames(applied.cvs, n, states=applied.states)
        with progress.stage("structures", len(picks), "files") as advance:
            names, writer = [], SystemWriter(applied.data)
            for k, pick in enumerate(picks, start=1):
                names.append(f"start-{k:03d}.pdb")
                writer.write(work / names[-1], pick.row, f"start structure {k}")
                advance(1)
        rows = _rows(applied, picks, names)
        _write_table(work / "picks.csv", rows)
        record = make_record(
            applied.data,
            applied.read,
            title=f"{count(n, 'start structure')} from {applied.data.title}",
            warnings=notes,
            files=(),
            assumed=notes.assumed,
        )
        content = record_summary(record, "picks")
        content["picks"] = rows
        write_json(work / "summary.json", content)
    for reason, number in _tally(picks):
        progress.say(f"{count(number, 'structure')}: {reason}.")
    return folder


def _rows(
    applied: Applied, picks: Sequence[Pick], names: Sequence[str]
) -> list[dict[str, Any]]:
    """Return what is told of each pick; states and variables count from 1."""
    from mdgeomfeat.kinetics import Why

    origins = frame_origins(applied.data, [pick.row for pick in picks])
    cvs, states = np.concatenate(applied.cvs), np.concatenate(applied.states)
    return [
        {
            "structure": name,
            "trajectory": origin.trajectory,
            "file": origin.file,
            "frame": origin.frame,
            "time_ps": origin.time,
            "why": pick.why.value,
            "which": None if pick.why is Why.RARE else pick.which + 1,
            "frames_alike": pick.n_alike,
            "state": int(states[pick.row]) + 1,
            **{f"cv{k + 1}": float(x) for k, x in enumerate(cvs[pick.row])},
        }
        for pick, name, origin in zip(picks, names, origins, strict=True)
    ]


def _write_table(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow(
                {
                    key: f"{value:.10g}" if isinstance(value, float) else value
                    for key, value in row.items()
                }
            )


def _tally(picks: Sequence[Pick]) -> list[tuple[str, int]]:
    """Return each reason in words, and how often it was one."""
    from mdgeomfeat.kinetics import Why

    words = {
        Why.SEEN_ONCE: "of states that were visited once",
        Why.END: "at ends of slow variables that hold few frames",
        Why.RARE: "like few other frames",
    }
    found = [(words[why], sum(p.why is why for p in picks)) for why in words]
    return [(reason, number) for reason, number in found if number]
