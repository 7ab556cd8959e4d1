"""Results as files that other programs read: tables and JSON."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mdgeomfeat.reading.chain import file_readers
from mdgeomfeat.workflow.features import Featurized

__all__ = ["write_cvs", "write_json"]


def write_cvs(
    path: Path,
    data: Featurized,
    cvs: Sequence[np.ndarray],
    states: Sequence[np.ndarray] | None,
) -> None:
    """Write one line per frame: where it is from, its variables and its state.

    Trajectories and states count from 1; frames count from 0 within their
    trajectory's file, as MDAnalysis counts them. The state is empty for frames that
    belong to none, the time where the file does not know it.

    Parameters
    ----------
    path : Path
    data : Featurized
    cvs : list of (F_i, d) ndarray
        One array per unbroken run.
    states : list of (F_i,) int ndarray or None
    """
    starts = first_frames(data)
    dim = cvs[0].shape[1]
    header = ["trajectory", "file", "frame", "time_ps"]
    header += [f"cv{i + 1}" for i in range(dim)]
    if states is not None:
        header.append("state")
    results = data.results
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        for index, rows in enumerate(data.rows):
            source = data.groups[index]
            for k, row in enumerate(range(rows.start, rows.stop)):
                time = float(results.times[row])
                line: list[Any] = [
                    source + 1,
                    data.sources[source],
                    int(results.frames[row]) - starts[source],
                    f"{time:.10g}" if math.isfinite(time) else "",
                    *(f"{value:.7g}" for value in cvs[index][k]),
                ]
                if states is not None:
                    state = int(states[index][k])
                    line.append(state + 1 if state >= 0 else "")
                writer.writerow(line)


def first_frames(data: Featurized) -> list[int]:
    """Return the number of each source trajectory's first frame."""
    readers = file_readers(data.universe.trajectory)
    lengths = [int(reader.n_frames) for reader in readers]
    return [0, *np.cumsum(lengths[:-1]).tolist()]


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write JSON that every reader accepts: no NaN, UTF-8, indented."""
    text = json.dumps(_plain(content), indent=2, ensure_ascii=False, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")


def _plain(value: Any) -> Any:
    """Return built-in types; numbers that are not finite become null."""
    if isinstance(value, dict):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Path):
        return str(value)
    return value
