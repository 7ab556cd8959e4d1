"""Weights of frames: of biased runs whose unbiased populations are known exactly."""

from __future__ import annotations

import json
import warnings
from dataclasses import replace

import numpy as np
import pytest
import scipy.linalg
from chains import markov_chain

from mdgeomfeat import TokenDataset
from mdgeomfeat.errors import InputError, MDGeomFeatWarning
from mdgeomfeat.kinetics import (
    FrameWeights,
    StudySettings,
    TrainingOptions,
    WeightKind,
    build_biased_states,
    fit_tica,
    fit_vampnet,
    free_energy,
    make_cv_model,
    run_study,
    unit_counts,
    vamp2_score,
)
from mdgeomfeat.kinetics.reasons import BiasedDynamics, FewEffective, SeparateSets
from mdgeomfeat.kinetics.scores import ScoreError, null_score, pair_score
from mdgeomfeat.kinetics.states import make_units
from mdgeomfeat.mixing import MixerSpec
from mdgeomfeat.store import LazyArray

SITES = np.linspace(-1.6, 1.6, 17)
#: A double well with unequal wells and a barrier of 8 kT, and a bias that removes most.
ENERGY = 8 * (SITES**2 - 1) ** 2 + 0.8 * SITES
BIAS = -0.8 * ENERGY


def metropolis(energy):
    """Hops between neighbouring sites that have the Boltzmann distribution."""
    n = len(energy)
    matrix = np.zeros((n, n))
    for i in range(n):
        for j in (i - 1, i + 1):
            if 0 <= j < n:
                matrix[i, j] = min(1, np.exp(energy[i] - energy[j])) / 2
    return matrix + np.diag(1 - matrix.sum(axis=1))


def features(sites, seed=0):
    rng = np.random.default_rng(seed)
    x = SITES[sites]
    curves = np.stack([x, x**2, np.tanh(4 * x)], axis=1)
    return (curves + 0.02 * rng.normal(size=curves.shape)).astype(np.float32)


@pytest.fixture(scope="module")
def biased():
    sites = [markov_chain(metropolis(ENERGY + BIAS), 15_000, s)[::3] for s in range(4)]
    runs = [features(s, i) for i, s in enumerate(sites)]
    return sites, runs, FrameWeights.from_log([BIAS[s] for s in sites])


def quiet(inputs, weights=None, **settings):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MDGeomFeatWarning)
        return run_study(
            inputs,
            next(iter(inputs)),
            StudySettings(**{"method": "tica", "n_bootstrap": 20, **settings}),
            weights=weights,
        )


@pytest.fixture(scope="module")
def study(biased):
    _, runs, weights = biased
    return quiet({"x": runs}, weights, dim=1, n_states=2, temperature=300.0)


# --- the exact answer -------------------------------------------------------------


