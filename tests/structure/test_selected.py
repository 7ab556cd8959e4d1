"""Selecting atoms and describing them is one look at the topology."""

from __future__ import annotations

import MDAnalysis as mda
import numpy as np
import pytest
from systems import entry

from mdgeomfeat import GeomGNNFeaturizer
from mdgeomfeat.structure import Structure, select_atoms
from mdgeomfeat.structure.selected import select_structure
from mdgeomfeat.structure.topology import AtomTable


@pytest.mark.parametrize("select", [None, "protein and not name H*", "name CA"])
@pytest.mark.parametrize("tokens", ["residue", "atom"])
@pytest.mark.filterwarnings("ignore")
def test_the_two_steps_and_the_one_agree(select, tokens):
    universe = entry("1hvr")
    atoms, structure = select_structure(universe, select, tokens=tokens)
    assert np.array_equal(atoms.ix, select_atoms(universe, select).ix)
    expected = Structure.from_atomgroup(atoms, tokens=tokens)
    assert structure.to_dict() == expected.to_dict()


@pytest.mark.filterwarnings("ignore")
def test_the_table_of_atoms_is_made_once(monkeypatch):
    universe: mda.Universe = entry("1hvr")
    made = []
    build = AtomTable.from_universe.__func__

    def counted(cls, *args, **kwargs):
        made.append(args)
        return build(cls, *args, **kwargs)

    monkeypatch.setattr(AtomTable, "from_universe", classmethod(counted))
    GeomGNNFeaturizer(universe)
    assert len(made) == 1
