"""Reading ahead and writing behind."""

import threading
import time
import warnings
from contextlib import closing

import MDAnalysis as mda
import numpy as np
import pytest
from feature_systems import peptide

from mdgeomfeat import GeomGNNFeaturizer
from mdgeomfeat.featurizer.encoder import TokenEncoder
from mdgeomfeat.featurizer.pipeline import Behind, ahead
from mdgeomfeat.reading import open_universe
from mdgeomfeat.store import FeatureStore, StoreWriter


def ours():
    return [t for t in threading.enumerate() if t.name.startswith("mdgeomfeat-")]


def test_the_next_item_is_made_while_this_one_is_used():
    made = []
    second = threading.Event()

    def items():
        for k in range(4):
            made.append((k, threading.current_thread()))
            if k == 1:
                second.set()
            yield k

    with closing(ahead(items())) as things:
        assert next(things) == 0
        assert second.wait(5)
        assert list(things) == [1, 2, 3]
    assert all(thread is not threading.current_thread() for _, thread in made)
    assert ours() == []


def test_at_most_one_item_waits():
    made = []

    def items():
        for k in range(9):
            made.append(k)
            yield k

    with closing(ahead(items())) as things:
        next(things)
        time.sleep(0.1)
        assert made == [0, 1]
    assert ours() == []


def test_errors_come_after_the_items_before_them():
    def items():
        yield 1
        raise ValueError("bad")

    things = ahead(items())
    assert next(things) == 1
    with pytest.raises(ValueError, match="bad"):
        next(things)
    assert ours() == []


def test_calls_are_made_in_order_and_are_over_at_the_end():
    done = []

    def slow(k):
        time.sleep(0.01)
        done.append(k)

    with Behind(slow) as call:
        for k in range(5):
            call(k)
            assert len(done) >= k
    assert done == list(range(5))
    assert ours() == []


def call_all(function, pieces, error=None):
    """Call a function behind, and then fail."""
    with Behind(function) as call:
        for piece in pieces:
            call(piece)
        if error is not None:
            raise error


@pytest.mark.parametrize("pieces", [[0], [0, 1]])
def test_an_error_of_a_call_is_raised(pieces):
    def fail(k):
        if k == 0:
            raise OSError("full")

    with pytest.raises(OSError, match="full"):
        call_all(fail, pieces)
    assert ours() == []


def test_an_error_of_the_caller_waits_for_the_call_and_is_not_hidden():
    done = []

    def slow(k):
        time.sleep(0.05)
        done.append(k)
        raise OSError("full")

    with pytest.raises(KeyboardInterrupt):
        call_all(slow, [7], KeyboardInterrupt())
    assert done == [7]
    assert ours() == []


def test_a_run_reads_computes_and_stores_at_the_same_time(
    options, tmp_path, monkeypatch
):
    """The network waits for the next batch to be read, the store for its network."""
    universe = peptide(n_residues=3, n_frames=4 * 34)
    reading, computing = threading.Event(), threading.Event()
    in_time = []
    calls = {"encode": 0, "write": 0}
    encode, write = TokenEncoder.encode, StoreWriter.write

    def note(ts):
        if ts.frame == 4:
            reading.set()
        return ts

    def watched_encode(self, positions, boxes=None):
        calls["encode"] += 1
        if calls["encode"] == 1:
            in_time.append(reading.wait(10))
        else:
            computing.set()
        return encode(self, positions, boxes)

    def watched_write(self, *args):
        calls["write"] += 1
        if calls["write"] == 1:
            in_time.append(computing.wait(10))
        return write(self, *args)

    # Chunks of one batch, of which every portion has two or three.
    monkeypatch.setattr(TokenEncoder, "chunk_size", 4)
    monkeypatch.setattr(TokenEncoder, "encode", watched_encode)
    monkeypatch.setattr(StoreWriter, "write", watched_write)
    universe.trajectory.add_transformations(note)
    path = tmp_path / "f.zarr"
    GeomGNNFeaturizer(universe, **options, batch_size=4, store=path).run()
    assert calls == {"encode": 34, "write": 34}
    assert in_time == [True, True]
    assert ours() == []


def test_an_interrupted_run_leaves_whole_chunks_and_no_thread(
    options, tmp_path, monkeypatch
):
    universe = peptide(n_residues=3, n_frames=300)
    path = tmp_path / "f.zarr"
    encode = TokenEncoder.encode
    calls = []

    def interrupted(self, positions, boxes=None):
        calls.append(1)
        if len(calls) == 10:
            raise KeyboardInterrupt
        return encode(self, positions, boxes)

    monkeypatch.setattr(TokenEncoder, "encode", interrupted)
    with pytest.raises(KeyboardInterrupt):
        GeomGNNFeaturizer(universe, **options, batch_size=16, store=path).run()
    assert ours() == []
    assert len(FeatureStore(path, unfinished=True)["frames"]) == 128
    assert not path.with_name("f.zarr.lock").exists()


def test_boxes_that_change_and_stay_are_those_of_mdanalysis(tmp_path):
    u = peptide(n_residues=4, n_frames=6, box=[30, 31, 32, 90, 90, 90])
    for frame, box in ((2, [30, 31, 33, 80, 95, 100]), (4, [0] * 6)):
        u.trajectory.dimensions_array[frame : frame + 2] = box
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        u.atoms.write(tmp_path / "t.pdb")
        u.atoms.write(tmp_path / "t.xtc", frames="all")
    mine = open_universe([tmp_path / "t.pdb", tmp_path / "t.xtc"])
    theirs = mda.Universe(tmp_path / "t.pdb", tmp_path / "t.xtc")
    for a, b in zip(mine.trajectory, theirs.trajectory, strict=True):
        np.testing.assert_array_equal(a._unitcell, b._unitcell)
        np.testing.assert_array_equal(a.positions, b.positions)
        assert (a.time, a.data["step"]) == (b.time, b.data["step"])
