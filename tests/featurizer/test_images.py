"""Features in a box against a cluster of images, built here from the numbers alone."""

from __future__ import annotations

import MDAnalysis as mda
import numpy as np
import pytest
from feature_systems import error

from mdgeomfeat import GeomGNNFeaturizer, GeomGNNTransformer
from mdgeomfeat.descriptors import compute_descriptors
from mdgeomfeat.structure import Structure, make_whole

LIMIT = 1e-5
# Atoms farther away than layers times cutoff cannot be heard.
REACH = 2 * 5.0

DODECAHEDRON = [26.0, 26.0, 26.0, 60.0, 60.0, 90.0]
SYSTEMS = {
    "polymer, longer than its box": (30, 2, [30.0, 12.0, 12.0, 90.0, 90.0, 90.0]),
    "polymer in a dodecahedron": (24, 1, DODECAHEDRON),
    "polymer in an octahedron": (24, 1, [24.0, 24, 24, 109.4712, 109.4712, 109.4712]),
    "chains in a sheared box": (22, 2, [24.0, 22.0, 20.0, 70.0, 105.0, 65.0]),
}


def vectors_of(box):
    """Return lattice vectors, from the definition of the angles."""
    a, b, c = box[:3]
    alpha, beta, gamma = np.deg2rad(box[3:])
    x = (np.cos(alpha) - np.cos(beta) * np.cos(gamma)) / np.sin(gamma)
    height = np.sqrt(1 - np.cos(beta) ** 2 - x**2)
    return np.array(
        [
            [a, 0, 0],
            [b * np.cos(gamma), b * np.sin(gamma), 0],
            [c * np.cos(beta), c * x, c * height],
        ]
    )


def polymers(length, copies, box):
    """Return extended chains of carbon and oxygen, (A, 3), and atomic numbers."""
    k = np.arange(length)
    chain = np.column_stack([1.27 * k, 0.85 * (k % 2), 0.3 * np.sin(k)])
    # Nearly along the first lattice vector, so that a chain passes its own image.
    q, _ = np.linalg.qr(np.column_stack([[1, 0.1, 0.07], np.eye(3)[:, 1:]]))
    turn = q.T * np.sign(q[0, 0])
    x = np.concatenate([chain @ turn + [0, 6.0 * n, 0] for n in range(copies)])
    numbers = np.resize([6, 6, 8], len(x))
    rng = np.random.default_rng(length)
    return x + rng.normal(0, 0.05, x.shape), numbers


def cluster_scalars(model, x, numbers, box):
    """Return scalars and vectors of the atoms, among all images that reach them."""
    grid = np.stack(np.meshgrid(*[np.arange(-6, 7)] * 3), axis=-1).reshape(-1, 3)
    grid = grid[np.argsort(np.abs(grid).sum(axis=1), kind="stable")]
    images = (x + (grid @ vectors_of(box))[:, None]).reshape(-1, 3)
    gap = [np.linalg.norm(images - atom, axis=1) for atom in x]
    near = np.min(gap, axis=0) < REACH + 0.01
    assert near[: len(x)].all()
    everyone = np.resize(numbers, len(images))[near]
    free = GeomGNNTransformer(
        (everyone, np.arange(len(everyone))), model=model, engine="torch", device="cpu"
    )
    scalars, vectors = free.fit().encode(images[near][None])
    return scalars[0, : len(x)], vectors[0, : len(x)]


def wrapped(x, box):
    places = x @ np.linalg.inv(vectors_of(box))
    return (places - np.floor(places)) @ vectors_of(box)


def universe(frames, numbers, length, box):
    n = len(numbers)
    chain = np.arange(n) // length
    u = mda.Universe.empty(
        n, n_residues=chain[-1] + 1, atom_resindex=chain, trajectory=True
    )
    u.add_TopologyAttr("elements", [{6: "C", 8: "O"}[z] for z in numbers])
    u.add_TopologyAttr(
        "names", [f"{'C' if z == 6 else 'O'}{i}" for i, z in enumerate(numbers)]
    )
    u.add_TopologyAttr("resnames", ["POL"] * (chain[-1] + 1))
    u.load_new(np.array(frames, np.float32), dimensions=np.tile(box, (len(frames), 1)))
    return u


@pytest.mark.filterwarnings("error::mdgeomfeat.errors.MDGeomFeatWarning")
@pytest.mark.parametrize("engine", ["torch", "cpu"])
@pytest.mark.parametrize("name", SYSTEMS)
def test_all_images_count_however_a_molecule_is_wrapped(model, name, engine):
    length, copies, box = SYSTEMS[name]
    x, numbers = polymers(length, copies, box)
    scalars, vectors = cluster_scalars(model, x, numbers, box)
    # Images matter, or nothing is tested.
    free = GeomGNNTransformer(
        (numbers, np.arange(len(x))), model=model, engine="torch", device="cpu"
    )
    assert error(free.fit().encode(x[None])[0][0], scalars) > 1e-3
    moved = x + np.array([5.0, -3.0, 8.0])
    frames = [x, wrapped(moved, box), wrapped(x, box), moved]
    options = {"model": model, "engine": engine, "device": "cpu", "tokens": "atom"}
    u = universe(frames, numbers, length, box)
    for order in ([0, 1, 2, 3], [1, 2, 3, 0]):
        got = GeomGNNFeaturizer(u, **options).run(frames=order).results
        assert got.boxes is not None
        for frame in range(4):
            assert error(got.scalars[frame], scalars) < LIMIT
            assert error(got.vectors[frame], vectors) < LIMIT
        # What is kept is each chain whole, and all frames the same but for a shift.
        whole = got.positions - got.positions[:, :1]
        np.testing.assert_allclose(whole, np.tile(whole[0], (4, 1, 1)), atol=1e-4)
        inside = np.arange(len(x)) < length
        np.testing.assert_allclose(whole[0, inside], (x - x[0])[inside], atol=1e-4)
    table = GeomGNNTransformer(u, **options).fit()
    boxes = np.tile(box, (4, 1))
    for scalar in table.encode(np.array(frames), boxes)[0]:
        assert error(scalar, scalars) < LIMIT


@pytest.mark.parametrize("name", SYSTEMS)
def test_descriptors_are_those_of_the_whole_chain(name):
    length, copies, box = SYSTEMS[name]
    x, numbers = polymers(length, copies, box)
    frames = np.array([x, wrapped(x + np.array([5.0, -3.0, 8.0]), box)])
    s = Structure.from_atomgroup(universe(frames, numbers, length, box).atoms)
    boxes = np.tile(box, (2, 1))
    whole = make_whole(s, frames, boxes)
    for kind in ("distances", "positions"):
        values = compute_descriptors(kind, s, whole, boxes).values
        np.testing.assert_allclose(values[1], values[0], atol=2e-4)
