"""What a file states and MDAnalysis's own reader drops or takes for something else.

Files that :func:`mdgeomfeat.reading.open_universe` opens are read by readers that keep
it all; a Universe that its user has opened need not be.
"""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path
from typing import Any

from MDAnalysis.coordinates.INPCRD import INPReader
from MDAnalysis.coordinates.PDB import PDBReader
from MDAnalysis.coordinates.XYZ import XYZReader
from MDAnalysis.lib.util import anyopen

from mdgeomfeat.boxes import has_box
from mdgeomfeat.errors import InputError
from mdgeomfeat.reading.chain import file_readers

__all__ = ["check_columns", "check_dropped"]

_COLUMNS = (6, 15, 24, 33, 40, 47, 54)
_PROPERTIES = re.compile(r"(?:^|\s)Properties\s*=\s*[\"']?([^\s\"']+)")
_LATTICE = re.compile(r"(?:^|\s)Lattice\s*=\s*[\"'\[{]?([^\"'\]}]*)")
_NOT_PERIODIC = re.compile(r"(?:^|\s)pbc\s*=\s*[\"'\[{]?\s*F[^T1]*(?:[\"'\]}]|$)")
_REMEDY = "open the file with mdgeomfeat.reading.open_universe, which"


def check_columns(trajectory: Any) -> None:
    """Refuse extended XYZ files whose positions are not where they were read.

    MDAnalysis takes the second to fourth column, whatever ``Properties=`` says.

    Parameters
    ----------
    trajectory : MDAnalysis reader

    Raises
    ------
    InputError
        If other columns were taken for positions.
    """
    for path in _read_by(XYZReader, trajectory):
        stated = _PROPERTIES.search(_comment(path))
        if stated and not re.match(r"[^:]+:\w:1:pos:R:3(:|$)", stated[1]):
            raise InputError(
                f"{path} is an extended XYZ file with the columns {stated[1]}, and "
                "MDAnalysis's reader of XYZ files has taken the second to fourth for "
                f"positions; {_REMEDY} takes the right ones."
            )


def check_dropped(trajectory: Any) -> None:
    """Refuse frames whose box stands in their file and did not come with them.

    MDAnalysis's own readers drop the ``Lattice=`` of extended XYZ files, the last line
    of Amber's text restarts, and a CRYST1 record that stands once, above the first of
    several models, which is how most programs write it.

    Parameters
    ----------
    trajectory : MDAnalysis reader
        Of frames that came without a box.

    Raises
    ------
    InputError
        If a file states a box.
    """
    for kind, files, states, where in (
        (PDBReader, "PDB files", _states_box, " once, for all its models"),
        (XYZReader, "XYZ files", _has_lattice, ' (Lattice="...")'),
        (INPReader, "Amber's restart files", _has_last_line, " in its last line"),
    ):
        for path in _read_by(kind, trajectory):
            if states(path):
                raise InputError(
                    f"{path} states a box{where}, and MDAnalysis's reader of {files} "
                    f"has dropped it; {_REMEDY} keeps it, or pass periodic=False "
                    "(--no-pbc)."
                )


def _read_by(kind: type[Any], trajectory: Any) -> list[str | Path]:
    """Return the files that MDAnalysis's own reader of a kind has read."""
    return [
        reader.filename
        for reader in file_readers(trajectory)
        if type(reader) is kind
        and isinstance(reader.filename, str | Path)
        # The box of a single model comes with it, unless its user has taken it away.
        and not (kind is PDBReader and reader.n_frames < 2)
    ]


def _comment(path: str | Path) -> str:
    """Return the second line of a file."""
    with anyopen(str(path), "rt") as file:
        file.readline()
        return str(file.readline())


def _has_lattice(path: str | Path) -> bool:
    """Tell whether an extended XYZ file states a lattice in which it is periodic."""
    comment = _comment(path)
    found = _LATTICE.search(comment)
    if found is None or _NOT_PERIODIC.search(comment):
        return False
    return any(word.strip(",") not in ("0", "0.0") for word in found[1].split())


def _has_last_line(path: str | Path) -> bool:
    """Tell whether six numbers that are a box end an Amber restart file."""
    lines = Path(path).read_text().rstrip().splitlines()
    n_atoms = int(lines[1].split()[0])
    n_lines = (n_atoms + 1) // 2
    # Positions, or positions and velocities, each of two atoms a line.
    if (len(lines) - 2) not in (n_lines + 1, 2 * n_lines + 1):
        return False
    box = [float(lines[-1][at : at + 12]) for at in range(0, 72, 12)]
    return bool(has_box(box)[0])


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
