"""Which columns describe a structure, and measuring them frame by frame."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

import numpy as np
from MDAnalysis.lib.distances import calc_dihedrals
from numpy.typing import NDArray

from mdgeomfeat.boxes import has_box
from mdgeomfeat.descriptors.distances import (
    PairPlan,
    alpha_carbons,
    atom_names,
    centred_frames,
    plan_ca_distances,
    plan_distances,
)
from mdgeomfeat.descriptors.superpose import superpose
from mdgeomfeat.descriptors.torsions import Torsions, find_torsions
from mdgeomfeat.errors import InputError, MDGeomFeatWarning

if TYPE_CHECKING:
    from mdgeomfeat.structure import Structure

__all__ = [
    "KINDS",
    "MAX_PAIRS",
    "DescriptorPlan",
    "applicable",
    "check_frames",
    "descriptor_width",
    "measure_torsions",
    "plan_angles",
    "plan_descriptors",
]

KINDS: Final = ("distances", "dihedrals", "ca_distances", "positions")

#: Above this many heavy atoms, positions of a protein are those of its alpha carbons.
MAX_POSITIONS: Final = 500
#: All pairs of some 220 residues; wider tables hold little more and cost memory.
MAX_PAIRS: Final = 25_000
#: Frames that are superposed at once, in float64.
_FRAMES: Final = 500


@dataclass(frozen=True, eq=False, kw_only=True)
class DescriptorPlan:
    """Which columns a structure has, ready to measure frames, all at once or in blocks.

    Attributes
    ----------
    kind : str
        One of :data:`KINDS`, or ``angles``.
    names : list of str
        D names, such as ``A:LEU42:phi:sin``.
    note : str
        What was chosen for this structure, in words.
    structure : Structure
    measure : callable
        From checked positions (F, A, 3) and boxes (F, 6) or None to values (F, D).

    Examples
    --------
    >>> import MDAnalysis as mda
    >>> from mdgeomfeat import Structure
    >>> from mdgeomfeat.descriptors import plan_descriptors
    >>> from mdgeomfeat.structure import select_atoms
    >>> u = mda.Universe("top.pdb", "traj.xtc")
    >>> atoms = select_atoms(u)
    >>> plan = plan_descriptors("dihedrals", Structure.from_atomgroup(atoms), None)
    >>> blocks = [plan.compute(atoms.positions[None]) for _ in u.trajectory[:3]]
    >>> [block.shape for block in blocks]
    [(1, 4), (1, 4), (1, 4)]
    """

    kind: str
    names: list[str]
    note: str
    structure: Structure
    measure: Callable[
        [NDArray[np.floating], NDArray[np.floating] | None], NDArray[np.float32]
    ]

    def compute(
        self,
        positions: NDArray[np.floating],
        boxes: NDArray[np.floating] | None = None,
    ) -> NDArray[np.float32]:
        """Measure frames.

        Parameters
        ----------
        positions : (F, A, 3) ndarray, Å
            Frames with whole molecules.
        boxes : (F, 6) or (6,) ndarray, optional
            As in :func:`compute_descriptors`.

        Returns
        -------
        (F, D) ndarray of float32

        Raises
        ------
        InputError
            If the arrays do not fit the structure.
        """
        return self.measure(*check_frames(self.structure, positions, boxes))


def plan_descriptors(
    kind: str,
    structure: Structure,
    reference: NDArray[np.floating] | None,
    *,
    max_pairs: int = MAX_PAIRS,
) -> DescriptorPlan:
    """Choose the columns of a kind of descriptor.

    Parameters
    ----------
    kind, structure, max_pairs
        As in :func:`compute_descriptors`.
    reference : (A, 3) ndarray, Å, or None
        A frame with whole molecules: what ``positions`` are superposed on, and where
        bonds that the topology lacks are looked for.

    Raises
    ------
    InputError
        If the kind is unknown or does not apply to the structure.

    Examples
    --------
    >>> import MDAnalysis as mda
    >>> from mdgeomfeat import Structure
    >>> from mdgeomfeat.descriptors import plan_descriptors
    >>> from mdgeomfeat.structure import select_atoms
    >>> atoms = select_atoms(mda.Universe("top.pdb"))
    >>> plan = plan_descriptors("distances", Structure.from_atomgroup(atoms), None)
    >>> plan.names[0], len(plan.names)
    ('A:ACE1:CH3-A:ACE1:C:d', 36)
    """
    if kind in ("distances", "ca_distances"):
        plan = _plan_pairs(kind, structure, max_pairs)
        note = plan.note
        if plan.dropped:
            note += f", {plan.dropped}"
            warnings.warn(
                f"All pairs would be more than max_pairs={max_pairs} distances: the "
                f"baseline uses {plan.dropped}.",
                MDGeomFeatWarning,
                stacklevel=2,
            )
        return DescriptorPlan(
            kind=kind,
            names=plan.names,
            note=note,
            structure=structure,
            measure=plan.compute,
        )
    if kind == "dihedrals":
        torsions = _need_torsions(find_torsions(structure, reference))
        return DescriptorPlan(
            kind=kind,
            names=[f"{name}:{f}" for name in torsions.names for f in ("sin", "cos")],
            note=f"sine and cosine of {len(torsions)} torsions",
            structure=structure,
            measure=partial(_sines_and_cosines, torsions),
        )
    if kind == "positions":
        atoms, note = _aligned_atoms(structure)
        if reference is None:
            raise InputError(
                "There is no frame to superpose on; give frames or a reference."
            )
        labels = atom_names(structure)
        return DescriptorPlan(
            kind=kind,
            names=[f"{labels[a]}:{axis}" for a in atoms for axis in "xyz"],
            note=note,
            structure=structure,
            measure=partial(_superposed, atoms, np.asarray(reference)[atoms]),
        )
    raise _unknown(kind)


def plan_angles(
    structure: Structure,
    reference: NDArray[np.floating] | None,
    *,
    side_chains: bool = False,
) -> DescriptorPlan:
    """Choose torsions to measure as angles, for colouring maps.

    Parameters
    ----------
    structure, reference
        As in :func:`plan_descriptors`.
    side_chains : bool
        Add side-chain and glycosidic torsions to those of the main chain.

    Returns
    -------
    DescriptorPlan
        Its values are radians in [-pi, pi] (IUPAC sign), its names like
        ``A:LEU42:phi``.

    Raises
    ------
    InputError
        If the structure has no such torsion.
    """
    torsions = find_torsions(structure, reference)
    torsions = _need_torsions(torsions if side_chains else torsions.backbone())
    return DescriptorPlan(
        kind="angles",
        names=list(torsions.names),
        note=f"{len(torsions)} torsions",
        structure=structure,
        measure=partial(_angles, torsions),
    )


def applicable(structure: Structure) -> list[str]:
    """Return the kinds that apply to a structure, in the order of :data:`KINDS`.

    Examples
    --------
    >>> import MDAnalysis as mda
    >>> from mdgeomfeat import Structure
    >>> from mdgeomfeat.descriptors import applicable
    >>> from mdgeomfeat.structure import select_atoms
    >>> applicable(Structure.from_atomgroup(select_atoms(mda.Universe("top.pdb"))))
    ['distances', 'dihedrals', 'positions']
    """
    kinds = ["positions"]
    if len(alpha_carbons(structure)) > 1:
        kinds.append("ca_distances")
    if len(find_torsions(structure)):
        kinds.append("dihedrals")
    if np.count_nonzero(np.asarray(structure.numbers) > 1) > 1:
        kinds.append("distances")
    return kinds[::-1]


def descriptor_width(
    kind: str, structure: Structure, *, max_pairs: int = MAX_PAIRS
) -> int:
    """Return the number of columns D of a kind without computing it.

    Parameters
    ----------
    kind : str
        One of ``KINDS``.
    structure : Structure
    max_pairs : int, optional
        As in :func:`plan_descriptors`.
    """
    if kind in ("distances", "ca_distances"):
        return len(_plan_pairs(kind, structure, max_pairs).pairs)
    if kind == "dihedrals":
        return 2 * len(_need_torsions(find_torsions(structure)))
    if kind == "positions":
        return 3 * len(_aligned_atoms(structure)[0])
    raise _unknown(kind)


def _unknown(kind: str) -> InputError:
    return InputError(
        f"Descriptor {kind!r} is unknown; choose one of {', '.join(KINDS)}."
    )


def _plan_pairs(kind: str, structure: Structure, max_pairs: int) -> PairPlan:
    if kind == "ca_distances":
        plan = plan_ca_distances(structure, max_pairs)
    else:
        plan = plan_distances(structure, max_pairs)
    if plan is None or not len(plan.pairs):
        what = "alpha carbons" if kind == "ca_distances" else "heavy atoms"
        raise InputError(
            f"Descriptor {kind!r} needs at least two {what}, which this selection "
            "lacks; leave it out or select more."
        )
    return plan


def _need_torsions(torsions: Torsions) -> Torsions:
    if not len(torsions):
        raise InputError(
            "The selection has no named backbone or side-chain torsion (residues as "
            "tokens, with standard atom names, are needed); leave 'dihedrals' out."
        )
    return torsions


def _aligned_atoms(structure: Structure) -> tuple[NDArray[np.int64], str]:
    heavy = np.flatnonzero(np.asarray(structure.numbers) > 1)
    alpha = alpha_carbons(structure)
    if len(heavy) > MAX_POSITIONS and len(alpha) > 3:
        return alpha, "alpha carbons superposed on the first frame"
    if not len(heavy):
        heavy = np.arange(structure.n_atoms)
    return heavy, "heavy atoms superposed on the first frame"


def measure_torsions(
    torsions: Torsions,
    positions: NDArray[np.floating],
    boxes: NDArray[np.floating] | None,
) -> NDArray[np.float64]:
    """Return torsions in radians, (F, T) ndarray.

    Where three atoms in a row lie on a line there is no angle. This happens to rounded
    positions of models with soft angles. Such a torsion is given as 0, which is what
    the arctangent of no length is: one of them in thousands of frames must not make the
    others useless.

    Parameters
    ----------
    torsions : Torsions
    positions, boxes
        As :func:`check_frames` returns them.
    """
    values = np.empty((len(positions), len(torsions)))
    for f, (frame, box) in enumerate(centred_frames(positions, boxes)):
        calc_dihedrals(*frame[torsions.atoms.T], box=box, result=values[f])
    values[np.isnan(values)] = 0.0
    return values


def _angles(
    torsions: Torsions,
    positions: NDArray[np.floating],
    boxes: NDArray[np.floating] | None,
) -> NDArray[np.float32]:
    return measure_torsions(torsions, positions, boxes).astype(np.float32)


def _sines_and_cosines(
    torsions: Torsions,
    positions: NDArray[np.floating],
    boxes: NDArray[np.floating] | None,
) -> NDArray[np.float32]:
    phases = measure_torsions(torsions, positions, boxes)
    values = np.empty((len(positions), 2 * len(torsions)), dtype=np.float32)
    values[:, 0::2] = np.sin(phases)
    values[:, 1::2] = np.cos(phases)
    return values


def _superposed(
    atoms: NDArray[np.int64],
    reference: NDArray[np.floating],
    positions: NDArray[np.floating],
    _boxes: NDArray[np.floating] | None,
) -> NDArray[np.float32]:
    values = np.empty((len(positions), 3 * len(atoms)), dtype=np.float32)
    for f in range(0, len(positions), _FRAMES):
        block = positions[f : f + _FRAMES][:, atoms]
        moved = superpose(block, reference)
        values[f : f + _FRAMES] = moved.reshape(len(block), 3 * len(atoms))
    return values


def check_frames(
    structure: Structure,
    positions: NDArray[np.floating],
    boxes: NDArray[np.floating] | None,
) -> tuple[NDArray[np.floating], NDArray[np.floating] | None]:
    """Return positions (F, A, 3) and boxes (F, 6), None where none of them is a box.

    Parameters
    ----------
    structure : Structure
    positions : (F, A, 3) ndarray, Å
    boxes : (F, 6) or (6,) ndarray or None
        Lengths in Å, angles in degrees.

    Raises
    ------
    InputError
        If shapes do not fit the structure.
    """
    positions = np.asarray(positions)
    if positions.ndim != 3 or positions.shape[1:] != (structure.n_atoms, 3):
        raise InputError(
            f"Positions have shape {positions.shape}, but the structure asks for "
            f"(frames, {structure.n_atoms}, 3); give the atoms it was made from."
        )
    if boxes is None:
        return positions, None
    boxes = np.asarray(boxes)
    if boxes.shape not in ((6,), (len(positions), 6)):
        raise InputError(
            f"Boxes have shape {boxes.shape}, but {len(positions)} frames ask for "
            f"({len(positions)}, 6) or (6,)."
        )
    boxes = np.broadcast_to(boxes, (len(positions), 6))
    return positions, boxes if has_box(boxes).any() else None
