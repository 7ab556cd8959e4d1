"""What a choice of atoms leaves out, and the option that adds it."""

from __future__ import annotations

import warnings

import numpy as np

from mdgeomfeat.boxes import box_heights, has_box, lattice_vectors
from mdgeomfeat.errors import MDGeomFeatWarning
from mdgeomfeat.structure.elements import UNKNOWN, element_numbers
from mdgeomfeat.structure.topology import AtomTable

__all__ = ["say_left_out"]

# Atoms nearer than this touch (Å): metals stand 1.9 to 2.9 from what binds them,
# chloride 3.1 to 3.4.
_CONTACT = 3.5
# Ions of the alkali metals and halogens come near a protein by chance; a site that
# holds one shows by several oxygens, nitrogens or sulphurs around it.
_SALT = (3, 11, 19, 37, 55, 9, 17, 35, 53)
_BINDING = (7, 8, 16)
_SITE = 3


def say_left_out(
    table: AtomTable, residues: np.ndarray, atoms: np.ndarray, *, select: str, word: str
) -> None:
    """Name the residues that a choice leaves out and that may belong to it.

    These are residues with several heavy atoms, wherever they are, and single atoms,
    such as zinc, that touch what was chosen.

    Parameters
    ----------
    table : AtomTable
    residues : (R,) ndarray of bool
        What was left out, without water.
    atoms : (A,) ndarray of int64
        What was chosen.
    select : str
        The selection that gave it, to be added to.
    word : str
        What it is called: protein, nucleic acid …
    """
    large = _large(table, residues & (table.residue_size > 1))
    single = _touching(table, residues & (table.residue_size == 1), atoms)
    told = np.concatenate([large, single])
    if not len(told):
        return
    kinds = dict.fromkeys(str(name) for name in table.resnames[told])
    counts = {kind: int((table.resnames[told] == kind).sum()) for kind in kinds}
    listed = ", ".join(f"{kind} ({count})" for kind, count in counts.items())
    added = " or ".join(_selections(table, list(kinds), told))
    warnings.warn(
        f"Only the {word} is analysed; residues left out: {listed}; "
        f'to add them: --select "{select} or {added}".',
        MDGeomFeatWarning,
        stacklevel=6,
    )


def _large(table: AtomTable, residues: np.ndarray) -> np.ndarray:
    """Residues (n,) of those kinds that have several heavy atoms."""
    candidates = np.flatnonzero(residues)
    names = table.resnames[candidates]
    kept = np.zeros(len(candidates), dtype=bool)
    for name in dict.fromkeys(names):
        same = names == name
        atoms = np.flatnonzero(table.residue == candidates[same][0])
        numbers, _ = element_numbers(table, atoms)
        kept |= same & (((numbers > 1) | (numbers == UNKNOWN)).sum() > 1)
    return candidates[kept]


def _touching(table: AtomTable, residues: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Residues (n,) of one heavy atom that touches the chosen atoms."""
    atoms = np.flatnonzero(residues[table.residue])
    numbers, _ = element_numbers(table, atoms)
    atoms, numbers = atoms[numbers > 1], numbers[numbers > 1]
    # Without a name no selection could add it.
    named = table.resnames[table.residue[atoms]] != ""
    atoms, numbers = atoms[named], numbers[named]
    if not len(atoms):
        return np.empty(0, dtype=np.int64)
    around, _ = element_numbers(table, chosen)
    near = _contacts(table, atoms, chosen, np.ones(len(chosen), dtype=bool))
    binding = _contacts(table, atoms, chosen, np.isin(around, _BINDING))
    held = np.where(np.isin(numbers, _SALT), binding >= _SITE, near >= 1)
    touching: np.ndarray = table.residue[atoms[held]]
    return touching


def _contacts(
    table: AtomTable, atoms: np.ndarray, chosen: np.ndarray, of: np.ndarray
) -> np.ndarray:
    """Count the chosen atoms that each of some atoms touches, (n,)."""
    from MDAnalysis.lib.distances import capped_distance

    counts = np.zeros(len(atoms), dtype=np.int64)
    # A first frame without any extent holds no places.
    if table.positions is None or not np.ptp(table.positions, axis=0).any():
        return counts
    box = table.box
    if box is not None and (
        not has_box(box)[0] or box_heights(lattice_vectors(box)).min() < 2 * _CONTACT
    ):
        box = None
    pairs = capped_distance(
        table.positions[atoms],
        table.positions[chosen[of]],
        _CONTACT,
        box=box,
        return_distances=False,
    )
    np.add.at(counts, pairs[:, 0], 1)
    return counts


def _selections(table: AtomTable, kinds: list[str], told: np.ndarray) -> list[str]:
    """Return what selects the residues that are told, and no others of their kind."""
    whole = [
        kind
        for kind in kinds
        if set(np.flatnonzero(table.resnames == kind)) <= set(told)
    ]
    found = [f"(group heavy and resname {' '.join(whole)})"] if whole else []
    for kind in kinds:
        if kind not in whole:
            of_kind = table.resids[told[table.resnames[told] == kind]]
            numbers = " ".join(str(n) for n in np.unique(of_kind))
            found.append(f"(group heavy and resname {kind} and resid {numbers})")
    return found
