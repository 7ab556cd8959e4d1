"""Information bottlenecks: states of known chains, and the published package."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest
import torch
from chains import THREE, embed, markov_chain

from mdgeomfeat.errors import InputError, MDGeomFeatWarning
from mdgeomfeat.kinetics import (
    CVModel,
    FrameWeights,
    SpibOptions,
    StudySettings,
    fit_spib,
    run_study,
    scan_bottlenecks,
)
from mdgeomfeat.kinetics.scores import ScoreError
from mdgeomfeat.kinetics.spib import SpibNetwork, initial_labels
from mdgeomfeat.kinetics.standardize import fit_standardizer
from mdgeomfeat.kinetics.vampnet import Lobe
from mdgeomfeat.mixing import MixerSpec

SPEC = MixerSpec(kind="flat", n_tokens=1, n_features=6, n_outputs=2, width=32)
OPTIONS = SpibOptions(n_labels=8, batch_size=256)


@pytest.fixture(scope="module")
def runs():
    states = [markov_chain(THREE, 3000, seed) for seed in range(4)]
    return states, embed(states, width=6, noise=0.3)


@pytest.fixture(scope="module")
def fitted(runs):
    return fit_spib(runs[1][:3], 4, SPEC, options=OPTIONS)


def table(one, other):
    """Frames with each pair of states."""
    out = np.zeros((one.max() + 1, other.max() + 1), dtype=int)
    np.add.at(out, (one, other), 1)
    return out


def conditional_entropy(lag):
    """Exact mean of -ln P(state one lag later | state now), in equilibrium."""
    matrix = np.linalg.matrix_power(THREE, lag)
    values, vectors = np.linalg.eig(THREE.T)
    pi = vectors[:, np.argmax(values.real)].real
    pi /= pi.sum()
    return float(-(pi[:, None] * matrix * np.log(matrix)).sum())


def test_the_states_of_a_chain_are_found(runs, fitted):
    states, features = runs
    assert fitted.n_states == 3
    assert fitted.converged
    assert fitted.history[0] == (0, 8)
    found = np.concatenate(fitted.predict(features))
    shared = table(np.concatenate(states), found)
    assert shared.max(axis=1).sum() > 0.995 * len(found)


def test_each_state_is_represented_by_the_frame_nearest_to_its_mean(runs, fitted):
    features = runs[1][:3]
    frames = np.concatenate(features)
    means = np.concatenate(fitted.transform(features)).astype(np.float64)
    found = np.concatenate(fitted.predict(features))
    for state, representative in enumerate(fitted.network.representatives.numpy()):
        centre = means[found == state].mean(axis=0)
        (at,) = np.flatnonzero((frames.astype(np.float32) == representative).all(1))
        assert found[at] == state
        distances = np.linalg.norm(means[found == state] - centre, axis=1)
        own = np.linalg.norm(means[at] - centre)
        assert own == pytest.approx(distances.min(), rel=1e-3, abs=1e-5)


def test_states_that_are_kept_keep_their_odds():
    x = np.random.default_rng(0).normal(size=(40, 6)).astype(np.float32)
    network = SpibNetwork(
        Lobe(SPEC, fit_standardizer([x]), 0), torch.from_numpy(x[:4]), 16
    ).eval()
    kept = torch.tensor([1, 3])
    with torch.no_grad():
        z = network.lobe(torch.from_numpy(x))
        before = network.decode(z)[:, kept]
        network.keep(kept, torch.from_numpy(x[10:12]))
        after = network.decode(z)
    assert network.n_states == 2
    torch.testing.assert_close(after, torch.log_softmax(before, dim=1))
    # the prior begins anew, with equal weights around the new frames
    assert torch.equal(network.representatives, torch.from_numpy(x[10:12]))
    assert network.mixture.tolist() == [0.0, 0.0]


def test_the_cross_entropy_is_that_of_the_chain(runs, fitted):
    states, features = runs
    told, guessed = fitted.cross_entropy(features[3:])
    # of the very frames that are told, from the exact matrix
    matrix = np.linalg.matrix_power(THREE, 4)
    exact = -np.log(matrix[states[3][:-4], states[3][4:]]).mean()
    assert told == pytest.approx(exact, abs=0.03)
    assert exact == pytest.approx(conditional_entropy(4), abs=0.1)
    share = np.bincount(states[3][4:]) / len(states[3][4:])
    assert guessed == pytest.approx(-(share * np.log(share)).sum(), abs=0.01)
    assert told < guessed


def test_states_that_last_less_than_the_lag_vanish(runs):
    states, features = runs
    fit = fit_spib(features, 80, SPEC, options=OPTIONS)
    assert fit.n_states == 2
    found = np.concatenate(fit.predict(features))
    # the two that exchange within 18 frames have become one
    merged = np.concatenate(states) == 2
    assert table(merged.astype(int), found).max(axis=1).sum() > 0.99 * len(found)


def test_nothing_that_lasts_leaves_one_state():
    noise = [np.random.default_rng(s).normal(size=(1500, 6)) for s in range(2)]
    with pytest.raises(ScoreError, match="Only one state is left"):
        fit_spib(noise, 5, SPEC, options=OPTIONS)


def test_seeds_decide_and_global_state_stays(runs):
    _, features = runs
    short = [f[:600] for f in features]
    options = SpibOptions(n_labels=5, max_epochs=6)
    torch.manual_seed(7)
    before = torch.get_rng_state()
    one, two, other = (
        fit_spib(short, 4, SPEC, seed=s, options=options).transform(short[:1])[0]
        for s in (0, 0, 1)
    )
    assert torch.equal(before, torch.get_rng_state())
    np.testing.assert_array_equal(one, two)
    assert np.abs(one - other).max() > 1e-3


def test_the_information_is_that_of_the_distributions():
    """Against torch's own distributions: ln q(z | x) - ln p(z) for given z."""
    x = np.random.default_rng(0).normal(size=(40, 6)).astype(np.float32)
    network = SpibNetwork(
        Lobe(SPEC, fit_standardizer([x]), 0), torch.from_numpy(x[:4]), 16
    ).eval()
    with torch.no_grad():
        network.mixture.copy_(torch.tensor([0.3, -0.2, 0.9, 0.0]))
        network.log_variance.fill_(-0.7)
    frames, noise = torch.from_numpy(x), torch.randn(40, 2)
    later = torch.arange(40) % 4
    beta = 0.5
    spread = torch.full((2,), float(np.exp(-0.35)))
    mean, centres = network.lobe(frames), network.lobe(network.representatives)
    z = mean + spread * noise
    normal = torch.distributions.Normal
    around = torch.distributions.Independent(normal(centres, spread), 1)
    prior = torch.distributions.MixtureSameFamily(
        torch.distributions.Categorical(logits=network.mixture), around
    )
    posterior = normal(mean, spread).log_prob(z).sum(dim=1)
    information = (posterior - prior.log_prob(z)).mean()
    told = network.decode(z)[torch.arange(40), later].mean()
    loss = network.loss(frames, later, noise, beta)
    torch.testing.assert_close(loss, -told + beta * information, rtol=1e-5, atol=1e-5)


