"""Training: early stopping, best weights, seeds, and what comes out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from deeptime.decomposition.deep import VAMPNet

from mdgeomfeat.kinetics import (
    ScoreError,
    TokenDataset,
    TrainingOptions,
    fit_vampnet,
    vamp2_score,
)
from mdgeomfeat.kinetics.standardize import fit_standardizer
from mdgeomfeat.kinetics.vampnet import Lobe, run_lobe, usual_standardizer
from mdgeomfeat.mixing import MixerSpec


def spec(width, d=2):
    return MixerSpec(kind="flat", n_tokens=1, n_features=width, n_outputs=d)


def test_finds_what_tica_cannot():
    # a slow width of a symmetric distribution: no linear function sees it
    rng = np.random.default_rng(0)
    runs = []
    for _ in range(3):
        slow = np.repeat(rng.choice([0.3, 3.0], 200), 30)
        x = slow[:, None] * rng.normal(size=(6000, 4))
        runs.append(x.astype(np.float32))
    assert vamp2_score(runs[2:], 3) < 1.05
    fit = fit_vampnet(runs[:1], runs[1:2], 3, spec(4))
    assert vamp2_score(fit.transform(runs[2:]), 3) > 1.5


def test_best_weights_are_restored(three_states):
    _, runs = three_states
    # few frames: overfitting sets in soon; all pairs of the other run are scored
    few, stop = [runs[0][:200]], [runs[1]]
    options = TrainingOptions(max_steps=300, patience=999, max_stop_pairs=10_000)
    fit = fit_vampnet(few, stop, 5, spec(10), options=options)
    assert fit.stop_score == max(s for _, s in fit.history)
    assert dict(fit.history)[fit.step] == fit.stop_score
    assert fit.stop_score - fit.history[-1][1] > 0.01
    again = vamp2_score(fit.transform(stop), 5)
    assert again == pytest.approx(fit.stop_score, abs=1e-4)


def test_a_step_is_that_of_deeptime(three_states):
    _, runs = three_states
    options = TrainingOptions(n_starts=1, max_steps=5)
    fit = fit_vampnet(runs[:1], runs[:1], 5, spec(10), seed=3, options=options)
    # the same start and the same pairs through deeptime's estimator
    start = np.random.SeedSequence(3).generate_state(1)[0]
    lobe = Lobe(spec(10), usual_standardizer(runs[:1], 5), int(start))
    net = VAMPNet(lobe, learning_rate=1e-3, score_mode="regularize", epsilon=1e-6)
    batches = TokenDataset(runs[:1], 5).batches(200, seed=3)
    for step, batch in zip(range(1, 6), batches, strict=False):
        for group in net.optimizer.param_groups:
            group["lr"] = options.rate(step, 5)
        net.partial_fit(batch)
    assert fit.step == 5  # otherwise the outputs are those of an earlier check
    untrained = Lobe(spec(10), usual_standardizer(runs[:1], 5), int(start))
    # a constant does not change the score, so that rounding alone decides on it
    ours, expected, before = (
        out - out.mean(axis=0)
        for one in (fit.lobe, lobe, untrained)
        for out in run_lobe(one, runs[2:3])
    )
    moved = np.abs(before - expected).max()
    assert np.abs(ours - expected).max() < 1e-3 * moved


def test_stops_early(three_states):
    _, runs = three_states
    # few frames: overfitting sets in soon
    few = runs[0][:200]
    options = TrainingOptions(max_steps=600, patience=40)
    fit = fit_vampnet([few], [runs[1][:1000]], 5, spec(10), options=options)
    last = fit.history[-1][0]
    assert last < 600
    assert last - fit.step >= 40


def test_budget_shrinks_with_the_data():
    options = TrainingOptions()
    assert options.steps(10_000) == options.steps(100_000) == 450
    assert options.steps(1_000_000) == 1423
    assert options.steps(2000) == 100
    assert options.steps(100) == 40
    assert options.pairs(spec(300)) == 200
    many = MixerSpec(kind="attention", n_tokens=214, n_features=112, n_outputs=3)
    assert options.pairs(many) == 64


def test_slow_columns_lead_a_network():
    rng = np.random.default_rng(0)
    runs = []
    for _ in range(3):
        flips = np.where(rng.random(500) < 0.03, -1, 1).cumprod()
        noise = rng.normal(size=(500, 400))
        runs.append(np.c_[flips + 0.5 * noise[:, 0], noise].astype(np.float32))
    plain = fit_standardizer(runs[:1])
    ours, alike = (
        fit_vampnet(runs[:1], runs[1:2], 5, spec(401, 1), standardizer=standardizer)
        for standardizer in (None, plain)
    )
    scores = [vamp2_score(fit.transform(runs[2:]), 5) for fit in (ours, alike)]
    assert scores[0] > scores[1] + 0.1


def test_few_columns_have_one_size():
    rng = np.random.default_rng(0)
    x = np.cumsum(rng.normal(size=(205, 20)), axis=0) % 7
    plain, usual = fit_standardizer([x]), usual_standardizer([x], 5)
    np.testing.assert_array_equal(usual.factor, plain.factor)  # 200 pairs
    scaled = usual_standardizer([x[:-1]], 5)
    assert np.ptp(scaled.factor / fit_standardizer([x[:-1]]).factor) > 0.01


def test_the_learning_rate_rises_and_falls():
    options = TrainingOptions(learning_rate=0.01)
    rates = [options.rate(step, 400) for step in range(1, 401)]
    assert rates[0] == pytest.approx(0.01 / 20)  # twenty steps of rise
    assert np.argmax(rates) == 19
    assert rates[19] == pytest.approx(0.01, rel=0.01)
    assert rates[200] == pytest.approx(0.005)
    assert 0 < rates[-1] < 1e-6
    assert options.rate(1, 1) == pytest.approx(0.01)


def test_seeds_decide_and_global_state_stays(three_states):
    _, runs = three_states
    options = TrainingOptions(max_steps=10)
    torch.manual_seed(5)
    state = torch.get_rng_state()
    a, b, c = (
        fit_vampnet(runs[:1], runs[1:2], 5, spec(10), seed=s, options=options)
        for s in (1, 1, 2)
    )
    assert torch.equal(state, torch.get_rng_state())
    x, y, z = (f.transform(runs[2:3])[0] for f in (a, b, c))
    np.testing.assert_array_equal(x, y)
    assert np.abs(x - z).max() > 1e-3


@pytest.mark.parametrize("kind", ["mlp", "attention", "equivariant"])
def test_other_mixers_train(kind):
    rng = np.random.default_rng(2)
    slow = np.repeat(rng.choice([-1.0, 1.0], 60), 20)
    shape = (1200, 4, 4, 6) if kind == "equivariant" else (1200, 4, 6)
    x = rng.normal(size=shape).astype(np.float32)
    # one token carries the signal, in its scalars
    scalars = x[:, 1, 0] if kind == "equivariant" else x[:, 1]
    scalars += 2 * slow[:, None]
    mixer = MixerSpec(kind=kind, n_tokens=4, n_features=6, n_outputs=1, width=8)
    options = TrainingOptions(max_steps=40, batch_size=50)
    fit = fit_vampnet([x[:600]], [x[600:]], 2, mixer, options=options)
    assert fit.transform([x])[0].shape == (1200, 1)
    assert fit.stop_score > 1.3


def test_batches_do_not_change_outputs(three_states):
    _, runs = three_states
    fit = fit_vampnet(
        runs[:1], runs[1:2], 5, spec(10), options=TrainingOptions(max_steps=5)
    )
    whole = run_lobe(fit.lobe, runs[:1])[0]
    with torch.no_grad():
        direct = fit.lobe(torch.from_numpy(runs[0])).numpy()
    np.testing.assert_allclose(whole, direct, rtol=1e-4, atol=1e-5)


def test_unusable_data():
    rng = np.random.default_rng(3)
    x = [rng.normal(size=(200, 3)).astype(np.float32)]
    flat = [np.ones((200, 3), np.float32)]
    with pytest.raises(ScoreError, match="No column varies"):
        fit_vampnet(flat, x, 5, spec(3))
    with pytest.raises(ScoreError, match="do not vary in the stopping part"):
        fit_vampnet(x, flat, 5, spec(3))
    with pytest.raises(ScoreError, match="too few for 2 outputs"):
        fit_vampnet([x[0][:8]], x, 5, spec(3))
    with pytest.raises(ScoreError, match="stopping part has no pairs"):
        fit_vampnet(x, [x[0][:5]], 5, spec(3))
