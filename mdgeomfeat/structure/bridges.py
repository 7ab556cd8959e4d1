"""Bonds that bridge a gap: residues that follow in a file are not always joined.

mdtraj and OpenMM join every residue of a chain with the next, from their names alone,
also where residues are missing between them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import mdtraj

__all__ = ["JOINT", "bonded_by_name", "without_bridges"]

#: Longest C-N or O3'-P that joins two residues, Å.
JOINT = 2.5
# Where the column of a file is full, residue numbers begin anew.
_WRAPS = (10_000, 100_000)


def without_bridges(
    bonds: np.ndarray,
    names: np.ndarray,
    residue: np.ndarray,
    resids: np.ndarray,
    positions: np.ndarray | None,
    box: np.ndarray | None,
    *,
    guessed: bool,
) -> np.ndarray:
    """Leave out bonds C-N and O3'-P between residues that are not neighbours.

    Parameters
    ----------
    bonds : (B, 2) ndarray of int64
    names : (A,) ndarray of str
    residue : (A,) ndarray of int64
        Residue of each atom.
    resids : (R,) ndarray of int64
    positions : (A, 3) ndarray of float64 or None
        Å, of the first frame, which decides: by the nearest image in its box.
    box : (6,) ndarray of float64 or None
    guessed : bool
        Whether the bonds were guessed. Stated ones are believed without positions,
        and across any distance where the numbers follow on and no box is known, as a
        box may have torn the chain.

    Returns
    -------
    (B', 2) int64 array
    """
    joint = _joints(names[bonds]) & (residue[bonds[:, 0]] != residue[bonds[:, 1]])
    rows = np.flatnonzero(joint)
    if not len(rows):
        return bonds
    first, second = bonds[rows].min(axis=1), bonds[rows].max(axis=1)
    follows = _follows(resids[residue[second]] - resids[residue[first]])
    if positions is not None:
        from MDAnalysis.lib.distances import calc_bonds

        far = calc_bonds(positions[first], positions[second], box=box) >= JOINT
        if box is None and not guessed:
            far &= ~follows
    elif guessed:
        far = ~follows
    else:
        return bonds
    return np.delete(bonds, rows[far], axis=0)


def bonded_by_name(topology: mdtraj.Topology) -> bool:
    """Whether the bonds of an mdtraj topology may be mdtraj's own guess.

    Topologies do not tell where their bonds are from. Those of a force field also join
    atoms of proteins whose names mdtraj does not know; disulfides, which it finds by
    distance, are no evidence.
    """
    import mdtraj

    bare = mdtraj.Topology()
    twin = {}
    for chain in topology.chains:
        copy = bare.add_chain()
        for residue in chain.residues:
            if not (residue.is_protein or residue.is_nucleic):
                continue
            other = bare.add_residue(residue.name, copy, residue.resSeq)
            for atom in residue.atoms:
                twin[atom.index] = bare.add_atom(atom.name, atom.element, other).index
    bare.create_standard_bonds()
    standard = {frozenset((a.index, b.index)) for a, b in bare.bonds}
    return all(
        frozenset((twin[a.index], twin[b.index])) in standard
        for a, b in topology.bonds
        if a.index in twin and b.index in twin and not a.name == b.name == "SG"
    )


def _joints(pairs: np.ndarray) -> np.ndarray:
    """Which pairs of names (B, 2) are those of a peptide or phosphate bond."""
    found = np.zeros(len(pairs), dtype=bool)
    for one, two in (("C", "N"), ("O3'", "P"), ("O3*", "P")):
        for a, b in ((one, two), (two, one)):
            found |= (pairs[:, 0] == a) & (pairs[:, 1] == b)
    return found


def _follows(step: np.ndarray) -> np.ndarray:
    follows: np.ndarray = (step == 0) | (step == 1)
    for size in _WRAPS:
        follows |= step == 1 - size
    return follows
