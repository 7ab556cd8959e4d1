"""Neighbour lists against a loop over all pairs and images."""

from __future__ import annotations

import sys
from itertools import pairwise, product
from types import ModuleType

import numpy as np
import pytest
import torch

from mdgeomfeat.errors import InputError
from mdgeomfeat.neighbors import graph_list, lattice_vectors, neighbor_list
from mdgeomfeat.neighbors._numba import search_numba

BOXES = {
    "none": None,
    "cubic": [18.0, 18.0, 18.0, 90, 90, 90],
    "orthorhombic": [17.0, 25.0, 16.0, 90, 90, 90],
    "hexagonal": [20.0, 20.0, 24.0, 90, 90, 120],
    "truncated octahedron": [22.0, 22.0, 22.0, 109.4712206, 109.4712206, 109.4712206],
    "dodecahedron": [22.0, 22.0, 22.0, 60, 60, 90],
    "skewed": [40.0, 40.0, 40.0, 35, 80, 70],
}
BACKENDS = ["numba", "torch"]


def oracle(positions, cutoff, boxes=None):
    """Return {(receiver, sender): vector} by trying 343 images of every pair."""
    edges = {}
    n = positions.shape[1]
    for f, r in enumerate(np.asarray(positions, float)):
        images = np.zeros((1, 3))
        difference = r[None, :] - r[:, None]
        if boxes is not None and np.any(boxes[f]):
            lattice = lattice_vectors(boxes[f])
            difference -= np.round(difference @ np.linalg.inv(lattice)) @ lattice
            images = np.array(list(product(range(-3, 4), repeat=3))) @ lattice
        all_images = difference[:, :, None] + images
        square = (all_images**2).sum(-1)
        nearest = square.argmin(-1)
        for i, j in zip(*np.nonzero(square.min(-1) < cutoff**2), strict=True):
            if i != j:
                edges[f * n + i, f * n + j] = all_images[i, j, nearest[i, j]]
    return edges


def assert_same(edges, expected, n_atoms):
    pairs = list(zip(edges.receiver.tolist(), edges.sender.tolist(), strict=True))
    assert pairs == sorted(expected)
    if pairs:
        vectors = np.array([expected[pair] for pair in pairs])
        np.testing.assert_allclose(edges.vector.numpy(), vectors, atol=1e-10)
    counts = np.bincount(edges.receiver.numpy(), minlength=n_atoms)
    assert edges.row_ptr.tolist() == [0, *np.cumsum(counts)]
    assert edges.n_atoms == n_atoms
    assert edges.n_edges == len(expected)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", BOXES)
def test_all_pairs_under_the_minimum_image(name, backend):
    rng = np.random.default_rng(3)
    # Far outside the box on both sides, and with atoms on faces, edges and corners.
    positions = rng.uniform(-30, 60, (2, 60, 3))
    box = BOXES[name]
    boxes = None
    if box is not None:
        boxes = np.array([box, [1.25 * x for x in box[:3]] + box[3:]])
        lattice = lattice_vectors(boxes[0])
        positions[0, :4] = np.array([[0, 0, 0], [1, 0, 0], [0.5, 1, 0], [1, 1, 1]])
        positions[0, :4] = positions[0, :4] @ lattice
        positions[0, 4] = positions[0, 0] + [3.0, 0.0, 0.0]
    else:
        positions /= 5
    edges = neighbor_list(positions, 7.5, boxes, backend=backend, dtype=torch.float64)
    assert_same(edges, oracle(positions, 7.5, boxes), 120)


@pytest.mark.parametrize("name", BOXES)
@pytest.mark.parametrize("cutoff", [3.0, 7.0])
def test_cells_find_what_brute_force_finds(name, cutoff):
    rng = np.random.default_rng(4)
    box = np.array(BOXES[name] or [20.0, 20, 20, 90, 90, 90], float)
    lattice = lattice_vectors(box[None])
    position = rng.uniform(-0.3, 1.4, (400, 3)) @ lattice[0]
    periodic = np.array([BOXES[name] is not None])
    ptr = np.array([0, 400])
    found = [
        search_numba(position, ptr, lattice, periodic, cutoff, brute_force_atoms=least)
        for least in (1000, 0)
    ]
    assert len(found[0][1]) > 400
    for brute, cells in zip(*found, strict=True):
        np.testing.assert_array_equal(brute, cells)


def test_a_periodic_image_is_the_same_neighbourhood():
    rng = np.random.default_rng(5)
    box = np.array([24.0, 26, 25, 70, 100, 80])
    positions = rng.uniform(0, 25, (1, 80, 3))
    shifts = rng.integers(-3, 4, (1, 80, 3)) @ lattice_vectors(box)
    one = neighbor_list(positions, 8.0, box, dtype=torch.float64)
    other = neighbor_list(positions + shifts, 8.0, box, dtype=torch.float64)
    assert torch.equal(one.sender, other.sender)
    assert torch.allclose(one.vector, other.vector, atol=1e-12)


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_cutoff_is_strict(backend):
    positions = np.array([[[0.0, 0, 0], [2.0, 0, 0], [2.0, np.nextafter(2, 0), 0]]])
    edges = neighbor_list(positions, 2.0, backend=backend)
    assert edges.receiver.tolist() == [1, 2]


