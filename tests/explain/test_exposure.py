"""Surfaces that solvent can reach, against spheres and caps on paper."""

from __future__ import annotations

import MDAnalysis as mda
import mdtraj
import numpy as np
import pytest
from motions import molecule

from mdgeomfeat.explain import Kind, measure
from mdgeomfeat.explain.exposure import MAX_ATOMS, accessible_surface
from mdgeomfeat.structure import Structure

#: Radii of carbon and oxygen (Bondi 1964) with that of a water molecule, Å.
CARBON, OXYGEN = 1.7 + 1.4, 1.52 + 1.4


def test_spheres_alone_touching_and_hidden():
    structure = Structure.from_arrays([6, 8, 1], [0, 1, 1])
    x = np.zeros((3, 3, 3))
    x[0, 1, 0] = 50.0
    x[1, 1, 0] = 3.0
    x[2, 1, 0] = 1.0
    found = accessible_surface(structure, x, np.array([0, 1]))
    whole = 4 * np.pi * np.array([CARBON, OXYGEN]) ** 2
    np.testing.assert_allclose(found[0], whole, rtol=1e-5)
    # the cap of a sphere a inside a sphere b at a distance d has the height
    # a - (d² + a² - b²) / 2d, and 2 pi a times that for its surface
    for frame, d in ((1, 3.0), (2, 1.0)):
        for k, (a, b) in enumerate([(CARBON, OXYGEN), (OXYGEN, CARBON)]):
            cap = 2 * np.pi * a * (a - (d**2 + a**2 - b**2) / (2 * d))
            assert found[frame, k] == pytest.approx(whole[k] - cap, abs=3)


def test_a_protein_is_buried_inside_and_its_ligand_covers_the_pocket():
    structure, x = molecule("1hvr")
    labels = structure.token_labels()
    ligand = next(t for t, name in enumerate(labels) if "XK2" in name)
    away = x.copy()
    away[structure.token_of_atom == ligand] += 100.0
    (shown,) = (
        o
        for o in measure(structure, np.array([x, away], np.float32))
        if o.kind is Kind.SOLVENT_EXPOSURE
    )
    assert shown.names == tuple(labels)
    bound, free = shown.values
    change = free - bound
    assert change[ligand] > 200
    # Asp25 holds the inhibitor; what is 15 Å away does not see it
    assert change[labels.index("A:ASP25")] > 10
    distance = np.array(
        [
            np.linalg.norm(
                x[structure.token_of_atom == t][:, None]
                - x[structure.token_of_atom == ligand],
                axis=2,
            ).min()
            for t in range(len(labels))
        ]
    )
    assert (np.abs(change[distance > 8]) < 1e-3).all()


def test_against_mdtraj(data):
    """Residues of a protein, frame by frame: mdtraj's second frame has another area."""
    top = data / "folding/villin/villin.pdb"
    t = mdtraj.load(str(data / "folding/villin/villin-0.xtc"), top=str(top))[:5]
    structure = Structure.from_atomgroup(mda.Universe(str(top)).atoms)
    x = 10 * t.xyz
    found = accessible_surface(structure, x, np.flatnonzero(structure.numbers > 1))
    want = [100 * mdtraj.shrake_rupley(frame, mode="residue")[0] for frame in t]
    # ten times the points there
    np.testing.assert_allclose(found, want, atol=12)
    assert np.abs(found - want).mean() < 3


def test_atoms_at_one_place_end_nothing():
    structure = Structure.from_arrays([6, 6], [0, 1])
    found = accessible_surface(structure, np.zeros((1, 2, 3)), np.array([0, 1]))
    assert (found <= 4 * np.pi * CARBON**2).all()


def test_what_would_take_minutes_is_left_out():
    structure = Structure.from_arrays([6] * (MAX_ATOMS + 1), np.arange(MAX_ATOMS + 1))
    x = np.random.default_rng(0).normal(0, 30, (2, MAX_ATOMS + 1, 3))
    kinds = {o.kind for o in measure(structure, x)}
    assert Kind.SOLVENT_EXPOSURE not in kinds
