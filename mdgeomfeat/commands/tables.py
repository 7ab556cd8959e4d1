"""Results as files that other programs read: tables and JSON."""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mdgeomfeat.commands.featurized import Featurized
from mdgeomfeat.reading.chain import file_readers
from mdgeomfeat.report.data import FrameOrigin

__all__ = ["first_frames", "frame_origins", "write_cvs", "write_json"]


def write_cvs(
    path: Path,
    data: Featurized,
    cvs: Sequence[np.ndarray],
    states: Sequence[np.ndarray] | None,
    weights: Sequence[np.ndarray] | None = None,
    distances: Sequence[np.ndarray] | None = None,
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
    states : list of (F_i,) ndarray of int or None
    weights : list of (F_i,) ndarray, optional
        Weight of every frame, for a further column.
    distances : list of (F_i,) ndarray, optional
        Distance of every frame from training data, for a further column.
    """
    dim = cvs[0].shape[1]
    header = ["trajectory", "file", "frame", "time_ps"]
    header += [f"cv{i + 1}" for i in range(dim)]
    if states is not None:
        header.append("state")
    if weights is not None:
        header.append("weight")
    if distances is not None:
        header.append("distance")
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        for index, rows in enumerate(data.rows):
            origins = frame_origins(data, range(rows.start, rows.stop))
            for k, origin in enumerate(origins):
                line: list[Any] = [
                    origin.trajectory,
                    origin.file,
                    origin.frame,
                    "" if origin.time is None else f"{origin.time:.10g}",
                    *(f"{value:.7g}" for value in cvs[index][k]),
                ]
                if states is not None:
                    state = int(states[index][k])
                    line.append(state + 1 if state >= 0 else "")
                if weights is not None:
                    line.append(f"{weights[index][k]:.7g}")
                if distances is not None:
                    line.append(f"{distances[index][k]:.4g}")
                writer.writerow(line)


def frame_origins(data: Featurized, rows: Iterable[int]) -> Iterator[FrameOrigin]:
    """Yield the file and frame that rows of the analysed frames are from.

    Parameters
    ----------
    data : Featurized
    rows : iterable of int
        Rows of all analysed frames, trajectories one after another.
    """
    starts, results = first_frames(data), data.results
    for row in rows:
        source, time = int(results.trajectory[row]), float(results.times[row])
        yield FrameOrigin(
            trajectory=source + 1,
            file=data.sources[source],
            frame=int(results.frames[row]) - starts[source],
            time=time if math.isfinite(time) else None,
        )


def first_frames(data: Featurized) -> list[int]:
    """Return the number of each source trajectory's first frame."""
    readers = file_readers(data.universe.trajectory)
    lengths = [int(reader.n_frames) for reader in readers]
    return [0, *np.cumsum(lengths[:-1]).tolist()]


#: An array of numbers over several lines, as json.dumps indents it. Strings hold no
#: line breaks, so none can look like this.
_NUMBERS = re.compile(
    r"\[\n\s+((?:-?[\d.eE+-]+|null)(?:,\n\s+(?:-?[\d.eE+-]+|null))*)\n\s+\]"
)


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write JSON that every reader accepts: no NaN, UTF-8, rows of numbers in lines."""
    text = json.dumps(_plain(content), indent=2, ensure_ascii=False, allow_nan=False)
    text = _NUMBERS.sub(_one_line, text)
    path.write_text(text + "\n", encoding="utf-8")


def _one_line(numbers: re.Match[str]) -> str:
    return f"[{' '.join(numbers[1].split())}]"


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