@pytest.mark.parametrize("backend", BACKENDS)
def test_coincident_atoms_are_neighbours(backend):
    edges = neighbor_list(np.zeros((1, 3, 3)), 1.0, backend=backend)
    assert edges.n_edges == 6
    assert not edges.vector.any()


@pytest.mark.parametrize("backend", BACKENDS)
def test_no_neighbour_is_dropped_from_a_dense_blob(backend):
    positions = np.random.default_rng(0).normal(size=(1, 180, 3))
    edges = neighbor_list(positions, 50.0, backend=backend)
    assert (edges.row_ptr.diff() == 179).all()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("shape", [(2, 1, 3), (1, 2, 3), (0, 4, 3), (2, 0, 3)])
def test_nothing_to_find(backend, shape):
    positions = np.arange(np.prod(shape)).reshape(shape) * 10.0
    edges = neighbor_list(positions, 5.0, backend=backend)
    assert edges.n_edges == 0
    assert edges.vector.shape == (0, 3)
    assert edges.row_ptr.tolist() == [0] * (shape[0] * shape[1] + 1)


def test_frames_with_and_without_a_box_and_with_different_ones():
    positions = np.array([[[0.5, 5, 5], [19.5, 5, 5]]] * 3)
    boxes = [[20, 20, 20, 90, 90, 90], [0] * 6, [19.5, 20, 20, 90, 90, 90]]
    edges = neighbor_list(positions, 5.0, boxes)
    assert edges.receiver.tolist() == [0, 1, 4, 5]
    assert edges.distance.tolist() == pytest.approx([1, 1, 0.5, 0.5], abs=1e-6)


def test_both_directions_carry_opposite_vectors():
    positions = np.random.default_rng(1).uniform(0, 40, (1, 700, 3))
    edges = neighbor_list(positions, 6.0, [40.0, 40, 40, 60, 60, 90])
    order = torch.argsort(edges.sender * 700 + edges.receiver)
    assert torch.equal(edges.receiver, edges.sender[order])
    assert torch.equal(edges.vector, -edges.vector[order])


def test_differences_are_formed_before_precision_is_lowered():
    near = np.array([[[0.0, 0, 0], [1.25, 0, 0]]])
    edges = neighbor_list(near + 1e6, 5.0, dtype=torch.float32)
    assert edges.vector[0].tolist() == [1.25, 0, 0]
    assert edges.vector.dtype == torch.float32


@pytest.mark.parametrize("backend", BACKENDS)
def test_max_neighbors_keeps_the_nearest_and_breaks_ties_by_number(backend):
    # Atom 0 in the middle of a cross: four at distance 1, one at 1.5.
    positions = np.array(
        [[[0.0, 0, 0], [1.5, 0, 0], [0, 1, 0], [0, -1, 0], [-1, 0, 0], [0, 0, 1]]]
    )
    edges = neighbor_list(positions, 3.0, max_neighbors=2, backend=backend)
    first = edges.sender[edges.row_ptr[0] : edges.row_ptr[1]]
    assert first.tolist() == [2, 3]
    assert (edges.row_ptr.diff() == 2).all()


def test_graphs_of_different_sizes_do_not_see_each_other():
    rng = np.random.default_rng(2)
    positions = rng.uniform(0, 6, (21, 3))
    ptr = [0, 3, 3, 14, 15, 21]
    edges = graph_list(positions, torch.tensor(ptr), 4.0, dtype=torch.float64)
    expected = {}
    for first, last in pairwise(ptr):
        part = oracle(positions[None, first:last], 4.0)
        expected |= {(i + first, j + first): v for (i, j), v in part.items()}
    assert_same(edges, expected, 21)
    same = graph_list(positions, ptr, 4.0, backend="torch", dtype=torch.float64)
    assert torch.equal(edges.sender, same.sender)


def test_threads_do_not_change_the_list(monkeypatch):
    from mdgeomfeat.neighbors import _numba

    positions = np.random.default_rng(6).uniform(0, 12, (9, 40, 3))
    alone = neighbor_list(positions, 5.0)
    monkeypatch.setattr(_numba, "WORK_PER_THREAD", 1)
    monkeypatch.setattr(_numba, "n_threads", lambda: 4)
    together = neighbor_list(positions, 5.0)
    assert torch.equal(alone.sender, together.sender)
    assert torch.equal(alone.vector, together.vector)


def test_torch_vectors_carry_gradients():
    positions = torch.rand(1, 6, 3, dtype=torch.float64, requires_grad=True)
    edges = neighbor_list(
        positions, 0.8, [2.0, 2, 2, 90, 90, 90], backend="torch", dtype=torch.float64
    )
    edges.vector[:, 0].square().sum().backward()
    assert positions.grad.abs().sum() > 0
    assert torch.allclose(positions.grad.sum(dim=1), torch.zeros(3).double())


