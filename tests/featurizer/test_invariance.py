"""Limit 1 and 2 of the numerical contract, on the features as users get them."""

import numpy as np
import pytest
from feature_systems import error, peptide, rotation

from mdgeomfeat import GeomGNNFeaturizer, GeomGNNTransformer, InputError
from mdgeomfeat.boxes import lattice_vectors

LIMIT = 1e-5
BOX = np.array([30.0, 29.0, 31.0, 75.0, 80.0, 70.0], dtype=np.float32)


def lattice():
    """Rows are the lattice vectors of BOX."""
    return lattice_vectors(BOX)


@pytest.fixture
def featurize(options):
    def run(positions, boxes=None, universe=None, **more):
        u = universe or peptide(n_frames=len(positions))
        u.load_new(np.asarray(positions, np.float32), dimensions=boxes)
        return GeomGNNFeaturizer(u, **options, **more).run().results

    return run


@pytest.fixture
def positions(chain):
    return np.stack([chain.atoms.positions for _ in chain.trajectory]).astype(float)


@pytest.fixture
def boxes(positions):
    return np.broadcast_to(BOX, (len(positions), 6)).copy()


def test_rotation_and_translation(featurize, positions):
    before = featurize(positions)
    matrix = rotation()
    after = featurize(positions @ matrix.T + [3.0, -7.0, 11.0])
    assert error(after.features, before.features) < LIMIT
    turned = np.einsum("xy,fnyc->fnxc", matrix, before.vectors)
    assert error(after.vectors, turned) < LIMIT


def test_reflection_is_seen_by_geometric_only(featurize, positions):
    before, after = featurize(positions), featurize(positions * [1, 1, -1])
    for kind in ("scalars", "norms"):
        assert error(after.invariants(kind), before.invariants(kind)) < LIMIT
    odd = slice(16 + 16, None)
    assert error(after.token_features[..., odd], -before.token_features[..., odd]) < (
        LIMIT
    )
    assert np.abs(before.token_features[..., odd]).max() > 0


def test_order_of_atoms_and_frames(options, positions):
    structure = peptide(n_frames=1)
    order = np.random.default_rng(1).permutation(24)
    numbers = np.array([7, 6, 6, 8] * 6)
    token = np.repeat(np.arange(6), 4)
    plain = GeomGNNTransformer((numbers, token), **options).fit_transform(positions)
    mixed = GeomGNNTransformer((numbers[order], token[order]), **options)
    assert error(mixed.fit_transform(positions[:, order]), plain) < LIMIT
    backwards = GeomGNNTransformer(structure, **options).fit_transform(positions[::-1])
    assert error(backwards[::-1], plain) < LIMIT


def test_shift_by_lattice_vectors(chain, options, positions, boxes):
    # Positions as float64 arrays: rounding the shifted ones is not what is tested.
    transformer = GeomGNNTransformer(chain, **options).fit()
    before = transformer.transform(positions, boxes)
    rng = np.random.default_rng(0)
    steps = rng.integers(-1, 2, size=(*positions.shape[:2], 3))
    after = transformer.transform(positions + steps @ lattice(), boxes)
    assert error(after, before) < LIMIT
    transformer.set_params(allow_implausible=True)
    assert error(transformer.transform(positions + steps @ lattice()), before) > 0.01


def test_broken_molecules_are_the_same_as_whole_ones(
    featurize, chain, options, positions, boxes
):
    moved = positions + np.array([14.0, 1.0, -9.0])
    steps = np.floor(moved @ np.linalg.inv(lattice()))
    broken = (moved - steps @ lattice()).astype(np.float32)
    assert np.ptp(broken[0], axis=0).max() > np.ptp(moved[0], axis=0).max()
    # The same real positions, put together by hand, without a box.
    whole = broken.astype(np.float64) + steps @ lattice()
    expected = GeomGNNTransformer(chain, **options).fit_transform(whole)
    got = featurize(broken, boxes, periodic=True)
    assert error(got.features, expected) < LIMIT
    np.testing.assert_array_equal(got.boxes, boxes)
    # The positions that are kept are whole, a lattice vector away from these.
    assert np.ptp(got.positions - whole, axis=1).max() < 1e-5
    without = featurize(broken, boxes, periodic=False)
    assert without.boxes is None
    assert error(without.features, expected) > 0.01


def test_a_box_that_is_not_used_changes_nothing(featurize, positions, boxes):
    free, boxed = featurize(positions), featurize(positions, boxes)
    assert error(boxed.features, free.features) < LIMIT


def test_a_box_below_the_cutoff_is_refused(featurize, positions):
    small = np.broadcast_to(
        np.array([30.0, 9.0, 30.0, 90, 90, 90], np.float32), (len(positions), 6)
    )
    with pytest.raises(InputError, match="cutoff"):
        featurize(positions, small.copy(), periodic=True)


def test_a_box_that_vanishes_is_named(featurize, positions, boxes):
    boxes[3] = 0
    with pytest.raises(InputError, match=r"Frame 0 of .* has a box and frame 3"):
        featurize(positions, boxes)


def test_far_from_the_origin(featurize, positions):
    # Rounding to float32 is the file's doing; beyond it nothing may be lost.
    far = (positions + 200.0).astype(np.float32)
    near = far.astype(np.float64) - 200.0
    assert error(featurize(far).features, featurize(near).features) < LIMIT