def test_the_scan_shows_what_the_number_of_states_depends_on(runs):
    _, features = runs
    scan = scan_bottlenecks(
        features[:3], features[3:], 40, SPEC, options=SpibOptions(n_labels=6)
    )
    first = scan.rows[0]
    assert (first.lag, first.n_labels) == (40, 6)
    found = {(r.lag, r.n_labels): r.n_states for r in scan.rows}
    assert set(found) == {(40, 6), (20, 6), (80, 6), (160, 6), (40, 3), (40, 12)}
    by_lag = [found[lag, 6] for lag in (20, 40, 80, 160)]
    assert by_lag == sorted(by_lag, reverse=True)
    assert by_lag[-1] <= 2
    for row in scan.rows:
        if row.n_states > 1:
            assert row.cross_entropy < row.entropy
    assert scan.to_dict(2.0)[0]["lag"] == 80.0


@pytest.fixture(scope="module")
def study(runs):
    settings = StudySettings(
        method="spib",
        lag=4,
        dim=2,
        dt=2.0,
        max_folds=2,
        n_bootstrap=5,
        spib=SpibOptions(n_labels=6, max_epochs=60),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MDGeomFeatWarning)
        return run_study({"x": [f[:2500] for f in runs[1]]}, "x", settings)


def test_a_study_by_bottleneck(runs, study, tmp_path):
    states, features = runs
    assert study.bottleneck.n_states == study.states.n_states == 3
    found = np.concatenate(study.states.dtrajs)
    truth = np.concatenate([s[:2500] for s in states])
    assert table(truth, found).max(axis=1).sum() > 0.99 * len(found)
    assert [s.method for s in study.scores] == ["SPIB", "TICA"]
    assert study.scores[0].score > 1.5
    summary = json.loads(json.dumps(study.to_dict()))
    assert summary["bottleneck"][0]["lag"] == 8.0
    assert summary["bottleneck"][0]["n_states"] == 3
    # saved and read again, it gives the same variables
    again = CVModel.load(study.model.save(tmp_path / "cvs"))
    assert again.method == "spib"
    np.testing.assert_allclose(
        again.transform([features[0][:2500]])[0], study.cvs[0], rtol=1e-6, atol=1e-6
    )


