"""Whole studies: known answers, few data, bad data."""

from __future__ import annotations

import json
import warnings
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from chains import THREE, markov_chain, timescales

from mdgeomfeat.errors import InputError, MDGeomFeatWarning
from mdgeomfeat.kinetics import (
    Score,
    StudySettings,
    TrainingOptions,
    ceiling,
    fit_tica,
    fit_vampnet,
    run_study,
    vamp2_score,
)
from mdgeomfeat.kinetics.arrays import Span, cut
from mdgeomfeat.kinetics.evidence import weigh_evidence
from mdgeomfeat.kinetics.networks import choose_mixer
from mdgeomfeat.kinetics.reasons import (
    DoubtWarning,
    FewData,
    FitsFailed,
    LagNotConstant,
    LagReason,
    NotEstablished,
    NotIndependent,
)
from mdgeomfeat.kinetics.study import known_ceiling

FAST = TrainingOptions(max_steps=60)


@pytest.fixture(scope="module")
def study(three_states):
    _, runs = three_states
    rng = np.random.default_rng(0)
    bad = [r.copy() for r in runs]
    bad[2][100, 1] = np.nan
    inputs = {
        "noise": [rng.normal(size=(6000, 4)).astype(np.float32) for _ in runs],
        "tokens": [r.reshape(-1, 2, 5) for r in runs],
        "bad": bad,
        "constant": [np.ones((6000, 3), np.float32) for _ in runs],
    }
    calls = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MDGeomFeatWarning)
        result = run_study(
            inputs,
            "tokens",
            StudySettings(
                lag=4, seeds=2, dt=2.0, training=FAST, n_bootstrap=10, max_folds=3
            ),
            progress=lambda *args: calls.append(args),
        )
    return result, calls


def of(result, name, method):
    return next(s for s in result.scores if (s.input, s.method) == (name, method))


def test_known_kinetics_are_found(study):
    result, _ = study
    exact = timescales(THREE)
    assert (result.lag, result.dim, result.mixer) == (4, 2, "attention")
    np.testing.assert_allclose(result.states.timescales, exact, rtol=0.3)
    assert result.states.n_states == 3
    assert result.states.ck.passed
    limit = 1 + np.exp(-2 * 4 / exact).sum()
    assert result.ceiling == pytest.approx(limit, abs=0.1)
    primary = of(result, "tokens", "VAMPNet")
    assert primary.score == pytest.approx(limit, abs=0.15)
    assert primary.independent
    assert np.shape(primary.values) == (3, 2)
    assert primary.train is not None
    assert 1 < primary.null < 1.2


@pytest.mark.parametrize("passed", [False, None])
def test_there_is_no_ceiling_without_a_passed_test(study, passed):
    result, _ = study
    msm, known = result.states, (result.lag, result.dim, result.evidence)
    assert known_ceiling(msm, *known) == result.ceiling > 2
    ck = replace(msm.ck, passed=passed)
    assert known_ceiling(replace(msm, ck=ck), *known) is None
    assert known_ceiling(replace(msm, ck=None), *known) is None
    # a model of nothing slow passes as well
    fast = replace(msm, timescales=np.full(2, 0.9 * msm.lag))
    assert known_ceiling(fast, *known) is None
    chance = replace(result.evidence, above_chance=False)
    assert known_ceiling(msm, result.lag, result.dim, chance) is None
    # scores are at the lag of the variables, whatever that of the model is
    longer = known_ceiling(msm, 2 * result.lag, result.dim, result.evidence)
    assert longer == pytest.approx(ceiling(msm.timescales, 2 * result.lag, result.dim))


def test_a_score_above_the_ceiling_shows_that_it_is_none(study):
    result, _ = study
    known = (result.states, result.lag, result.dim, result.evidence)
    upper = ceiling(result.states.timescales_upper, result.lag, result.dim)
    assert upper > result.ceiling
    (one, *_) = result.scores
    for score, found in ((upper + 0.04, result.ceiling), (upper + 0.06, None)):
        higher = replace(one, score=score, sd_folds=0.05)
        assert known_ceiling(*known, [one, higher]) == found


