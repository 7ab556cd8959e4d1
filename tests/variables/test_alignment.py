"""Tokens of mutants and homologues beside a model's, against alignments by hand."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest

from mdgeomfeat.errors import InputError
from mdgeomfeat.structure import Structure
from mdgeomfeat.variables import align_tokens

LETTERS = {
    "A": "ALA", "R": "ARG", "N": "ASN", "D": "ASP", "C": "CYS", "Q": "GLN", "E": "GLU",
    "G": "GLY", "H": "HIS", "I": "ILE", "L": "LEU", "K": "LYS", "M": "MET", "F": "PHE",
    "P": "PRO", "S": "SER", "T": "THR", "W": "TRP", "Y": "TYR", "V": "VAL",
}  # fmt: skip
SIZES = {name: 4 + i % 7 for i, name in enumerate(LETTERS.values())}
HP35 = "LSDEDFKAVFGMTRSAFANLPLWKQQHLKKEKGLF"


def molecule(names):
    """Return residues of carbon atoms, as many as the residue's name says."""
    if isinstance(names, str):
        names = [LETTERS[letter] for letter in names]
    sizes = [SIZES.get(name, 3) for name in names]
    token = np.repeat(np.arange(len(names)), sizes)
    return Structure.from_arrays(np.full(len(token), 6), token, resnames=names)


def chains(**sequences):
    """Return the chains of a molecule, by their names and in this order."""
    whole = molecule("".join(sequences.values()))
    tokens = whole.tokens.copy()
    tokens["chainID"] = np.repeat(list(sequences), list(map(len, sequences.values())))
    return replace(whole, tokens=tokens)


def align(known, new):
    known, new = (
        names if isinstance(names, Structure) else molecule(names)
        for names in (known, new)
    )
    metadata = {
        "features": {"tokens": "residue"},
        "structure": {"table": known.to_dict()},
    }
    return align_tokens(metadata, new)


def test_a_point_mutation_is_found():
    alignment = align(HP35, HP35.replace("W", "A"))
    assert alignment.counterpart.tolist() == list(range(35))
    (change,) = alignment.changed
    assert (change.token, change.before, change.after) == (22, "TRP23", "ALA23")
    assert (change.elements_before, change.elements_after) == ("C7", "C4")
    assert not alignment.whole
    assert alignment.same.sum() == 34
    assert not alignment.same[22]


def test_a_deletion_and_ends_of_other_length():
    # two residues before, five of the middle gone, the last three cut off
    new = "GS" + HP35[:15] + HP35[20:-3]
    alignment = align(HP35, new)
    want = [*range(2, 17), *[-1] * 5, *range(17, 29), -1, -1, -1]
    assert alignment.counterpart.tolist() == want
    assert alignment.missing[-3:] == ("GLY33", "LEU34", "PHE35")
    assert alignment.extra == ("GLY1", "SER2")
    assert alignment.changed == ()


SH3 = "MAEYVRALFDFNGNDEEDLPFKKGDILRIRDKPEEQWWNAEDSEGKRGMIPVPYVEKY"


@pytest.mark.parametrize(("first", "second"), ["AB", "BA", "XY"])
def test_chains_may_stand_in_another_order(first, second):
    mutant = HP35.replace("W", "A")
    new = chains(**{second: SH3[3:], first: mutant})
    alignment = align(chains(A=HP35, B=SH3), new)
    n = len(SH3) - 3
    assert alignment.counterpart[:35].tolist() == list(range(n, n + 35))
    assert alignment.counterpart[35:].tolist() == [-1, -1, -1, *range(n)]
    assert [change.before for change in alignment.changed] == ["A:TRP23"]
    assert alignment.extra == ()


def test_chains_of_a_homodimer_keep_their_names():
    alignment = align(chains(A=HP35, B=HP35), chains(B=HP35, A=HP35))
    assert alignment.counterpart.tolist() == [*range(35, 70), *range(35)]
    renamed = align(chains(A=HP35, B=HP35), chains(D=HP35, C=HP35))
    assert renamed.counterpart.tolist() == list(range(70))


def test_no_residue_is_taken_from_the_next_chain():
    alignment = align(chains(A=HP35, B=SH3), chains(A=HP35[:-3], B="GLF" + SH3))
    # one sequence would put the new head of the second into the lost tail
    assert alignment.counterpart[32:35].tolist() == [-1, -1, -1]
    assert alignment.counterpart[35:].tolist() == list(range(35, 35 + len(SH3)))
    assert alignment.extra == ("B:GLY33", "B:LEU34", "B:PHE35")


def test_a_file_that_names_fewer_chains_is_one_sequence():
    alignment = align(chains(A=HP35, B=SH3), molecule(HP35 + SH3[:-1]))
    assert alignment.counterpart.tolist() == [*range(35 + len(SH3) - 1), -1]


def test_caps_and_ligands_stand_for_themselves_only():
    alignment = align(["ACE", "ALA", "NME", "LIG"], ["ACE", "GLY", "NME", "UNK"])
    assert alignment.counterpart.tolist() == [0, 1, 2, -1]
    assert alignment.missing == ("LIG4",)
    assert alignment.extra == ("UNK4",)


def test_other_names_of_the_same_residue_change_nothing():
    known = ["ALA", "HIS", "GLY", "CYS", "LEU", "HIS"]
    new = molecule(known)
    renamed = ["NALA", "HIE", "GLY", "CYX", "LEU", "CHIP"]
    other = Structure.from_arrays(new.numbers, new.token_of_atom, resnames=renamed)
    table = {"table": new.to_dict()}
    metadata = {"features": {"tokens": "residue"}, "structure": table}
    alignment = align_tokens(metadata, other)
    assert alignment.whole
    assert alignment.counterpart.tolist() == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("shape", [(5,), (4, 2)])
def test_features_are_put_in_the_order_of_the_model(shape):
    alignment = align("ACDEFGH", "KACDFGH")
    rng = np.random.default_rng(0)
    new, mean = rng.normal(size=(6, 7, *shape)), rng.normal(size=(7, *shape))
    carried = alignment.carry(new, mean)
    assert carried.shape == (6, 7, *shape)
    for token, other in enumerate([1, 2, 3, None, 4, 5, 6]):
        want = np.broadcast_to(mean[token], (6, *shape))
        np.testing.assert_array_equal(
            carried[:, token], want if other is None else new[:, other]
        )


@pytest.mark.parametrize(
    ("known", "new", "said"),
    [
        ("WWWWWWWW", ["LIG"] * 8, "Only 0 of the model's 8 tokens"),
        ("ACDEFGHI", "FGH", "Only 3 of the model's 8 tokens"),
    ],
)
def test_another_molecule_is_refused(known, new, said):
    with pytest.raises(InputError, match=said):
        align(known, new)


def test_tokens_that_are_no_residues_are_refused():
    with pytest.raises(InputError, match="are not residues"):
        align_tokens({"features": {"tokens": "atom"}}, molecule("AC"))


def test_a_model_without_names_is_refused():
    with pytest.raises(InputError, match="learn it again"):
        align_tokens(
            {"features": {"tokens": "residue"}, "structure": {}}, molecule("AC")
        )


def test_biopython_is_asked_for_where_it_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "Bio.Align", None)
    with pytest.raises(InputError, match=r"mdgeomfeat\[align\]"):
        align("AC", "AG")
    assert align("AC", "AC").whole
