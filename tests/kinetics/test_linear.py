"""Standardising, PCA, TICA and the choice of the lag."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from chains import THREE, embed, markov_chain, timescales
from deeptime.decomposition import TICA
from scipy.spatial.transform import Rotation

from mdgeomfeat.errors import InputError
from mdgeomfeat.kinetics import (
    Fold,
    LagReason,
    ScoreError,
    StudySettings,
    choose_lag,
    fit_tica,
    fit_tica_guarded,
    vamp2_score,
)
from mdgeomfeat.kinetics.arrays import Span
from mdgeomfeat.kinetics.pca import fit_pca
from mdgeomfeat.kinetics.scoring import InputScorer
from mdgeomfeat.kinetics.standardize import (
    fit_standardizer,
    flat_features,
    scale_by_autocorrelation,
)
from mdgeomfeat.kinetics.tica import PreparedTICA


def test_standardizer_is_streaming_and_floors_the_deviation():
    rng = np.random.default_rng(0)
    x = rng.normal(3, [1, 2, 1e-3, 0], size=(5000, 4)) * [1, 1e4, 1, 1]
    x[:, 3] = 1234.5
    runs = [x[:1500].astype(np.float32), x[1500:].astype(np.float32)]
    s = fit_standardizer(runs)
    z = np.concatenate([s(r) for r in runs])
    np.testing.assert_allclose(z[:, :3].std(axis=0), 1, rtol=1e-4)
    np.testing.assert_array_equal(z[:, 3], 0)
    assert s.n_varying == 3
    # a column that moves only later is not blown up
    assert np.abs(s(np.array([[0, 0, 0, 2000.0]], np.float32))[0, 3]) == 0


def test_standardizer_of_vectors_commutes_with_rotation():
    rng = np.random.default_rng(1)
    x = rng.normal(1, 2, size=(300, 5, 4, 3)).astype(np.float32)
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    turned = x.copy()
    turned[:, :, 1:] = np.einsum("ab,fnbc->fnac", turn, x[:, :, 1:])
    a, b = fit_standardizer([x])(x), fit_standardizer([turned])(turned)
    np.testing.assert_allclose(
        np.einsum("ab,fnbc->fnac", turn, a[:, :, 1:]), b[:, :, 1:], atol=1e-5
    )
    np.testing.assert_allclose(flat_features(a), flat_features(b), atol=1e-5)


def test_constant_input_has_no_standardizer():
    with pytest.raises(ScoreError, match="No column varies"):
        fit_standardizer([np.ones((100, 3), np.float32)])


@pytest.mark.parametrize("width", [40, 6000])
def test_pca_spans_what_numpy_finds(width):
    rng = np.random.default_rng(2)
    hidden = rng.normal(size=(400, 6)) * [9, 7, 5, 4, 3, 2]
    x = hidden @ rng.normal(size=(6, width)) + 0.01 * rng.normal(size=(400, width))
    runs = [x[:150].astype(np.float32), x[150:].astype(np.float32)]
    s = fit_standardizer(runs)
    found = fit_pca(runs, s, 6)
    z = np.concatenate([s(r) for r in runs])
    expected = np.linalg.svd(z - z.mean(axis=0), full_matrices=False)[2][:6].T
    assert found.shape == (width, 6)
    overlap = np.linalg.svd(found.T @ expected, compute_uv=False)
    np.testing.assert_allclose(overlap, 1, atol=1e-4)
    np.testing.assert_allclose(found.T @ found, np.eye(6), atol=1e-4)


def wide_scores(held_out):
    """Score inputs of 1,200 columns on a held-out run, with PCA and standardising."""
    rng = np.random.default_rng(3)
    slow = [np.sin(np.arange(400) / 25 + i)[:, None] for i in range(2)]
    load = rng.normal(size=(1, 1200))
    runs = [0.5 * s * load + rng.normal(size=(400, 1200)) for s in slow]
    arrays = {"wide": [np.asarray(r, np.float32) for r in (*runs, held_out)]}
    train, stop, score = ((Span(i, 0, len(r)),) for i, r in enumerate(arrays["wide"]))
    fold = Fold(train, stop, score, kind="trajectories", independent=True)
    scorer = InputScorer(
        arrays=arrays,
        failures={},
        primary="wide",
        folds=[fold],
        lag=2,
        dim=1,
        mixers={},
        slowest=None,
        settings=StudySettings(method="tica"),
    )
    return scorer.run(lambda _: None)[0]


def test_pca_sees_nothing_of_the_held_out_part():
    rng = np.random.default_rng(4)
    held_out = rng.normal(size=(300, 1200))
    first = wide_scores(held_out)
    # larger than all else, and along one line: the first component, if it were seen
    along = np.cumsum(rng.normal(size=(300, 1)), axis=0) * rng.normal(size=(1, 1200))
    again = wide_scores(1e3 * along)
    assert first.pca == again.pca is not None
    assert first.train == again.train > 1.3
    assert first.score != again.score


def test_tica_equals_deeptime(three_states):
    _, runs = three_states
    ours = fit_tica(runs, 5, 2)
    theirs = (
        TICA(lagtime=5, dim=2, scaling=None)
        .fit([r.astype(float) for r in runs])
        .fetch_model()
    )
    np.testing.assert_allclose(
        ours.timescales, theirs.timescales(lagtime=5)[:2], rtol=1e-4
    )
    a = np.concatenate(ours.transform(runs))
    b = np.concatenate([theirs.transform(r.astype(float)) for r in runs])
    correlation = np.corrcoef(a.T, b.T)[:2, 2:]
    np.testing.assert_allclose(np.abs(np.diag(correlation)), 1, atol=1e-5)
    np.testing.assert_allclose(a.std(axis=0), 1, rtol=0.02)


def test_wide_inputs_pass_a_pca_and_stay_small():
    rng = np.random.default_rng(4)
    slow = [np.sin(np.arange(500) / 30 + i)[:, None] for i in range(2)]
    load = rng.normal(size=(1, 24_000))
    runs = [
        (s * load + rng.normal(size=(500, 24_000))).astype(np.float32) for s in slow
    ]
    tracemalloc.start()
    fit = fit_tica_guarded(runs[:1], runs[1:], 5, 1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1e9
    assert fit.pca is not None
    assert fit.pca <= 250
    cv = fit.transform(runs)[1]
    assert abs(np.corrcoef(cv[:, 0], slow[1][:, 0])[0, 1]) > 0.95


def test_guard_against_more_columns_than_frames():
    states = [markov_chain(THREE, 400, s) for s in range(3)]
    runs = embed(states, width=300, noise=0.3)
    rng = np.random.default_rng(5)
    noise = [rng.normal(size=(400, 300)).astype(np.float32) for _ in range(3)]
    plain = fit_tica(runs[:1], 5, 2)
    guarded = fit_tica_guarded(runs[:1], runs[1:2], 5, 2)
    held_out = [vamp2_score(f.transform(runs[2:]), 5) for f in (plain, guarded)]
    assert guarded.width < 100
    assert held_out[1] > held_out[0] + 0.1
    nothing = fit_tica_guarded(noise[:1], noise[1:2], 5, 2)
    assert vamp2_score(nothing.transform(noise[2:]), 5) < 1.05


def test_lag_where_the_timescale_is_constant(three_states):
    _, runs = three_states
    scan = choose_lag(runs)
    exact = timescales(THREE)
    assert scan.converged
    assert scan.dim == (exact > scan.lag).sum()
    assert choose_lag(runs, lag=4).dim == 2
    # a lag that was given may come before the timescale is constant
    given = choose_lag(runs, lag=1)
    assert given.reason is LagReason.GIVEN
    assert given.levels_off
    assert scan.slowest == pytest.approx(exact[0], rel=0.25)
    i = list(scan.lags).index(scan.lag)
    later = scan.timescales[i + 1 : i + 3, 0]
    assert (abs(later - scan.timescales[i, 0]) <= 0.1 * later).all()


def test_lag_is_capped_at_a_twentieth():
    # a random walk: the timescale grows with the lag for ever
    rng = np.random.default_rng(6)
    runs = [np.cumsum(rng.normal(size=(n, 2)), axis=0) for n in (1000, 1500, 1200)]
    scan = choose_lag(runs)
    assert scan.lag <= 50
    blurred = [r + 30 * rng.normal(size=r.shape) for r in runs]
    scan = choose_lag(blurred)
    assert scan.lag <= 50


def test_timescales_owe_nothing_to_how_far_runs_lie_apart(three_states):
    # each run centred by itself: a run that lies elsewhere is no slow motion in it
    runs = [x - x.mean(axis=0) for x in three_states[1][:3]]
    apart = [x + 10 * k for k, x in enumerate(runs)]
    together, found = choose_lag(runs), choose_lag(apart)
    np.testing.assert_allclose(found.timescales, together.timescales, rtol=1e-4)
    assert (found.lag, found.dim) == (together.lag, together.dim)


def test_a_short_piece_of_a_run_does_not_shorten_the_lag(three_states):
    runs = three_states[1][:3]
    pieces = [runs[0][:5], runs[0][6:], *runs[1:]]
    found = choose_lag(pieces, groups=[0, 0, 1, 2])
    assert found.lag == choose_lag(runs).lag > 1
    # a run that is short itself still does
    assert choose_lag(pieces).lag == 1


def test_width_does_not_invent_processes():
    states = [markov_chain(THREE, 1500, s) for s in range(3)]
    wide = embed(states, width=400, noise=0.3)
    scan = choose_lag(wide, lag=10)
    assert scan.lag == 10
    assert scan.dim <= 2


def test_nothing_slow():
    rng = np.random.default_rng(7)
    scan = choose_lag([rng.normal(size=(2000, 5)) for _ in range(3)])
    assert (scan.lag, scan.dim, scan.converged) == (1, 1, False)
    assert (scan.n_slow, scan.slowest) == (0, None) or scan.slowest < scan.lag
    with pytest.raises(InputError, match="below 1"):
        choose_lag([rng.normal(size=(200, 5))], lag=0)


@pytest.mark.parametrize("width", [None, 30])
@pytest.mark.parametrize("ridge", [0.0, 0.03, 3.0])
def test_the_fast_map_that_ridges_are_compared_by_is_that_of_deeptime(width, ridge):
    rng = np.random.default_rng(4)
    slow = np.cumsum(rng.normal(size=(2, 600, 3)), axis=1)
    runs = list(np.tanh(slow @ rng.normal(size=(3, 40)) / 8))
    runs = [r + 0.2 * rng.normal(size=r.shape) for r in runs]
    # columns that repeat others have no direction of their own
    runs = [np.concatenate([r, r[:, :5]], axis=1) for r in runs]
    prepared = PreparedTICA(runs, 5, width)
    exact = prepared.solve(3, ridge=ridge)
    fast = prepared.sketch(3, prepared.width, ridge)
    for x, y in zip(exact.transform(runs), fast.transform(runs), strict=True):
        scale = np.sqrt((x**2).sum(axis=0) / (y**2).sum(axis=0))
        sign = np.sign((x * y).sum(axis=0))
        np.testing.assert_allclose(y * scale * sign, x, atol=1e-6)
    if not ridge:
        np.testing.assert_allclose(fast.timescales, exact.timescales, rtol=1e-8)


def noisy_columns(n_noise=300, seed=0):
    """Runs in which two columns flip slowly, and many others hardly remember."""
    rng = np.random.default_rng(seed)
    runs = []
    for _ in range(3):
        flips = np.where(rng.random((500, 2)) < 0.03, -1, 1).cumprod(axis=0)
        slow = flips + rng.normal(0, 0.5, (500, 2))
        runs.append(np.c_[slow, rng.normal(size=(500, n_noise))].astype(np.float32))
    return runs


def test_columns_become_as_large_as_they_are_slow():
    runs = noisy_columns(4)
    plain = fit_standardizer(runs)
    scaled = scale_by_autocorrelation(plain, runs, 5)
    x = plain(np.concatenate(runs))
    starts = np.concatenate([np.arange(495) + 500 * k for k in range(3)])
    both = [
        [np.corrcoef(c[starts] ** p, c[starts + 5] ** p)[0, 1] for c in x.T]
        for p in (1, 2)
    ]
    expected = np.clip(np.max(both, axis=0), 0.02, 1)
    expected /= np.sqrt(np.mean(expected**2))
    np.testing.assert_allclose(scaled.factor / plain.factor, expected, rtol=1e-5)
    assert np.mean(scaled(np.concatenate(runs)).var(axis=0)) == pytest.approx(1)
    assert (expected[:2] > 5 * expected[2:].max()).all()


def test_vectors_are_scaled_by_what_a_rotation_leaves():
    rng = np.random.default_rng(0)
    slow = np.repeat(rng.choice([1.0, 2.0], 60), 20)
    vectors = rng.normal(size=(1200, 2, 3, 2))
    vectors /= np.linalg.norm(vectors, axis=2, keepdims=True)
    vectors[:, 0, :, 0] *= slow[:, None]  # only a length is slow
    vectors[:, 0, :, 1] *= rng.choice([1.0, 2.0], 1200)[:, None]
    vectors[:, 1] *= rng.choice([1.0, 2.0], (1200, 1, 2))
    tokens = np.concatenate([rng.normal(size=(1200, 2, 1, 2)), vectors], axis=2)
    turned = tokens.copy()
    turns = Rotation.random(1200, random_state=1).as_matrix()
    turned[:, :, 1:] = np.einsum("fij,fnjc->fnic", turns, vectors)
    plain = fit_standardizer([tokens])
    one, other = (scale_by_autocorrelation(plain, [x], 4) for x in (tokens, turned))
    np.testing.assert_allclose(one.factor, other.factor, rtol=1e-5)
    weights = one.factor / plain.factor
    assert np.ptp(weights[:, 1:], axis=1).max() < 1e-6  # one for all components
    assert weights[0, 1, 0] > 3 * np.delete(weights[:, 1].ravel(), 0).max()


def test_a_slow_width_makes_a_column_large():
    rng = np.random.default_rng(0)
    width = np.repeat(rng.choice([0.3, 3.0], 200), 30)
    x = rng.normal(size=(6000, 2))
    x[:, 0] *= width
    plain = fit_standardizer([x])
    weights = scale_by_autocorrelation(plain, [x], 3).factor / plain.factor
    assert weights[0] > 5 * weights[1]


def test_what_forgets_itself_keeps_its_scale():
    # alternating signs: no column has a positive autocorrelation
    x = np.tile([1.0, -1.0], 50)[:, None] * [1.0, 2.0]
    plain = fit_standardizer([x])
    scaled = scale_by_autocorrelation(plain, [x], 1)
    np.testing.assert_allclose(scaled.factor, plain.factor, rtol=1e-6)


def test_slow_columns_are_found_among_many_fast_ones():
    runs = noisy_columns()
    guarded = fit_tica_guarded(runs[:1], runs[1:2], 5, 2)
    plain = PreparedTICA(runs[:2], 5, 200).solve(2)
    scores = [vamp2_score(fit.transform(runs[2:]), 5) for fit in (guarded, plain)]
    best = vamp2_score([runs[2][:, :2]], 5)
    assert scores[0] > best - 0.05 > scores[1] + 0.1
