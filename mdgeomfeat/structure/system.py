"""All atoms of a topology, solvent included, with no molecule cut by the box."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mdgeomfeat.boxes import has_box
from mdgeomfeat.errors import MDGeomFeatWarning
from mdgeomfeat.structure.elements import element_numbers
from mdgeomfeat.structure.selection import solute
from mdgeomfeat.structure.structure import Structure, make_whole
from mdgeomfeat.structure.topology import AtomTable

if TYPE_CHECKING:
    from MDAnalysis.core.universe import Universe

__all__ = ["WholeSystem"]


class WholeSystem:
    """Which atoms a system has, and where they go so that nothing is cut.

    The solute is put together as :func:`~mdgeomfeat.structure.make_whole` does. Every
    residue of the solvent goes as a whole to the image that is nearest to the solute's
    centre, so that a full box of it surrounds the solute.

    Parameters
    ----------
    universe : Universe
    solvent : bool
        Whether water, common co-solvents and single ions belong to it.

    Attributes
    ----------
    indices : (n,) ndarray of int64
        The atoms of the system, ascending.
    """

    indices: NDArray[np.int64]

    def __init__(self, universe: Universe, *, solvent: bool = True) -> None:
        table = AtomTable.from_universe(universe)
        inside = solute(table)[table.residue]
        every = np.arange(table.n_atoms)
        self.indices = every if solvent or not inside.any() else every[inside]
        with warnings.catch_warnings():
            # what is guessed of the analysed atoms has been said already
            warnings.simplefilter("ignore", MDGeomFeatWarning)
            numbers, _ = element_numbers(table, every)
            # virtual sites follow the atoms of their residue
            found = np.flatnonzero(inside & (numbers > 0))
            self._solute = (
                Structure.from_table(table, found, "residue") if len(found) else None
            )
        self._found = found
        self._anchor = _anchors(table.residue, found)

    def place(
        self, positions: NDArray[np.floating], box: NDArray[np.floating] | None
    ) -> NDArray[np.float64]:
        """Return the positions (n, 3) of the system's atoms, Å, with nothing cut.

        Parameters
        ----------
        positions : (A, 3) array, Å
            Of all atoms of the topology.
        box : (6,) array or None
            Lengths in Å, angles in degrees; without one nothing is moved.
        """
        from MDAnalysis.lib.distances import minimize_vectors

        old = np.asarray(positions, dtype=np.float64)
        if box is None or not has_box(box).all():
            return old[self.indices]
        box = np.asarray(box, dtype=np.float32)
        new = old.copy()
        if self._solute is not None:
            placed = make_whole(self._solute, old[None, self._found], box[None])
            new[self._found] = placed[0]
        centre = new[self._found].mean(axis=0) if len(self._found) else box[:3] / 2
        first = np.setdiff1d(self._anchor, self._found)
        new[first] = centre + minimize_vectors(old[first] - centre, box)
        rest = np.setdiff1d(np.arange(len(old)), np.union1d(first, self._found))
        anchor = self._anchor[rest]
        new[rest] = new[anchor] + minimize_vectors(old[rest] - old[anchor], box)
        return new[self.indices]


def _anchors(residue: NDArray[np.int64], found: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return for each atom that of its residue which has its place before it."""
    order = np.concatenate([found, np.setdiff1d(np.arange(len(residue)), found)])
    _, first = np.unique(residue[order], return_index=True)
    return order[first][residue]
