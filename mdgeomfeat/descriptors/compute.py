"""The baselines behind one function, and the torsions as angles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mdgeomfeat.descriptors.plan import (
    MAX_PAIRS,
    DescriptorPlan,
    check_frames,
    plan_angles,
    plan_descriptors,
)
from mdgeomfeat.structure import make_whole

if TYPE_CHECKING:
    from mdgeomfeat.structure import Structure

__all__ = ["Descriptors", "angles", "compute_descriptors"]


@dataclass(frozen=True, eq=False, kw_only=True)
class Descriptors:
    """A table of descriptors.

    Attributes
    ----------
    kind : str
        One of :data:`KINDS`, or ``angles``.
    values : (F, D) ndarray of float32
        Å for distances and positions, radians for angles.
    names : list of str
        D names, such as ``A:LEU42:phi:sin``.
    note : str
        What was chosen for this structure, in words.
    """

    kind: str
    values: NDArray[np.float32]
    names: list[str]
    note: str


def compute_descriptors(
    kind: str,
    structure: Structure,
    positions: NDArray[np.floating],
    boxes: NDArray[np.floating] | None = None,
    *,
    reference: NDArray[np.floating] | None = None,
    max_pairs: int = MAX_PAIRS,
) -> Descriptors:
    """Describe frames the classical way.

    Hydrogens are left out throughout. Where there is a box, torsions and the distances
    between parts that nothing connects use the minimum image; distances within a part
    are those of the whole molecule.

    Parameters
    ----------
    kind : {"distances", "ca_distances", "dihedrals", "positions"}
        What to compute, see :mod:`mdgeomfeat.descriptors`.
    structure : Structure
        What the atoms are.
    positions : (F, A, 3) ndarray, Å
        Frames. Where there is a box, molecules are put together first.
    boxes : (F, 6) or (6,) ndarray, optional
        Boxes as MDAnalysis gives them: three lengths in Å, three angles in degrees.
    reference : (A, 3) ndarray, Å, optional
        What ``positions`` are superposed on; the first frame if None.
    max_pairs : int
        Most distances to compute; beyond it evenly spaced atoms or tokens are used,
        with a warning.

    Returns
    -------
    Descriptors
        Values, names, and a note on what was chosen.

    Raises
    ------
    InputError
        If the kind is unknown, does not apply to the structure (see
        :func:`applicable`), or the arrays do not fit.

    Examples
    --------
    >>> import MDAnalysis as mda
    >>> from mdgeomfeat import Structure
    >>> from mdgeomfeat.descriptors import compute_descriptors
    >>> from mdgeomfeat.structure import select_atoms
    >>> atoms = select_atoms(mda.Universe("top.pdb"))
    >>> structure = Structure.from_atomgroup(atoms)
    >>> found = compute_descriptors("dihedrals", structure, atoms.positions[None])
    >>> found.values.shape, found.names[:2]
    ((1, 4), ['A:GLY2:phi:sin', 'A:GLY2:phi:cos'])
    """
    positions, boxes = _whole(structure, positions, boxes)
    if reference is None and len(positions):
        reference = positions[0]
    plan = plan_descriptors(kind, structure, reference, max_pairs=max_pairs)
    return _described(plan, positions, boxes)


def angles(
    structure: Structure,
    positions: NDArray[np.floating],
    boxes: NDArray[np.floating] | None = None,
    *,
    side_chains: bool = False,
) -> Descriptors:
    """Measure torsions as angles, see :func:`plan_angles`.

    Parameters
    ----------
    structure, positions, boxes
        As in :func:`compute_descriptors`.
    side_chains : bool
        Add side-chain and glycosidic torsions to those of the main chain.

    Returns
    -------
    Descriptors

    Raises
    ------
    InputError
        If the structure has no such torsion, or the arrays do not fit.

    Examples
    --------
    >>> import MDAnalysis as mda
    >>> from mdgeomfeat import Structure
    >>> from mdgeomfeat.descriptors import angles
    >>> from mdgeomfeat.structure import select_atoms
    >>> atoms = select_atoms(mda.Universe("top.pdb"))
    >>> found = angles(Structure.from_atomgroup(atoms), atoms.positions[None])
    >>> found.names, found.values.shape
    (['A:GLY2:phi', 'A:GLY2:psi'], (1, 2))
    """
    positions, boxes = _whole(structure, positions, boxes)
    first = positions[0] if len(positions) else None
    plan = plan_angles(structure, first, side_chains=side_chains)
    return _described(plan, positions, boxes)


def _whole(
    structure: Structure,
    positions: NDArray[np.floating],
    boxes: NDArray[np.floating] | None,
) -> tuple[NDArray[np.floating], NDArray[np.floating] | None]:
    positions, boxes = check_frames(structure, positions, boxes)
    return make_whole(structure, positions, boxes), boxes


def _described(
    plan: DescriptorPlan,
    positions: NDArray[np.floating],
    boxes: NDArray[np.floating] | None,
) -> Descriptors:
    values = plan.measure(positions, boxes)
    return Descriptors(kind=plan.kind, values=values, names=plan.names, note=plan.note)
