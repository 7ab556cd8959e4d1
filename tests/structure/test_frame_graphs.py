"""A frame as a graph of torch-geometric."""

import numpy as np
import pytest

from mdgeomfeat import Structure
from mdgeomfeat.errors import InputError


@pytest.fixture
def structure():
    return Structure.from_arrays(
        np.array([8, 1, 1]), np.array([0, 0, 1]), bonds=np.array([[0, 1], [0, 2]])
    )


def test_a_frame_becomes_a_graph(structure):
    x = np.random.default_rng(0).normal(size=(3, 3))
    data = structure.to_data(x)
    assert data.z.tolist() == [8, 1, 1]
    assert data.token.tolist() == [0, 0, 1]
    assert sorted(map(tuple, data.edge_index.T.tolist())) == [
        (0, 1), (0, 2), (1, 0), (2, 0)
    ]  # fmt: skip
    np.testing.assert_allclose(data.pos, x, rtol=1e-6)
    assert "cell" not in data


def test_molecules_are_made_whole_in_a_box(structure):
    x = np.array([[0.2, 0, 0], [9.7, 0, 0], [0.9, 0, 0]])
    data = structure.to_data(x, [10, 10, 12, 90, 90, 90])
    np.testing.assert_allclose(
        data.pos, [[0.2, 0, 0], [-0.3, 0, 0], [0.9, 0, 0]], atol=1e-6
    )
    np.testing.assert_allclose(data.cell[0], np.diag([10, 10, 12]))


@pytest.mark.parametrize("x", [np.zeros((2, 3)), np.full((3, 3), np.nan)])
def test_positions_that_do_not_fit_are_refused(structure, x):
    with pytest.raises(InputError, match=r"give .3, 3. coordinates in Å"):
        structure.to_data(x)
