"""Small structures of our own with whatever makes real ones hard to read."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np


class Atom(NamedTuple):
    """One line of a PDB file."""

    name: str
    resname: str
    resid: int
    xyz: tuple[float, float, float]
    element: str = ""
    chain: str = "A"
    altloc: str = ""
    icode: str = ""
    occupancy: float = 1.0


#: Places in an extended residue; residues are 3.8 Å apart.
_BACKBONE = {
    "N": (0.0, 0.0, 0.0),
    "CA": (1.2, 0.8, 0.0),
    "C": (2.4, 0.0, 0.0),
    "O": (2.5, -1.2, 0.0),
    "CB": (1.2, 1.7, 1.2),
}


def residues(
    resnames: Iterable[str],
    *,
    chain: str = "A",
    first: int = 1,
    shift: tuple[float, float, float] = (0.0, 0.0, 0.0),
    mirrored: bool = False,
    elements: bool = True,
) -> list[Atom]:
    """Return the heavy atoms of a stretched chain."""
    atoms = []
    for i, resname in enumerate(resnames):
        for name, place in _BACKBONE.items():
            if name == "CB" and resname == "GLY":
                continue
            at = np.array(place) * ([1, 1, -1] if mirrored else 1)
            xyz = at + np.array([3.8 * i, 0, 0]) + shift
            element = name[0] if elements else ""
            atoms.append(Atom(name, resname, first + i, tuple(xyz), element, chain))
    return atoms


def water(resname: str, n: int, names: str = "OW HW1 HW2", first: int = 500) -> list:
    """Return water molecules on a line away from the rest."""
    places = [(0.0, 0.0, 0.0), (0.96, 0.0, 0.0), (-0.24, 0.93, 0.0), (0.1, 0.1, 0.0)]
    return [
        Atom(name, resname, first + i, (3.0 * i + x, 12.0 + y, z), chain="W")
        for i in range(n)
        for name, (x, y, z) in zip(names.split(), places, strict=False)
    ]


def pdb(path: Path, atoms: Iterable[Atom], box: str | None = None) -> Path:
    """Write atoms as a PDB file; ``box`` is the text of a CRYST1 record."""
    lines = [] if box is None else [f"CRYST1{box}"]
    for i, a in enumerate(atoms):
        name = a.name if len(a.name) == 4 else f" {a.name:3s}"
        x, y, z = a.xyz
        lines.append(
            f"ATOM  {(i + 1) % 100000:5d} {name}{a.altloc or ' '}{a.resname:<4s}"
            f"{a.chain or ' '}{a.resid:4d}{a.icode or ' '}   {x:8.3f}{y:8.3f}{z:8.3f}"
            f"{a.occupancy:6.2f}{0:6.2f}          {a.element:>2s}"
        )
    path.write_text("\n".join([*lines, "END", ""]))
    return path


def gro(path: Path, atoms: Iterable[Atom], box: str = "5.0 5.0 5.0") -> Path:
    """Write atoms as a GRO file, which knows neither chains nor elements."""
    atoms = list(atoms)
    lines = ["built", str(len(atoms))]
    for i, a in enumerate(atoms):
        x, y, z = (v / 10 for v in a.xyz)
        lines.append(
            f"{a.resid:5d}{a.resname:<5s}{a.name:>5s}{i + 1:5d}{x:8.3f}{y:8.3f}{z:8.3f}"
        )
    path.write_text("\n".join([*lines, box, ""]))
    return path
