"""Whole studies: known answers, few data, bad data."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest
from chains import THREE, markov_chain, timescales

from mdgeomfeat.errors import InputError, MDGeomFeatWarning
from mdgeomfeat.kinetics import StudySettings, TrainingOptions, run_study
from mdgeomfeat.kinetics.study import choose_mixer

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
    assert (result.lag, result.dim, result.mixer) == (4, 2, "flat")
    np.testing.assert_allclose(result.msm.timescales, exact, rtol=0.3)
    assert result.msm.n_states == 3
    assert result.msm.ck.passed
    limit = 1 + np.exp(-2 * 4 / exact).sum()
    assert result.ceiling == pytest.approx(limit, abs=0.1)
    primary = of(result, "tokens", "VAMPNet")
    assert primary.score == pytest.approx(limit, abs=0.15)
    assert primary.independent
    assert np.shape(primary.values) == (3, 2)
    assert primary.train is not None
    assert 1 < primary.null < 1.2


def test_nothing_scores_one_and_failures_are_told(study):
    result, _ = study
    for method in ("VAMPNet", "TICA"):
        noise = of(result, "noise", method)
        assert noise.score == pytest.approx(1, abs=0.01)
        assert noise.null == pytest.approx(1, abs=0.01)
        assert noise.minus_primary < -0.5
        assert of(result, "bad", method).score is None
        assert "trajectory 2, frame 100" in of(result, "bad", method).failure
        assert of(result, "constant", method).score is None
        assert "no column varies" in of(result, "constant", method).failure
    assert sum("constant" in w for w in result.warnings) == 2


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
    assert summary["msm"]["timescales"][0] == pytest.approx(
        2 * result.msm.timescales[0]
    )
    assert len(summary["choices"]) >= 3


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
    ("shape", "kind"),
    [((12,), "flat"), ((3, 4), "flat"), ((4, 4), "mlp"), ((2, 4, 5), "equivariant")],
)
def test_the_mixer_suits_the_tokens(shape, kind):
    spec = choose_mixer([np.zeros((9, *shape), np.float32)], StudySettings())
    assert (spec.kind, spec.n_features) == (kind, shape[-1])


@pytest.mark.parametrize("n", [1, 3])
def test_a_hundred_frames_give_a_result_with_warnings(n):
    rng = np.random.default_rng(1)
    walk = [
        np.cumsum(rng.normal(size=(100 // n + 1, 6)), axis=0).astype(np.float32)
        for _ in range(n)
    ]
    settings = StudySettings(seeds=1, n_bootstrap=5)
    with pytest.warns(MDGeomFeatWarning) as caught:
        result = run_study({"x": walk}, "x", settings)
    assert result.scores[0].score is not None
    assert [str(w.message) for w in caught] == result.warnings
    if n == 1:
        assert not result.scores[0].independent
        assert any("not independent" in w for w in result.warnings)


def test_too_few_data_for_the_timescale_are_said():
    matrix = np.array([[0.998, 0.002], [0.002, 0.998]])
    rng = np.random.default_rng(2)
    runs = [
        (markov_chain(matrix, 2500, s)[:, None] + 0.1 * rng.normal(size=(2500, 2)))
        for s in range(3)
    ]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        run_study({"x": runs}, "x", StudySettings(method="tica", n_bootstrap=5))
    said = [str(w.message) for w in caught]
    assert any("times the slowest timescale found" in text for text in said)


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