def test_populations_are_those_of_the_unbiased_system(biased, study):
    sites, _, _ = biased
    exact = np.exp(-ENERGY) / np.exp(-ENERGY).sum()
    left = float(exact[SITES < 0].sum())
    assert left > 0.8
    raw = np.mean(np.concatenate(sites) < len(SITES) // 2)
    assert raw < 0.7, "the bias has to matter"
    states = study.states
    assert states.weighted
    assert states.connected
    np.testing.assert_allclose(states.populations, [left, 1 - left], atol=0.03)
    assert states.populations_lower[0] < left < states.populations_upper[0]
    # the barrier divides the states, although the biased runs cross it all the time
    where = SITES[np.concatenate(sites)]
    found = np.concatenate(states.dtrajs)
    assert where[found == 0].max() < 0.35
    assert where[found == 1].min() > -0.35


def test_the_free_energy_is_that_of_the_unbiased_system(biased, study):
    """The potential itself, site by site, barrier and all."""
    sites, _, weights = biased
    where = np.concatenate(sites)
    joined = np.concatenate(weights.values)
    energy = free_energy(where, weights=joined, bins=where.max() - where.min() + 1)
    exact = ENERGY[where.min() : where.max() + 1]
    assert exact[np.abs(SITES[where.min() : where.max() + 1]) < 0.1] > 7.9
    np.testing.assert_allclose(energy.energy, exact - exact.min(), atol=0.4)
    # and the study's profile is made with these weights, in kJ/mol
    again = free_energy(
        np.concatenate(study.cvs)[:, 0],
        weights=joined,
        bins=len(study.profiles[0].energy),
        temperature=300,
    )
    np.testing.assert_array_equal(study.profiles[0].energy, again.energy)


def test_no_timescale_of_biased_runs_is_told(study):
    assert study.biased
    assert BiasedDynamics() in study.doubts
    assert study.timescales is None
    assert study.ceiling is None
    assert study.states.ck is None
    assert study.states.transition_matrix is None
    summary = json.loads(json.dumps(study.to_dict()))

    def told(value, inside=False):
        if isinstance(value, dict):
            return any(
                told(v, inside or "timescale" in k or "transition" in k or k == "ck")
                for k, v in value.items()
            )
        if isinstance(value, list):
            return any(told(v, inside) for v in value)
        return inside and value is not None

    assert not told(summary)
    assert "slowest" not in {d["kind"] for d in summary["doubts"]}
    assert np.isnan(study.model.rotation.timescales).all()
    assert summary["weights"]["effective_size"] == pytest.approx(
        study.weights.effective_size
    )


def test_networks_are_weighted_too(biased):
    """A VAMPNet of biased frames finds the barrier that the bias hides."""
    _, runs, weights = biased
    result = quiet(
        {"x": runs},
        weights,
        method="vampnet",
        dim=1,
        n_states=2,
        seeds=1,
        max_folds=1,
        training=TrainingOptions(max_steps=60, n_starts=2),
    )
    exact = np.exp(-ENERGY)[SITES < 0].sum() / np.exp(-ENERGY).sum()
    assert result.states.populations[0] == pytest.approx(exact, abs=0.05)


def test_states_part_where_the_unbiased_system_seldom_is():
    """A line that the bias has flattened, with a barrier at a quarter of it."""
    energy = np.where(np.arange(24) == 5, 7.0, 0.0)
    hops = (metropolis(np.zeros(24)) + np.eye(24)) / 2
    runs = [markov_chain(hops, 20_000, s) for s in range(4)]
    weights = FrameWeights.from_log([-energy[r] for r in runs])
    cvs = [r[:, None] + 0.0 for r in runs]
    states = build_biased_states(cvs, 1, weights, n_micro=24, n_states=2)
    where, found = np.concatenate(runs), np.concatenate(states.dtrajs)
    assert set(where[found == 1]) - {5} == set(range(5))
    assert set(where[found == 0]) - {5} == set(range(6, 24))
    assert states.populations[1] == pytest.approx(5 / 23, abs=0.05)


def test_runs_that_never_meet_have_the_populations_of_their_weights():
    rng = np.random.default_rng(0)
    cvs = [5.0 * i + 0.3 * rng.normal(size=(300, 1)) for i in range(2)]
    weights = FrameWeights.from_log([np.zeros(300), np.full(300, np.log(3.0))])
    states = build_biased_states(cvs, 1, weights, n_micro=6)
    assert not states.connected
    np.testing.assert_allclose(states.populations, [0.75, 0.25], rtol=1e-12)
    assert set(np.unique(states.dtrajs[0])) == {1}
    assert states.doubts == (SeparateSets(2, pytest.approx(1.0)),)


# --- weights and their absence ----------------------------------------------------


def test_equal_weights_change_nothing(biased):
    _, runs, _ = biased
    lag, spec = 2, MixerSpec(kind="flat", n_tokens=1, n_features=3, n_outputs=1)
    equal = [np.full(len(r), 7.3e-5) for r in runs]
    one = fit_tica(runs, lag, 2)
    other = fit_tica(runs, lag, 2, weights=equal)
    np.testing.assert_allclose(other.timescales, one.timescales, rtol=1e-10)
    np.testing.assert_allclose(other.matrix, one.matrix, rtol=1e-9)
    outputs = one.transform(runs)
    plain = vamp2_score(outputs, lag)
    assert vamp2_score(outputs, lag, equal) == pytest.approx(plain, rel=1e-12)
    assert null_score(outputs, lag, weights=equal) == pytest.approx(
        null_score(outputs, lag), rel=1e-12
    )
    options = TrainingOptions(max_steps=20, n_starts=2)
    fits = [
        fit_vampnet(
            runs[:2],
            runs[2:],
            lag,
            spec,
            options=options,
            weights=None if w is None else w[:2],
            stop_weights=None if w is None else w[2:],
        )
        for w in (None, equal)
    ]
    for a, b in zip(*(f.lobe.state_dict().values() for f in fits), strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())
    joined = [
        make_cv_model("vampnet", [fits[0].lobe], runs, lag, weights=w)
        for w in (None, equal)
    ]
    np.testing.assert_allclose(
        joined[0].rotation.matrix, joined[1].rotation.matrix, rtol=1e-9
    )
    np.testing.assert_allclose(
        unit_counts([np.zeros(9, int)], make_units([9], 1), 1, 1, [np.full(9, 0.2)]),
        unit_counts([np.zeros(9, int)], make_units([9], 1), 1, 1),
        rtol=1e-14,
    )


def test_a_weight_of_three_is_three_frames():
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(2, 60, 3))
    y += x
    n = rng.integers(0, 4, 60)
    repeated = pair_score(np.repeat(x, n, axis=0), np.repeat(y, n, axis=0))
    assert pair_score(x, y, n) == pytest.approx(repeated, rel=1e-12)


