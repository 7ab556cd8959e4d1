"""Reading the next chunk while the last one is computed changes nothing."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from feature_systems import peptide

from mdgeomfeat import GeomGNNFeaturizer, InputError
from mdgeomfeat.featurizer import analysis
from mdgeomfeat.featurizer.batches import Background, FrameBuffer


def test_calls_overlap_with_the_caller_and_keep_their_order():
    begun, done = threading.Event(), threading.Event()
    calls = []

    def slow():
        begun.set()
        assert done.wait(10)
        calls.append("slow")

    with Background(True) as background:
        background.do(slow)
        assert begun.wait(10)
        assert calls == []
        done.set()
        background.do(calls.append, "second")
    assert calls == ["slow", "second"]


def test_off_means_at_once():
    calls = []
    with Background(False) as background:
        background.do(calls.append, threading.get_ident())
        assert calls == [threading.get_ident()]


def test_an_error_reaches_the_caller_with_the_next_call_or_the_end():
    def fail(text):
        raise InputError(text)

    with Background(True) as background:
        background.do(fail, "first")
        with pytest.raises(InputError, match="first"):
            background.do(fail, "never called")
    with (
        pytest.raises(InputError, match="last"),
        Background(True) as background,
    ):
        background.do(fail, "last")

    def stumble():
        with Background(True) as background:
            background.do(fail, "unheard")
            raise KeyError("of the caller")

    with pytest.raises(KeyError, match="of the caller"):
        stumble()


def test_a_chunk_is_not_overwritten_by_the_next():
    buffer = FrameBuffer(2, 1)
    buffer.add(0, 0.0, [[1.0, 1, 1]], None)
    *_, first, _ = buffer.take()
    buffer.add(1, 1.0, [[2.0, 2, 2]], None)
    buffer.take()
    assert first.tolist() == [[[1.0, 1.0, 1.0]]]


@pytest.mark.parametrize("stored", [False, True], ids=["memory", "store"])
def test_features_are_the_same_to_the_last_bit(stored, options, tmp_path, monkeypatch):
    def features(name):
        where = {"store": tmp_path / name} if stored else {}
        universe = peptide(n_residues=3, n_frames=9)
        feat = GeomGNNFeaturizer(universe, batch_size=2, **options, **where).run()
        return np.array(feat.results.scalars), np.array(feat.results.vectors)

    plain = features("plain.zarr")
    used = []

    def overlap(on):
        used.append(on)
        return Background(True)

    monkeypatch.setattr(analysis, "Background", overlap)
    overlapped = features("overlapped.zarr")
    # On a processor nothing overlaps by itself.
    assert used == [False] * len(used) != []
    for a, b in zip(plain, overlapped, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_bad_frame_is_named(options, monkeypatch):
    universe = peptide(n_residues=3, n_frames=6)
    universe.trajectory.get_array()[3] = np.nan
    monkeypatch.setattr(analysis, "Background", lambda _: Background(True))
    feat = GeomGNNFeaturizer(universe, batch_size=2, **options)
    with pytest.raises(InputError, match="frame 3"):
        feat.run()
