"""Atoms that two molecules have in common, so that the same is compared in both.

The features of a residue depend on its own atoms and on those around it. Where a
residue has been exchanged, they differ in both molecules even if nothing moves
differently. So two molecules are compared by the atoms that both have: of a residue
that is another one, main chain and first side-chain atom; of one that is missing in
either, nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mdgeomfeat.errors import InputError
from mdgeomfeat.structure import Structure
from mdgeomfeat.structure.elements import SYMBOLS
from mdgeomfeat.variables.alignment import match_residues, same_residue

__all__ = ["Pairing", "PartialToken", "pair_atoms"]

#: What all residues of a protein share.
_MAIN_CHAIN: Final = frozenset(
    {"N", "CA", "C", "O", "CB", "OXT", "OT1", "OT2", "O1", "O2"}
)
#: Of nucleotides: the phosphate; atoms of the sugar have a prime or an asterisk.
_PHOSPHATE: Final = frozenset({"P", "OP1", "OP2", "OP3", "O1P", "O2P", "O3P"})
#: Tokens of the first molecule that need a counterpart.
_LEAST_SHARE: Final = 0.5


@dataclass(frozen=True, kw_only=True)
class PartialToken:
    """A token of which some atoms only are in both molecules.

    Attributes
    ----------
    first, second : str
        Its labels.
    changed : bool
        Whether it is another residue there, or the same one with other atoms.
    atoms : tuple of str
        Names of the atoms that both have.

    Examples
    --------
    >>> from mdgeomfeat.explain import PartialToken
    >>> token = PartialToken(
    ...     first="A:ALA2", second="A:GLY2", changed=True, atoms=("N", "CA", "C", "O")
    ... )
    >>> f"{token.first} is {token.second}; both have {len(token.atoms)} atoms"
    'A:ALA2 is A:GLY2; both have 4 atoms'
    """

    first: str
    second: str
    changed: bool
    atoms: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-able record."""
        return {
            "first": self.first,
            "second": self.second,
            "changed": self.changed,
            "atoms": list(self.atoms),
        }


