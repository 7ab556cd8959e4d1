"""The selected atoms as a drawing needs them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial import cKDTree

from mdgeomfeat.radii import bond_lengths
from mdgeomfeat.report.molecule import Molecule, Role
from mdgeomfeat.structure import Structure

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mdgeomfeat.structure.topology import AtomTable

__all__ = ["by_residue", "describe_molecule"]

#: How far a bond may be stretched, and the longest that any elements make, Å.
_STRETCH, _LONGEST = 1.25, 3.0


def by_residue(table: AtomTable, structure: Structure) -> Structure:
    """Return the structure with a token for each residue, itself if it is like that.

    Parameters
    ----------
    table : AtomTable
        Of the same atoms only.
    structure : Structure
    """
    if np.array_equal(table.residue, structure.token_of_atom):
        return structure
    return Structure.from_table(table, np.arange(structure.n_atoms), "residue")


def describe_molecule(
    table: AtomTable,
    structure: Structure,
    residues: Structure,
    importance: NDArray[np.floating] | None = None,
) -> Molecule:
    """Return residues, their kinds and the bonds of selected atoms.

    Parameters
    ----------
    table : AtomTable
        Of the selected atoms only, whole; bonds that the topology does not state are
        looked for in its positions.
    structure : Structure
        The same atoms.
    residues : Structure
        The same atoms with a token for each residue.
    importance : (N,) array, optional
        How much each token of the structure matters. Residues get that of the token
        which matters most in them.
    """
    rows = table.residue[np.unique(residues.token_of_atom, return_index=True)[1]]
    roles = [
        Role.PROTEIN if protein else Role.NUCLEIC if nucleic else Role.OTHER
        for protein, nucleic in zip(
            table.is_protein[rows], table.is_nucleic[rows], strict=True
        )
    ]
    of_residue = None
    if importance is not None:
        of_residue = np.zeros(residues.n_tokens)
        values = np.asarray(importance)[structure.token_of_atom]
        np.maximum.at(of_residue, residues.token_of_atom, values)
    assert table.positions is not None
    return Molecule(
        names=np.asarray(structure.names),
        numbers=np.asarray(structure.numbers),
        residue=np.asarray(residues.token_of_atom),
        labels=tuple(residues.token_labels()),
        roles=tuple(roles),
        chain=np.asarray(residues.chain),
        bonds=_bonds(structure, table.positions),
        importance=of_residue,
    )


def _bonds(structure: Structure, positions: NDArray[np.floating]) -> NDArray[np.int64]:
    """Return stated bonds and those that distances suggest, each once.

    Files often state some bonds only, such as those of caps.
    """
    numbers = np.asarray(structure.numbers)
    pairs = cKDTree(positions).query_pairs(_LONGEST, output_type="ndarray")
    apart = np.linalg.norm(positions[pairs[:, 0]] - positions[pairs[:, 1]], axis=1)
    near = pairs[apart < _STRETCH * bond_lengths(numbers, pairs)]
    # metals and ions touch much that they are not bonded to
    organic = np.isin(numbers, [1, 5, 6, 7, 8, 9, 14, 15, 16, 17, 34, 35, 53])
    bonds = near[organic[near].all(axis=1)]
    if structure.bonds is not None:
        bonds = np.vstack([bonds, structure.bonds])
    return np.unique(np.sort(bonds, axis=1), axis=0).astype(np.int64)
