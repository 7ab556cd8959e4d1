"""Coordinates that people know, by the names they give them.

========================================  ==============================================
text                                      coordinate
========================================  ==============================================
``phi A:ALA2``                            torsion of a residue, degrees
``distance SELECTION to SELECTION``       between the centres of two groups of atoms, Å
``rmsd SELECTION``                        from the first frame, after superposition, Å
``rmsd SELECTION to FILE``                from the structure in a file
========================================  ==============================================

Selections are MDAnalysis's and choose from the atoms that are analysed.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final, Literal

import numpy as np
from MDAnalysis.lib.distances import minimize_vectors
from numpy.typing import NDArray

from mdgeomfeat.boxes import has_box
from mdgeomfeat.descriptors.plan import check_frames, measure_torsions
from mdgeomfeat.descriptors.reference import read_reference
from mdgeomfeat.descriptors.superpose import superpose
from mdgeomfeat.descriptors.torsions import NAMED, Torsions, find_torsions
from mdgeomfeat.errors import InputError
from mdgeomfeat.structure import make_whole
from mdgeomfeat.text import count, enumerate_words

if TYPE_CHECKING:
    from MDAnalysis.core.groups import AtomGroup

    from mdgeomfeat.structure import Structure

__all__ = ["Coordinate", "CoordinateName", "plan_coordinates", "read_coordinates"]

_FORMS: Final = (
    "'phi A:ALA2', 'distance SELECTION to SELECTION' or 'rmsd SELECTION to FILE'"
)
#: Not the commas in the brackets of a SMARTS pattern.
_COMMA: Final = re.compile(r",(?![^\[\]]*\])")
#: Fewer atoms can be superposed exactly, or have no shape.
_MIN_FITTED: Final = 3
#: Frames that are measured at once, in float64.
_BLOCK: Final = 500

_Measure = Callable[
    [NDArray[np.floating], NDArray[np.floating] | None, NDArray[np.floating]],
    NDArray[np.float64],
]


@dataclass(frozen=True)
class CoordinateName:
    """What a text asks for, before a structure is known.

    Attributes
    ----------
    text : str
        As given, with single spaces.
    kind : {"torsion", "distance", "rmsd"}
    words : tuple of str
        Torsion and residue; two selections; or a selection and, if given, a file.

    Examples
    --------
    >>> from mdgeomfeat.descriptors import CoordinateName
    >>> CoordinateName("phi A:ALA2", "torsion", ("phi", "A:ALA2")).kind
    'torsion'
    """

    text: str
    kind: Literal["torsion", "distance", "rmsd"]
    words: tuple[str, ...]


@dataclass(frozen=True, eq=False, kw_only=True)
class Coordinate:
    """One number for each frame.

    Attributes
    ----------
    name : str
        As its user wrote it.
    kind : {"torsion", "distance", "rmsd"}
    unit : {"degrees", "Å"}
    note : str
        Which atoms it is made of, in words.
    structure : Structure
    function : callable
        From checked positions, boxes and the first frame to values (F,).

    Examples
    --------
    >>> import MDAnalysis as mda
    >>> from mdgeomfeat import Structure
    >>> from mdgeomfeat.descriptors import plan_coordinates
    >>> from mdgeomfeat.structure import select_atoms
    >>> atoms = select_atoms(mda.Universe("top.pdb"))
    >>> structure = Structure.from_atomgroup(atoms)
    >>> (phi,) = plan_coordinates("phi A:GLY2", structure, atoms)
    >>> frames = atoms.positions[None]
    >>> phi.unit, phi.period, phi.measure(frames, None, frames[0]).shape
    ('degrees', (-180.0, 180.0), (1,))
    """

    name: str
    kind: Literal["torsion", "distance", "rmsd"]
    unit: Literal["degrees", "Å"]
    note: str
    structure: Structure
    function: _Measure

    @property
    def period(self) -> tuple[float, float] | None:
        """Where an angle begins and ends, None for what is not periodic."""
        return (-180.0, 180.0) if self.kind == "torsion" else None

    def measure(
        self,
        positions: NDArray[np.floating],
        boxes: NDArray[np.floating] | None,
        first: NDArray[np.floating],
    ) -> NDArray[np.float64]:
        """Measure frames.

        Parameters
        ----------
        positions : (F, A, 3) ndarray, Å
            Frames with whole molecules.
        boxes : (F, 6) or (6,) ndarray or None
            Lengths in Å, angles in degrees.
        first : (A, 3) ndarray, Å
            The frame that RMSDs are measured from, unless from a file.

        Returns
        -------
        (F,) ndarray
            In `unit`; torsions between -180 and 180.

        Raises
        ------
        InputError
            If the arrays do not fit the structure.
        """
        positions, boxes = check_frames(self.structure, positions, boxes)
        return self.function(positions, boxes, first)


def read_coordinates(text: str) -> tuple[CoordinateName, ...]:
    """Read the names of one or two coordinates, separated by a comma.

    Parameters
    ----------
    text : str
        For example ``"phi A:ALA2, psi A:ALA2"``.

    Raises
    ------
    InputError
        If it cannot be understood.

    Examples
    --------
    >>> from mdgeomfeat.descriptors import read_coordinates
    >>> [name.kind for name in read_coordinates("phi A:ALA2, psi A:ALA2")]
    ['torsion', 'torsion']
    >>> read_coordinates("height")
    Traceback (most recent call last):
        ...
    mdgeomfeat.errors.InputError: 'height' is not a coordinate; write 'phi A:ALA2', ...
    """
    parts = [" ".join(part.split()) for part in _COMMA.split(text)]
    if not all(parts):
        raise InputError(
            f"In '{text}' a coordinate is empty; give one or two, such as {_FORMS}, "
            "with a comma between them."
        )
    if len(parts) > 2:
        raise InputError(
            f"'{text}' names {len(parts)} coordinates, and a free energy is drawn over "
            "one or two; name fewer."
        )
    names = tuple(_read(part) for part in parts)
    if len(set(names)) < len(names):
        raise InputError(f"'{text}' names one coordinate twice; leave one of them out.")
    return names


def _read(text: str) -> CoordinateName:
    """Read one name."""
    kind, _, rest = text.partition(" ")
    if kind in NAMED:
        if not rest or " " in rest:
            raise InputError(
                f"'{text}' has to name one residue after '{kind}'; write it as in "
                f"'{kind} A:ALA2'."
            )
        return CoordinateName(text, "torsion", (kind, rest))
    words = tuple(part.strip() for part in f" {rest} ".split(" to "))
    if kind == "distance" and len(words) == 2 and all(words):
        return CoordinateName(text, "distance", words)
    if kind == "distance":
        raise InputError(
            f"'{text}' has to name two selections with 'to' between them; write it as "
            "in 'distance resid 1 to resid 5'."
        )
    if kind == "rmsd" and len(words) <= 2 and all(words):
        return CoordinateName(text, "rmsd", words)
    if kind == "rmsd":
        raise InputError(
            f"'{text}' has to name a selection, and may name a file after 'to'; write "
            "it as in 'rmsd name CA' or 'rmsd name CA to native.pdb'."
        )
    near = difflib.get_close_matches(kind, [*NAMED, "distance", "rmsd"], 1)
    hint = f" (did you mean {near[0]}?)" if near else ""
    raise InputError(
        f"'{text}' is not a coordinate{hint}; write {_FORMS}, with one of these "
        "torsions: "
        f"{', '.join(dict.fromkeys(NAMED))}."
    )


def plan_coordinates(
    text: str, structure: Structure, atoms: AtomGroup
) -> tuple[Coordinate, ...]:
    """Find the atoms of named coordinates.

    Parameters
    ----------
    text : str
        One or two names, see :func:`read_coordinates`.
    structure : Structure
    atoms : AtomGroup
        The same atoms in the same order; selections choose from them, as they are in
        the frame that is loaded.

    Returns
    -------
    tuple of Coordinate

    Raises
    ------
    InputError
        If a torsion is not there, a selection cannot be read or matches no analysed
        atom, or a reference structure does not fit.

    Examples
    --------
    >>> import MDAnalysis as mda
    >>> from mdgeomfeat import Structure
    >>> from mdgeomfeat.descriptors import plan_coordinates
    >>> from mdgeomfeat.structure import select_atoms
    >>> atoms = select_atoms(mda.Universe("top.pdb"))
    >>> text = "distance resid 1 and name C to resid 3 and name N"
    >>> (found,) = plan_coordinates(text, Structure.from_atomgroup(atoms), atoms)
    >>> found.kind, found.unit
    ('distance', 'Å')
    """
    plans = {"torsion": _torsion, "distance": _distance, "rmsd": _rmsd}
    return tuple(plans[n.kind](n, structure, atoms) for n in read_coordinates(text))


def _torsion(
    name: CoordinateName, structure: Structure, atoms: AtomGroup
) -> Coordinate:
    kind = name.words[0]
    box = atoms.universe.dimensions
    boxes = box[None] if box is not None and has_box(box).all() else None
    frame = make_whole(structure, atoms.positions[None], boxes)[0]
    torsions = find_torsions(structure, frame)
    chosen = _find_torsion(name, torsions, structure.token_labels())
    found = Torsions(torsions.atoms[[chosen]], (kind,), (torsions.names[chosen],))
    four = "-".join(str(structure.names[a]) for a in torsions.atoms[chosen])
    return Coordinate(
        name=name.text,
        kind="torsion",
        unit="degrees",
        note=f"torsion {four} of {torsions.names[chosen].rpartition(':')[0]}",
        structure=structure,
        function=partial(_degrees, found),
    )


def _find_torsion(name: CoordinateName, torsions: Torsions, labels: list[str]) -> int:
    """Return which torsion has a name; the chain may be left out if there is one."""
    kind, residue = name.words
    owners = [t.rpartition(":")[0] for t in torsions.names]
    same = [label for label in labels if residue in (label, label.rpartition(":")[2])]
    if not same:
        near = difflib.get_close_matches(residue, labels, 3, 0.5) or labels[:3]
        raise InputError(
            f"'{name.text}' names a residue that is not analysed; what comes nearest "
            f"is {', '.join(near)}."
        )
    if len(same) > 1:
        raise InputError(
            f"'{name.text}' may mean {enumerate_words(same)}; write one of them."
        )
    for i, owner in enumerate(owners):
        if owner == same[0] and torsions.kinds[i] == kind:
            return i
    own = [k for k, o in zip(torsions.kinds, owners, strict=True) if o == same[0]]
    has = f"has {enumerate_words(own)}" if own else "has no torsion with a name"
    others = [o for k, o in zip(torsions.kinds, owners, strict=True) if k == kind]
    also = f" ({kind} is in {', '.join(others[:3])})" if others else ""
    raise InputError(f"'{name.text}' is not there: {same[0]} {has}{also}.")


def _degrees(
    torsion: Torsions,
    positions: NDArray[np.floating],
    boxes: NDArray[np.floating] | None,
    _first: NDArray[np.floating],
) -> NDArray[np.float64]:
    return np.degrees(measure_torsions(torsion, positions, boxes)[:, 0])


def _distance(
    name: CoordinateName, structure: Structure, atoms: AtomGroup
) -> Coordinate:
    one, other = (_chosen(name, part, atoms) for part in name.words)
    if set(one) == set(other):
        raise InputError(
            f"The two selections of '{name.text}' are the same atoms, so their "
            "distance is always 0 Å; choose others."
        )
    parts = np.unique(np.asarray(structure.component)[np.union1d(one, other)])
    return Coordinate(
        name=name.text,
        kind="distance",
        unit="Å",
        note=f"distance between the centres of {count(len(one), 'atom')} and "
        f"{count(len(other), 'atom')}",
        structure=structure,
        # within a molecule it is that of the whole molecule, as for all distances here
        function=partial(_apart, one, other, len(parts) > 1),
    )


def _apart(
    one: NDArray[np.int64],
    other: NDArray[np.int64],
    across: bool,
    positions: NDArray[np.floating],
    boxes: NDArray[np.floating] | None,
    _first: NDArray[np.floating],
) -> NDArray[np.float64]:
    vectors = np.empty((len(positions), 3))
    for f in range(0, len(positions), _BLOCK):
        block = positions[f : f + _BLOCK].astype(np.float64)
        vectors[f : f + _BLOCK] = block[:, other].mean(1) - block[:, one].mean(1)
    if across and boxes is not None:
        for f in np.flatnonzero(has_box(boxes)).tolist():
            box = np.asarray(boxes[f], dtype=np.float32)
            vectors[f] = minimize_vectors(vectors[f][None], box)[0]
    lengths: NDArray[np.float64] = np.linalg.norm(vectors, axis=1)
    return lengths


def _rmsd(name: CoordinateName, structure: Structure, atoms: AtomGroup) -> Coordinate:
    chosen = _chosen(name, name.words[0], atoms)
    if len(chosen) < _MIN_FITTED:
        raise InputError(
            f"'{name.text}' chooses {count(len(chosen), 'atom')}, and an RMSD after "
            f"superposition needs at least {_MIN_FITTED}; choose more, or a distance."
        )
    reference, where = None, "the first frame"
    if len(name.words) > 1:
        reference = read_reference(name.words[1], name.words[0], atoms[chosen])
        where = f"'{name.words[1]}'"
    return Coordinate(
        name=name.text,
        kind="rmsd",
        unit="Å",
        note=f"RMSD of {count(len(chosen), 'atom')} from {where}, after superposition",
        structure=structure,
        function=partial(_deviation, chosen, reference),
    )


def _deviation(
    chosen: NDArray[np.int64],
    reference: NDArray[np.float64] | None,
    positions: NDArray[np.floating],
    _boxes: NDArray[np.floating] | None,
    first: NDArray[np.floating],
) -> NDArray[np.float64]:
    target = first[chosen] if reference is None else reference
    target = np.asarray(target, dtype=np.float64)
    centred = target - target.mean(axis=0)
    values = np.empty(len(positions))
    for f in range(0, len(positions), _BLOCK):
        fitted = superpose(positions[f : f + _BLOCK][:, chosen], target)
        square = ((fitted - centred) ** 2).sum(axis=2)
        values[f : f + _BLOCK] = np.sqrt(square.mean(axis=1))
    return values


def _chosen(
    name: CoordinateName, selection: str, atoms: AtomGroup
) -> NDArray[np.int64]:
    """Return the places among the analysed atoms that a selection chooses."""
    try:
        found = atoms.select_atoms(selection)
        everywhere = atoms.universe.select_atoms(selection)
    except Exception as error:  # the parser raises whatever it stumbles over
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(
            f"In '{name.text}', '{selection}' is not a selection that MDAnalysis "
            f"understands ({reason}); write one like 'resid 5 and name CA'."
        ) from error
    if not len(found):
        if len(everywhere):
            raise InputError(
                f"'{selection}' in '{name.text}' matches "
                f"{count(len(everywhere), 'atom')}, none of which is analysed; choose "
                "others, or add them with --select."
            )
        raise InputError(
            f"'{selection}' in '{name.text}' matches no atom; choose others."
        )
    place = {int(ix): i for i, ix in enumerate(atoms.ix)}
    return np.array(sorted(place[int(ix)] for ix in found.ix), dtype=np.int64)
