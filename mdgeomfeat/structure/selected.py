"""A selection and what its atoms are, from one look at the topology."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mdgeomfeat.structure.selection import pick
from mdgeomfeat.structure.structure import Structure, Tokens
from mdgeomfeat.structure.topology import AtomTable

if TYPE_CHECKING:
    from MDAnalysis.core.groups import AtomGroup
    from MDAnalysis.core.universe import Universe

__all__ = ["select_structure"]


def select_structure(
    universe_or_atomgroup: Universe | AtomGroup,
    select: str | None = None,
    *,
    tokens: Tokens = "residue",
) -> tuple[AtomGroup, Structure]:
    """Pick the atoms to analyse and describe them.

    Parameters
    ----------
    universe_or_atomgroup, select
        As in :func:`~mdgeomfeat.structure.select_atoms`.
    tokens : {"residue", "atom", "molecule"} or (A,) array_like of int
        As in :meth:`Structure.from_atomgroup`.

    Returns
    -------
    atoms : AtomGroup
    structure : Structure

    Raises
    ------
    InputError
        As both of these.
    """
    universe = universe_or_atomgroup.universe
    table = AtomTable.from_universe(universe)
    indices = pick(universe_or_atomgroup, select, table)
    return universe.atoms[indices], Structure.from_table(table, indices, tokens)
