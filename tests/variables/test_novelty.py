"""How far new frames lie from training, against distances written out."""

from __future__ import annotations

import numpy as np
import pytest

from mdgeomfeat.variables import Novelty, measure_novelty, record_training
from mdgeomfeat.variables.training import TrainingRecord, mean_tokens


def tokens(n_frames, shape, seed):
    """Return correlated features, one cloud."""
    rng = np.random.default_rng(seed)
    mixing = np.random.default_rng(1).normal(size=(int(np.prod(shape)),) * 2)
    flat = rng.normal(size=(n_frames, len(mixing))) @ mixing + 3
    return flat.reshape(n_frames, *shape)


def recorded(features, n_states=2):
    values = [rows.reshape(len(rows), -1)[:, :2] for rows in features]
    states = [(v[:, 0] > 3).astype(int) for v in values]
    return record_training(features, values, states, n_states, box=False), states


def test_frames_of_the_same_kind_are_seen_and_others_are_not():
    record, _ = recorded([tokens(4000, (3, 4), 0)])
    alike = measure_novelty(record.reach, [tokens(3000, (3, 4), 5)], 3)
    assert alike.share < 0.01
    assert alike.shifts.max() < 0.1
    moved = tokens(500, (3, 4), 6)
    sd = tokens(4000, (3, 4), 0).std(axis=0)
    moved[:, 1] += 20 * sd[1]
    novelty = measure_novelty(record.reach, [moved[:200], moved[200:]], 3)
    assert novelty.share == 1
    assert [len(own) for own in novelty.distances] == [200, 300]
    np.testing.assert_allclose(novelty.shifts, [0, 20, 0], atol=0.2)
    # a token that is not counted moves nothing
    counted = np.array([True, False, True])
    assert measure_novelty(record.reach, [moved], 3, counted).share < 0.05


def test_frames_beyond_a_distance_of_one_are_unseen():
    near_and_far = [np.array([0.5, 1.0, 1.01]), np.array([3.0])]
    novelty = Novelty(distances=near_and_far, shifts=np.zeros(1))
    assert [own.tolist() for own in novelty.unseen] == [[False, False, True], [True]]
    assert novelty.share == 0.5


def test_distances_are_those_of_the_reach_whatever_the_chunks(monkeypatch):
    record, _ = recorded([tokens(1000, (2, 4, 3), 0)])
    new = tokens(37, (2, 4, 3), 2)
    joined = np.concatenate([new[:, :, 0], np.linalg.norm(new[:, :, 1:], axis=2)], -1)
    want = record.reach(joined.reshape(37, -1))
    monkeypatch.setattr("mdgeomfeat.variables.novelty._CHUNK", 24)
    novelty = measure_novelty(record.reach, [new], 2)
    np.testing.assert_allclose(novelty.distances[0], want)


def test_a_record_keeps_shares_and_a_sample(tmp_path):
    features = [tokens(5000, (2, 3), 0), tokens(1500, (2, 3), 1)]
    record, states = recorded(features)
    states[0][:10] = -1
    record.save(tmp_path / "training.safetensors")
    again = TrainingRecord.load(tmp_path / "training.safetensors")
    want = [(np.concatenate(states) == s).sum() for s in range(2)]
    np.testing.assert_allclose(again.counts, want, atol=10)
    assert again.counts.sum() == 6500
    every = np.concatenate([rows.reshape(len(rows), -1)[:, :2] for rows in features])
    assert len(again.sample) == 3000
    np.testing.assert_array_equal(again.sample[[0, -1]], every[[0, -1]])
    np.testing.assert_allclose(again.sample.mean(axis=0), every.mean(axis=0), atol=0.2)


@pytest.mark.parametrize("shape", [(3, 4), (3, 4, 2)])
def test_mean_tokens_are_those_of_training(shape):
    features = tokens(200, shape, 3)
    record, _ = recorded([features])
    mean = mean_tokens(record.reach, shape)
    want = features[::2].mean(axis=0)
    if len(shape) == 3:
        want[:, 1:] = 0  # molecules turn
    np.testing.assert_allclose(mean, want, atol=1e-9)