def test_a_failed_test_takes_the_ceiling_from_every_score():
    """Two wells, told wrongly one time in ten: slow, and Markovian at no short lag."""
    matrix = np.array([[0.98, 0.02], [0.02, 0.98]])
    rng = np.random.default_rng(9)
    runs = []
    for seed in range(4):
        hidden = markov_chain(matrix, 4000, seed)
        seen = np.where(rng.random(len(hidden)) < 0.1, 1 - hidden, hidden)
        runs.append(seen[:, None] + 0.01 * rng.normal(size=(4000, 1)))
    result = quiet_study(runs, method="tica", lag=4, n_bootstrap=10)
    assert result.evidence.established
    assert result.states.timescales[0] > result.lag
    assert result.states.ck.passed is False
    # The headline's timescale and its interval are those of the figure at that lag.
    states, shown = result.states, result.timescales
    at = list(shown.lags).index(result.lag)
    for one, other in (
        (states.timescales, shown.timescales),
        (states.timescales_lower, shown.lower),
        (states.timescales_upper, shown.upper),
    ):
        assert one[0] == pytest.approx(other[at, 0])
    assert result.ceiling is None
    assert [s.ceiling for s in result.scores] == [None]


def test_headline_and_figure_agree_at_the_same_lag(study):
    result, _ = study
    assert result.timescales.at(result.lag) == result.states.timescales[0]


def test_nothing_scores_one_and_failures_are_told(study):
    result, _ = study
    for method in ("VAMPNet", "TICA"):
        noise = of(result, "noise", method)
        assert noise.score == pytest.approx(1, abs=0.01)
        assert noise.null == pytest.approx(1, abs=0.01)
        assert noise.minus_primary < -0.5
        assert of(result, "bad", method).score is None
        failure = of(result, "bad", method).failure
        assert (failure.n_failed, failure.n_fits) == (0, 0)
        assert "trajectory 2, frame 100" in failure.reason
        assert of(result, "constant", method).score is None
        failure = of(result, "constant", method).failure
        assert failure.n_failed == failure.n_fits == (6 if method == "VAMPNet" else 3)
        assert "no column varies" in failure.reason
    failed = [d for d in result.doubts if isinstance(d, FitsFailed)]
    assert [(d.input, d.method) for d in failed] == [
        (name, method) for name in ("bad", "constant") for method in ("VAMPNet", "TICA")
    ]


def test_primary_comes_first_and_is_its_own_measure(study):
    result, _ = study
    assert [s.input for s in result.scores[:2]] == ["tokens", "tokens"]
    assert result.scores[0].primary
    assert result.scores[0].minus_primary is None


def test_summary_is_json_in_picoseconds(study):
    result, _ = study
    summary = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert summary["time_unit"] == "ps"
    assert summary["lag"] == 8.0
    assert summary["lag_frames"] == 4
    assert summary["states"]["timescales"][0] == pytest.approx(
        2 * result.states.timescales[0]
    )
    assert summary["choices"] == {
        "lag": "given",
        "markov_lag": "given",
        "dim_given": False,
        "mixer": "tokens",
        "n_tokens": 2,
        "merged": 1,
        "fewer_seeds": False,
    }
    assert {d["kind"] for d in summary["doubts"]} >= {"fits_failed"}


def test_progress_reaches_its_end(study):
    _, calls = study
    done = [c[0] for c in calls]
    assert done == sorted(done)
    assert calls[-1][0] == calls[-1][1]
    assert calls[-2][0] < calls[-1][1] + 1


def test_cvs_come_from_the_model(study, three_states):
    result, _ = study
    _, runs = three_states
    again = result.model.transform([r.reshape(-1, 2, 5) for r in runs])
    for a, b in zip(result.cvs, again, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("shape", "kind", "dropped"),
    [
        ((12,), "flat", 0.1),
        ((100,), "flat", 0.3),
        ((3, 4), "attention", 0.1),
        ((4, 25), "attention", 0.3),
        ((2, 4, 5), "equivariant", 0.1),
    ],
)
def test_the_mixer_suits_the_tokens(shape, kind, dropped):
    spec = choose_mixer([np.zeros((9, *shape), np.float32)], StudySettings())
    assert (spec.kind, spec.n_features) == (kind, shape[-1])
    assert spec.input_dropout == dropped
    given = StudySettings(mixer_options={"input_dropout": 0.0, "depth": 3})
    spec = choose_mixer([np.zeros((9, *shape), np.float32)], given)
    assert (spec.input_dropout, spec.depth) == (0.0, 3)


@pytest.mark.parametrize(
    ("n_tokens", "merge", "mixed"), [(256, 1, 256), (257, 2, 129), (3000, 12, 250)]
)
def test_thousands_of_tokens_are_joined_before_they_are_mixed(n_tokens, merge, mixed):
    rows = [np.zeros((9, n_tokens, 4), np.float32)]
    spec = choose_mixer(rows, StudySettings())
    assert (spec.merge, spec.mixed_tokens) == (merge, mixed)
    given = StudySettings(mixer_options={"merge": 1})
    assert choose_mixer(rows, given).mixed_tokens == n_tokens
    flat = choose_mixer(rows, StudySettings(mixer="flat"))
    assert (flat.kind, flat.merge) == ("flat", 1)


