"""Boxes and cutoffs at the edge of what is allowed."""

from __future__ import annotations

import numpy as np
import pytest

from mdgeomfeat.boxes import check_cutoff, has_box, lattice_vectors, nearest_image
from mdgeomfeat.errors import InputError

CUBE = [30.0, 30, 30, 90, 90, 90]


def test_crystals_have_small_boxes():
    # Copper in its cubic cell, and in its primitive one.
    assert has_box([3.61, 3.61, 3.61, 90, 90, 90]).all()
    assert has_box([2.55, 2.55, 2.55, 60, 60, 60]).all()


def test_right_angles_give_exact_zeros():
    vectors = lattice_vectors(np.array([30.0, 40, 50, 90, 90, 90]))
    np.testing.assert_array_equal(vectors, np.diag([30.0, 40, 50]))
    leaning = lattice_vectors(np.array([30.0, 40, 50, 90, 90, 120]))
    np.testing.assert_array_equal(leaning[2], [0, 0, 50])


@pytest.mark.parametrize(
    ("box", "height"),
    [
        (CUBE, 30.0),
        ([30.0, 40, 50, 90, 90, 90], 30.0),
        # of a hexagonal cell the height is not the edge
        ([30.0, 30, 50, 90, 90, 120], 30 * np.sin(np.pi / 3)),
        ([40.0, 40, 25, 60, 60, 90], 25 / np.sqrt(2)),
    ],
)
def test_half_the_shortest_height_is_the_largest_cutoff(box, height):
    boxes = np.array([CUBE, np.zeros(6), box])
    check_cutoff(boxes, height / 2)
    with pytest.raises(InputError, match=rf"over half .*, {height:.3f} Å in frame"):
        check_cutoff(boxes, 0.501 * height)


def test_the_smallest_box_decides_and_is_named():
    boxes = np.array([CUBE, CUBE, [16.0, 30, 30, 90, 90, 90], CUBE])
    check_cutoff(boxes, 8.0)
    with pytest.raises(InputError, match=r"16\.000 Å in frame 2"):
        check_cutoff(boxes, 9.0)
    with pytest.raises(InputError, match="in c: the box"):
        check_cutoff(boxes, 9.0, ["a", "b", "c", "d"])


def test_contacts_that_need_no_image_are_no_overlap():
    # Two sites of one disordered atom, 0.6 Å apart, in the middle of the box.
    x = np.array([[15.0, 15, 15], [15.6, 15, 15], [17.0, 15, 15]])
    assert nearest_image(x, np.array(CUBE), np.full(3, 6)) == np.inf


def test_a_bond_across_the_boundary_of_a_slightly_smaller_box_is_one():
    # C-N of 1.33 Å, wrapped in a box of 30 Å and put into one of 29.4 Å.
    x = np.array([[0.1, 15, 15], [1.6, 15, 15], [28.77, 15, 15], [27.3, 15, 15]])
    box = np.array([29.4, 30, 30, 90, 90, 90])
    assert np.linalg.norm(x[0] + [29.4, 0, 0] - x[2]) < 1.0
    assert nearest_image(x, box, np.full(4, 6)) == np.inf
    # within one piece that is no bond
    assert nearest_image(x[[0, 2]] * [0, 1, 1], box, np.full(2, 6)) == np.inf
    chain = np.array([[0.1 + 1.5 * k, 15, 15] for k in range(20)])
    assert nearest_image(chain, box, np.full(20, 6)) < 1.0
