"""Covariances read in both directions, beside deeptime's."""

from __future__ import annotations

import numpy as np
import pytest
from deeptime.covariance import Covariance

from mdgeomfeat.kinetics import ScoreError
from mdgeomfeat.kinetics.covariances import reversible_covariances

LAG = 5


@pytest.fixture(scope="module")
def pairs():
    rng = np.random.default_rng(0)
    z = np.cumsum(rng.normal(size=(2000, 12)), axis=0) @ rng.normal(size=(12, 12))
    z = (z - z.mean(axis=0) + 0.3) / z.std(axis=0)
    weights = rng.random(len(z) - LAG)
    return z[:-LAG], z[LAG:], weights * len(weights) / weights.sum()


@pytest.mark.parametrize("weighted", [False, True])
def test_they_are_those_of_deeptime(pairs, weighted):
    x, y, w = pairs
    estimator = Covariance(
        lagtime=LAG,
        compute_c00=True,
        compute_c0t=True,
        reversible=True,
        remove_data_mean=True,
    )
    blocks = [
        (x[a : a + 700], y[a : a + 700], w[a : a + 700] if weighted else None)
        for a in range(0, len(x), 700)
    ]
    for early, late, own in blocks:
        estimator.partial_fit((early, late), weights=own)
    expected = estimator.fetch_model()
    found = reversible_covariances(blocks, LAG)
    for name in ("cov_00", "cov_0t", "mean_0", "mean_t"):
        np.testing.assert_allclose(
            getattr(found, name), getattr(expected, name), rtol=1e-11, atol=1e-12
        )
    np.testing.assert_array_equal(found.cov_00, found.cov_00.T)
    np.testing.assert_array_equal(found.cov_0t, found.cov_0t.T)
    np.testing.assert_array_equal(found.cov_tt, found.cov_00)
    assert found.lagtime == LAG


def test_what_is_given_is_not_changed(pairs):
    kept = [np.array(p) for p in pairs]
    reversible_covariances([pairs], LAG)
    for one, before in zip(pairs, kept, strict=True):
        np.testing.assert_array_equal(one, before)


def test_no_pair_is_refused():
    with pytest.raises(ScoreError, match="No pair"):
        reversible_covariances([], LAG)
