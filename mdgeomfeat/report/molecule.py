"""What a molecule is made of, as far as a drawing of it must know."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

__all__ = ["POCKET", "Drawing", "Molecule", "Role", "drawings", "facing"]

#: Fewer residues in a row than this are drawn with all atoms, not as a ribbon.
RIBBON: Final = 13
#: Residues with an atom this close to a ligand line its pocket, Å.
POCKET: Final = 4.5


class Role(Enum):
    """What kind of residue something is."""

    PROTEIN = "protein"
    NUCLEIC = "nucleic"
    OTHER = "other"


class Drawing(Enum):
    """How a residue is drawn."""

    RIBBON = "ribbon"
    LINING = "lining"
    """A ribbon, and the side chain as a thin stick, since a ligand is near."""
    STICKS = "sticks"
    THIN = "thin"
    """Thin sticks: a loose piece of a chain, such as one that lines a pocket."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Molecule:
    """Atoms with their residues, and what joins them.

    Attributes
    ----------
    names : (A,) ndarray of str
        Of the atoms.
    numbers : (A,) ndarray of int64
        Atomic numbers.
    residue : (A,) ndarray of int64
        Residue of each atom, 0 … R - 1, ascending.
    labels : tuple of R str
        For example ``"A:LEU42"``.
    roles : tuple of R Role
    chain : (R,) ndarray of int64
        Unbroken chain of each residue; those of one chain follow each other.
    bonds : (B, 2) ndarray of int64
    importance : (R,) ndarray or None
        How much each residue matters, 0 to 100; None where it is not known.
    """

    names: NDArray[np.str_]
    numbers: NDArray[np.int64]
    residue: NDArray[np.int64]
    labels: tuple[str, ...]
    roles: tuple[Role, ...]
    chain: NDArray[np.int64]
    bonds: NDArray[np.int64]
    importance: NDArray[np.float64] | None = field(default=None)

    @property
    def n_residues(self) -> int:
        """Number of residues."""
        return len(self.labels)

    @cached_property
    def guide(self) -> NDArray[np.int64]:
        """(R,) the atom that a trace goes through, -1 for what is not a polymer.

        The alpha carbon, or the phosphorus, in its absence the sugar's C4' or O5'.
        """
        found = np.full(self.n_residues, -1, dtype=np.int64)
        for names in (("O5'", "O5*"), ("C4'", "C4*"), ("P",)):
            self._find(found, names, Role.NUCLEIC)
        self._find(found, ("CA",), Role.PROTEIN)
        return found

    def _find(
        self, found: NDArray[np.int64], names: tuple[str, ...], role: Role
    ) -> None:
        atoms = np.flatnonzero(np.isin(self.names, names))
        own = [a for a in atoms.tolist() if self.roles[self.residue[a]] is role]
        found[self.residue[own]] = own

    @cached_property
    def traced(self) -> list[NDArray[np.int64]]:
        """Residues of each unbroken chain that is long enough for a ribbon."""
        guided = np.flatnonzero(self.guide >= 0)
        if not len(guided):
            return []
        breaks = np.flatnonzero(np.diff(self.chain[guided]) != 0) + 1
        return [part for part in np.split(guided, breaks) if len(part) >= RIBBON]

    @cached_property
    def ligand_atoms(self) -> NDArray[np.int64]:
        """Heavy atoms of molecules that are not polymers, without single ones."""
        other = np.array([role is Role.OTHER for role in self.roles], dtype=bool)
        heavy = self.numbers > 1
        several = np.bincount(self.residue[heavy], minlength=self.n_residues) > 1
        return np.flatnonzero((other & several)[self.residue] & heavy)


def facing(points: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the rotation (3, 3) that turns the least extent towards the eye.

    The first two principal axes show the most of the molecule; the third makes them a
    rotation, since a reflection would show its mirror image.

    Parameters
    ----------
    points : (A, 3) array, Å
        Centred.

    Returns
    -------
    (3, 3) ndarray
        ``points @ rotation`` has its largest extent along x and its least along z.
    """
    axes = np.linalg.svd(points.T @ points)[2].T
    axes[:, 2] *= np.sign(np.linalg.det(axes))
    return axes


def drawings(molecule: Molecule, frames: NDArray[np.floating]) -> tuple[Drawing, ...]:
    """Return how every residue is drawn, alike in all frames.

    Parameters
    ----------
    molecule : Molecule
    frames : (n, A, 3) ndarray, Å
        Which residues line a pocket is looked for in these.
    """
    ribbon = np.zeros(molecule.n_residues, dtype=bool)
    for part in molecule.traced:
        ribbon[part] = True
    near = _near_ligands(molecule, frames)
    loose = bool(len(molecule.ligand_atoms))
    drawn = []
    for r, role in enumerate(molecule.roles):
        if ribbon[r]:
            drawn.append(Drawing.LINING if near[r] else Drawing.RIBBON)
        elif role is not Role.OTHER and loose:
            drawn.append(Drawing.THIN)
        else:
            drawn.append(Drawing.STICKS)
    return tuple(drawn)


def _near_ligands(
    molecule: Molecule, frames: NDArray[np.floating]
) -> NDArray[np.bool_]:
    """Return which polymer residues (R,) have a heavy atom close to a ligand."""
    near = np.zeros(molecule.n_residues, dtype=bool)
    ligand = molecule.ligand_atoms
    if not len(ligand):
        return near
    other = np.array([role is Role.OTHER for role in molecule.roles], dtype=bool)
    host = np.flatnonzero(~other[molecule.residue] & (molecule.numbers > 1))
    if not len(host):
        return near
    for frame in frames:
        distance, _ = cKDTree(frame[ligand]).query(
            frame[host], distance_upper_bound=POCKET
        )
        near[molecule.residue[host[np.isfinite(distance)]]] = True
    return near
