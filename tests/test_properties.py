"""The numerical contract on molecules, boxes and changes that nobody thought of."""

from __future__ import annotations

import MDAnalysis as mda
import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mdgeomfeat import GeomGNNFeaturizer, GeomGNNTransformer
from mdgeomfeat.boxes import box_heights, has_box, lattice_vectors
from mdgeomfeat.gnn import ModelSpec, build_model
from mdgeomfeat.neighbors import neighbor_list
from mdgeomfeat.structure import Structure, make_whole
from mdgeomfeat.testing import random_rotation, relative_error

settings.register_profile(
    "repeatable",
    derandomize=True,
    deadline=None,
    database=None,
    max_examples=10,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.load_profile("repeatable")

LIMIT = 1e-5
CUTOFF = 4.0
ELEMENTS = (1, 6, 7, 8, 16)
SPEC = ModelSpec(
    n_channels=8, n_layers=2, n_heads=2, n_rbf=8, cutoff=CUTOFF, elements=ELEMENTS
)
MODEL = build_model(SPEC, seed=1)

seeds = st.integers(0, 2**32 - 1)
few, several = st.integers(1, 4), st.integers(2, 9)
coordinates = st.floats(-8, 8, width=32, allow_subnormal=False)


@st.composite
def systems(draw, n_frames=few):
    """Numbers (A,), positions (F, A, 3) of atoms that are never too near."""
    n_atoms = draw(st.integers(2, 12))
    numbers = draw(st.lists(st.sampled_from(ELEMENTS), min_size=n_atoms,
                            max_size=n_atoms))  # fmt: skip
    places = draw(arrays(np.float32, (draw(n_frames), n_atoms, 3),
                         elements=coordinates))  # fmt: skip
    # A grid keeps atoms apart; a chemist's molecule is as far from random as this.
    grid = np.stack(np.unravel_index(np.arange(n_atoms), (3, 3, 3)), axis=1) * 1.6
    return np.array(numbers), (grid + 0.05 * places).astype(np.float64)


@st.composite
def boxes(draw, smallest=2.2 * CUTOFF):
    """A triclinic box whose heights leave room for the cutoff."""
    lengths = [draw(st.floats(12, 25)) for _ in range(3)]
    angles = [draw(st.floats(55, 125)) for _ in range(3)]
    box = np.array([*lengths, *angles])
    assume(has_box(box)[0])
    assume(box_heights(lattice_vectors(box)).min() > smallest)
    return box


def token_features(numbers, positions, boxes=None, tokens=None, **options):
    transformer = GeomGNNTransformer(
        (numbers, np.arange(len(numbers)) // 3 if tokens is None else tokens),
        model=MODEL, invariants="norms", allow_implausible=True, **options,
    )  # fmt: skip
    return transformer.fit_transform(positions, boxes=boxes)


@given(systems(), seeds, arrays(np.float64, 3, elements=st.floats(-20, 20)))
@pytest.mark.parametrize("engine", ["torch", "cpu"])
def test_rigid_motions_change_no_invariant(engine, system, seed, shift):
    numbers, positions = system
    moved = positions @ random_rotation(seed).T + shift
    transformer = GeomGNNTransformer(
        (numbers, np.arange(len(numbers)) // 3),
        model=MODEL,
        engine=engine,
        allow_implausible=True,  # as atoms on a grid may be
    )
    expected = transformer.fit_transform(positions)
    assert relative_error(transformer.transform(moved), expected) < LIMIT


@given(systems(), st.data())
def test_the_order_of_atoms_does_not_matter(system, data):
    numbers, positions = system
    order = np.array(data.draw(st.permutations(range(len(numbers)))))
    tokens = np.arange(len(numbers)) // 3
    expected = token_features(numbers, positions, tokens=tokens)
    got = token_features(numbers[order], positions[:, order], tokens=tokens[order])
    assert relative_error(got, expected) < LIMIT


@given(systems(), boxes(), seeds)
@pytest.mark.parametrize("engine", ["torch", "cpu"])
def test_wrapping_in_any_box_changes_nothing(engine, system, box, seed):
    numbers, positions = system
    frames = np.tile(box, (len(positions), 1))
    options = {"boxes": frames, "periodic": True, "engine": engine}
    expected = token_features(numbers, positions, **options)
    rng = np.random.default_rng(seed)
    images = rng.integers(-2, 3, positions.shape) @ lattice_vectors(box)
    assert relative_error(token_features(numbers, positions + images, **options),
                          expected) < LIMIT  # fmt: skip
    slid = positions + rng.uniform(-30, 30, 3)
    inside = slid - np.floor(slid @ np.linalg.inv(lattice_vectors(box))) @ (
        lattice_vectors(box)
    )
    assert relative_error(token_features(numbers, inside, **options), expected) < LIMIT


@given(systems(), boxes())
def test_a_large_box_is_no_box(system, box):
    """Where no image is near, the box makes no difference."""
    numbers, positions = system
    wide = box * np.array([4, 4, 4, 1, 1, 1])
    free = token_features(numbers, positions)
    boxed = token_features(
        numbers, positions, boxes=np.tile(wide, (len(positions), 1)), periodic=True
    )
    assert relative_error(boxed, free) < LIMIT


@given(boxes(smallest=1.0), seeds, st.floats(0.5, 0.999))
def test_every_pair_is_found_in_any_box(box, seed, part):
    """Against all 125 images of every atom."""
    lattice = lattice_vectors(box)
    cutoff = part * box_heights(lattice).min() / 2
    x = np.random.default_rng(seed).uniform(0, 1, (15, 3)) @ lattice
    edges = neighbor_list(x[None], cutoff, box)
    grid = np.stack(np.meshgrid(*[np.arange(-2, 3)] * 3), axis=-1).reshape(-1, 3)
    apart = x[None] - x[:, None]
    images = apart[:, :, None] + (grid @ lattice)
    near = np.linalg.norm(images, axis=-1).min(axis=2)
    np.fill_diagonal(near, np.inf)
    assume(np.abs(near - cutoff).min() > 1e-6)
    receiver, sender = np.nonzero(near < cutoff)
    assert edges.receiver.tolist() == receiver.tolist()
    assert sorted(zip(edges.receiver.tolist(), edges.sender.tolist(), strict=True)) == (
        list(zip(receiver.tolist(), sender.tolist(), strict=True))
    )
    np.testing.assert_allclose(
        np.sort(edges.distance), np.sort(near[receiver, sender]), atol=1e-4
    )


@given(systems(n_frames=several), st.integers(1, 12), st.data())
def test_batches_and_choices_of_frames_change_nothing(system, batch_size, data):
    numbers, positions = system
    u = mda.Universe.empty(len(numbers), trajectory=True)
    u.load_new(positions.astype(np.float32), order="fac")
    u.add_TopologyAttr("elements", ["XHXXXXCNOXXXXXXXS"[z] for z in numbers])
    u.add_TopologyAttr("names", ["XHXXXXCNOXXXXXXXS"[z] for z in numbers])
    options = {"model": MODEL, "engine": "torch", "tokens": "atom", "select": "all"}
    whole = GeomGNNFeaturizer(u, **options, batch_size=64).run().results
    frames = data.draw(
        st.lists(st.sampled_from(range(len(positions))), min_size=1, unique=True)
    )
    frames = sorted(frames)
    part = GeomGNNFeaturizer(u, **options, batch_size=batch_size).run(frames=frames)
    assert relative_error(part.results.scalars, whole.scalars[frames]) < LIMIT
    assert relative_error(part.results.vectors, whole.vectors[frames]) < LIMIT
    lengths = [len(x) for x in part.results.features_list()]
    assert sum(lengths) == len(frames)


@given(boxes(smallest=9.0), seeds, st.integers(2, 20))
def test_a_torn_chain_is_made_whole(box, seed, n_atoms):
    """Whatever images its atoms were wrapped to."""
    rng = np.random.default_rng(seed)
    steps = rng.normal(size=(n_atoms, 3))
    steps *= 1.5 / np.linalg.norm(steps, axis=1, keepdims=True)
    chain = np.cumsum(steps, axis=0)
    u = mda.Universe.empty(n_atoms, trajectory=True)
    u.add_TopologyAttr("names", ["C"] * n_atoms)
    u.add_TopologyAttr("elements", ["C"] * n_atoms)
    u.add_TopologyAttr("bonds", [(i, i + 1) for i in range(n_atoms - 1)])
    structure = Structure.from_atomgroup(u.atoms, tokens="atom")
    torn = chain + rng.integers(-2, 3, chain.shape) @ lattice_vectors(box)
    whole = make_whole(structure, torn[None], box[None])[0]
    got, expected = np.diff(whole, axis=0), np.diff(chain, axis=0)
    np.testing.assert_allclose(got, expected, atol=1e-6)


@pytest.fixture(scope="module")
def real(data):
    """Return a peptide of five residues as numbers, tokens and 200 frames."""
    u = mda.Universe(data / "wlall" / "wlall.pdb", data / "wlall" / "wlall-0.xtc")
    structure = Structure.from_atomgroup(u.select_atoms("not element H"))
    x = np.array([ts.positions[structure.indices] for ts in u.trajectory[:200]])
    return structure, x.astype(np.float64)


@given(seed=seeds, first=st.integers(0, 190), box=boxes())
def test_a_real_peptide_keeps_the_contract(real, seed, first, box):
    structure, x = real
    positions = x[first : first + 5] - x[first : first + 5].mean(axis=1, keepdims=True)
    rng = np.random.default_rng(seed)
    turned = positions @ random_rotation(seed).T + rng.uniform(-20, 20, 3)
    transformer = GeomGNNTransformer(structure, model=MODEL)
    expected = transformer.fit_transform(positions)
    assert relative_error(transformer.transform(turned), expected) < LIMIT
    wide = box * np.array([2.5, 2.5, 2.5, 1, 1, 1])
    images = rng.integers(-1, 2, turned.shape) @ lattice_vectors(wide)
    periodic = GeomGNNTransformer(structure, model=MODEL, periodic=True).fit()
    torn = periodic.transform(turned + images, boxes=np.tile(wide, (5, 1)))
    assert relative_error(torn, expected) < LIMIT
