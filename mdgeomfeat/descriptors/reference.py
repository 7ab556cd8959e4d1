"""Positions of the same atoms in another file, for RMSDs from it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mdgeomfeat.boxes import has_box
from mdgeomfeat.errors import InputError
from mdgeomfeat.structure import Structure, make_whole
from mdgeomfeat.structure.selection import one_location
from mdgeomfeat.structure.topology import AtomTable

if TYPE_CHECKING:
    from MDAnalysis.core.groups import AtomGroup

__all__ = ["read_reference"]


def read_reference(path: str, selection: str, atoms: AtomGroup) -> NDArray[np.float64]:
    """Read where atoms are in the first frame of a structure file.

    Atoms correspond by residue number, insertion code and atom name, and by chain as
    well where these do not tell them apart, so that the file may list them in another
    order and hold others too. Residue names need not agree.

    Parameters
    ----------
    path : str
        A file that holds a topology and coordinates, such as PDB.
    selection : str
        What chose the atoms; chooses in the file, too.
    atoms : AtomGroup of n atoms

    Returns
    -------
    (n, 3) ndarray, Å
        Whole molecules.

    Raises
    ------
    InputError
        If the file cannot be read, or does not hold each of the atoms once.
    """
    from mdgeomfeat.reading import open_universe

    universe = open_universe([path])
    found = universe.select_atoms(selection)
    table = AtomTable.from_universe(universe)
    found = universe.atoms[one_location(table, np.unique(found.ix))]
    for by_chain in (False, True):
        wanted, there = _keys(atoms, by_chain), _keys(found, by_chain)
        if len(set(wanted)) == len(wanted) and len(set(there)) == len(there):
            break
    else:
        raise InputError(
            f"'{selection}' chooses atoms in '{path}' or in the analysed files that "
            "chain, residue number and name do not tell apart; choose fewer."
        )
    place = {key: i for i, key in enumerate(there)}
    missing = [key for key in wanted if key not in place]
    if missing:
        *_, number, code, atom = missing[0]
        raise InputError(
            f"'{path}' lacks {len(missing)} of the {len(wanted)} atoms that "
            f"'{selection}' chooses, the first being {atom} of residue {number}{code}; "
            "give a structure of the same molecule, or choose fewer."
        )
    return _whole(found)[[place[key] for key in wanted]]


def _keys(atoms: AtomGroup, by_chain: bool) -> list[tuple[Any, ...]]:
    """Return what tells atoms apart."""
    columns: list[Sequence[Any]] = [
        atoms.resids.tolist(),
        [str(code).strip() for code in _attribute(atoms, "icodes")],
        [str(name) for name in _attribute(atoms, "names")],
    ]
    if by_chain:
        chains = _attribute(atoms, "chainIDs")
        columns.insert(0, chains if any(chains) else _attribute(atoms, "segids"))
    return list(zip(*columns, strict=True))


def _attribute(atoms: AtomGroup, name: str) -> list[str]:
    return list(getattr(atoms, name, [""] * len(atoms)))


def _whole(found: AtomGroup) -> NDArray[np.float64]:
    """Return positions (n, 3), molecules put together across the boundary."""
    box = found.universe.dimensions
    positions = np.asarray(found.positions, dtype=np.float64)
    if box is None or not has_box(box).all():
        return positions
    # the other atoms of the residues hold the chosen ones together
    residues = found.residues.atoms
    structure = Structure.from_atomgroup(residues)
    whole = make_whole(
        structure, residues.positions[None].astype(np.float64), box[None]
    )
    place = {int(ix): i for i, ix in enumerate(residues.ix)}
    chosen: NDArray[np.float64] = whole[0][[place[int(ix)] for ix in found.ix]]
    return chosen