@pytest.mark.parametrize("limit", [2_000_000, 7])
def test_torch_cuts_the_pairs_that_it_tests_at_once(monkeypatch, limit):
    from mdgeomfeat.neighbors import _torch

    monkeypatch.setattr(_torch, "PAIRS_AT_ONCE", limit)
    positions = np.random.default_rng(7).uniform(0, 6, (2, 10, 3))
    edges = neighbor_list(positions, 3.0, backend="torch", dtype=torch.float64)
    assert_same(edges, oracle(positions, 3.0), 20)


def stand_in_for_torch_cluster(seen):
    """Return a module with a radius_graph that keeps pairs at the cutoff."""
    module = ModuleType("torch_cluster")

    def radius_graph(x, r, batch, loop, max_num_neighbors):
        seen["cap"] = max_num_neighbors
        distance = torch.cdist(x, x)
        near = (distance <= r) & (batch[:, None] == batch[None, :])
        near &= ~torch.eye(len(x), dtype=torch.bool)
        receiver, sender = near.nonzero(as_tuple=True)
        shuffled = torch.randperm(len(receiver))
        return torch.stack([sender[shuffled], receiver[shuffled]])

    module.radius_graph = radius_graph
    return module


def test_torch_cluster_is_asked_without_a_cap_and_its_answer_sorted(monkeypatch):
    seen = {}
    monkeypatch.setitem(sys.modules, "torch_cluster", stand_in_for_torch_cluster(seen))
    positions = np.random.default_rng(8).uniform(0, 5, (3, 50, 3))
    positions[0, 1] = positions[0, 0] + [4.0, 0, 0]
    edges = neighbor_list(positions, 4.0, backend="torch-cluster", dtype=torch.float64)
    same = neighbor_list(positions, 4.0, dtype=torch.float64)
    assert torch.equal(edges.sender, same.sender)
    assert torch.equal(edges.row_ptr, same.row_ptr)
    assert torch.allclose(edges.vector, same.vector)
    assert seen["cap"] >= 49


def test_torch_cluster_itself():
    pytest.importorskip("torch_cluster", reason="torch-cluster is optional")
    positions = np.random.default_rng(8).normal(size=(3, 80, 3)) * 3
    edges = neighbor_list(positions, 6.0, backend="torch-cluster")
    assert torch.equal(edges.sender, neighbor_list(positions, 6.0).sender)
    assert int(edges.row_ptr.diff().max()) > 32


def test_without_torch_cluster_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch_cluster", None)
    with pytest.raises(InputError, match=r"mdgeomfeat\[torch-cluster\]"):
        neighbor_list(np.zeros((1, 2, 3)), 1.0, backend="torch-cluster")


GOOD = np.zeros((2, 3, 3))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.zeros((3, 3)), 5.0), r"shape \(3, 3\).*n_frames, n_atoms, 3"),
        ((GOOD, 0.0), "cutoff is 0.0"),
        ((GOOD, 5.0, [[9.0, 30, 30, 90, 90, 90]] * 2), "9.000 Å in frame 0"),
        ((GOOD, 8.0, [30.0, 30, 30, 30, 90, 90]), "15.000 Å"),
        ((GOOD, 1.0, [[9.0, 9, 9, 90, 90, 90]] * 3), r"\(3, 6\), but 2 frames"),
        ((GOOD, 1.0, [9.0, -9, 9, 90, 90, 90]), "encloses no volume"),
        ((GOOD, 1.0, [9.0, 9, 9, 20, 90, 130]), "encloses no volume"),
    ],
)
def test_mistakes_are_named(arguments, message):
    with pytest.raises(InputError, match=message):
        neighbor_list(*arguments)


def test_coordinates_that_are_not_numbers_are_named():
    positions = GOOD.copy()
    positions[1, 2, 0] = np.nan
    with pytest.raises(InputError, match=r"Atom 2 of frame 1.*skip-bad-frames"):
        neighbor_list(positions, 5.0)


def test_options_are_checked():
    with pytest.raises(InputError, match="'numba', 'torch', 'torch-cluster'"):
        neighbor_list(GOOD, 5.0, backend="scipy")
    with pytest.raises(InputError, match="max_neighbors is 0"):
        neighbor_list(GOOD, 5.0, max_neighbors=0)
    with pytest.raises(InputError, match="cannot use boxes"):
        neighbor_list(GOOD, 1.0, [9.0] * 3 + [90] * 3, backend="torch-cluster")
    with pytest.raises(InputError, match="graph_ptr ends at 2"):
        graph_list(GOOD[0], [0, 2], 5.0)
    with pytest.raises(InputError, match="never decrease"):
        graph_list(GOOD[0], [0, 3, 2, 3], 5.0)
