"""A difference that is told can be seen in the numbers of its sentence."""

from __future__ import annotations

import re

import pytest

from mdgeomfeat.explain import Difference, Kind, StateComparison
from mdgeomfeat.report.wording import difference_in_words
from mdgeomfeat.report.wording.differences import told_differences


def difference(kind, name, before, after):
    return Difference(
        kind=kind, name=name, tokens=(1,), before=before, after=after,
        effect=0.5, held_out=0.5, stable=True,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "before", "after", "said"),
    [
        (Kind.RMSF, 0.34, 0.26, "RMSF of x shrinks from 0.34 to 0.26 Å"),
        (Kind.RADIUS_OF_GYRATION, 2.2, 2.44, "x grows from 2.20 to 2.44 Å"),
        (Kind.SOLVENT_EXPOSURE, 41.0, 12.5, "x is more buried (surface that solvent"),
        (Kind.SOLVENT_EXPOSURE, 12.5, 41.0, "x is more exposed (surface that solvent"),
        (Kind.CONTACT, 0.9, 0.1, "contact x is lost"),
        (Kind.CONTACT, 0.4, 0.6, "contact x becomes more frequent"),
        (Kind.LIGAND_DISTANCE, 3.0, 9.5, "from 3.0 to 9.5 Å"),
        (Kind.TORSION, -102.0, 56.0, "to 56°"),
        (Kind.TORSION, -179.0, 175.0, "and then 175°)"),
    ],
)
def test_both_values_are_told_and_differ(kind, before, after, said):
    name = "A:ALA2:phi" if kind is Kind.TORSION else "x"
    text = difference_in_words(difference(kind, name, before, after))
    assert said in text
    numbers = re.findall(r"\d+\.?\d*", text.replace("ALA2", ""))
    assert len(set(numbers)) > 1


def test_each_kind_is_told_before_a_second_of_the_first():
    found = [difference(Kind.CONTACT, f"A:X{k}-A:Y{k}", 0.9, 0.1) for k in range(5)] + [
        difference(Kind.TORSION, "A:GLY30:phi", -102.0, 56.0),
        difference(Kind.RMSF, "A:X1", 1.0, 3.0),
    ]
    one = StateComparison(state=1, checked=True, differences=tuple(found))
    first, second, third = told_differences(one)
    assert first.startswith("contact A:X0")
    assert "φ of A:GLY30 turns" in second
    assert third.startswith("contact A:X1")
    assert third.endswith(", and 3 more contacts change")
    assert "more" not in first + second
    alone = StateComparison(state=1, checked=True, differences=tuple(found[:2]))
    assert [text.split()[1][3] for text in told_differences(alone)] == ["0", "1"]
