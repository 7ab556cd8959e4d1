"""Boxes that a file states and its reader drops."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

from MDAnalysis.coordinates.PDB import PDBReader
from MDAnalysis.lib.util import anyopen

from mdgeomfeat.boxes import has_box
from mdgeomfeat.errors import InputError
from mdgeomfeat.reading.chain import file_readers

__all__ = ["check_dropped"]

_COLUMNS = (6, 15, 24, 33, 40, 47, 54)


def check_dropped(trajectory: Any) -> None:
    """Refuse frames whose box stands in their file and did not come with them.

    MDAnalysis's own PDB reader drops a CRYST1 record that stands once, above the first
    of several models, which is how most programs write it.

    Parameters
    ----------
    trajectory : MDAnalysis reader
        Of frames that came without a box.

    Raises
    ------
    InputError
        If a file states a box.
    """
    for reader in file_readers(trajectory):
        if type(reader) is not PDBReader or reader.n_frames < 2:
            continue
        if isinstance(reader.filename, str | Path) and _states_box(reader.filename):
            raise InputError(
                f"{reader.filename} states a box once, for all its models, and "
                "MDAnalysis's reader of PDB files has dropped it; open the file with "
                "mdgeomfeat.reading.open_universe, which keeps it, or pass "
                "periodic=False (--no-pbc)."
            )


def _states_box(path: str | Path) -> bool:
    """Tell whether a PDB file has a CRYST1 record above its first atom."""
    with anyopen(str(path), "rt") as file:
        for line in file:
            if line.startswith("CRYST1"):
                try:
                    box = [float(line[a:b]) for a, b in pairwise(_COLUMNS)]
                    return bool(has_box(box)[0])
                except ValueError:
                    return False
            if line.startswith(("ATOM  ", "HETATM")):
                break
    return False
