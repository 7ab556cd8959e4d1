"""Lattice vectors are the reader's, and what can be no box is none."""

from __future__ import annotations

import numpy as np
import pytest
from MDAnalysis.lib.mdamath import triclinic_vectors

from mdgeomfeat.boxes import (
    box_heights,
    check_boxes,
    has_box,
    lattice_vectors,
    reduced_lattices,
)
from mdgeomfeat.errors import InputError

BOXES = {
    "cube": [40, 40, 40, 90, 90, 90],
    "orthorhombic": [30, 45, 60, 90, 90, 90],
    "hexagonal": [40, 40, 50, 90, 90, 120],
    "dodecahedron": [50, 50, 50, 60, 60, 90],
    "octahedron": [45, 45, 45, 109.4712, 109.4712, 109.4712],
    "skewed": [30, 70, 90, 50, 55, 40],
}
NO_BOXES = {
    "zero": [0] * 6,
    "zero with right angles": [0, 0, 0, 90, 90, 90],
    "one length is zero": [30, 30, 0, 90, 90, 90],
    "no angles": [10, 10, 10, 0, 0, 0],
    "not a number": [np.nan, 1, 1, 90, 90, 90],
    "infinite": [np.inf, 10, 10, 90, 90, 90],
    "negative": [-30, 30, 30, 90, 90, 90],
    "flat": [10, 10, 10, 120, 120, 120.0],
    "angles that do not meet": [20, 20, 20, 10, 10, 150],
    "placeholder": [1, 1, 1, 90, 90, 90],
    "placeholder, triclinic": [1, 1, 1, 60, 60, 90],
    "one length is a placeholder": [30, 30, 1, 90, 90, 90],
    # Twice the second vector less the first is 1.7 Å long.
    "placeholder, skewed": [20, 10.1, 30, 90, 90, 4],
}


@pytest.mark.parametrize("box", BOXES.values(), ids=BOXES.keys())
def test_box_vectors_are_those_of_the_reader(box):
    ours = lattice_vectors(np.array([box], dtype=float))[0]
    theirs = triclinic_vectors(np.array(box, dtype=np.float32))
    np.testing.assert_allclose(ours, theirs, atol=2e-4)
    np.testing.assert_allclose(
        box_heights(ours[None])[0], 1 / np.linalg.norm(np.linalg.inv(ours), axis=0)
    )


@pytest.mark.parametrize("box", BOXES.values(), ids=BOXES.keys())
def test_what_is_a_box(box):
    assert has_box(box).tolist() == [True]
    check_boxes(np.array([box, np.zeros(6)]), 2)


@pytest.mark.parametrize("box", NO_BOXES.values(), ids=NO_BOXES.keys())
def test_what_is_no_box(box):
    assert has_box(box).tolist() == [False]
    assert has_box([box, BOXES["cube"]]).tolist() == [False, True]
    if any(box[:3]):
        with pytest.raises(InputError, match=r"box of frame 1 is .* placeholder"):
            check_boxes(np.array([BOXES["cube"], box]), 2)


def test_none_is_no_box():
    assert has_box(None).tolist() == [False]


def test_a_long_cell_with_a_short_translation_is_no_box():
    vectors = lattice_vectors(np.array([NO_BOXES["placeholder, skewed"]], float))
    steps = np.stack(np.meshgrid(*[np.arange(-4, 5)] * 3), axis=-1).reshape(-1, 3)
    lengths = np.linalg.norm(steps[steps.any(axis=1)] @ vectors[0], axis=1)
    assert lengths.min() < 2
    short = np.linalg.norm(reduced_lattices(vectors)[0], axis=1).min()
    np.testing.assert_allclose(short, lengths.min())
