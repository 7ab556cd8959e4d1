"""One look at distances: whether these positions can be those of these atoms, in Å.

Programs keep positions in nm, Bohr or box lengths, and write atoms in an order of their
own. Nothing in a file of positions tells, and features of such frames look like any
others. What gives them away are the distances between atoms that bonds or names join,
and between any atom and its nearest.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from MDAnalysis.lib.distances import minimize_vectors, self_capped_distance
from scipy.spatial import cKDTree

from mdgeomfeat.boxes import has_box
from mdgeomfeat.errors import InputError, MDGeomFeatWarning, sentence
from mdgeomfeat.radii import bond_lengths
from mdgeomfeat.structure.elements import SYMBOLS
from mdgeomfeat.structure.joints import (
    LOCAL,
    Joints,
    find_joints,
    following_alphas,
    residue_of_atom,
)
from mdgeomfeat.structure.swaps import Places, find_swap, stretched

if TYPE_CHECKING:
    from mdgeomfeat.structure.structure import Structure

__all__ = ["Finding", "check_positions", "look_at"]

# The shortest bond there is, H-H, has 0.74 Å, and the usual distance to the nearest
# atom lies between 0.96 Å (water with hydrogens) and 3.8 Å (CA atoms alone) in Å, so
# between 0.10 and 0.38 in nm.
_TOO_NEAR = 0.5
# Nearer than this, two atoms stand on one place (XTC rounds to 0.01 Å), and than the
# next, they overlap, which only built and not yet relaxed structures do: none of the
# published structures and simulations that were looked at has atoms under 0.7 Å, one of
# several alternate locations having been chosen.
_SAME_PLACE = 0.015
_CLASH = 0.5
_NM, _BOHR = 0.1, 1 / 0.529177
# Bonds that are all longer or shorter by one factor have another unit. Thermal motion
# spreads lengths by 3 %; force fields and double bonds differ from the sum of radii by
# up to 20 %.
_SCALED = (0.7, 1.4)
_SAME_FACTOR = 1.6
_LIKE = 0.15
# Shares of joined pairs that lie apart: of none in a sound frame. Wrong orders part
# most of them, a single bad bond of a topology few.
_MOST = 0.1
# A pair that a boundary parts is about a box length apart, by one of 26 vectors of the
# lattice, or 13 and their opposites, to within two bonds. Atoms in another order are
# apart by any distance, and fewer than half of the pairs stay joined.
_FACE = 7.0
_FAR_FACE = 500.0
_SAME_VECTOR = 4.0
_FACES = 13
_ODD = (
    "a bond may be wrong in the topology, atoms may be in another order, or have flown "
    "away"
)
# No bond between atoms other than metals is longer, even stretched.
_BONDED = 3.0
# CA atoms of neighbours in a chain are 3.8 Å apart, or 2.9 Å across a cis bond.
_ALPHAS = 6.0


class Finding(NamedTuple):
    """Something that is wrong or odd with the positions of a frame.

    Attributes
    ----------
    kind : str
        ``"unit"``, ``"same place"``, ``"order"``, ``"exploded"``, ``"torn"``,
        ``"apart"`` or ``"near"``.
    fatal : bool
        Whether the positions cannot be right.
    words : str
        What was measured, between which atoms, and what to do.
    """

    kind: str
    fatal: bool
    words: str


def check_positions(
    structure: Structure,
    frames: Iterable[tuple[str, np.ndarray, np.ndarray | None]],
    *,
    periodic: bool,
    allow: bool,
) -> None:
    """Refuse positions that cannot be right, and warn of odd ones.

    Parameters
    ----------
    structure : Structure
    frames : iterable of (where, (A, 3) ndarray, (6,) ndarray or None)
        Words for a frame, positions in Å, lengths and angles of its box.
    periodic : bool
        Whether the box is used.
    allow : bool
        Only warn.

    Raises
    ------
    InputError
        If positions cannot be right, unless that is allowed.
    """
    joints = find_joints(structure)
    said: dict[str, str] = {}
    more: dict[str, int] = {}
    for where, positions, box in frames:
        for finding in look_at(structure, positions, box, periodic, joints):
            if finding.fatal and not allow:
                raise InputError(
                    f"In {where} {finding.words}, or accept the positions with "
                    "allow_implausible=True (--allow-implausible)."
                )
            if finding.kind in said:
                more[finding.kind] = more.get(finding.kind, 0) + 1
            said.setdefault(finding.kind, f"in {where} {finding.words}")
    for kind, words in said.items():
        others = more.get(kind, 0)
        also = f" ({others} more of the frames looked at are like it)" * bool(others)
        warnings.warn(sentence(words + also), MDGeomFeatWarning, stacklevel=3)


def look_at(
    structure: Structure,
    positions: np.ndarray,
    box: np.ndarray | None,
    periodic: bool,
    joints: Joints | None = None,
) -> list[Finding]:
    """Return what is wrong or odd with one frame.

    Parameters
    ----------
    structure : Structure
    positions : (A, 3) ndarray, Å
    box : (6,) ndarray or None
        Lengths in Å, angles in degrees.
    periodic : bool
        Whether the box is used.
    joints : Joints, optional
        Of the structure, where they are known already.
    """
    if structure.n_atoms < 2:
        return []
    joints = find_joints(structure) if joints is None else joints
    x = np.asarray(positions, dtype=np.float64)
    box = box if box is not None and has_box(box).all() else None
    frame = _Frame(structure, x, box if periodic else None, box, joints)
    unit = frame.unit()
    if unit is not None:
        return [unit]
    found = frame.coincidences()
    if not any(finding.fatal for finding in found):
        found += frame.parted()
    return found


class _Frame:
    """The distances of one frame.

    Parameters
    ----------
    structure : Structure
    x : (A, 3) ndarray of float64, Å
    used, there : (6,) ndarray or None
        The box that is used, and the one that the file has.
    joints : Joints
    """

    def __init__(
        self,
        structure: Structure,
        x: np.ndarray,
        used: np.ndarray | None,
        there: np.ndarray | None,
        joints: Joints,
    ) -> None:
        self.structure, self.x, self.joints = structure, x, joints
        self.used, self.there = used, there
        self.vectors = self._between(joints.pairs, used)
        self.apart = np.linalg.norm(self.vectors, axis=1)
        distances, neighbours = cKDTree(x).query(x, k=2)
        self.near, self.nearest = distances[:, 1], neighbours[:, 1]

    def _between(self, pairs: np.ndarray, box: np.ndarray | None) -> np.ndarray:
        vectors: np.ndarray = self.x[pairs[:, 1]] - self.x[pairs[:, 0]]
        if box is None or not len(vectors):
            return vectors
        shortest: np.ndarray = minimize_vectors(
            vectors, np.asarray(box, dtype=np.float32)
        )
        return shortest

    def _names(self, pair: Iterable[int]) -> str:
        return " and ".join(_atom(self.structure, int(i)) for i in pair)

    def unit(self) -> Finding | None:
        """Tell whether all distances are too large or too small by one factor."""
        factor, pair, measured = self._factor()
        if factor is None:
            return None
        what = f"{self._names(pair)} lie {measured:.3g} Å apart"
        inside = self.x.min() > -_LIKE and self.x.max() < 1 + _LIKE
        if abs(factor / _NM - 1) < _LIKE:
            why = "all distances are ten times too small, as positions in nm are"
            remedy = "multiply positions (and boxes) by 10"
        elif abs(factor / _BOHR - 1) < _LIKE:
            why = "all distances are 1.89 times too large, as positions in Bohr are"
            remedy = "multiply positions (and boxes) by 0.529177"
        elif inside and factor < _NM:
            why = "all positions lie between 0 and 1, as shares of a box length do"
            remedy = "multiply them by the box vectors"
        else:
            why = f"all distances are {factor:.2g} times what they should be"
            remedy = "give positions in Å"
        return Finding("unit", True, f"{what}, and {why}; {remedy}")

    def _factor(self) -> tuple[float | None, tuple[int, int], float]:
        """Return by what factor distances are off, None for none, and a pair."""
        usual = float(np.median(self.near))
        if len(self.apart) > 2:
            ratio = self.apart / self.joints.length
            low, factor, high = np.quantile(ratio, [0.1, 0.5, 0.9])
            same = high <= _SAME_FACTOR * low
            if factor > _SCALED[1]:
                same &= self._far_from_all(factor)
            if same and not _SCALED[0] < factor < _SCALED[1] and factor > 0:
                at = int(np.argmin(np.abs(ratio - factor)))
                return float(factor), tuple(self.joints.pairs[at]), self.apart[at]
        at = int(np.argmin(np.abs(self.near - usual)))
        pair = at, int(self.nearest[at])
        ratio = self.near / bond_lengths(self.structure.numbers, self._nearest_pairs)
        if 0 < usual < _TOO_NEAR:
            return float(ratio[at]), pair, usual
        # Every H and C of a molecule has a bond, and here none may be known.
        organic = ratio[np.isin(self.structure.numbers, (1, 6))]
        bohr = (
            len(organic) > 2
            and (np.abs(np.quantile(organic, [0.1, 0.9]) / _BOHR - 1) < _LIKE).all()
        )
        return _BOHR if bohr and len(self.apart) <= 2 else None, pair, usual

    def _far_from_all(self, factor: float) -> bool:
        """Tell whether joined atoms are as far from any other as from each other.

        In another unit, the nearest is the one that an atom is joined to. In another
        order, joined atoms may all happen to lie some 2.5 Å apart, with others between.
        """
        atoms = np.unique(self.joints.pairs)
        ratio = self.near / bond_lengths(self.structure.numbers, self._nearest_pairs)
        return bool(abs(np.median(ratio[atoms]) / factor - 1) < _LIKE)

    @property
    def _nearest_pairs(self) -> np.ndarray:
        return np.column_stack([np.arange(len(self.x)), self.nearest])

    def coincidences(self) -> list[Finding]:
        """Find atoms that stand on the same place, or nearly so."""
        pairs, distances = self_capped_distance(
            self.x, max_cutoff=_CLASH, box=self.used, return_distances=True
        )
        if not len(pairs):
            return []
        at = int(np.argmin(distances))
        what = f"{self._names(pairs[at])} lie {distances[at]:.2f} Å apart"
        if len(pairs) > 1:
            what += f", and {len(pairs):,} pairs under {_CLASH:g} Å"
        if distances[at] >= _SAME_PLACE:
            return [Finding("near", False, f"{what}, which is rare")]
        remedy = (
            "no two atoms can be in the same place; check that the frame was written "
            "whole, leave out the copies with a selection (select=, --select)"
        )
        return [Finding("same place", True, f"{what}, and {remedy}")]

    def parted(self) -> list[Finding]:
        """Find atoms that bonds or names join and that lie apart."""
        broken = self._broken()
        if (swapped := self._swapped(broken)) is not None:
            return [swapped]
        n = int(broken.sum())
        if not n:
            # Too long for bonds, and no exchange of two atoms explains it.
            long = (self.joints.kind >= 0) & (self.apart > LOCAL)
            if long.any():
                return [Finding("apart", False, f"{self._far(long)}; {_ODD}")]
            return self._out_of_sequence()
        what = self._far(broken)
        if self.used is None and (torn := self._torn(broken)) is not None:
            return [Finding("torn", False, f"{what}; {torn}")]
        share = n / len(broken)
        if share < _MOST or (n < 3 and share <= 0.5):
            return [Finding("apart", False, f"{what}; {_ODD}")]
        atoms = np.unique(self.joints.pairs[broken])
        length = float(np.median(self.joints.length[broken]))
        if np.median(self.near[atoms]) > _SCALED[1] * length:
            text = "the molecule has blown apart; leave out this frame and those after"
            return [Finding("exploded", True, f"{what}, and {text}")]
        text = (
            "every atom has others near it, so the frame has its atoms in another "
            "order than the topology; give the topology that it was written with"
        )
        return [Finding("order", True, f"{what}, but {text}")]

    def _far(self, pairs: np.ndarray) -> str:
        """Name the worst of joined pairs (B,) that lie apart, and count them."""
        worst = int(np.argmax(np.where(pairs, self.apart, 0.0)))
        return (
            f"{self._names(self.joints.pairs[worst])} lie {self.apart[worst]:,.1f} Å "
            f"apart ({np.count_nonzero(pairs):,} of the {len(pairs):,} pairs that "
            "bonds or names join lie too far apart)"
        )

    def _swapped(self, broken: np.ndarray) -> Finding | None:
        """Tell whether two atoms stand in each other's place."""
        bad = broken | stretched(self.joints, self.apart, self.structure.numbers)
        places = Places(
            self.structure.numbers,
            residue_of_atom(self.structure),
            lambda pairs: np.linalg.norm(self._between(pairs, self.used), axis=1),
        )
        close = self_capped_distance(
            self.x, max_cutoff=_BONDED, box=self.used, return_distances=False
        )
        # tokens of atoms without names are anything, and need not hang together
        named = (np.asarray(self.structure.names) != "").any()
        strays = places.strays(close) if named else np.empty(0, dtype=np.int64)
        if not bad.any() and len(strays) < 2:
            return None
        pair = find_swap(self.joints, bad, strays, places)
        if pair is None:
            return None
        if bad.any():
            worst = int(np.argmax(np.where(bad, self.apart / self.joints.length, 0)))
            what = (
                f"{self._names(self.joints.pairs[worst])} lie "
                f"{self.apart[worst]:,.2f} Å apart"
            )
        else:
            fellows = places.fellows(pair[0])
            pairs = np.column_stack([np.full(len(fellows), pair[0]), fellows])
            what = (
                f"{self._names(pair[:1])} lies {places.measure(pairs).min():,.1f} Å "
                "from the nearest other atom of its residue"
            )
        return Finding(
            "order",
            True,
            f"{what}, and {self._names(pair)} stand in each other's place; give the "
            "topology that the frame was written with",
        )

    def _broken(self) -> np.ndarray:
        """Tell which joined pairs (B,) lie apart."""
        broken: np.ndarray = self.apart > self.joints.limit
        for kind in range(self.joints.kind.max(initial=-1) + 1):
            alike = self.joints.kind == kind
            if alike.sum() > 2 and np.median(self.apart[alike]) > LOCAL:
                broken |= alike & (self.apart > LOCAL)
        return broken

    def _torn(self, broken: np.ndarray) -> str | None:
        """Say how a box parts what is broken, None if none can."""
        pairs, limit = self.joints.pairs[broken], self.joints.limit[broken]
        if self.there is not None:
            whole = np.linalg.norm(self._between(pairs, self.there), axis=1) <= limit
            if whole.mean() < 1 - _MOST:
                return None
            return "the molecule is wrapped into its box, which is not used here"
        apart = self.apart[broken]
        if apart.min() < _FACE or apart.max() > _FAR_FACE or broken.mean() > 0.5:
            return None
        if _count_alike(self.vectors[broken]) > _FACES:
            return None
        return (
            "the chain is broken as if wrapped, but there is no box; make molecules "
            "whole, or give files with the box"
        )

    def _out_of_sequence(self) -> list[Finding]:
        """Find residues that follow by their numbers and lie elsewhere."""
        pairs = following_alphas(self.structure)
        apart = np.linalg.norm(self._between(pairs, self.there), axis=1)
        far = apart > _ALPHAS
        if far.sum() < 3 or far.mean() <= 0.5:
            return []
        at = int(np.argmax(apart))
        return [
            Finding(
                "order",
                False,
                f"{self._names(pairs[at])} lie {apart[at]:,.1f} Å apart, and so do "
                f"most residues whose numbers follow ({far.sum()} of {len(far)}); "
                "check that the topology has the residues in the order of the frames",
            )
        ]


def _count_alike(vectors: np.ndarray) -> int:
    """Count vectors (n, 3) that differ, whichever way they point."""
    kinds: list[np.ndarray] = []
    for v in vectors:
        if not any(
            min(np.linalg.norm(v - k), np.linalg.norm(v + k)) < _SAME_VECTOR
            for k in kinds
        ):
            kinds.append(v)
    return len(kinds)


def _atom(structure: Structure, atom: int) -> str:
    """Name an atom for people."""
    row = structure.tokens[structure.token_of_atom[atom]]
    name = structure.names[atom] or SYMBOLS[structure.numbers[atom]]
    if not row["resname"]:
        return f"{name} (index {structure.indices[atom]})"
    chain = row["chainID"] or row["segid"]
    chain = f"{chain}:" if chain and chain != "SYSTEM" else ""
    return f"{name} of {chain}{row['resname']}{row['resid']}{row['icode']}"