def test_what_a_bottleneck_cannot_take(runs):
    _, features = runs
    weights = FrameWeights.from_plain([np.ones(len(f)) for f in features])
    settings = StudySettings(method="spib")
    with pytest.raises(InputError, match="takes no weights"):
        run_study({"x": features}, "x", settings, weights=weights)
    with pytest.raises(ScoreError, match="too few for 20 labels"):
        fit_spib([f[:8] for f in features], 5, SPEC)
    for bad in ({"n_labels": 1}, {"beta": 0}, {"max_epochs": 0}):
        with pytest.raises(InputError, match=next(iter(bad))):
            SpibOptions(**bad)


def test_the_published_package_finds_the_same(runs, tmp_path, monkeypatch):
    """spib 1.1.0 (extra ``oracle``), from the same labels."""
    package = pytest.importorskip(
        "spib.spib", reason="the package spib (extra 'oracle') is not installed"
    )
    from spib.utils import prepare_data

    _, features = runs
    labels, last = initial_labels(features[:3], features[3:], 4, 8)
    theirs_data = prepare_data(
        features, [*labels, *last], None, 8, [0, 1, 2], [3], lagtime=4
    )
    monkeypatch.chdir(tmp_path)  # it writes files where it runs
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002
    theirs = package.SPIB(
        output_dim=8, data_shape=(6,), z_dim=2, lagtime=4, path=str(tmp_path / "spib")
    )
    theirs.fit(*theirs_data, batch_size=256, tolerance=0.002, patience=2, refinements=5)
    theirs.eval()
    with torch.no_grad():
        logs = [
            theirs.decode(theirs.encode(torch.from_numpy(f))[0]).numpy()
            for f in features
        ]
    ours = fit_spib(features[:3], 4, SPEC, labels=labels, options=OPTIONS)
    found = np.concatenate(ours.predict(features))
    same = table(found, np.concatenate(logs).argmax(axis=1))
    assert np.count_nonzero(same.sum(axis=0)) == ours.n_states == 3
    assert same.max(axis=1).sum() > 0.995 * len(found)
    later = logs[3].argmax(axis=1)[4:]
    their_entropy = -logs[3][:-4][np.arange(len(later)), later].mean()
    assert ours.cross_entropy(features[3:])[0] == pytest.approx(their_entropy, abs=0.02)
