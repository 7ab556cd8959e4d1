"""PDB files as programs write them: frames, cells and serial numbers.

A frame ends with ENDMDL, with END (VMD), or where the next MODEL begins. One CRYST1
record holds for every frame until the next one comes. Beyond 99,999 atoms, serial
numbers go on in hexadecimal (VMD, Chimera) or in hybrid-36, or start anew.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from io import StringIO
from itertools import pairwise
from pathlib import Path

import numpy as np
from MDAnalysis.lib.util import NamedStream, anyopen

from mdgeomfeat.errors import InputError
from mdgeomfeat.reading.frame_reader import Frame, FrameReader

__all__ = ["FramesPDBReader", "PDBTopology", "pdb_topology"]

_ATOMS = (b"ATOM  ", b"HETATM")
# Name, alternate location, residue and chain: who an atom is.
_WHO = slice(12, 27)
# The cell of a structure that has none (wwPDB).
_PLACEHOLDER = (1.0, 1.0, 1.0, 90.0, 90.0, 90.0)
# What is added to numbers of base 36 in four columns: A000 is 10,000, and a000 follows
# on ZZZZ.
_HYBRID_UPPER = 10**4 - 10 * 36**3
_HYBRID_LOWER = 10**4 + 16 * 36**3


class FramesPDBReader(FrameReader):
    """Reads the frames of a PDB file.

    Parameters
    ----------
    filename : str
        Also packed (``.gz``, ``.bz2``).
    """

    format = "PDB-FRAMES"
    units = {"time": None, "length": "Angstrom"}  # noqa: RUF012

    def _index(self) -> None:
        self._starts: list[tuple[int, int]] = []
        self._boxes: list[np.ndarray | None] = []
        first: list[bytes] = []
        who: list[bytes] = []
        box, begin, end = None, 0, 0
        with anyopen(self.filename, "rb") as file:
            while True:
                here = file.tell()
                line = file.readline()
                if line.startswith(_ATOMS):
                    begin = begin if who else here
                    who.append(line[_WHO])
                    end = file.tell()
                elif line.startswith(b"CRYST1"):
                    box = _cell(line)
                elif not line or line.startswith((b"MODEL ", b"END")):
                    if who:
                        first = first or who
                        self._compare(first, who)
                        self._starts.append((begin, end))
                        self._boxes.append(box)
                        who = []
                    if not line:
                        break
        self.n_frames, self.n_atoms = len(self._starts), len(first)

    def _compare(self, first: list[bytes], who: list[bytes]) -> None:
        number = len(self._starts)
        if len(who) != len(first):
            said = f"{len(first)} atoms in frame 0 and {len(who)} in frame {number}"
            raise InputError(
                f"{self.filename} has models of different sizes: {said}; write models "
                "of one molecule, with the same atoms in each."
            )
        if who != first:
            place = next(i for i, (a, b) in enumerate(zip(first, who, strict=True))
                         if a != b)  # fmt: skip
            a, b = (" ".join(w[place].decode(errors="replace").split())
                    for w in (first, who))  # fmt: skip
            raise InputError(
                f"{self.filename} has models with different atoms: atom {place} is {a} "
                f"in frame 0 and {b} in frame {number}; write models of one molecule, "
                "with the same atoms in the same order."
            )

    def _load(self, frame: int) -> Frame:
        begin, end = self._starts[frame]
        with anyopen(self.filename, "rb") as file:
            file.seek(begin)
            lines = file.read(end - begin).splitlines()
        places = [
            (line[30:38], line[38:46], line[46:54])
            for line in lines
            if line.startswith(_ATOMS)
        ]
        return Frame(np.array(places).astype(np.float32), self._boxes[frame])


def _cell(line: bytes) -> np.ndarray | None:
    """Return lengths (Å) and angles (degrees) of a CRYST1 record, if it is one."""
    edges = (6, 15, 24, 33, 40, 47, 54)
    try:
        box = np.array(
            [float(line[a:b]) for a, b in pairwise(edges)],
            dtype=np.float32,
        )
    except ValueError:
        return None
    return None if np.allclose(box, _PLACEHOLDER) else box


@dataclass(frozen=True)
class PDBTopology:
    """What MDAnalysis's parser is given of a PDB file.

    Attributes
    ----------
    stream : NamedStream
        The first frame, with numbers that the parser understands.
    bonds : list of (int, int) or None
        Of CONECT records that the parser would not understand; None if it does.
    note : str or None
        What had to be left out.
    """

    stream: NamedStream
    bonds: list[tuple[int, int]] | None
    note: str | None


def pdb_topology(path: str | Path) -> PDBTopology:
    """Prepare the first frame of a PDB file for MDAnalysis's parser.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    PDBTopology
    """
    with anyopen(str(path), "rt") as file:
        head, atoms, conect = _first_frame(file)
    serials = [line[6:11] for line in atoms]
    bonds, note = None, None
    if any(not s.strip().isdigit() for s in serials) or len(set(serials)) < len(atoms):
        bonds, note = _bonds(serials, conect)
        conect = []
    numbers = _residue_numbers([line[22:26] for line in atoms])
    serial = (f"{(i + 1) % 100_000:5d}" for i in range(len(atoms)))
    if bonds is not None:
        atoms = [f"{a[:6]}{s}{a[11:]}" for a, s in zip(atoms, serial, strict=True)]
    if numbers is not None:
        atoms = [f"{a[:22]}{n}{a[26:]}" for a, n in zip(atoms, numbers, strict=True)]
    text = "".join([*head, *atoms, *conect])
    return PDBTopology(NamedStream(StringIO(text), str(path)), bonds, note)


def _first_frame(file: Iterable[str]) -> tuple[list[str], list[str], list[str]]:
    """Return the lines before the first frame, of its atoms, and of bonds."""
    head: list[str] = []
    atoms: list[str] = []
    conect: list[str] = []
    whole = False
    for line in file:
        if line.startswith("CONECT"):
            conect.append(line)
        elif not whole and line.startswith(("ATOM  ", "HETATM")):
            atoms.append(line if line.endswith("\n") else line + "\n")
        elif line.startswith(("END", "MODEL ")):
            whole = bool(atoms)
        elif not atoms:
            head.append(line)
    return head, atoms, conect


def _bonds(
    serials: list[str], conect: list[str]
) -> tuple[list[tuple[int, int]], str | None]:
    """Return the bonds of CONECT records whose serial numbers are no plain numbers."""
    if not conect:
        return [], None
    try:
        # Hexadecimal numbers and those that start anew may stand for two atoms.
        values = [_hybrid36(s) for s in serials]
    except ValueError:
        values = []
    place = {value: i for i, value in enumerate(values)}
    if len(place) < len(serials):
        return [], (
            "its CONECT records were skipped, because serial numbers above 99,999 "
            "do not say which atom is meant"
        )
    found = set()
    for line in conect:
        text = line.rstrip("\n").rstrip()
        try:
            atom, *others = (
                place.get(_hybrid36(text[i : i + 5])) for i in range(6, len(text), 5)
            )
        except ValueError:
            continue
        for other in others:
            if atom is not None and other is not None and atom != other:
                found.add((min(atom, other), max(atom, other)))
    return sorted(found), None


def _hybrid36(field: str) -> int:
    """Return the number that five columns stand for, decimal or in hybrid-36."""
    if field.strip().isdigit():
        return int(field)
    if len(field) == 5 and field[0].isalpha() and field.isalnum():
        upper, lower = field.isupper(), field.islower()
        letters = [c for c in field if c.isalpha()]
        if upper or all(c.isupper() for c in letters):
            return int(field, 36) - 10 * 36**4 + 10**5
        if lower or all(c.islower() for c in letters):
            return int(field, 36) + 16 * 36**4 + 10**5
    raise ValueError(f"{field!r} is not a serial number")


def _residue_numbers(fields: list[str]) -> list[str] | None:
    """Return residue numbers as the parser understands them, None if they are.

    Above 9,999 residues they are written in hexadecimal (VMD) or in hybrid-36. The
    parser counts on where plain numbers start anew.
    """
    odd = next((f for f in fields if not f.strip().lstrip("-").isdigit()), None)
    if odd is None:
        # In hexadecimal, 2710 follows on 9999; numbers that start anew do not.
        hexadecimal = ("9999", "2710") in pairwise(fields)
        if not hexadecimal:
            return None
    else:
        hexadecimal = odd[0].isdigit()
        if not odd.strip().isalnum():
            return None
    numbers: list[int] = []
    for field in fields:
        plain = field.strip().lstrip("-").isdigit()
        try:
            number = int(field) if plain else int(field, 16 if hexadecimal else 36)
        except ValueError:
            return None
        if not plain and not hexadecimal:
            number += _HYBRID_UPPER if field.upper() == field else _HYBRID_LOWER
        elif plain and hexadecimal and numbers and numbers[-1] >= 9_999:
            # 10,000 is written 2710, but 9,999 comes once for each of its atoms, and
            # chains may begin with 1 again: the next number is the nearest.
            further = int(field, 16)
            nearer = abs(further - numbers[-1]) < abs(number - numbers[-1])
            number = further if nearer and further >= 10_000 else number
        numbers.append(number)
    return [f"{n % 10_000:4d}" if n >= 0 else f"{n:4d}" for n in numbers]