def test_a_score_is_that_of_all_seeds_joined(study, three_states):
    """What a held-out part gets is refitted by hand, from the networks of its fold."""
    result, _ = study
    _, runs = three_states
    tokens = [r.reshape(-1, 2, 5) for r in runs]
    fold = result.folds[0]
    train, stop = cut(tokens, fold.train), cut(tokens, fold.stop)
    spec = replace(choose_mixer(tokens, result.settings), n_outputs=result.dim)
    fits = [
        fit_vampnet(train, stop, result.lag, spec, seed=s, options=FAST)
        for s in range(2)
    ]
    held_out = cut(tokens, fold.score)
    score = of(result, "tokens", "VAMPNet")
    for fit, value in zip(fits, score.values[0], strict=True):
        found = vamp2_score(fit.transform(held_out), result.lag)
        assert found == pytest.approx(value, abs=1e-6)

    def joined(arrays):
        parts = [fit.transform(arrays) for fit in fits]
        return [np.concatenate(p, axis=1) for p in zip(*parts, strict=True)]

    best = fit_tica(joined([*train, *stop]), result.lag, result.dim, ridge=0.01)
    found = vamp2_score(best.transform(joined(held_out)), result.lag)
    assert score.by_fold[0] == pytest.approx(found, abs=1e-6)
    assert score.score == pytest.approx(np.mean(score.by_fold))


