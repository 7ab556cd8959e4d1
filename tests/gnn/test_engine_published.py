"""Engines on networks of the published layouts: a protein in float64 and float32."""

from __future__ import annotations

import pytest
from published_layout import save_random
from systems import entry

from mdgeomfeat.gnn import load_model
from mdgeomfeat.gnn.engine import make_engine
from mdgeomfeat.structure.elements import resolve_elements
from mdgeomfeat.testing import relative_error


@pytest.mark.parametrize("engine", ["torch", "cpu"])
@pytest.mark.parametrize("model", ["et", "tensornet", "visnet"])
def test_a_protein(engine, model, tmp_path):
    published = load_model(save_random(model, tmp_path / f"{model}.pth"))
    atoms = entry("1lmb").atoms
    numbers, positions = resolve_elements(atoms), atoms.positions[None]
    exact = make_engine(published, engine="torch", dtype="float64")
    expected = exact.compute(numbers, positions)
    got = make_engine(published, engine=engine).compute(numbers, positions)
    assert relative_error(got[0], expected[0]) < 5e-6
    assert relative_error(got[1], expected[1]) < 5e-6
