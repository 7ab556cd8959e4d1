"""Tokens of one molecule beside those of another: mutants and homologues.

Residues are matched by a global alignment of the sequences of chains (S. B. Needleman
and C. D. Wunsch, J. Mol. Biol. 48, 443 (1970)), scored with BLOSUM62 (S. Henikoff and
J. G. Henikoff, Proc. Natl. Acad. Sci. USA 89, 10915 (1992)). Biopython carries it out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from mdgeomfeat.errors import InputError
from mdgeomfeat.store import Rows, map_rows
from mdgeomfeat.structure import Structure
from mdgeomfeat.variables.saved import formula, token_elements

__all__ = [
    "ChangedToken",
    "TokenAlignment",
    "align_tokens",
    "match_residues",
    "same_residue",
]

#: Scores of gaps: those that protein searches use beside BLOSUM62. At the ends, where
#: constructs differ in length, a gap costs little.
_OPEN, _EXTEND = -10.0, -0.5
#: A ligand is never put in the place of a residue: two gaps are better.
_UNLIKE: Final = -100.0
#: Of the same name that BLOSUM62 has not, and of two such names.
_SAME, _OTHER = 5.0, -4.0
#: Names that protonation, bridges and preparation give, which MDAnalysis's table lacks.
_VARIANTS: Final = {
    "ASH": "ASP",
    "ASPP": "ASP",
    "CYM": "CYS",
    "CYX": "CYS",
    "GLH": "GLU",
    "GLUP": "GLU",
    "HIP": "HIS",
    "HISD": "HIS",
    "HISE": "HIS",
    "HISH": "HIS",
    "HSP": "HIS",
    "LYN": "LYS",
    "MSE": "MET",
}
#: Tokens of the model that need a counterpart.
_LEAST_SHARE: Final = 0.5


@dataclass(frozen=True, kw_only=True)
class ChangedToken:
    """A token that has other atoms in the new molecule.

    Attributes
    ----------
    token : int
        Of the model, from 0.
    before, after : str
        Labels there and here.
    elements_before, elements_after : str
        Its atoms there and here, such as ``"C3 N1 O1"``.

    Examples
    --------
    >>> from mdgeomfeat.variables import ChangedToken
    >>> changed = ChangedToken(
    ...     token=1, before="A:GLY2", after="A:ALA2", elements_before="C2 N1 O1",
    ...     elements_after="C3 N1 O1",
    ... )
    >>> f"{changed.before} is {changed.after} here"
    'A:GLY2 is A:ALA2 here'
    """

    token: int
    before: str
    after: str
    elements_before: str
    elements_after: str


@dataclass(frozen=True, eq=False, kw_only=True)
class TokenAlignment:
    """Which token of new files stands for each token of a model.

    Attributes
    ----------
    counterpart : (N,) ndarray of int64
        Token of the new files, -1 where there is none.
    labels : tuple of str
        Of the model's N tokens.
    changed : tuple of ChangedToken
        Counterparts whose atoms are other ones.
    missing : tuple of str
        Labels of the model's tokens without a counterpart.
    extra : tuple of str
        Labels of new tokens that the model does not know.

    Examples
    --------
    >>> import numpy as np
    >>> from mdgeomfeat.variables import TokenAlignment
    >>> found = TokenAlignment(
    ...     counterpart=np.array([0, -1]), labels=("A:ALA1", "A:GLY2"), changed=(),
    ...     missing=("A:GLY2",), extra=(),
    ... )
    >>> found.whole, found.same.tolist()
    (False, [True, False])
    """

    counterpart: NDArray[np.int64]
    labels: tuple[str, ...]
    changed: tuple[ChangedToken, ...]
    missing: tuple[str, ...]
    extra: tuple[str, ...]

    @property
    def same(self) -> NDArray[np.bool_]:
        """(N,) whether a token has a counterpart of the same atoms."""
        same = self.counterpart >= 0
        same[[change.token for change in self.changed]] = False
        return same

    @property
    def whole(self) -> bool:
        """Whether every token has a counterpart of the same atoms."""
        return bool(self.same.all())

    def carry(self, features: Rows, mean: NDArray[np.floating]) -> Rows:
        """Return features in the order of the model's tokens.

        Parameters
        ----------
        features : (F, M, ...) array
            Of the new files.
        mean : (N, ...) ndarray
            Of the training frames, in place of tokens that are missing.

        Returns
        -------
        (F, N, ...) array
        """
        found = self.counterpart >= 0

        def ordered(rows: NDArray[np.int64]) -> NDArray[np.int64]:
            carried = np.repeat(mean[None].astype(rows.dtype), len(rows), axis=0)
            carried[:, found] = rows[:, self.counterpart[found]]
            return carried

        return map_rows(ordered, [features], mean.shape, features.dtype)


def align_tokens(metadata: dict[str, Any], structure: Structure) -> TokenAlignment:
    """Match the residues of new files with those of a model by their sequences.

    Parameters
    ----------
    metadata : dict
        Of the model.
    structure : Structure
        Of the new files.

    Returns
    -------
    TokenAlignment

    Raises
    ------
    InputError
        If the model's tokens are not residues, Biopython is not installed, or fewer
        than half of the model's tokens have a counterpart.

    Examples
    --------
    >>> import MDAnalysis as mda
    >>> from mdgeomfeat import Structure
    >>> from mdgeomfeat.structure import select_atoms
    >>> from mdgeomfeat.variables import align_tokens, read_model_folder
    >>> model, _ = read_model_folder("report")
    >>> atoms = select_atoms(mda.Universe("top.pdb"))
    >>> found = align_tokens(model.metadata, Structure.from_atomgroup(atoms))
    >>> found.counterpart.tolist(), found.changed, found.missing
    ([0, 1, 2], (), ())
    """
    if metadata["features"]["tokens"] != "residue":
        raise InputError(
            "The model's tokens are not residues, and only residues can be aligned; "
            "leave out --align, or learn a model with --tokens residue."
        )
    stored = metadata["structure"]
    if "table" not in stored:
        raise InputError(
            "The model does not hold the names of its residues, which --align needs; "
            "learn it again with this release."
        )
    known = Structure.from_dict(stored["table"])
    counterpart = match_residues(known, structure)
    labels, others = known.token_labels(), structure.token_labels()
    found = counterpart >= 0
    if found.mean() < _LEAST_SHARE:
        raise InputError(
            f"Only {found.sum()} of the model's {len(labels)} tokens have a "
            "counterpart in these files, and at least half are needed; give a "
            "homologous molecule, or the same residues with --select."
        )
    there = token_elements(known.numbers, known.token_of_atom, len(labels))
    here = token_elements(structure.numbers, structure.token_of_atom, len(others))
    changed = tuple(
        ChangedToken(
            token=token,
            before=labels[token],
            after=others[other],
            elements_before=formula(there[token]),
            elements_after=formula(here[other]),
        )
        for token, other in enumerate(counterpart.tolist())
        if other >= 0 and there[token] != here[other]
    )
    used = set(counterpart.tolist())
    return TokenAlignment(
        counterpart=counterpart,
        labels=tuple(labels),
        changed=changed,
        missing=tuple(np.array(labels)[~found].tolist()),
        extra=tuple(name for i, name in enumerate(others) if i not in used),
    )


def match_residues(known: Structure, new: Structure) -> NDArray[np.int64]:
    """Return the residue of `new` for every residue of `known`, -1 for none.

    Chains are matched first, so that they may stand in another order, and no residue
    is taken from the beginning of the next chain. Where one file names fewer chains,
    and more residues find themselves so, all of them are one sequence.

    Parameters
    ----------
    known, new : Structure
        Whose tokens are residues.

    Returns
    -------
    (N,) ndarray of int64

    Raises
    ------
    InputError
        If the sequences differ and Biopython is not installed.
    """
    names, others = (list(map(str, s.tokens["resname"])) for s in (known, new))
    chains, new_chains = _chains(known), _chains(new)
    alike = _counterpart(names, others)
    moved = set(chains) == set(new_chains) and any(
        not np.array_equal(own, new_chains[label]) for label, own in chains.items()
    )
    if alike is not None and not moved:
        return alike
    aligner = _Aligner({*names, *others})
    apart = _by_chain(aligner, names, others, chains, new_chains)
    if len(chains) == len(new_chains):
        return apart
    whole = aligner.align(names, others)
    return max(apart, whole, key=lambda found: _same(found, names, others))


def _chains(structure: Structure) -> dict[tuple[str, str], NDArray[np.int64]]:
    """Return the tokens of every chain, by segment and chain identifier."""
    tokens = structure.tokens
    found: dict[tuple[str, str], list[int]] = {}
    for token, label in enumerate(
        zip(tokens["segid"].tolist(), tokens["chainID"].tolist(), strict=True)
    ):
        found.setdefault(label, []).append(token)
    return {label: np.array(own, dtype=np.int64) for label, own in found.items()}


def _counterpart(known: Sequence[str], new: Sequence[str]) -> NDArray[np.int64] | None:
    """Return the counterparts in sequences of the same residues, else None."""
    if len(known) == len(new) and all(map(same_residue, known, new)):
        return np.arange(len(known))
    return None


def _same(
    counterpart: NDArray[np.int64], known: Sequence[str], new: Sequence[str]
) -> int:
    """Return how many residues have a counterpart of the same name."""
    return sum(
        same_residue(known[token], new[other])
        for token, other in enumerate(counterpart.tolist())
        if other >= 0
    )


def _by_chain(
    aligner: _Aligner,
    names: Sequence[str],
    others: Sequence[str],
    chains: dict[tuple[str, str], NDArray[np.int64]],
    new_chains: dict[tuple[str, str], NDArray[np.int64]],
) -> NDArray[np.int64]:
    """Return counterparts in the chains that suit each other best.

    Of chains that suit equally well, as those of a homodimer, the ones with the same
    name are taken, else those in the same place.
    """
    counterpart = np.full(len(names), -1, dtype=np.int64)
    found: dict[tuple[int, int], NDArray[np.int64]] = {}
    suits = np.zeros((len(chains), len(new_chains)))
    for i, (label, own) in enumerate(chains.items()):
        for j, (other_label, other) in enumerate(new_chains.items()):
            sequence = [names[k] for k in own]
            other_sequence = [others[k] for k in other]
            found[i, j] = aligner.align(sequence, other_sequence)
            suits[i, j] = _same(found[i, j], sequence, other_sequence)
            suits[i, j] += 0.1 * (label == other_label) + 0.01 * (i == j)
    rows, columns = linear_sum_assignment(suits, maximize=True)
    every, every_other = list(chains.values()), list(new_chains.values())
    for i, j in zip(rows.tolist(), columns.tolist(), strict=True):
        there = found[i, j] >= 0
        if suits[i, j] >= 1:  # at least one residue is the same
            counterpart[every[i][there]] = every_other[j][found[i, j][there]]
    return counterpart


class _Aligner:
    """Global alignment of sequences of residue names."""

    def __init__(self, names: set[str]) -> None:
        try:
            from Bio.Align import PairwiseAligner
        except ModuleNotFoundError as error:
            raise InputError(
                "Matching different sequences needs Biopython, which is not "
                "installed; install it with: pip install 'mdgeomfeat[align]'."
            ) from error
        ordered = sorted(names)
        self._number = {name: i for i, name in enumerate(ordered)}
        self._aligner = PairwiseAligner(
            mode="global", open_gap_score=_OPEN, extend_gap_score=_EXTEND
        )
        self._aligner.end_gap_score = _EXTEND
        self._aligner.substitution_matrix = _scores(ordered)

    def align(self, known: Sequence[str], new: Sequence[str]) -> NDArray[np.int64]:
        """Return the position in `new` of every residue of `known`, -1 for none.

        Parameters
        ----------
        known, new : sequence of str
            Names of residues, in order.
        """
        sequences = [
            np.array([self._number[n] for n in s], np.int32) for s in (known, new)
        ]
        first, second = self._aligner.align(*sequences)[0].indices
        counterpart = np.full(len(known), -1, dtype=np.int64)
        counterpart[first[first >= 0]] = second[first >= 0]
        return counterpart


def _scores(names: Sequence[str]) -> NDArray[np.float64]:
    """Return what it scores to put each residue in the place of each other."""
    from Bio.Align.substitution_matrices import load

    from mdgeomfeat.structure.residues import nucleic_names

    blosum = load("BLOSUM62")
    letters = [_letter(name) for name in names]
    nucleic = [name in nucleic_names() for name in names]
    scores = np.full((len(names), len(names)), _UNLIKE)
    for i, a in enumerate(letters):
        for j, b in enumerate(letters):
            if a and b:
                scores[i, j] = blosum[a, b]
            elif nucleic[i] and nucleic[j]:
                scores[i, j] = _OTHER
    # a residue of BLOSUM62 keeps its own score: tryptophan says more than alanine
    for i, a in enumerate(letters):
        if not a:
            scores[i, i] = _SAME
    return scores


def same_residue(one: str, other: str) -> bool:
    """Whether two names of residues differ at most in how it was prepared.

    Parameters
    ----------
    one, other : str
        Such as ``"HIS"`` and ``"HIE"``.
    """
    if one == other:
        return True
    letter = _letter(one)
    return letter not in ("", "X") and letter == _letter(other)


def _letter(name: str) -> str:
    """Return the one-letter code of an amino acid, "" of anything else."""
    from MDAnalysis.lib.util import convert_aa_code

    from mdgeomfeat.structure.residues import CAPS, protein_names

    if len(name) < 3:
        return ""  # a letter would be turned into a name
    if len(name) == 4 and name[0] in "NC" and name in protein_names():
        name = name[1:]  # Amber's residues at the ends of a chain
    try:
        return str(convert_aa_code(_VARIANTS.get(name, name)))
    except ValueError:
        return "X" if name in protein_names() - CAPS else ""
