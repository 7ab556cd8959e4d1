"""LAMMPS: dumps whose frames are counted and compared; elements from masses.

A data file names no elements. The masses of its atom types tell them, and so does the
comment behind a mass where it is a symbol, as for hydrogens made heavier.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from MDAnalysis.coordinates.LAMMPS import DumpReader
from MDAnalysis.core.universe import Universe
from MDAnalysis.lib.util import anyopen
from mdtraj.core.element import get_by_symbol

from mdgeomfeat.errors import InputError
from mdgeomfeat.structure.residues import SYMBOLS

__all__ = ["CheckedDumpReader", "elements_of_types", "state_elements"]

# Programs round masses to a hundredth: N is 14.01 somewhere, and CH2, as one particle,
# 14.027. Heavier elements lie further apart, and their masses have changed with time.
_CLOSE = 0.012
_CLOSE_SHARE = 1e-3
_COMMENT = re.compile(r"^\s*(\S+)\s+([-+.\dEe]+)\s*(?:#\s*(.*))?$")


class CheckedDumpReader(DumpReader):
    """MDAnalysis's reader of dumps, on frames that have been counted."""

    problem: str | None = None

    @property
    def n_frames(self) -> int:
        """Number of whole frames."""
        if "n_frames" not in self._cache:
            self._offsets, self.problem = _scan(self.filename, self.n_atoms)
            self._cache["n_frames"] = len(self._offsets)
        return int(self._cache["n_frames"])


def _scan(path: str, n_atoms: int) -> tuple[list[int], str | None]:
    """Find where the frames of a dump begin, and what is wrong after them."""
    offsets: list[int] = []
    with anyopen(path, "rb") as file:
        while True:
            start = file.tell()
            head = [file.readline() for _ in range(9)]
            if not head[0].strip():
                return offsets, None
            if not head[0].startswith(b"ITEM: TIMESTEP"):
                raise InputError(
                    f"{path} begins a frame with {head[0].decode().strip()!r} where "
                    "'ITEM: TIMESTEP' is read; write dumps without dump_modify units "
                    "and time."
                )
            if not head[8].startswith(b"ITEM: ATOMS"):
                return offsets, "it is cut inside a frame"
            if (n := int(head[3])) != n_atoms:
                raise InputError(
                    f"{path} has frames of different sizes: {n_atoms} atoms in frame 0 "
                    f"and {n} in frame {len(offsets)}; dump a group whose atoms do not "
                    "change."
                )
            lines = [file.readline() for _ in range(n)]
            if not all(line.endswith(b"\n") for line in lines[:-1]) or (
                len(lines[-1].split()) < len(head[8].split()) - 2
            ):
                return offsets, "it is cut inside a frame"
            offsets.append(start)


def state_elements(universe: Universe, path: str | Path) -> str | None:
    """Add elements to the Universe of a data file, as far as its masses tell them.

    Parameters
    ----------
    universe : MDAnalysis Universe
    path : path-like

    Returns
    -------
    str or None
        A note that says which type is what; None if the file has no masses.
    """
    found = elements_of_types(path)
    if not found:
        return None
    types = [str(t) for t in universe.atoms.types]
    universe.add_TopologyAttr("elements", [found.get(t, "") for t in types])
    read = ", ".join(f"{t} {found[t]}" for t in sorted(set(types), key=_order)
                     if found.get(t))  # fmt: skip
    if not read:
        return None
    return f"Elements were read from the masses of {path}'s atom types: {read}."


def _order(kind: str) -> tuple[int, str]:
    return (int(kind) if kind.isdigit() else 0, kind)


def elements_of_types(path: str | Path) -> dict[str, str]:
    """Return the element of each atom type of a LAMMPS data file.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    dict
        Symbols by type, "" where neither mass nor comment is one of an element.
    """
    return {kind: _element(mass, said) for kind, mass, said in _masses(path)}


def _masses(path: str | Path) -> Iterator[tuple[str, float, str]]:
    """Read type, mass and comment of every line of the section Masses."""
    inside = False
    with anyopen(str(path), "rt") as file:
        for line in file:
            words = line.split("#")[0].split()
            if words[:1] == ["Masses"]:
                inside = True
            elif inside and words:
                match = _COMMENT.match(line)
                if match is None:
                    return
                yield match[1], float(match[2]), (match[3] or "").strip()


def _element(mass: float, comment: str) -> str:
    """Return the symbol that a mass means, or the one in its comment.

    The comment goes before the mass where that is of no element. Helium is believed
    only if it is named: four units are what heavy hydrogens weigh.
    """
    near = {s: abs(m - mass) for s, m in _standard_masses().items()}
    near = {s: d for s, d in near.items() if d < max(_CLOSE, _CLOSE_SHARE * mass)}
    said = comment.split()[0] if comment else ""
    if said in near:
        return said
    near.pop("He", None)
    if near:
        return min(near, key=lambda s: near[s])
    return said if said in SYMBOLS[1:] else ""


@lru_cache(maxsize=1)
def _standard_masses() -> dict[str, float]:
    return {symbol: float(get_by_symbol(symbol).mass) for symbol in SYMBOLS[1:]}
