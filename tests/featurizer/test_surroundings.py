"""What is counted around a token, beside every pair and every image by hand."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import MDAnalysis as mda
import numpy as np
import pytest
import torch
from MDAnalysis.lib.mdamath import triclinic_vectors

from mdgeomfeat import GeomGNNFeaturizer, GeomGNNTransformer, Structure
from mdgeomfeat.errors import InputError
from mdgeomfeat.featurespec import FeatureSpec
from mdgeomfeat.featurizer import (
    compute_invariants,
    invariant_names,
    n_invariants,
)
from mdgeomfeat.featurizer.surroundings import Surroundings, count_shells
from mdgeomfeat.testing import random_rotation

N = 12
SKEWED = np.array([23.0, 26.0, 31.0, 70.0, 80.0, 95.0])
SMALL = np.array([9.0, 40.0, 50.0, 90.0, 90.0, 90.0])


@pytest.fixture(scope="module")
def structure() -> Structure:
    """Twelve tokens of three atoms, in chains of seven and five."""
    chain = np.repeat([0, 1], [7, 5])
    return Structure.from_arrays(
        np.full(3 * N, 6), np.repeat(np.arange(N), 3), chain=chain
    )


@pytest.fixture(scope="module")
def positions() -> np.ndarray:
    rng = np.random.default_rng(5)
    atoms = rng.normal(0, 6, (3, N, 1, 3)) + rng.normal(0, 1, (3, N, 3, 3))
    return atoms.reshape(3, 3 * N, 3)


def by_hand(positions, chain, box=None, window=None):
    """Count with plain loops over tokens, images and shells."""
    centres = positions.reshape(len(positions), N, 3, 3).mean(axis=2)
    images = [np.zeros(3)]
    if box is not None:
        vectors = triclinic_vectors(box, dtype=np.float64)
        images = [np.array(n) @ vectors for n in product(range(-4, 5), repeat=3)]
    out = np.zeros((len(positions), N, 8))
    for f, i, j in product(range(len(positions)), range(N), range(N)):
        same, apart = chain[i] == chain[j], abs(i - j)
        if i == j or (same and apart <= 2):
            continue
        if window is not None and not (same and apart <= window):
            continue
        for image in images:
            r = np.linalg.norm(centres[f, j] + image - centres[f, i])
            for k, radius in enumerate(range(4, 19, 2)):
                if abs(r - radius) < 4:
                    out[f, i, k] += np.cos(np.pi * (r - radius) / 8) ** 2
    return out


@pytest.mark.parametrize("box", [None, SKEWED, SMALL])
@pytest.mark.parametrize("window", [None, 4])
def test_counts_are_those_of_plain_loops(structure, positions, box, window):
    boxes = None if box is None else np.tile(box, (3, 1))
    surroundings = Surroundings(structure, FeatureSpec(window=window))
    want = by_hand(positions, structure.chain, box, window)
    assert want.max() > (3 if window is None else 0.5)
    np.testing.assert_allclose(surroundings(positions, boxes), want, atol=1e-12)
    tensors = surroundings.of_tensors(torch.tensor(positions), boxes)
    np.testing.assert_allclose(tensors.numpy(), want, atol=1e-12)


def test_all_pairs_without_a_box_count_the_same(structure, positions):
    surroundings = Surroundings(structure, FeatureSpec())
    first, second = map(torch.tensor, surroundings.all_pairs())
    centres = surroundings.tensor_centres(torch.tensor(positions[:1]))[0]
    got = count_shells(centres[second] - centres[first], first, second, N)
    want = surroundings(positions[:1])[0]
    np.testing.assert_allclose(got.numpy(), want, atol=1e-12)


@pytest.mark.parametrize("box", [None, SKEWED])
def test_slopes_are_finite_differences(structure, positions, box):
    surroundings = Surroundings(structure, FeatureSpec())
    weights = np.random.default_rng(1).normal(size=(2, N, 8))
    boxes = None if box is None else box[None]
    centres = surroundings.centres(positions[:1])[0]
    slopes = surroundings.slopes(centres, box, weights)
    for atom, axis in ((0, 0), (16, 1), (35, 2)):
        ends = []
        for step in (1e-5, -1e-5):
            moved = positions[:1].copy()
            moved[0, atom, axis] += step
            ends.append((surroundings(moved, boxes) * weights).sum(axis=(1, 2)))
        by_steps = (ends[0] - ends[1]) / 2e-5
        np.testing.assert_allclose(slopes[:, atom, axis], by_steps, atol=1e-8)
    x = torch.tensor(positions[:1], requires_grad=True)
    (surroundings.of_tensors(x, boxes) * torch.tensor(weights[:1])).sum().backward()
    np.testing.assert_allclose(slopes[0], x.grad[0].numpy(), atol=1e-12)


def test_turned_shifted_and_imaged_tokens_have_the_same_surroundings(
    structure, positions
):
    surroundings = Surroundings(structure, FeatureSpec())
    want = surroundings(positions)
    turned = positions @ np.asarray(random_rotation()).T + [3.0, -2.0, 9.0]
    np.testing.assert_allclose(surroundings(turned), want, atol=1e-10)
    boxes = np.tile(SKEWED, (3, 1))
    vectors = triclinic_vectors(SKEWED, dtype=np.float64)
    moved = positions.copy()
    moved[:, 6:9] += vectors[0] - 2 * vectors[2]
    np.testing.assert_allclose(
        surroundings(moved, boxes), surroundings(positions, boxes), atol=1e-10
    )


def test_tokens_join_and_leave_without_a_jump(structure, positions):
    surroundings = Surroundings(structure, FeatureSpec())
    atoms = np.zeros((1, 3 * N, 3)) + np.arange(N).repeat(3)[:, None] * 100.0
    found = []
    for x in np.linspace(21.99, 22.01, 5):
        atoms[0, 33:] = atoms[0, :3] + [x, 0, 0]
        found.append(surroundings(atoms)[0, 0])
    assert found[0][7] > 0
    assert found[-1][7] == 0
    assert np.abs(np.diff(found, axis=0)).max() < 1e-4


@pytest.fixture
def peptide() -> mda.Universe:
    folder = Path(__file__).parents[2] / "data" / "aagaa"
    return mda.Universe(folder / "aagaa.pdb", folder / "aagaa-0.xtc")


def test_features_end_with_the_surroundings(peptide):
    results = GeomGNNFeaturizer(peptide, invariants="spatial").run(stop=4).results
    shells = Surroundings(results.structure, results.spec)(results.positions)
    assert shells.any()
    np.testing.assert_allclose(
        results.token_features[:, :, -8:], shells, rtol=1e-6, atol=1e-6
    )
    np.testing.assert_array_equal(
        results.token_features[:, :, :-8], results.invariants("geometric")
    )
    transformer = GeomGNNTransformer(peptide, invariants="spatial").fit()
    np.testing.assert_allclose(
        transformer.transform_tokens(results.positions),
        results.token_features,
        atol=1e-5,
    )
    assert transformer.get_feature_names_out()[119].endswith(":shell7")


def test_missing_shells_are_refused():
    scalars, vectors = np.zeros((2, 3, 4)), np.zeros((2, 3, 3, 4))
    following = np.array([1, 2, -1])
    spec = FeatureSpec(invariants="spatial")
    with pytest.raises(InputError, match=r"shells of shape \(2, 3, 8\), but got None"):
        compute_invariants(scalars, vectors, following, spec)


def test_the_number_of_tokens_decides_unless_a_kind_is_named():
    assert FeatureSpec().decided(9).invariants == "geometric"
    assert FeatureSpec().decided(10).invariants == "spatial"
    assert FeatureSpec(invariants="norms").decided(99).invariants == "norms"
    with pytest.raises(InputError, match="depends on the number of tokens"):
        n_invariants(FeatureSpec(), 64)
    with pytest.raises(InputError, match="depends on the number of tokens"):
        invariant_names(FeatureSpec(), 64)
    earlier = {k: v for k, v in FeatureSpec().to_dict().items() if k != "invariants"}
    assert FeatureSpec.from_dict(earlier).invariants == "geometric"


def test_wrapped_chains_have_the_surroundings_of_whole_ones(peptide):
    """Centres are of whole tokens, wherever a box cuts them."""
    box = np.array([40.0, 40.0, 40.0, 90.0, 90.0, 90.0])
    transformer = GeomGNNTransformer(peptide, invariants="spatial").fit()
    frames = peptide.trajectory.timeseries(order="fac")[:3]
    frames = frames - frames.mean(axis=1, keepdims=True)
    want = transformer.transform_tokens(frames, box)
    got = transformer.transform_tokens(frames % 40.0, box)
    assert np.abs(frames % 40.0 - frames).max() > 30
    np.testing.assert_allclose(got, want, atol=2e-4)
