"""Secondary structure and backbone hydrogen bonds, as MDAnalysis finds them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from mdgeomfeat.structure import Structure

__all__ = ["CLASSES", "Backbone"]

#: In the order of MDAnalysis's columns.
CLASSES: Final = ("coil", "helix", "strand")
#: A carbonyl oxygen's name, and the names of one of two at the end of a chain.
_OXYGENS: Final = ("O", "O1", "OT1")
#: Places that are left empty between chains: no turn reaches over five residues.
_GAP: Final = 5
#: How far empty places are from the molecule and from each other, Å.
_AWAY: Final = 20.0
_N, _CA, _C, _O, _H = range(5)


class Backbone:
    """The residues of a structure that have N, CA, C and O.

    MDAnalysis's DSSP (after Kabsch & Sander, Biopolymers 22, 2577, 1983) takes
    residues that follow each other in the list for neighbours in a chain. So chains
    are kept apart by empty places, and only a residue that has a predecessor, and is
    no proline, gives a hydrogen bond.

    Parameters
    ----------
    structure : Structure

    Attributes
    ----------
    tokens : (R,) ndarray of int64
        The tokens of the residues.
    """

    def __init__(self, structure: Structure) -> None:
        found = _atoms(structure)
        self.tokens = np.array(sorted(found), dtype=np.int64)
        self._atoms = np.array(
            [found[token] for token in self.tokens.tolist()], dtype=np.int64
        ).reshape(-1, 4)
        follows = structure.next_token[self.tokens[:-1]] == self.tokens[1:]
        self._follows = np.concatenate([[False], follows])[: len(self.tokens)]
        proline = structure.tokens["resname"][self.tokens] == "PRO"
        self._gives = self._follows & ~proline
        # every break moves what comes after it on by a gap
        self._place = np.arange(len(self.tokens)) + _GAP * np.cumsum(~self._follows)

    def assign(
        self, positions: NDArray[np.floating]
    ) -> tuple[NDArray[np.bool_], list[NDArray[np.int64]]]:
        """Find secondary structure and hydrogen bonds of frames.

        Parameters
        ----------
        positions : (F, A, 3) ndarray, Å
            Whole molecules, side by side.

        Returns
        -------
        classes : (F, R, 3) ndarray of bool
            Which of :data:`CLASSES` each residue is in. A residue that is both in a
            helix and in a ladder counts as helix.
        bonds : list of (B, 2) ndarray of int64
            Of each frame: places, among the R residues, of those that give (N-H) and
            take (C=O) a hydrogen bond of less than -0.5 kcal/mol.
        """
        from MDAnalysis.analysis.dssp.pydssp_numpy import assign, get_hbond_map

        n = int(self._place[-1]) + _GAP + 1
        residue = np.full(n, -1)
        residue[self._place] = np.arange(len(self.tokens))
        gives = np.zeros(n, dtype=bool)
        gives[self._place] = self._gives
        classes = np.zeros((len(positions), len(self.tokens), 3), dtype=bool)
        bonds = []
        for frame, out in zip(positions, classes, strict=True):
            coordinates = self._coordinates(frame, n)
            loop, helix, strand = assign(coordinates, donor_mask=gives)[self._place].T
            out[:] = np.stack([loop, helix, strand & ~helix], axis=1)
            # MDAnalysis's ramp leaves 0 where the energy falls below -0.5 kcal/mol
            ramp = get_hbond_map(coordinates, donor_mask=gives)
            bonds.append(residue[np.argwhere(ramp > 0)])
        return classes, bonds

    def _coordinates(self, frame: NDArray[np.floating], n: int) -> NDArray[np.float64]:
        """Return (n, 5, 3) of N, CA, C, O and H; empty places stand aside.

        They stand in a cube, since searching for neighbours takes as long as all
        space between the outermost atoms is large.
        """
        own = frame[self._atoms].astype(np.float64)
        own -= own[:, _CA].mean(axis=0)
        empty = np.setdiff1d(np.arange(n), self._place)
        edge = int(np.ceil(np.cbrt(len(empty))))
        lattice = np.indices((edge, edge, edge)).reshape(3, -1).T[: len(empty)]
        out = np.zeros((n, 5, 3))
        out[empty] = _AWAY * lattice[:, None]
        out[empty, :, 0] += np.abs(own).max() + _AWAY
        out[empty, _O, 1] += _AWAY / 2
        out[self._place, :_H] = own
        gives = np.flatnonzero(self._gives)
        nitrogen = own[gives, _N]
        away = _unit(nitrogen - own[gives - 1, _C]) + _unit(nitrogen - own[gives, _CA])
        out[self._place[gives], _H] = nitrogen + 1.01 * _unit(away)
        return out


def _unit(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    units: NDArray[np.float64] = vectors / np.linalg.norm(
        vectors, axis=-1, keepdims=True
    )
    return units


def _atoms(structure: Structure) -> dict[int, list[int]]:
    """Return N, CA, C and O of the tokens that have all four."""
    named: dict[int, dict[str, int]] = {}
    for atom, (token, name) in enumerate(
        zip(structure.token_of_atom.tolist(), structure.names.tolist(), strict=True)
    ):
        named.setdefault(token, {}).setdefault(name, atom)
    found = {}
    for token, atoms in named.items():
        oxygen = next((atoms[name] for name in _OXYGENS if name in atoms), None)
        if {"N", "CA", "C"} <= atoms.keys() and oxygen is not None:
            found[token] = [atoms["N"], atoms["CA"], atoms["C"], oxygen]
    return found
