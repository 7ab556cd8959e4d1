"""A part of a selection that chooses nothing is named."""

from __future__ import annotations

import warnings

import pytest
from systems import complex_with_ligands

from mdgeomfeat.errors import MDGeomFeatWarning
from mdgeomfeat.structure.selection import select_atoms


@pytest.fixture(scope="module")
def u():
    return complex_with_ligands()


def said(u, select):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", MDGeomFeatWarning)
        select_atoms(u, select)
    return [str(w.message) for w in caught if "no atom" in str(w.message)]


@pytest.mark.parametrize(
    ("select", "parts"),
    [
        ("group default or resname XYZ", "'resname XYZ' matches"),
        ("group default or (group heavy and resname XYZ)",
         "'group heavy and resname XYZ' matches"),
        ("protein or (resname XYZ or (name CA and resname QQQ))",
         "'resname XYZ' and 'name CA and resname QQQ' match"),
        ("resname GLN XYZ and not name H*", None),
        ("(resname GLN XYZ)", "'resname XYZ' matches"),
        ("group heavy and resname GLN XYZ and name CA",
         "'group heavy and resname XYZ and name CA' matches"),
        ("protein or resid 99990 99991",
         "'resid 99990' and 'resid 99991' match"),
    ],
)  # fmt: skip
def test_what_matches_nothing_is_named(u, select, parts):
    found = said(u, select)
    if parts is None:  # a list inside what a `not` is part of is left alone
        assert found == []
    else:
        (note,) = found
        assert f"In select={select!r}, {parts} no atom; the residues here are" in note


@pytest.mark.parametrize(
    "select",
    [
        "all", "protein", "protein or not resname XYZ", "protein and not resname XYZ",
        "group default", "resname GLN or name CA", "resname A* GL?",
        "around 5 (resname GLN or resname GLY) or protein",
    ],
)  # fmt: skip
def test_selections_that_are_meant(u, select):
    assert said(u, select) == []
