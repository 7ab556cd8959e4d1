"""Whole systems: no molecule is cut, and nothing moves but by lattice vectors."""

from __future__ import annotations

import numpy as np
import pytest
from MDAnalysis.lib.mdamath import triclinic_vectors
from systems import BOX, solvated

from mdgeomfeat.structure.system import WholeSystem

VECTORS = triclinic_vectors(np.float32(BOX)).astype(float)


@pytest.fixture(scope="module", params=[True, False], ids=["bonds", "no bonds"])
def system(request):
    return solvated(bonds=request.param), solvated(bonds=True).bonds.indices


def longest(positions, bonds):
    return np.linalg.norm(positions[bonds[:, 0]] - positions[bonds[:, 1]], axis=1).max()


def test_no_bond_is_cut(system):
    universe, bonds = system
    whole = WholeSystem(universe)
    for ts in universe.trajectory:
        torn = universe.atoms.positions.astype(float)
        assert longest(torn, bonds) > 10
        placed = whole.place(torn, ts.dimensions)
        assert longest(placed, bonds) < 2.6
        # virtual sites and ions too go only by lattice vectors
        steps = (placed - torn) @ np.linalg.inv(VECTORS)
        np.testing.assert_allclose(steps, np.round(steps), atol=1e-5)


def test_the_solvent_surrounds_the_solute(system):
    universe, _ = system
    whole = WholeSystem(universe)
    placed = whole.place(universe.atoms.positions, universe.dimensions)
    solute = universe.select_atoms("not resname SOL NA CL").ix
    centre = placed[solute].mean(axis=0)
    first = universe.select_atoms("name OW NA CL").ix
    apart = placed[first] - centre
    images = np.array([[i, j, k] for i in (-1, 0, 1) for j in (-1, 0, 1)
                       for k in (-1, 0, 1)]) @ VECTORS  # fmt: skip
    others = np.linalg.norm(apart[:, None] + images, axis=2)
    assert (np.linalg.norm(apart, axis=1) <= others.min(axis=1) + 1e-3).all()


def test_the_dry_system_is_the_solute(system):
    universe, _ = system
    whole = WholeSystem(universe, solvent=False)
    names = set(universe.atoms[whole.indices].resnames)
    assert not names & {"SOL", "NA", "CL"}
    assert len(whole.indices) == len(universe.select_atoms("not resname SOL NA CL"))
    wet = WholeSystem(universe).place(universe.atoms.positions, universe.dimensions)
    dry = whole.place(universe.atoms.positions, universe.dimensions)
    np.testing.assert_array_equal(dry, wet[whole.indices])


def test_without_a_box_nothing_moves(system):
    universe, _ = system
    whole = WholeSystem(universe)
    torn = universe.atoms.positions
    np.testing.assert_array_equal(whole.place(torn, None), torn)
