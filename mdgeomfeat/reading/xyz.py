"""XYZ files: plain ones as MDAnalysis reads them, extended ones with their cells.

The comment line of an extended XYZ file says which columns are what (``Properties=``)
and how the cell lies (``Lattice=``). ase's parser reads it.
"""

from __future__ import annotations

from collections import Counter
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import MDAnalysis as mda
import numpy as np
from MDAnalysis.coordinates.XYZ import XYZReader
from MDAnalysis.lib.util import anyopen

from mdgeomfeat.errors import InputError
from mdgeomfeat.reading.frame_reader import Frame, FrameReader, oriented

__all__ = [
    "CheckedXYZReader",
    "ExtendedXYZReader",
    "check_ase",
    "extended_xyz_universe",
    "scan_xyz",
]


def scan_xyz(path: str | Path) -> tuple[list[int], int, str | None]:
    """Find the frames of an XYZ file.

    Returns
    -------
    offsets : list of int
        Where the whole frames begin, in bytes.
    n_atoms : int
        Of each.
    problem : str or None
        What is wrong after them.

    Raises
    ------
    InputError
        If frames have different numbers of atoms.
    """
    offsets: list[int] = []
    n_atoms = 0
    with anyopen(str(path), "rb") as file:
        while True:
            start = file.tell()
            head = file.readline()
            if not head.strip():
                return offsets, n_atoms, _rest(file, head)
            try:
                n = int(head)
            except ValueError:
                return offsets, n_atoms, "a frame does not begin with a number of atoms"
            if offsets and n != n_atoms:
                raise InputError(
                    f"{path} has frames of different sizes: {n_atoms} atoms in frame 0 "
                    f"and {n} in frame {len(offsets)}; write frames of one molecule, "
                    "with the same atoms in each."
                )
            n_atoms = n
            file.readline()
            if any(not file.readline().strip() for _ in range(n)):
                return offsets, n_atoms, "it is cut inside a frame"
            offsets.append(start)


def _rest(file: Any, head: bytes) -> str | None:
    """Say what is wrong with a file that goes on after an empty line."""
    while head:
        head = file.readline()
        if head.strip():
            return "frames follow after an empty line"
    return None


class CheckedXYZReader(XYZReader):
    """MDAnalysis's XYZ reader, on frames that have been counted."""

    problem: str | None = None

    def _read_xyz_n_frames(self) -> int:
        self._offsets, _, self.problem = scan_xyz(self.filename)
        return len(self._offsets)


class ExtendedXYZReader(FrameReader):
    """Reads extended XYZ files: positions wherever ``Properties`` puts them, and cells.

    Units are Å. What the file may call its time has no unit, and is not used.

    Parameters
    ----------
    filename : str
    """

    format = "EXTXYZ"

    def _index(self) -> None:
        self._offsets, self.n_atoms, self.problem = scan_xyz(self.filename)
        self.n_frames = len(self._offsets)

    def _load(self, frame: int) -> Frame:
        with anyopen(self.filename, "rb") as file:
            file.seek(self._offsets[frame])
            file.readline()
            comment = file.readline().decode()
            rows = [file.readline().split() for _ in range(self.n_atoms)]
        info, columns = _layout(comment)
        if "pos" not in columns:
            raise InputError(
                f"{self.filename} has no column 'pos' among its Properties, so it "
                "holds no positions; write them as well."
            )
        wanted = columns["pos"]
        table = np.array([row[wanted] for row in rows], dtype=np.float64)
        vectors = self._vectors(info)
        if vectors is None:
            return Frame(table)
        box, positions = oriented(vectors, table)
        return Frame(positions, box)

    def _vectors(self, info: dict[str, Any]) -> np.ndarray | None:
        """Return the lattice vectors (3, 3), Å, if the frame is periodic."""
        if "Lattice" not in info:
            return None
        # ase hands the nine numbers on in Fortran's order: vectors are columns.
        vectors = np.asarray(info["Lattice"], dtype=np.float64).T
        flags = np.atleast_1d(info.get("pbc", True))
        if not flags.any() or not vectors.any():
            return None
        if not flags.all():
            written = " ".join("T" if f else "F" for f in flags)
            raise InputError(
                f'{self.filename} is periodic in some directions only (pbc="{written}"'
                '), which nearest images do not allow for; write pbc="T T T" if there '
                "is room enough between images in the others, or "
                '"F F F" for no box.'
            )
        return vectors


def check_ase(path: str | Path) -> None:
    """Refuse an extended XYZ file where ase is not installed.

    Raises
    ------
    InputError
        Naming the extra.
    """
    if find_spec("ase") is None:
        raise InputError(
            f"{path} is an extended XYZ file (Lattice= or Properties= in its comment "
            "lines), and reading it needs ase: pip install mdgeomfeat[extxyz]."
        )


def extended_xyz_universe(path: str | Path) -> mda.Universe:
    """Make a Universe, without frames yet, of the atoms of an extended XYZ file.

    Names are the species of the first frame; where it has atomic numbers
    only (column ``Z``), these are turned into symbols.

    Raises
    ------
    InputError
        If the file has neither species nor atomic numbers.
    """
    from ase.data import chemical_symbols

    with anyopen(str(path), "rb") as file:
        n_atoms = int(file.readline())
        _, columns = _layout(file.readline().decode())
        rows = [file.readline().decode().split() for _ in range(n_atoms)]
    if "species" in columns:
        names = [row[columns["species"]][0] for row in rows]
    elif "Z" in columns:
        names = [chemical_symbols[int(row[columns["Z"]][0])] for row in rows]
    else:
        raise InputError(
            f"{path} has no column 'species' or 'Z' among its Properties, so its "
            "elements are unknown; name a topology (pdb, psf, …) with it."
        )
    universe = mda.Universe.empty(n_atoms, trajectory=False)
    universe.add_TopologyAttr("names", names)
    universe.add_TopologyAttr("resids", [1])
    universe.add_TopologyAttr("resnums", [1])
    universe.add_TopologyAttr("segids", ["SYSTEM"])
    universe.filename = str(path)
    return universe


def _layout(comment: str) -> tuple[dict[str, Any], dict[str, slice]]:
    """Return the values of a comment line, and where each property's columns are."""
    from ase.io.extxyz import key_val_str_to_dict

    info = key_val_str_to_dict(comment.strip()) if comment.strip() else {}
    described = str(info.get("Properties", "species:S:1:pos:R:3")).split(":")
    columns: dict[str, slice] = {}
    start = 0
    for name, _, width in zip(*[iter(described)] * 3, strict=True):
        columns[name] = slice(start, start + int(width))
        start += int(width)
    twice = [n for n, count in Counter(described[::3]).items() if count > 1]
    if twice:
        raise InputError(f"Properties names the column {twice[0]!r} more than once.")
    return info, columns
