import numpy as np
import pytest

from mdgeomfeat import InputError
from mdgeomfeat.featurespec import FeatureSpec
from mdgeomfeat.featurizer.invariants import (
    N_MIXES,
    channel_mixes,
    compute_invariants,
    invariant_names,
    n_invariants,
)

C = 8
SPEC = FeatureSpec(invariants="geometric")
PINNED = [-0.07987996283244275, -0.07066397294556993, 0.07385735128056727]
NEXT = np.array([1, 2, -1, 4, -1])  # a chain of three tokens and one of two
DOT, TRIPLE, CHAIN = (slice(C + k * N_MIXES, C + (k + 1) * N_MIXES) for k in range(3))


@pytest.fixture
def features():
    rng = np.random.default_rng(3)
    return rng.normal(size=(4, 5, C)), rng.normal(size=(4, 5, 3, C))


def turned(vectors, matrix):
    return np.einsum("xy,fnyc->fnxc", matrix, vectors)


def test_geometric_is_what_its_formula_says(features):
    scalars, vectors = features
    got = compute_invariants(scalars, vectors, NEXT, SPEC)
    a, b, c = (vectors @ mix for mix in channel_mixes(C))
    for f in range(4):
        for i in range(5):
            j = NEXT[i]
            k = NEXT[j] if j >= 0 else -1
            dot, triple, chain = np.zeros((3, N_MIXES))
            for m in range(N_MIXES):
                first, second, third = a[f, i, :, m], b[f, i, :, m], c[f, i, :, m]
                triple[m] = np.linalg.det([first, second, third])
                if j >= 0:
                    dot[m] = first @ b[f, j, :, m]
                if k >= 0:
                    chain[m] = np.linalg.det([first, b[f, j, :, m], c[f, k, :, m]])
            np.testing.assert_allclose(got[f, i, :C], scalars[f, i])
            np.testing.assert_allclose(got[f, i, DOT], dot, atol=1e-12)
            np.testing.assert_allclose(got[f, i, TRIPLE], triple, atol=1e-12)
            np.testing.assert_allclose(got[f, i, CHAIN], chain, atol=1e-12)


def test_tokens_without_neighbours_get_zeros(features):
    got = compute_invariants(*features, NEXT, SPEC)
    assert (got[:, [2, 4], DOT] == 0).all()
    assert (got[:, [1, 2, 3, 4], CHAIN] == 0).all()
    assert (got[:, [0, 1, 3], DOT] != 0).all()
    assert (got[:, 0, CHAIN] != 0).all()
    alone = compute_invariants(
        features[0][:, :1], features[1][:, :1], np.array([-1]), SPEC
    )
    np.testing.assert_array_equal(alone[:, 0, TRIPLE], got[:, 0, TRIPLE])


@pytest.mark.parametrize("kind", ["scalars", "norms", "geometric"])
def test_rotation_changes_nothing(features, kind):
    scalars, vectors = features
    matrix, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))
    matrix *= np.sign(np.linalg.det(matrix))
    np.testing.assert_allclose(
        compute_invariants(
            scalars, turned(vectors, matrix), NEXT, FeatureSpec(invariants=kind)
        ),
        compute_invariants(scalars, vectors, NEXT, FeatureSpec(invariants=kind)),
        atol=1e-12,
    )


def test_reflection_turns_the_sign_of_triple_products_only(features):
    scalars, vectors = features
    got = compute_invariants(
        scalars, turned(vectors, np.diag([1.0, 1.0, -1.0])), NEXT, SPEC
    )
    want = compute_invariants(scalars, vectors, NEXT, SPEC)
    want[..., TRIPLE] *= -1
    want[..., CHAIN] *= -1
    np.testing.assert_allclose(got, want, atol=1e-12)


def test_mixes_are_unit_columns_and_never_change():
    mixes = channel_mixes(64)
    assert mixes.shape == (3, 64, N_MIXES)
    np.testing.assert_allclose(np.linalg.norm(mixes, axis=1), 1.0)
    # Models learnt from geometric features break when these numbers change.
    np.testing.assert_allclose(mixes[0, :3, 0], PINNED, rtol=1e-12)
    assert not np.allclose(channel_mixes(64, seed=1), mixes)


def test_long_trajectories_are_done_in_blocks_with_one_result():
    rng = np.random.default_rng(0)
    scalars, vectors = rng.normal(size=(600, 5, C)), rng.normal(size=(600, 5, 3, C))
    whole = compute_invariants(scalars, vectors, NEXT, SPEC)
    np.testing.assert_allclose(
        whole[590:],
        compute_invariants(scalars[590:], vectors[590:], NEXT, SPEC),
        atol=1e-12,
    )


@pytest.mark.parametrize(
    ("kind", "k"), [("scalars", 8), ("norms", 16), ("geometric", 56)]
)
def test_names_fit_the_numbers(features, kind, k):
    spec = FeatureSpec(invariants=kind)
    assert n_invariants(spec, C) == k
    assert len(set(invariant_names(spec, C))) == k
    assert compute_invariants(*features, NEXT, spec).shape == (
        4,
        5,
        k,
    )


def test_what_cannot_be_used_is_said(features):
    with pytest.raises(InputError, match=r"Vectors have the shape \(4, 5, 3, 7\)"):
        compute_invariants(features[0], features[1][..., :7], NEXT, SPEC)
