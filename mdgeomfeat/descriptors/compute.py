"""The baselines behind one function, and the torsions as angles."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from MDAnalysis.lib.distances import calc_dihedrals
from numpy.typing import NDArray

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
    "Descriptors",
    "angles",
    "applicable",
    "compute_descriptors",
    "descriptor_width",
]

KINDS: Final = ("distances", "dihedrals", "ca_distances", "positions")

#: Above this many heavy atoms, positions of a protein are those of its alpha carbons.
MAX_POSITIONS: Final = 500
#: All pairs of some 220 residues; wider tables hold little more and cost memory.
MAX_PAIRS: Final = 25_000
#: Frames that are superposed at once, in float64.
_FRAMES: Final = 500


@dataclass(frozen=True, eq=False, kw_only=True)
class Descriptors:
    """A table of descriptors.

    Attributes
    ----------
    kind : str
        One of :data:`KINDS`, or ``angles``.
    values : (F, D) float32 ndarray
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

    Hydrogens are left out throughout. Distances and torsions use the minimum image
    where there is a box.

    Parameters
    ----------
    kind : {"distances", "ca_distances", "dihedrals", "positions"}
        What to compute, see :mod:`mdgeomfeat.descriptors`.
    structure : Structure
        What the atoms are.
    positions : (F, A, 3) ndarray, Å
        Frames with whole molecules.
    boxes : (F, 6) or (6,) ndarray, optional
        Boxes as MDAnalysis gives them: three lengths in Å, three angles in degrees.
    reference : (A, 3) ndarray, Å, optional
        What ``positions`` are superposed on; the first frame if None. Give it when
        the frames come in several calls.
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
    """
    positions, boxes = _check(structure, positions, boxes)
    first = None if not len(positions) else positions[0]
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
        values = plan.compute(positions, boxes)
        return Descriptors(kind=kind, values=values, names=plan.names, note=note)
    if kind == "dihedrals":
        torsions = _need_torsions(find_torsions(structure, first))
        phases = _measure(torsions, positions, boxes)
        values = np.empty((len(positions), 2 * len(torsions)), dtype=np.float32)
        values[:, 0::2] = np.sin(phases)
        values[:, 1::2] = np.cos(phases)
        names = [f"{name}:{f}" for name in torsions.names for f in ("sin", "cos")]
        note = f"sine and cosine of {len(torsions)} torsions"
        return Descriptors(kind=kind, values=values, names=names, note=note)
    if kind == "positions":
        atoms, note = _aligned_atoms(structure)
        if reference is None:
            if first is None:
                raise InputError(
                    "There is no frame to superpose on; give frames or a reference."
                )
            reference = first
        values = np.empty((len(positions), 3 * len(atoms)), dtype=np.float32)
        for f in range(0, len(positions), _FRAMES):
            block = positions[f : f + _FRAMES][:, atoms]
            moved = superpose(block, np.asarray(reference)[atoms])
            values[f : f + _FRAMES] = moved.reshape(len(block), 3 * len(atoms))
        labels = atom_names(structure)
        names = [f"{labels[a]}:{axis}" for a in atoms for axis in "xyz"]
        return Descriptors(kind=kind, values=values, names=names, note=note)
    raise _unknown(kind)


def angles(
    structure: Structure,
    positions: NDArray[np.floating],
    boxes: NDArray[np.floating] | None = None,
    *,
    side_chains: bool = False,
) -> Descriptors:
    """Measure torsions as angles, for colouring maps.

    Parameters
    ----------
    structure, positions, boxes
        As in :func:`compute_descriptors`.
    side_chains : bool
        Add side-chain and glycosidic torsions to those of the main chain.

    Returns
    -------
    Descriptors
        Values in radians in [-pi, pi] (IUPAC sign), names such as ``A:LEU42:phi``.

    Raises
    ------
    InputError
        If the structure has no such torsion, or the arrays do not fit.
    """
    positions, boxes = _check(structure, positions, boxes)
    torsions = find_torsions(structure, positions[0] if len(positions) else None)
    torsions = _need_torsions(torsions if side_chains else torsions.backbone())
    return Descriptors(
        kind="angles",
        values=_measure(torsions, positions, boxes).astype(np.float32),
        names=list(torsions.names),
        note=f"{len(torsions)} torsions",
    )


def applicable(structure: Structure) -> list[str]:
    """Return the kinds that apply to a structure, in the order of :data:`KINDS`."""
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
    """Return the number of columns D of a kind without computing it."""
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


def _measure(
    torsions: Torsions,
    positions: NDArray[np.floating],
    boxes: NDArray[np.floating] | None,
) -> NDArray[np.float64]:
    """Return (F, T) torsions in radians."""
    values = np.empty((len(positions), len(torsions)))
    for f, (frame, box) in enumerate(centred_frames(positions, boxes)):
        calc_dihedrals(*frame[torsions.atoms.T], box=box, result=values[f])
    return values


def _check(
    structure: Structure,
    positions: NDArray[np.floating],
    boxes: NDArray[np.floating] | None,
) -> tuple[NDArray[np.floating], NDArray[np.floating] | None]:
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
    return positions, boxes if np.any(boxes[:, :3]) else None
