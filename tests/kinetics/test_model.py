"""Saving, loading and applying collective variables; scikit-learn."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest
import torch
from chains import THREE, timescales
from deeptime.clustering import KMeans
from deeptime.decomposition import TICA, VAMP
from safetensors.numpy import load_file, save_file
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer

from mdgeomfeat.errors import InputError
from mdgeomfeat.kinetics import (
    CVModel,
    ScoreError,
    TrainingOptions,
    estimator,
    fit_tica,
    fit_vampnet,
    make_cv_model,
    vamp2_score,
)
from mdgeomfeat.mixing import MixerSpec


@pytest.fixture(scope="module")
def models(three_states):
    _, runs = three_states
    tokens = [r.reshape(-1, 2, 5) for r in runs]
    spec = MixerSpec(kind="attention", n_tokens=2, n_features=5, n_outputs=2, width=16)
    options = TrainingOptions(max_steps=30)
    lobes = [
        fit_vampnet(tokens[:1], tokens[1:2], 5, spec, seed=s, options=options).lobe
        for s in range(2)
    ]
    note = {"model": "et-64", "tokens": ["A:ALA1", "A:LEU2"]}
    return {
        "tica": (make_cv_model("tica", fit_tica(runs, 5, 2), runs, 5, note), runs),
        "vampnet": (make_cv_model("vampnet", lobes, tokens, 5, note), tokens),
    }


@pytest.mark.parametrize("method", ["tica", "vampnet"])
def test_round_trip_is_exact(models, method, tmp_path):
    model, runs = models[method]
    path = model.save(tmp_path / "sub" / "cvs")
    assert {p.name for p in path.parent.iterdir()} == {"cvs.safetensors", "cvs.json"}
    for name in (path, path.with_suffix(".json"), path.with_suffix("")):
        again = CVModel.load(name)
    for a, b in zip(model.transform(runs), again.transform(runs), strict=True):
        np.testing.assert_array_equal(a, b)
    assert again.metadata == model.metadata
    assert (again.method, again.lag, again.dim) == (method, 5, 2)


def test_stacked_lobes_equal_tica_of_all_their_outputs(models):
    model, runs = models["vampnet"]
    x = torch.from_numpy(runs[0])
    with torch.no_grad():
        joined = [lobe(x).numpy() for lobe in model.lobe.members]
        stacked = model.lobe(x).numpy()
    np.testing.assert_array_equal(stacked, np.concatenate(joined, axis=1))
    # a free choice of four directions cannot be worse on the data that chose it
    score = vamp2_score(model.transform(runs), 5)
    singles = [make_cv_model("vampnet", [lobe], runs, 5) for lobe in model.lobe.members]
    assert score > max(vamp2_score(m.transform(runs), 5) for m in singles) - 0.01


def test_a_model_of_the_first_format_is_read(models, tmp_path):
    stacked, runs = models["vampnet"]
    model = make_cv_model("vampnet", [stacked.lobe.members[0]], runs, 5)
    path = model.save(tmp_path / "m")
    tensors = {
        name.replace("lobe.members.0.", "lobe."): t
        for name, t in load_file(path).items()
    }
    save_file(tensors, path)
    card = json.loads(path.with_suffix(".json").read_text())
    card |= {"format": 1, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    del card["lobes"]
    for name in ("input_dropout", "readout", "merge"):
        del card["mixer"][name]
    card["mixer"] |= {"format": 1}
    path.with_suffix(".json").write_text(json.dumps(card))
    # attention read a class token then, so this joined one is refused ...
    with pytest.raises(InputError, match="do not describe one model"):
        CVModel.load(path)
    # ... and one that is read as it is now goes on
    card["mixer"] |= {"format": 2, "readout": "joined"}
    path.with_suffix(".json").write_text(json.dumps(card))
    again = CVModel.load(path).transform(runs)
    np.testing.assert_array_equal(again[0], model.transform(runs)[0])


@pytest.mark.parametrize("method", ["tica", "vampnet"])
def test_cvs_are_ordered_white_and_oriented(models, method):
    model, runs = models[method]
    cvs = np.concatenate(model.transform(runs))
    np.testing.assert_allclose(cvs.std(axis=0), 1, rtol=0.02)
    np.testing.assert_allclose(np.corrcoef(cvs.T)[0, 1], 0, atol=0.02)
    centred = cvs - cvs.mean(axis=0)
    assert ((centred**3).mean(axis=0) >= 0).all()
    slow = [np.mean(centred[5:6000, i] * centred[: 6000 - 5, i]) for i in range(2)]
    assert slow[0] > slow[1]
    assert model.rotation.timescales[0] > model.rotation.timescales[1]


def test_wrong_input_and_damaged_files(models, tmp_path):
    model, runs = models["tica"]
    with pytest.raises(InputError, match=r"was made for \(10,\)"):
        model.transform([runs[0][:, :4]])
    with pytest.raises(InputError, match="is missing"):
        CVModel.load(tmp_path / "nothing")
    path = model.save(tmp_path / "m")
    card = path.with_suffix(".json")
    good = card.read_text()
    data = path.read_bytes()
    path.write_bytes(data[:-3] + b"abc")
    with pytest.raises(InputError, match="checksum differs"):
        CVModel.load(path)
    path.write_bytes(data)
    card.write_text(json.dumps({**json.loads(good), "format": 99}))
    with pytest.raises(InputError, match="has format 99"):
        CVModel.load(path)
    for name in ("method", "width", "pca"):
        part = {k: v for k, v in json.loads(good).items() if k != name}
        card.write_text(json.dumps(part))
        with pytest.raises(InputError, match=f"do not describe one model.*{name}"):
            CVModel.load(path)
    card.write_text("{}")
    with pytest.raises(InputError, match="not the card of a collective-variable"):
        CVModel.load(path)


@pytest.mark.parametrize(
    ("field", "value"),
    [("width", 10**9), ("depth", 10**9), ("n_tokens", 10**30), ("n_features", 7)],
)
def test_an_absurd_mixer_is_refused_before_it_is_built(models, tmp_path, field, value):
    path = models["vampnet"][0].save(tmp_path / "m")
    card = json.loads(path.with_suffix(".json").read_text())
    card["mixer"][field] = value
    path.with_suffix(".json").write_text(json.dumps(card))
    with pytest.raises(InputError, match="do not describe one model"):
        CVModel.load(path)


def test_pipeline_with_trajectories(three_states):
    _, runs = three_states
    first = FunctionTransformer(lambda x: [a * 2 for a in x])
    pipeline = Pipeline(
        [("double", first), ("tica", estimator(TICA(lagtime=5, dim=2)))]
    )
    out = pipeline.fit_transform(runs)
    assert [o.shape for o in out] == [(6000, 2)] * 4
    direct = TICA(lagtime=5, dim=2).fit([2 * r for r in runs]).fetch_model()
    np.testing.assert_allclose(out[1], direct.transform(2 * runs[1]), rtol=1e-5)
    pipeline.set_params(tica__estimator__lagtime=9, tica__estimator__dim=1)
    again = clone(pipeline)
    assert again.get_params()["tica__estimator__lagtime"] == 9
    assert again.fit(runs).transform(runs[0][None])[0].shape == (6000, 1)
    assert list(again[-1].get_feature_names_out()) == ["tica0"]


def test_wrapper_fits_a_copy_and_takes_one_array(three_states):
    _, runs = three_states
    inner = VAMP(lagtime=3, dim=2)
    wrapped = estimator(inner)
    assert wrapped.fit(runs[0]).transform(runs[0]).shape == (6000, 2)
    assert not inner.has_model
    assert wrapped.n_features_in_ == 10
    with pytest.raises(InputError, match="flatten the tokens first"):
        wrapped.fit([runs[0].reshape(-1, 2, 5)])


def test_grid_search_over_lag_and_dimension(three_states):
    """Each score is VAMP-2 on runs that were held out, by deeptime's own formula."""
    _, runs = three_states
    grid = {"estimator__lagtime": [2, 10], "estimator__dim": [1, 2]}
    search = GridSearchCV(estimator(TICA(lagtime=1)), grid, cv=2)
    search.fit(runs)
    assert search.best_params_ == {"estimator__lagtime": 2, "estimator__dim": 2}
    found = search.cv_results_
    for k, options in enumerate(found["params"]):
        lag, dim = options["estimator__lagtime"], options["estimator__dim"]
        for fold, (train, test) in enumerate(
            ((runs[2:], runs[:2]), (runs[:2], runs[2:]))
        ):
            model = TICA(lagtime=lag, dim=dim).fit_fetch(
                [r.astype(float) for r in train]
            )
            outputs = [model.transform(r.astype(float)) for r in test]
            held = VAMP(lagtime=lag, dim=dim, epsilon=1e-10).fit_fetch(outputs)
            expected = held.score(2)
            assert found[f"split{fold}_test_score"][k] == pytest.approx(
                expected, rel=1e-4
            )


def test_a_score_is_that_of_the_last_step_of_a_pipeline(three_states):
    _, runs = three_states
    pipeline = make_pipeline(estimator(TICA(lagtime=5, dim=2)))
    exact = 1 + np.exp(-2 * 5 / timescales(THREE)).sum()
    assert pipeline.fit(runs[:2]).score(runs[2:]) == pytest.approx(exact, abs=0.1)
    assert not hasattr(estimator(KMeans(3)), "score")
    one = estimator(TICA(lagtime=5, dim=1)).fit(runs[0])
    assert one.score(runs[1]) == pytest.approx(one.score([runs[1]]))
    with pytest.raises(ScoreError, match="longer than the lag"):
        one.score(runs[1][:5])
