"""The atoms of a topology file, as a Universe that has no frames yet."""

from __future__ import annotations

from typing import Any

import MDAnalysis as mda
from MDAnalysis.core.universe import Universe

from mdgeomfeat.errors import InputError
from mdgeomfeat.reading.formats import FileKind
from mdgeomfeat.reading.lammps import state_elements
from mdgeomfeat.reading.mdtraj_files import h5_topology, universe_from_mdtraj
from mdgeomfeat.reading.mmcif import check_gemmi
from mdgeomfeat.reading.pdb import pdb_topology
from mdgeomfeat.reading.single import check_single
from mdgeomfeat.reading.xyz import check_ase, extended_xyz_universe
from mdgeomfeat.structure.elements import symbol_of
from mdgeomfeat.upstream import parse_topology

__all__ = ["atoms_of"]


def atoms_of(kind: FileKind) -> tuple[Universe, str | None]:
    """Read the atoms of a topology file.

    Parameters
    ----------
    kind : FileKind

    Returns
    -------
    universe : MDAnalysis Universe
        Without a trajectory.
    note : str or None
        What the user should know of it.
    """
    if kind.format == "MDTRAJ-H5":
        return universe_from_mdtraj(h5_topology(kind.path)), None
    if kind.format == "EXTXYZ":
        check_ase(kind.path)
        universe = extended_xyz_universe(kind.path)
        _state_symbols(universe, kind)
        return universe, None
    if kind.format in ("CIF", "MMCIF"):
        check_gemmi(kind.path)
    check_single(kind)
    if kind.format in ("PDB", "ENT"):
        return _pdb(kind)
    universe = _parsed(kind, str(kind.path))
    if kind.format in ("XYZ", "HISTORY", "CONFIG"):
        _state_symbols(universe, kind)
    if kind.format == "DATA":
        return universe, state_elements(universe, kind.path)
    return universe, None


def _pdb(kind: FileKind) -> tuple[Universe, str | None]:
    prepared = pdb_topology(kind.path)
    universe = _parsed(kind, prepared.stream)
    if prepared.bonds:
        universe.add_TopologyAttr("bonds", prepared.bonds)
    note = prepared.note
    return universe, None if note is None else f"{kind.path}: {note}."


def _parsed(kind: FileKind, source: Any) -> Universe:
    universe = mda.Universe(parse_topology(source, kind.format))
    universe.filename = str(kind.path)
    return universe


def _state_symbols(universe: Universe, kind: FileKind) -> None:
    """State the elements of a file that has them in place of names.

    Raises
    ------
    InputError
        If some may be names.
    """
    names = [str(n) for n in universe.atoms.names]
    symbols = {name: symbol_of(name) for name in names}
    doubtful = [name for name, symbol in symbols.items() if symbol is None]
    if doubtful:
        more = ", …" if doubtful[4:] else ""
        raise InputError(
            f"{kind.path} holds atom names ({', '.join(doubtful[:4])}{more}) where "
            "elements are expected, and CA may be a carbon or calcium; name a topology "
            "(pdb, psf, …) with it, or write element symbols (C, Ca, H, Hg)."
        )
    universe.add_TopologyAttr("elements", [symbols[name] for name in names])
