"""Which distances a structure is described by, and their values."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from MDAnalysis.lib.distances import calc_bonds
from numpy.typing import NDArray

from mdgeomfeat.boxes import has_box
from mdgeomfeat.descriptors.closest import closest_distances

if TYPE_CHECKING:
    from mdgeomfeat.structure import Structure

__all__ = [
    "PairPlan",
    "alpha_carbons",
    "atom_names",
    "centred_frames",
    "plan_ca_distances",
    "plan_distances",
    "rank_in_chain",
]

#: Up to this many pairs (55 atoms) all heavy-atom pairs are used.
MAX_ATOM_PAIRS: Final = 1500
#: Atom pairs whose difference vectors are in memory at once.
_BLOCK: Final = 1_000_000


@dataclass(frozen=True, eq=False)
class PairPlan:
    """Pairs of atoms, or of groups of atoms, to measure.

    Attributes
    ----------
    pairs : (D, 2) ndarray of int64
        Positions in `atoms`, or in the groups if there are any.
    atoms : (M,) ndarray of int64
        Local atom indices; sorted by group if there are groups.
    component : (M,) ndarray of int64
        Connected component of each of `atoms`.
    starts : (G,) ndarray of int64 or None
        Where each group starts in `atoms`; the distance of two groups is that of
        their closest atoms.
    names : list of str
        One name for each pair.
    note : str
        What was chosen, in words.
    dropped : str
        How many of what were left out, "" if none.
    """

    pairs: NDArray[np.int64]
    atoms: NDArray[np.int64]
    component: NDArray[np.int64]
    starts: NDArray[np.int64] | None
    names: list[str]
    note: str
    dropped: str

    def compute(
        self,
        positions: NDArray[np.floating],
        boxes: NDArray[np.floating] | None,
    ) -> NDArray[np.float32]:
        """Measure all frames, with whole components; (F, D) ndarray of float32, Å.

        Within a connected component, distances are those of the molecule itself,
        however near its images are. Between components the nearest image counts: it
        stays the same when one of them is wrapped, and changes steadily when they
        diffuse apart.
        """
        if self.starts is not None:
            return closest_distances(
                positions, boxes, self.atoms, self.starts, self.component, self.pairs
            )
        return self._atom_pairs(positions, boxes)

    def _atom_pairs(
        self,
        positions: NDArray[np.floating],
        boxes: NDArray[np.floating] | None,
    ) -> NDArray[np.float32]:
        values = np.empty((len(positions), len(self.pairs)), dtype=np.float32)
        first, second = self.atoms[self.pairs].T
        block = max(1, _BLOCK // max(1, len(self.pairs)))
        for f in range(0, len(positions), block):
            chunk = positions[f : f + block]
            # One vector each: differences are formed in the input's precision.
            vectors = np.asarray(chunk[:, second] - chunk[:, first], dtype=np.float64)
            values[f : f + block] = np.sqrt(np.einsum("fdx,fdx->fd", vectors, vectors))
        across = self.component[self.pairs[:, 0]] != self.component[self.pairs[:, 1]]
        if boxes is not None and across.any():
            first, second = first[across], second[across]
            for f, (frame, box) in enumerate(centred_frames(positions, boxes)):
                values[f, across] = calc_bonds(frame[first], frame[second], box=box)
        return values


def centred_frames(
    positions: NDArray[np.floating], boxes: NDArray[np.floating] | None
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32] | None]]:
    """Yield frames as float32 about their first atom, with their box or None.

    The library that measures them lowers coordinates to float32; far from the origin
    that would lose what a small difference needs.
    """
    boxed = np.zeros(len(positions), dtype=bool) if boxes is None else has_box(boxes)
    for f, frame in enumerate(positions):
        box = None
        if boxes is not None and boxed[f]:
            box = np.asarray(boxes[f], dtype=np.float32)
        yield (frame - frame[0]).astype(np.float32), box


def plan_distances(structure: Structure, max_pairs: int) -> PairPlan:
    """Choose all heavy-atom pairs, or closest distances of token pairs.

    Tokens that are neighbours along an unbroken chain say little, so pairs are at
    least three tokens apart; in chains so short that this leaves fewer pairs than
    tokens, two or one. Tokens of different chains always count.

    Parameters
    ----------
    structure : Structure
    max_pairs : int
        Number of pairs above which closest distances of token pairs are taken.
    """
    heavy = np.flatnonzero(np.asarray(structure.numbers) > 1)
    names = atom_names(structure)
    if len(heavy) * (len(heavy) - 1) // 2 <= MAX_ATOM_PAIRS or structure.n_tokens < 2:
        atoms = _thin(heavy, max_pairs)
        pairs = np.stack(np.triu_indices(len(atoms), 1), axis=1)
        labels = [f"{names[atoms[i]]}-{names[atoms[j]]}:d" for i, j in pairs]
        return PairPlan(
            pairs,
            atoms,
            structure.component[atoms],
            None,
            labels,
            "all pairs of heavy atoms",
            _dropped(atoms, heavy, "heavy atoms"),
        )

    token = np.asarray(structure.token_of_atom)[heavy]
    order = np.argsort(token, kind="stable")
    tokens, starts = np.unique(token[order], return_index=True)
    kept = _thin(tokens, max_pairs)
    for separation in (3, 2, 1):
        pairs = _separated(structure, kept, separation)
        if len(pairs) >= len(kept):
            break
    if len(kept) < len(tokens):
        inside = np.isin(token[order], kept)
        order = order[inside]
        starts = np.unique(token[order], return_index=True)[1]
    labels = structure.token_labels()
    return PairPlan(
        pairs,
        heavy[order],
        structure.component[heavy[order]],
        starts,
        [f"{labels[kept[i]]}-{labels[kept[j]]}:min" for i, j in pairs],
        f"closest heavy atoms of tokens at least {separation} apart",
        _dropped(kept, tokens, "tokens"),
    )


def plan_ca_distances(structure: Structure, max_pairs: int) -> PairPlan | None:
    """Choose pairs of alpha carbons at least two residues apart, or None.

    Parameters
    ----------
    structure : Structure
    max_pairs : int
    """
    atoms = alpha_carbons(structure)
    if len(atoms) < 2:
        return None
    kept = _thin(atoms, max_pairs)
    tokens = np.asarray(structure.token_of_atom)[kept]
    for separation in (2, 1):
        pairs = _separated(structure, tokens, separation)
        if len(pairs):
            break
    labels = structure.token_labels()
    names = [f"{labels[tokens[i]]}-{labels[tokens[j]]}:CA" for i, j in pairs]
    note = f"alpha carbons at least {separation} residues apart"
    return PairPlan(
        pairs,
        kept,
        structure.component[kept],
        None,
        names,
        note,
        _dropped(kept, atoms, "alpha carbons"),
    )


def alpha_carbons(structure: Structure) -> NDArray[np.int64]:
    """Return the carbon named CA of each token that also has N and C."""
    names = np.asarray(structure.names)
    token = np.asarray(structure.token_of_atom)
    peptide = np.intersect1d(token[names == "N"], token[names == "C"])
    carbon = (names == "CA") & (np.asarray(structure.numbers) == 6)
    found = np.flatnonzero(carbon & np.isin(token, peptide))
    return found[np.unique(token[found], return_index=True)[1]]


def atom_names(structure: Structure) -> list[str]:
    """Return names such as ``A:LEU42:CA``; the index stands in for a missing name."""
    labels = structure.token_labels()
    return [
        f"{labels[token]}:{name or index}"
        for index, (token, name) in enumerate(
            zip(structure.token_of_atom, structure.names, strict=True)
        )
    ]


def _separated(
    structure: Structure, tokens: NDArray[np.int64], separation: int
) -> NDArray[np.int64]:
    """Return pairs (positions in `tokens`) of separated tokens or other chains."""
    i, j = np.triu_indices(len(tokens), 1)
    chain = np.asarray(structure.chain)[tokens]
    rank = rank_in_chain(structure)[tokens]
    keep = (chain[i] != chain[j]) | (np.abs(rank[i] - rank[j]) >= separation)
    return np.stack([i[keep], j[keep]], axis=1)


def rank_in_chain(structure: Structure) -> NDArray[np.int64]:
    """Return the place (N,) of each token along its unbroken chain."""
    following = np.asarray(structure.next_token)
    rank = np.full(len(following), -1, dtype=np.int64)
    starts = np.setdiff1d(np.arange(len(following)), following[following >= 0])
    for token in starts:
        place = 0
        while token >= 0 and rank[token] < 0:
            rank[token] = place
            token, place = following[token], place + 1
    return rank


def _thin(items: NDArray[np.int64], max_pairs: int) -> NDArray[np.int64]:
    """Keep evenly spaced items so that there are at most `max_pairs` pairs."""
    limit = int((1 + np.sqrt(1 + 8 * max_pairs)) / 2)
    if len(items) <= limit:
        return items
    return items[np.linspace(0, len(items) - 1, limit).round().astype(np.int64)]


def _dropped(kept: NDArray[np.int64], found: NDArray[np.int64], what: str) -> str:
    if len(kept) == len(found):
        return ""
    return f"{len(kept)} of {len(found)} {what}, evenly spaced"