def test_weighted_tica_solves_the_weighted_eigenproblem():
    rng = np.random.default_rng(2)
    runs = [np.cumsum(rng.normal(size=(n, 3)), axis=0) for n in (200, 150)]
    weights = [rng.exponential(size=len(r)) for r in runs]
    fitted = fit_tica(runs, 4, 2, weights=weights)
    x = np.concatenate([r[:-4] for r in runs])
    y = np.concatenate([r[4:] for r in runs])
    w = np.concatenate([v[:-4] for v in weights])
    w /= w.sum()
    mean = w @ (x + y) / 2
    x, y = x - mean, y - mean
    c0 = (x.T * w @ x + y.T * w @ y) / 2
    ct = (x.T * w @ y + y.T * w @ x) / 2
    values = scipy.linalg.eigh(ct, c0, eigvals_only=True)[::-1][:2]
    np.testing.assert_allclose(np.exp(-4 / fitted.timescales), values, rtol=1e-6)
    # unit variance and no mean, with these weights
    outputs = np.concatenate([o[:-4] for o in fitted.transform(runs)])
    lagged = np.concatenate([o[4:] for o in fitted.transform(runs)])
    np.testing.assert_allclose(w @ (outputs + lagged), 0, atol=1e-6)
    np.testing.assert_allclose(w @ (outputs**2 + lagged**2) / 2, 1, rtol=0.02)


def test_transitions_count_as_much_as_the_frame_they_start_in():
    rng = np.random.default_rng(3)
    dtrajs = [rng.integers(0, 3, n) for n in (40, 25)]
    weights = [rng.random(len(d)) for d in dtrajs]
    expected = np.zeros((3, 3))
    for d, w in zip(dtrajs, weights, strict=True):
        for t in range(len(d) - 2):
            expected[d[t], d[t + 2]] += w[t]
    expected /= np.mean(np.concatenate(weights))
    counts = unit_counts(dtrajs, make_units([40, 25], 2), 2, 3, weights)
    np.testing.assert_allclose(counts.sum(axis=0), expected, rtol=1e-12)


def test_an_epoch_draws_pairs_as_their_weights_say():
    rng = np.random.default_rng(4)
    runs, weights = [np.arange(50.0)[:, None]], [rng.exponential(size=50)]
    pairs = TokenDataset(runs, 1, weights)
    wanted = 49 * weights[0][:-1] / weights[0][:-1].sum()
    draws = np.random.default_rng(5)
    counts = [np.bincount(pairs.drawn(draws), minlength=49) for _ in range(400)]
    assert all(c.sum() == 49 for c in counts)
    assert np.abs(np.array(counts) - wanted).max() <= 1 + 1e-9
    np.testing.assert_allclose(np.mean(counts, axis=0), wanted, atol=0.1)
    batches = list(pairs.batches(7, seed=0))
    assert len(batches) == 7
    assert all((y - x == 1).all() for x, y in batches)


def test_lazy_rows_are_drawn_by_weight_as_well():
    values = np.arange(300.0, dtype=np.float32)[:, None]
    weights = [np.where(np.arange(300) < 100, 1.0, 0.0)]
    pairs = TokenDataset([LazyArray([values], [None])], 1, weights)
    batches = pairs.batches(10, buffer_bytes=4000)
    seen = np.concatenate([x.numpy() for x, _ in batches])
    assert len(seen) == 290
    assert set(seen[:, 0]) == set(range(100))


