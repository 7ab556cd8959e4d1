"""TICA of variables that hardly change when atoms are displaced."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import eigh

from mdgeomfeat.kinetics import ScoreError, fit_smooth_tica, fit_tica
from mdgeomfeat.kinetics.smooth import DISPLACEMENTS

LAG = 2
RNG = np.random.default_rng(3)
FLIPS = [np.where(RNG.random(5000) < 0.01, -1, 1).cumprod() for _ in range(2)]
#: Derivatives of four features by six coordinates.
JACOBIAN = RNG.normal(size=(4, 6)) * [[0.2], [1.0], [3.0], [0.5]]
RUNS = [
    flips[:, None] * [1.0, 1.2, 2.0, 0.0] + RNG.normal(0, 0.4, (5000, 4))
    for flips in FLIPS
]
MOVES = RNG.normal(size=(20_000, 6))
SLOPES = MOVES @ JACOBIAN.T


def steepness(fitted):
    """Return the exact size of the gradient of an output of unit variance."""
    direction = fitted.standardizer.factor * fitted.matrix[:, 0]
    size = np.concatenate(fitted.transform(RUNS))[:, 0].std()
    return np.linalg.norm(direction @ JACOBIAN) / size


def test_the_variable_solves_the_equation_with_displaced_frames():
    fitted, chosen = fit_smooth_tica(RUNS, LAG, 1, SLOPES, displacements=[0.1])
    assert chosen == 0.1
    x = np.concatenate([run[:-LAG] for run in RUNS])
    y = np.concatenate([run[LAG:] for run in RUNS])
    mean = (x.mean(axis=0) + y.mean(axis=0)) / 2
    x, y = x - mean, y - mean
    instantaneous = (x.T @ x + y.T @ y) / (2 * len(x))
    lagged = (x.T @ y + y.T @ x) / (2 * len(x))
    noise = 0.1**2 * JACOBIAN @ JACOBIAN.T
    expected = eigh(lagged, instantaneous + noise)[1][:, -1]
    got = fitted.standardizer.factor * fitted.matrix[:, 0]
    cosine = got @ expected / np.linalg.norm(got) / np.linalg.norm(expected)
    assert abs(cosine) == pytest.approx(1, abs=1e-3)


def test_it_is_the_plain_variable_of_frames_that_were_displaced():
    rng = np.random.default_rng(8)
    moved = [r + 0.3 * rng.normal(size=(len(r), 6)) @ JACOBIAN.T for r in RUNS]
    plain = fit_tica(moved, LAG, 1)
    fitted, _ = fit_smooth_tica(RUNS, LAG, 1, SLOPES, displacements=[0.3])
    a = plain.standardizer.factor * plain.matrix[:, 0]
    b = fitted.standardizer.factor * fitted.matrix[:, 0]
    assert abs(a @ b) / np.linalg.norm(a) / np.linalg.norm(b) > 0.995


def test_the_largest_displacement_that_leaves_the_motion_slow_is_taken():
    plain = fit_tica(RUNS, LAG, 1)
    fitted, chosen = fit_smooth_tica(RUNS, LAG, 1, SLOPES)
    assert chosen > 0
    assert steepness(fitted) < 0.8 * steepness(plain)
    assert fitted.timescales[0] >= 2 / 3 * plain.timescales[0]
    # its timescale is that of its outputs, without what was added
    out = np.concatenate([v[:-LAG] for v in fitted.transform(RUNS)])
    later = np.concatenate([v[LAG:] for v in fitted.transform(RUNS)])
    correlation = np.corrcoef(out[:, 0], later[:, 0])[0, 1]
    assert fitted.timescales[0] == pytest.approx(-LAG / np.log(correlation), rel=0.02)
    following = DISPLACEMENTS[DISPLACEMENTS.index(chosen) + 1]
    _, none = fit_smooth_tica(RUNS, LAG, 1, SLOPES, displacements=[following])
    assert none == 0


def test_displacements_that_destroy_the_motion_are_not_taken():
    # the slow feature alone is moved, and with it everything slow
    runs = [r[:, 3:] + 0.5 * f[:, None] for r, f in zip(RUNS, FLIPS, strict=True)]
    noisy = [np.concatenate([r, RNG.normal(size=(5000, 1))], axis=1) for r in runs]
    plain = fit_tica(noisy, LAG, 1)
    fitted, chosen = fit_smooth_tica(
        noisy, LAG, 1, np.stack([MOVES[:, 0], 0 * MOVES[:, 1]], axis=1),
        displacements=[50.0],
    )  # fmt: skip
    assert chosen == 0
    np.testing.assert_array_equal(fitted.matrix, plain.matrix)


def test_what_is_not_slow_cannot_be_smoothed():
    noise = [np.random.default_rng(0).normal(size=(400, 2)) for _ in range(2)]
    sign = (-1.0) ** np.arange(400)[:, None]
    with pytest.raises(ScoreError, match="no slow motion"):
        fit_smooth_tica([n[:, :1] + 3 * sign for n in noise], 1, 1, np.ones((5, 1)))
