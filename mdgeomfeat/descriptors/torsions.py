"""Which torsions a structure has, found from the names of its atoms.

Protein torsions follow IUPAC-IUB (1970); the alternatives below are the fourth atom
that decides a side-chain torsion in each residue, tried in order, so that protonation
states and modified residues need no table of residue names. Nucleic torsions follow
IUPAC-IUB (1983).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from mdgeomfeat.structure import Structure

__all__ = ["BACKBONE", "NAMED", "Torsions", "find_torsions"]

#: Torsions of the main chain; the others turn side chains and bases.
BACKBONE: Final = frozenset(
    {"phi", "theta", "psi"} | {"alpha", "beta", "gamma", "delta", "epsilon", "zeta"}
)

# "-NAME" is an atom of the previous residue of the chain, "+NAME" of the next.
_ALPHA: Final = {"phi": ("-C", "N", "CA", "C"), "psi": ("N", "CA", "C", "+N")}
_BETA: Final = {
    "phi": ("-C", "N", "CB", "CA"),
    "theta": ("N", "CB", "CA", "C"),
    "psi": ("CB", "CA", "C", "+N"),
}
_SIDE: Final[dict[str, Sequence[tuple[str, ...]]]] = {
    "chi1": [("N", "CA", "CB", x) for x in ("CG", "CG1", "OG", "OG1", "SG", "SE")],
    "chi2": [
        *(("CA", "CB", "CG", x) for x in ("CD", "CD1", "ND1", "OD1", "SD", "SE")),
        ("CA", "CB", "CG1", "CD1"),
        ("CA", "CB", "CG1", "CD"),
    ],
    "chi3": [
        *(("CB", "CG", "CD", x) for x in ("NE", "OE1", "CE")),
        ("CB", "CG", "SD", "CE"),
        ("CB", "CG", "SE", "CE"),
    ],
    "chi4": [("CG", "CD", "NE", "CZ"), ("CG", "CD", "CE", "NZ")],
    "chi5": [("CD", "NE", "CZ", "NH1")],
}
_NUCLEIC: Final = {
    "alpha": ("-O3'", "P", "O5'", "C5'"),
    "beta": ("P", "O5'", "C5'", "C4'"),
    "gamma": ("O5'", "C5'", "C4'", "C3'"),
    "delta": ("C5'", "C4'", "C3'", "O3'"),
    "epsilon": ("C4'", "C3'", "O3'", "+P"),
    "zeta": ("C3'", "O3'", "+P", "+O5'"),
}
_GLYCOSIDIC: Final = [
    ("O4'", "C1'", "N9", "C4"),
    ("O4'", "C1'", "N1", "C2"),
    ("O4'", "C1'", "C5", "C4"),
]
#: All torsions that have a name here.
NAMED: Final = (*_BETA, *_SIDE, *_NUCLEIC, "chi")
#: Longest single bond between N and C that a backbone can have, Å.
_BOND: Final = 1.9


@dataclass(frozen=True, eq=False)
class Torsions:
    """Quadruples of atoms and what they are called.

    Attributes
    ----------
    atoms : (T, 4) ndarray of int64
        Local atom indices.
    kinds : tuple of str
        ``phi``, ``psi``, ``chi1`` …
    names : tuple of str
        ``TOKEN:kind``, such as ``A:LEU42:chi1``.
    """

    atoms: NDArray[np.int64]
    kinds: tuple[str, ...]
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.kinds)

    def backbone(self) -> Torsions:
        """Return the torsions of the main chain alone."""
        keep = [i for i, kind in enumerate(self.kinds) if kind in BACKBONE]
        return Torsions(
            self.atoms[keep],
            tuple(self.kinds[i] for i in keep),
            tuple(self.names[i] for i in keep),
        )


def find_torsions(
    structure: Structure, positions: NDArray[np.floating] | None = None
) -> Torsions:
    """Find backbone and side-chain torsions, residue by residue.

    A residue counts as an amino acid if it has N, CA and C, as a nucleotide if it has
    C4', C3' and C5'. Caps (ACE, NME …) have no torsions of their own but lend their
    atoms to their neighbour. omega is left out: it hardly moves. Where N is bonded to
    CB and not to CA (a β-amino acid), the main chain runs through CB and has phi,
    theta and psi.

    Parameters
    ----------
    structure : Structure
        Tokens are residues; others have no named torsions.
    positions : (A, 3) ndarray, Å, optional
        One frame with whole residues, to recognise β-residues by; if None, the
        bonds of the structure tell.

    Returns
    -------
    Torsions
        Ordered by token, main chain first; may be empty.
    """
    residues = _atoms_by_name(structure)
    bonded = _bond_test(structure, positions)
    following = np.asarray(structure.next_token)
    previous = np.full(len(residues), -1, dtype=np.int64)
    previous[following[following >= 0]] = np.flatnonzero(following >= 0)

    atoms: list[list[int]] = []
    kinds: list[str] = []
    names: list[str] = []
    for i, label in enumerate(structure.token_labels()):
        here = dict(residues[i])
        for sign, other in (("-", previous[i]), ("+", following[i])):
            if other >= 0:
                here |= {sign + name: atom for name, atom in residues[other].items()}
        for kind, alternatives in _definitions(residues[i], bonded):
            for quadruple in alternatives:
                if all(name in here for name in quadruple):
                    atoms.append([here[name] for name in quadruple])
                    kinds.append(kind)
                    names.append(f"{label}:{kind}")
                    break
    return Torsions(
        np.array(atoms, dtype=np.int64).reshape(-1, 4), tuple(kinds), tuple(names)
    )


def _definitions(
    own: dict[str, int], bonded: Callable[[int, int], bool]
) -> Iterator[tuple[str, Sequence[tuple[str, ...]]]]:
    """Yield each torsion a residue may have with its alternative atoms."""
    if {"N", "CA", "C"} <= own.keys():
        beta = (
            "CB" in own
            and bonded(own["N"], own["CB"])
            and not bonded(own["N"], own["CA"])
        )
        for kind, quadruple in (_BETA if beta else _ALPHA).items():
            yield kind, [quadruple]
        if not beta:
            yield from _SIDE.items()
    elif {"C4'", "C3'", "C5'"} <= own.keys():
        for kind, quadruple in _NUCLEIC.items():
            yield kind, [quadruple]
        yield "chi", _GLYCOSIDIC


def _atoms_by_name(structure: Structure) -> list[dict[str, int]]:
    """Map, for each token, atom names to local indices.

    A name that occurs twice is left out: such a token is no single residue.
    """
    residues: list[dict[str, int]] = [{} for _ in range(structure.n_tokens)]
    twice = set()
    for atom, (token, name) in enumerate(
        zip(structure.token_of_atom, structure.names, strict=True)
    ):
        key = str(name).replace("*", "'")
        if key in residues[token]:
            twice.add((token, key))
        residues[token][key] = atom
    for token, key in twice:
        del residues[token][key]
    return residues


def _bond_test(
    structure: Structure, positions: NDArray[np.floating] | None
) -> Callable[[int, int], bool]:
    """Return a test for bonds: from distances, else from the structure's bonds.

    Distances come first because topologies often know the bonds of a ligand only.
    """
    if positions is not None:
        frame = np.asarray(positions, dtype=np.float64)
        return lambda i, j: bool(np.linalg.norm(frame[i] - frame[j]) < _BOND)
    known = structure.bonds if structure.bonds is not None else ()
    bonds = {frozenset(map(int, pair)) for pair in known}
    return lambda i, j: frozenset((i, j)) in bonds