# --- where weights come from --------------------------------------------------------


def test_weights_are_normalised_over_all_runs_together():
    weights = FrameWeights.from_log(
        [np.full(10, 1000.0), np.full(30, 1000 + np.log(2))]
    )
    np.testing.assert_allclose([w.sum() for w in weights.values], [1 / 7, 6 / 7])
    plain = FrameWeights.from_plain([np.ones(10), np.full(30, 2.0)])
    for a, b in zip(weights.values, plain.values, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)
    # V / RT with RT = 2.494 kJ/mol at 300 K
    bias = FrameWeights.from_bias([[0.0, 2.4943387854459717]], 300)
    assert bias.values[0][1] / bias.values[0][0] == pytest.approx(np.e, rel=1e-9)


def test_the_effective_size_is_kishs():
    weights = FrameWeights.from_plain([[1.0, 1.0, 1.0], [3.0]])
    assert weights.effective_size == pytest.approx(6**2 / 12)
    assert FrameWeights.from_log([np.zeros(70)]).effective_size == pytest.approx(70)


@pytest.mark.parametrize(
    ("kind", "runs", "message"),
    [
        ("plain", [[1, 2], [0.5, -1.0]], "frame 1 of trajectory 1 is -1, .*logarithms"),
        ("plain", [[0.0, 0.0]], "All weights are zero"),
        ("plain", [[1.0, np.nan]], "frame 1 of trajectory 0 is nan"),
        ("log", [[1.0, np.nan]], "frame 1 of trajectory 0 is nan"),
        ("log", [[np.inf, 0.0]], "frame 0 of trajectory 0 is inf"),
        ("log", [[-np.inf, -np.inf]], "All weights are zero"),
        ("bias", [[-np.inf, 0.0]], "frame 0 of trajectory 0 is -inf"),
        ("log", [np.zeros((3, 2))], r"shape \(3, 2\)"),
        ("log", [], "no weights"),
    ],
)
def test_weights_that_are_none(kind, runs, message):
    with pytest.raises(InputError, match=message):
        FrameWeights.made(WeightKind(kind), runs, temperature=300)


def test_a_bias_needs_a_temperature():
    with pytest.raises(InputError, match="temperature of the runs"):
        FrameWeights.made(WeightKind.BIAS, [[1.0]])
    with pytest.raises(InputError, match="not above 0 K"):
        FrameWeights.from_bias([[1.0]], -3)


def test_a_study_refuses_weights_of_other_frames(biased):
    _, runs, weights = biased
    short = FrameWeights(weights.values[:3])
    with pytest.raises(InputError, match=r"\[5000, 5000, 5000\] frames, but these"):
        quiet({"x": runs}, short)
    with pytest.raises(InputError, match="does not say whether"):
        quiet({"x": runs}, [np.ones(len(r)) for r in runs])


def test_weights_belong_to_their_run():
    weights = FrameWeights.from_plain([np.ones(60), np.ones(40)])
    weights.require([60, 40])
    with pytest.raises(InputError, match=r"\[60, 40\] frames, .* have \[40, 60\]"):
        weights.require([40, 60])


def test_too_few_effective_frames_are_refused(biased):
    _, runs, _ = biased
    logs = [np.zeros(len(r)) for r in runs]
    logs[0][:40] = 50.0
    with pytest.raises(InputError, match="sample size is 40, and at least 50"):
        quiet({"x": runs}, FrameWeights.from_log(logs))


def test_few_effective_frames_are_a_doubt(biased):
    _, runs, _ = biased
    rare = [np.where(np.arange(len(r)) % 50 == 0, 0.0, -30.0) for r in runs]
    result = quiet({"x": runs}, FrameWeights.from_log(rare), dim=1, lag=1)
    (doubt,) = [d for d in result.doubts if isinstance(d, FewEffective)]
    assert doubt.effective_size == pytest.approx(400)
    assert replace(doubt, n_frames=0) == FewEffective(doubt.effective_size, 0)


def test_a_part_without_weight_has_no_score():
    x = np.random.default_rng(0).normal(size=(50, 2))
    with pytest.raises(ScoreError, match="No pair of this part"):
        vamp2_score([x], 1, [np.zeros(50)])
    with pytest.raises(ScoreError, match="No pair of this part"):
        fit_tica([x], 1, 1, weights=[np.zeros(50)])