@pytest.mark.parametrize("n", [1, 3])
def test_a_hundred_frames_give_a_result_with_warnings(n):
    rng = np.random.default_rng(1)
    walk = [
        np.cumsum(rng.normal(size=(100 // n + 1, 6)), axis=0).astype(np.float32)
        for _ in range(n)
    ]
    settings = StudySettings(seeds=1, n_bootstrap=5)
    with pytest.warns(DoubtWarning) as caught:
        result = run_study({"x": walk}, "x", settings)
    assert result.scores[0].score is not None
    assert len(caught) == 1
    assert all(d.kind in str(caught[0].message) for d in result.doubts)
    if n == 1:
        assert not result.scores[0].independent
        assert NotIndependent() in result.doubts


def test_too_few_data_for_the_timescale_are_said():
    matrix = np.array([[0.998, 0.002], [0.002, 0.998]])
    rng = np.random.default_rng(2)
    runs = [
        (markov_chain(matrix, 2500, s)[:, None] + 0.1 * rng.normal(size=(2500, 2)))
        for s in range(3)
    ]
    result = quiet_study(runs, method="tica")
    found = next(d for d in result.doubts if isinstance(d, FewData))
    slowest = max(result.lag_scan.slowest, result.states.timescales[0])
    assert found.ratio == pytest.approx(7500 / slowest)
    assert found.unusable == (found.ratio < 20)
    # the true timescale is 250 frames
    assert 15 < found.ratio < found.needed


def quiet_study(runs, **settings):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MDGeomFeatWarning)
        return run_study(
            {"x": runs}, "x", StudySettings(**{"n_bootstrap": 5, **settings})
        )


@pytest.mark.parametrize("lag", [None, 3])
@pytest.mark.parametrize("n", [1, 4])
def test_frames_in_random_order_hold_no_slow_motion(n, lag):
    """Many features and few frames: the variables are overfitted, and look slow."""
    rng = np.random.default_rng(7)
    runs = [rng.normal(size=(400 // n, 60)) for _ in range(n)]
    result = quiet_study(runs, method="tica", lag=lag, dt=2.0)
    assert not result.evidence.established
    assert result.ceiling is None
    assert all(s.ceiling is None for s in result.scores)
    assert result.doubts[0] == NotEstablished()
    assert not any(isinstance(d, FewData | LagNotConstant) for d in result.doubts)
    assert (result.choices.lag == LagReason.GIVEN) == (lag is not None)
    summary = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert summary["evidence"]["established"] is False
    assert summary["evidence"]["chance"] > 1


def test_timescales_of_overfitted_variables_establish_nothing():
    rng = np.random.default_rng(0)
    result = quiet_study([rng.normal(size=(200, 300))], method="tica")
    assert result.states.timescales[0] > 2 * result.lag
    assert not result.evidence.established


def test_known_kinetics_are_established(study):
    result, _ = study
    evidence = result.evidence
    assert evidence.established
    assert evidence.n_parts == 3
    # a part counts once, however many seeds it has
    assert evidence.error == pytest.approx(result.scores[0].sd_folds / 3**0.5)
    assert result.to_dict()["evidence"]["established"] is True
    assert NotEstablished() not in result.doubts


def judged(values, null, n_slow, dim=1):
    known = [
        np.mean([v for v in part if v is not None]) for part in values if any(part)
    ]
    score = Score(
        input="x",
        method="TICA",
        primary=True,
        score=float(np.mean(known)) if known else None,
        sd_seeds=None,
        sd_folds=float(np.std(known, ddof=1)) if len(known) > 1 else None,
        train=None,
        null=null,
        independent=True,
        by_fold=[v[0] for v in values],
        values=values,
        n_folds=len(values),
        n_seeds=len(values[0]),
        width=4,
        pca=None,
        n_parameters=4,
        mixer=None,
    )
    scan = SimpleNamespace(n_slow=n_slow)
    folds = [SimpleNamespace(score=(Span(0, 0, 110),)) for _ in values]
    return weigh_evidence(scan, score, folds, 10, dim)


def test_evidence_needs_a_slow_process_and_a_score_above_chance():
    clear, noisy = [[1.10], [1.12], [1.11]], [[1.16], [1.0], [1.005]]
    assert judged(clear, 1.01, 1).established
    assert not judged(noisy, 1.015, 1).above_chance
    # over within the lag, although not chance
    fast = judged(clear, 1.01, 0)
    assert (fast.above_chance, fast.established) == (True, False)
    # the linear scan missed what the score shows: 1.5 is a process above the lag
    assert judged([[1.50], [1.52], [1.48]], 1.01, 0).established
    assert not judged([[1.50], [1.52], [1.48]], 1.01, 0, dim=5).established
    # one part has no error to count
    assert judged([[1.2, 1.3]], 1.1, 1).established
    assert judged([[1.2, 1.3]], 1.1, 1).error is None


def test_chance_without_a_null_is_that_of_independent_frames():
    values = [[1.1], [1.12], [1.11]]
    assert judged(values, None, 1).chance == pytest.approx(1 + 1 / 100)
    assert judged(values, None, 1).established
    # five outputs score as much by chance, in each part alike
    many = judged(values, None, 1, dim=5)
    assert many.chance == pytest.approx(1 + 25 / 100)
    assert not many.established


def test_without_a_score_nothing_is_established():
    evidence = judged([[None]], None, 2)
    assert not evidence.established
    assert evidence.score is None


def test_vectors_as_input():
    rng = np.random.default_rng(3)
    slow = np.repeat(rng.choice([-1.0, 1.0], 90), 10)
    x = rng.normal(size=(900, 2, 4, 3)).astype(np.float32)
    x[:, 0, 0] += 3 * slow[:, None]
    runs = np.split(x, 3)
    settings = StudySettings(
        lag=2,
        dim=1,
        seeds=1,
        training=TrainingOptions(max_steps=10, n_starts=2),
        n_bootstrap=5,
        mixer_options={"width": 8},
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MDGeomFeatWarning)
        result = run_study({"v": runs}, "v", settings)
    assert result.mixer == "equivariant"
    assert of(result, "v", "TICA").score > 1.3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.pop("x"), "primary input 'x' is not among"),
        (lambda d: d.update(y=[np.zeros((50, 2))]), "compute both from the same"),
        (lambda d: d.update(x=[np.zeros((50, 2))]), "50 frames are too few"),
        (lambda d: d.update(x=[np.full((200, 2), np.nan)]), "trajectory 0, frame 0"),
        (lambda d: d.update(x=[np.ones((200, 2))]), "Nothing slow can be found"),
        (lambda d: d.update(x=[]), "has no trajectory"),
        (lambda d: d.update(x=[np.zeros(200)]), "has shape"),
    ],
)
def test_messages(change, message):
    inputs = {"x": [np.random.default_rng(0).normal(size=(200, 2))]}
    change(inputs)
    with pytest.raises(InputError, match=message):
        run_study(inputs, "x")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "pca"}, "Method 'pca' is unknown"),
        ({"mixer": "deep"}, "Mixer 'deep' is unknown"),
        ({"lag": 0}, "lag=0 must be a whole number"),
        ({"lag": 2.5}, "lag=2.5 must be a whole number"),
        ({"n_states": 1}, "choose 2 or more"),
        ({"dt": 0.0}, "dt=0.0 must be above 0"),
        ({"temperature": -3}, "temperature=-3 must be above 0"),
    ],
)
def test_settings_messages(options, message):
    with pytest.raises(InputError, match=message):
        StudySettings(**options)


def test_lag_longer_than_the_data():
    x = [np.random.default_rng(0).normal(size=(200, 2))]
    with pytest.raises(InputError, match="The lag of 300 frames"):
        run_study({"x": x}, "x", StudySettings(lag=300))