@dataclass(frozen=True, eq=False, kw_only=True)
class Pairing:
    """Atoms of one molecule beside the same ones of another.

    Attributes
    ----------
    first, second : (A,) ndarray of int64
        Atoms of either structure, in the same order.
    partial : tuple of PartialToken
    missing, extra : tuple of str
        Labels of the tokens that only the first, or only the second, has.

    Examples
    --------
    >>> import numpy as np
    >>> from mdgeomfeat.explain import Pairing
    >>> pairing = Pairing(first=np.arange(5), second=np.arange(5), missing=("A:GLY9",))
    >>> len(pairing.first), pairing.missing, pairing.changed
    (5, ('A:GLY9',), ())
    """

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    partial: tuple[PartialToken, ...] = ()
    missing: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()

    @property
    def changed(self) -> tuple[str, ...]:
        """Labels, in the first molecule, of the tokens that are other residues."""
        return tuple(token.first for token in self.partial if token.changed)

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-able record."""
        return {
            "n_atoms": len(self.first),
            "partial": [token.to_dict() for token in self.partial],
            "missing": list(self.missing),
            "extra": list(self.extra),
        }


def pair_atoms(first: Structure, second: Structure, *, tokens: object) -> Pairing:
    """Find the atoms that two molecules have in common.

    Parameters
    ----------
    first, second : Structure
    tokens : object
        What the tokens are (:class:`~mdgeomfeat.featurespec.FeatureSpec`); other ones
        than residues are not matched, so that both molecules must be the same.

    Returns
    -------
    Pairing

    Raises
    ------
    InputError
        If fewer than half of the residues have a counterpart, or the tokens are not
        residues and the molecules differ.

    Examples
    --------
    >>> import MDAnalysis as mda
    >>> from mdgeomfeat import Structure
    >>> from mdgeomfeat.structure import select_atoms
    >>> atoms = select_atoms(mda.Universe("top.pdb"))
    >>> structure = Structure.from_atomgroup(atoms)
    >>> from mdgeomfeat.explain import pair_atoms
    >>> pairing = pair_atoms(structure, structure, tokens="residue")
    >>> len(pairing.first) == structure.n_atoms, pairing.changed
    (True, ())
    """
    if _alike(first, second):
        every = np.arange(first.n_atoms)
        return Pairing(first=every, second=every)
    if tokens != "residue":
        raise InputError(
            "The two molecules differ, and only residues can be matched; leave out "
            "--tokens, or give the same atoms with --select."
        )
    names = [s.tokens["resname"].tolist() for s in (first, second)]
    counterpart = match_residues(first, second)
    labels, others = first.token_labels(), second.token_labels()
    atoms, other_atoms = _atoms_by_token(first), _atoms_by_token(second)
    kept: list[tuple[int, int]] = []
    partial, missing = [], []
    used = set()
    for token, other in enumerate(counterpart.tolist()):
        pairs: list[tuple[int, int]] = []
        if other >= 0:
            same = same_residue(names[0][token], names[1][other])
            pairs = _common(first, second, atoms[token], other_atoms[other], same)
        if not pairs:
            missing.append(labels[token])
            continue
        used.add(other)
        kept += sorted(pairs)
        if len(pairs) < max(len(atoms[token]), len(other_atoms[other])) or not same:
            partial.append(
                PartialToken(
                    first=labels[token],
                    second=others[other],
                    changed=not same,
                    atoms=tuple(str(first.names[a]) for a, _ in sorted(pairs)),
                )
            )
    if len(used) < _LEAST_SHARE * first.n_tokens:
        raise InputError(
            f"Only {len(used)} of the {first.n_tokens} tokens of the first files have "
            "a counterpart in those of --with, and at least half are needed; give the "
            "same molecule, a mutant or a homologue."
        )
    pairs_of = np.array(kept, dtype=np.int64)
    return Pairing(
        first=pairs_of[:, 0],
        second=pairs_of[:, 1],
        partial=tuple(partial),
        missing=tuple(missing),
        extra=tuple(name for i, name in enumerate(others) if i not in used),
    )


def _alike(first: Structure, second: Structure) -> bool:
    """Whether two structures list the same atoms in the same order."""
    pairs = [
        (first.numbers, second.numbers),
        (first.token_of_atom, second.token_of_atom),
        (first.names, second.names),
        (first.tokens["resname"], second.tokens["resname"]),
    ]
    return all(np.array_equal(a, b) for a, b in pairs)


def _atoms_by_token(structure: Structure) -> list[list[int]]:
    atoms: list[list[int]] = [[] for _ in range(structure.n_tokens)]
    for atom, token in enumerate(structure.token_of_atom.tolist()):
        atoms[token].append(atom)
    return atoms


def _common(
    first: Structure,
    second: Structure,
    atoms: list[int],
    others: list[int],
    same: bool,
) -> list[tuple[int, int]]:
    """Return pairs of atoms of one token that mean the same in both molecules."""
    mine, its = _named(first, atoms), _named(second, others)
    if not same:
        mine, its = _shared_by_all(mine), _shared_by_all(its)
    pairs = [(mine[key], its[key]) for key in mine.keys() & its.keys()]
    if same:
        # force fields name some atoms differently: CD and CD1, OT1 and O
        left = [mine[key] for key in mine if key not in its]
        right = [its[key] for key in its if key not in mine]
        if sorted(first.numbers[left]) == sorted(second.numbers[right]):
            left.sort(key=lambda a: (first.numbers[a], a))
            right.sort(key=lambda a: (second.numbers[a], a))
            pairs += zip(left, right, strict=True)
    return pairs


def _named(structure: Structure, atoms: list[int]) -> dict[tuple[str, str, int], int]:
    """Return atoms by name and element, counted where a name is there twice."""
    named: dict[tuple[str, str, int], int] = {}
    for atom in atoms:
        name, symbol = str(structure.names[atom]), SYMBOLS[structure.numbers[atom]]
        name = name.replace("*", "'")
        number = sum(key[:2] == (name, symbol) for key in named)
        named[name, symbol, number] = atom
    return named


def _shared_by_all(
    named: Mapping[tuple[str, str, int], int],
) -> dict[tuple[str, str, int], int]:
    """Return the atoms that every residue of its kind has."""
    shared = _MAIN_CHAIN if any(key[0] == "CA" for key in named) else _PHOSPHATE
    return {
        key: atom
        for key, atom in named.items()
        if key[0] in shared or (shared is _PHOSPHATE and key[0].endswith("'"))
    }
