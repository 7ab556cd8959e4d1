"""Frames as PDB files that tell where they are from."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from MDAnalysis.core.universe import Universe

    from mdgeomfeat.report.data import FrameOrigin

__all__ = ["write_models", "write_origins"]


def write_models(
    path: Path,
    universe: Universe,
    frames: np.ndarray,
    title: str,
    origins: Sequence[FrameOrigin],
    remarks: Iterable[str] = (),
    boxes: np.ndarray | None = None,
) -> None:
    """Write frames as the models of one file, whose header tells their origins.

    Parameters
    ----------
    path : Path
    universe : Universe
        Of the written atoms. Its trajectory becomes these frames.
    frames : (n, A, 3) ndarray, Å
    title : str
    origins : sequence of n FrameOrigin
    remarks : iterable of str
        What else the header tells.
    boxes : (n, 6) ndarray, optional
        Lengths in Å, angles in degrees.
    """
    import MDAnalysis as mda

    universe.load_new(frames.astype(np.float32), order="fac", dimensions=boxes)
    several = len(frames) > 1
    with mda.Writer(str(path), universe.atoms.n_atoms, multiframe=several) as out:
        for _ in universe.trajectory:
            out.write(universe.atoms)
    _write_header(path, title, origins, remarks)


def _write_header(
    path: Path, title: str, origins: Sequence[FrameOrigin], remarks: Iterable[str]
) -> None:
    """Put where every model is from in place of the title that MDAnalysis writes.

    Remark 6 is free text. Names are cut to ASCII, the alphabet of PDB files.
    """
    lines = [
        f"TITLE     {title}".upper(),
        "REMARK   6 FRAMES COUNT FROM 0 IN EACH FILE, AS IN VMD AND MDANALYSIS.",
        *(f"REMARK   6 {remark}".upper() for remark in remarks),
    ]
    for model, origin in enumerate(origins, start=1):
        line = f"REMARK   6 MODEL {model}: {origin.file} FRAME {origin.frame}"
        if origin.time is not None:
            line += f", {origin.time:.10g} PS"
        lines.append(line.encode("ascii", "replace").decode())
    body = path.read_text().splitlines(keepends=True)
    kept = [line for line in body if not line.startswith("TITLE ")]
    first = next(i for i, line in enumerate(kept) if not line.startswith("HEADER"))
    path.write_text("".join([*kept[:first], *(f"{x}\n" for x in lines), *kept[first:]]))


def write_origins(
    path: Path, files: Iterable[tuple[str, Sequence[FrameOrigin]]]
) -> None:
    """Write a table of where each model of each file is from; models count from 1.

    Parameters
    ----------
    path : Path
    files : iterable of (name, origins of its models)
    """
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        header = ["structure", "model", "trajectory", "file", "frame", "time_ps"]
        writer.writerow(header)
        for name, origins in files:
            for model, o in enumerate(origins, start=1):
                time = "" if o.time is None else f"{o.time:.10g}"
                writer.writerow([name, model, o.trajectory, o.file, o.frame, time])
