"""Which torsions and distances a structure has, on a few named atoms."""

from __future__ import annotations

import numpy as np
import pytest

from mdgeomfeat.descriptors import angles, compute_descriptors
from mdgeomfeat.descriptors.distances import alpha_carbons
from mdgeomfeat.descriptors.torsions import find_torsions
from mdgeomfeat.structure import Structure

LEUCINE = ["N", "CA", "C", "O", "CB", "CG", "CD1", "CD2"]
NUMBERS = {"N": 7, "O": 8, "P": 15}


def chain(names, n, breaks=None):
    """A structure of n equal residues, and one frame with atoms at random places."""
    numbers = [NUMBERS.get(name[0], 6) for name in names] * n
    token = np.repeat(np.arange(n), len(names))
    s = Structure.from_arrays(numbers, token, names=names * n, chain=breaks)
    x = np.random.default_rng(0).normal(size=(1, len(numbers), 3)) * 4
    return s, x + np.arange(len(numbers))[:, None] * [2.0, 0, 0]


def kinds(structure):
    return [name.removeprefix("TOK") for name in find_torsions(structure).names]


def test_main_and_side_chains_are_those_of_the_tables():
    side = ["chi1", "chi2"]
    found = kinds(chain(LEUCINE, 3)[0])
    assert found == [
        *(f"1:{k}" for k in ("psi", *side)),
        *(f"2:{k}" for k in ("phi", "psi", *side)),
        *(f"3:{k}" for k in ("phi", *side)),
    ]
    structure, x = chain(LEUCINE, 3)
    main = [n.split(":")[-1] for n in angles(structure, x).names]
    assert main == ["psi", "phi", "psi", "phi"]
    assert len(angles(structure, x, side_chains=True).names) == 10


def test_torsions_end_with_their_chain():
    found = kinds(chain(LEUCINE[:4], 4, breaks=[0, 0, 1, 1])[0])
    assert found == ["1:psi", "2:phi", "3:psi", "4:phi"]


def test_primes_and_stars_are_the_same_atoms():
    sugar = ["P", "O5'", "C5'", "C4'", "O4'", "C3'", "O3'", "C1'", "N9", "C4"]
    stars = [name.replace("'", "*") for name in sugar]
    assert kinds(chain(sugar, 2)[0]) == kinds(chain(stars, 2)[0])
    assert "1:epsilon" in kinds(chain(stars, 2)[0])
    assert "2:chi" in kinds(chain(stars, 2)[0])


def test_an_alpha_carbon_is_a_carbon_of_an_amino_acid():
    names = [*LEUCINE[:4], "CA", "CA", *LEUCINE[:4]]
    numbers = [7, 6, 6, 8, 20, 6, 7, 20, 6, 8]
    token = [0] * 4 + [1, 2] + [3] * 4
    s = Structure.from_arrays(numbers, token, names=names)
    assert alpha_carbons(s).tolist() == [1]


def test_sines_stand_before_cosines():
    structure, x = chain(LEUCINE[:4], 2)
    measured = angles(structure, x).values[0]
    table = compute_descriptors("dihedrals", structure, x)
    assert [n.split(":")[-1] for n in table.names] == ["sin", "cos"] * 2
    np.testing.assert_allclose(table.values[0, 0::2], np.sin(measured), atol=1e-5)
    np.testing.assert_allclose(table.values[0, 1::2], np.cos(measured), atol=1e-5)


def test_a_name_that_stands_twice_is_that_of_no_torsion():
    names = ["N", "CA", "C", "O", "CB", "CG"]
    once = Structure.from_arrays([7, 6, 6, 8, 6, 6], [0] * 6, names=names)
    assert find_torsions(once).names == ("TOK1:chi1",)
    twice = Structure.from_arrays([7, 6, 6, 8, 6, 6, 6], [0] * 7, names=[*names, "CB"])
    assert find_torsions(twice).names == ()


def test_distances_between_molecules_are_to_the_nearest_image():
    # Three in a row across the box: wherever they are put, one pair is nearer around.
    s = Structure.from_arrays([6, 6, 6], [0, 1, 2], chain=[0, 1, 2])
    x = np.array([[[1.0, 5, 5], [4.5, 5, 5], [8.0, 5, 5]]])
    box = np.array([10.0, 10, 10, 90, 90, 90])
    table = compute_descriptors("distances", s, x, box)
    assert sorted(table.values[0].tolist()) == pytest.approx([3, 3.5, 3.5])


def test_torsions_far_from_the_origin():
    structure, x = chain(LEUCINE, 3)
    near = angles(structure, x, side_chains=True).values
    far = angles(structure, x.astype(np.float64) + 2e5, side_chains=True).values
    np.testing.assert_allclose(far, near, atol=1e-4)
