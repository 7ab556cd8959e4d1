import errno
import json
import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import zarr

from mdgeomfeat import InputError
from mdgeomfeat.store import (
    FeatureStore,
    LazyArray,
    StoreDescription,
    StoreLock,
    StoreWriter,
    TrajectoryLayout,
)

TOKENS = np.array(
    [("A", 1, "", "ALA"), ("A", 1, "B", "GLY")],
    dtype=[("segid", "U4"), ("resid", "i8"), ("icode", "U1"), ("resname", "U5")],
)


IDENTITY = {"model": ("1f", "et-64"), "frames": ("2e", "0 to 16 (17 in all)")}


def create(path, n_frames=(10, 7), *, overwrite=False, **changes):
    options = {
        "layout": [TrajectoryLayout(f"run{k}.xtc", n) for k, n in enumerate(n_frames)],
        "arrays": {"scalars": ((2, 4), "float32")},
        "batch_size": 2,
        "chunk_size": 4,
        "identity": IDENTITY,
        "tokens": TOKENS,
        "structure": {"format": 1},
        "provenance": {"model": "et-64"},
    }
    description = StoreDescription(**(options | changes))
    return StoreWriter.create(path, description, overwrite=overwrite)


def fill(writer, values, n_frames=(10, 7), bad=(), chunks=None):
    """Write all chunks, or those with the given numbers."""
    first = number = 0
    for trajectory, n in enumerate(n_frames):
        for start in range(0, n, 4):
            rows = np.arange(first + start, first + min(start + 4, n))
            number += 1
            if chunks is not None and number - 1 not in chunks:
                continue
            unusable = np.isin(rows, bad)
            scalars = values[rows].copy()
            scalars[unusable] = np.nan
            arrays = {
                "scalars": scalars,
                "times": (rows - rows[0]) * 2.0,
                "frames": np.where(unusable, -1, rows),
            }
            writer.write(trajectory, start, arrays)
        first += n


@pytest.fixture
def values():
    return np.random.default_rng(0).normal(size=(17, 2, 4)).astype(np.float32)


def test_what_is_written_comes_back(tmp_path, values):
    writer = create(tmp_path / "a.zarr")
    fill(writer, values)
    writer.finish()
    store = FeatureStore(tmp_path / "a.zarr")
    np.testing.assert_array_equal(store["scalars"], values)
    np.testing.assert_array_equal(store["frames"], np.arange(17))
    np.testing.assert_array_equal(store.trajectory, [0] * 10 + [1] * 7)
    assert store["times"].dtype == np.float64
    assert store.tokens["icode"].tolist() == ["", "B"]
    assert store.tokens["resid"].dtype == np.int64
    assert store.provenance == {"model": "et-64"}
    assert store.sources == ["run0.xtc", "run1.xtc"]
    assert store.names == ["frames", "scalars", "times"]
    assert "boxes" not in store


def test_the_layout_is_plain_zarr_with_one_chunk_per_batch(tmp_path, values):
    writer = create(tmp_path / "a.zarr")
    fill(writer, values)
    writer.finish()
    root = zarr.open_group(tmp_path / "a.zarr", mode="r")
    assert root.metadata.zarr_format == 3
    assert root["trajectory-0001/scalars"].chunks == (4, 2, 4)
    assert root.attrs["tokens"]["resname"] == ["ALA", "GLY"]
    files = sorted(os.listdir(tmp_path / "a.zarr/trajectory-0000/scalars"))
    assert files == ["c.0.0.0", "c.1.0.0", "c.2.0.0", "zarr.json"]


def test_lazy_arrays_index_like_arrays_in_memory(tmp_path, values):
    writer = create(tmp_path / "a.zarr")
    fill(writer, values)
    writer.finish()
    lazy = FeatureStore(tmp_path / "a.zarr")["scalars"]
    assert isinstance(lazy, LazyArray)
    assert (lazy.shape, lazy.ndim, len(lazy)) == ((17, 2, 4), 3, 17)
    assert lazy.nbytes == values.nbytes
    for key in (
        slice(None),
        slice(8, 12),
        slice(None, None, -3),
        3,
        -1,
        np.int64(11),
        [1, 12, 3],
        np.arange(17) % 2 == 0,
        (slice(2, 14), 0),
        (5, ..., 1),
        (..., 0),
        slice(4, 4),
        (),
        True,
        [[0, 16], [3, 3]],
        ([0, 1], [1, 0]),
        ([9, 5, 9], [1]),
        ([9, 5, 9], slice(None), [3, 2, 0]),
        (np.arange(17) % 5 == 0, 1),
        values > 0,
        values[..., 0] > 0,
    ):
        np.testing.assert_array_equal(lazy[key], values[key])
    for key in (17, [3, 17], [True, False]):
        with pytest.raises(IndexError):
            lazy[key]
    assert [row.shape for row in lazy] == [(2, 4)] * 17


def test_rows_that_could_not_be_used_are_left_out(tmp_path, values):
    writer = create(tmp_path / "a.zarr")
    fill(writer, values, bad=(5, 16))
    writer.finish()
    store = FeatureStore(tmp_path / "a.zarr")
    good = np.delete(np.arange(17), [5, 16])
    np.testing.assert_array_equal(store["frames"], good)
    np.testing.assert_array_equal(store["scalars"][3:9], values[good][3:9])
    np.testing.assert_array_equal(store.trajectory, [0] * 9 + [1] * 6)


def test_an_unfinished_store_is_known_as_such(tmp_path, values):
    path = tmp_path / "a.zarr"
    writer = create(path)
    fill(writer, values, chunks=[1, 3])
    with pytest.raises(ValueError, match="3 chunks have not been written"):
        writer.finish()
    with pytest.raises(InputError, match=r"a\.zarr was left unfinished by an interr"):
        FeatureStore(path)
    store = FeatureStore(path, unfinished=True)
    assert not store.complete
    done = [4, 5, 6, 7, 10, 11, 12, 13]
    np.testing.assert_array_equal(store["frames"], done)
    np.testing.assert_array_equal(store["scalars"], values[done])


def test_a_chunk_is_finished_when_all_its_files_are(tmp_path, values):
    path = tmp_path / "a.zarr"
    fill(create(path), values, bad=range(4), chunks=[0, 1, 2, 4])
    group = path / "trajectory-0000"
    (group / "times/c.1").unlink()
    (group / "frames/c.2").write_bytes(b"")  # as a power cut leaves it
    (group / "scalars/c.2.0.1f2e.partial").write_bytes(b"half a chu")
    writer = StoreWriter.resume(path, IDENTITY)
    assert [flags.tolist() for flags in writer.finished()] == [
        [True, False, False],
        [False, True],
    ]
    assert sorted(os.listdir(group / "scalars")) == ["c.0.0.0", "zarr.json"]
    fill(writer, values, bad=range(4), chunks=[1, 2, 3])
    writer.finish()
    store = FeatureStore(path)
    np.testing.assert_array_equal(store["scalars"], values[4:])
    np.testing.assert_array_equal(store.usable, np.arange(17) > 3)


def test_a_store_of_another_run_is_refused(tmp_path, values):
    path = tmp_path / "a.zarr"
    create(path)
    other = IDENTITY | {"frames": ("3d", "0 to 99 (100 in all)")}
    message = (
        r"a\.zarr was made with frames 0 to 16 \(17 in all\) \(now 0 to 99 \(100 in "
        r"all\)\); name another store, or pass overwrite=True"
    )
    with pytest.raises(InputError, match=message):
        StoreWriter.resume(path, other)
    other = IDENTITY | {"model": ("0a", "et-64"), "window": ("2", "2")}
    message = "was made with model et-64 of another content, window nothing .now 2.;"
    with pytest.raises(InputError, match=message):
        StoreWriter.resume(path, other)


def test_features_are_replaced_only_on_demand(tmp_path, values):
    path = tmp_path / "a.zarr"
    writer = create(path)
    assert StoreWriter.grid(tmp_path / "b.zarr") is None
    assert StoreWriter.grid(path) == (2, 4)
    with pytest.raises(InputError, match="holds features; name another path"):
        create(path)
    create(path, overwrite=True)
    assert os.listdir(tmp_path) == ["a.zarr"]
    with pytest.raises(InputError, match="was replaced while this run was writing it"):
        fill(writer, values)


def test_a_store_is_laid_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "a.zarr"

    def die(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(zarr.Group, "create_array", die)
        with pytest.raises(KeyboardInterrupt):
            create(path)
    assert os.listdir(tmp_path) == []
    # What a run leaves that is killed right there, with a store it was to replace.
    for word in ("new", "old"):
        create(tmp_path / f".a.zarr.mdgeomfeat-{word}")
    create(path)
    assert os.listdir(tmp_path) == ["a.zarr"]


def test_a_copy_that_lacks_files_is_refused(tmp_path, values):
    writer = create(tmp_path / "a.zarr")
    fill(writer, values)
    writer.finish()
    (tmp_path / "a.zarr/trajectory-0001/scalars/c.1.0.0").unlink()
    with pytest.raises(InputError, match="lacks files of 1 chunks in trajectory-0001;"):
        FeatureStore(tmp_path / "a.zarr")
    writer = StoreWriter.resume(tmp_path / "a.zarr", IDENTITY)
    with pytest.raises(InputError, match="left unfinished"):
        FeatureStore(tmp_path / "a.zarr")
    fill(writer, values, chunks=[4])
    writer.finish()
    np.testing.assert_array_equal(FeatureStore(writer.path)["scalars"], values)


@pytest.mark.parametrize(
    "damage",
    [
        lambda store: (store / "zarr.json").write_text("garbage"),
        lambda store: (store / "zarr.json").write_bytes(b"\xff" * 9),
        lambda store: (store / "zarr.json").write_text("[]"),
        lambda store: change_attribute(store, "format_version", None),
        lambda store: change_attribute(store, "identity", 5),
        lambda store: change_attribute(store, "tokens", 5),
        lambda store: (store / "trajectory-0001/zarr.json").write_text("garbage"),
        lambda store: (store / "trajectory-0000/frames/zarr.json").unlink(),
        lambda store: shutil.rmtree(store / "trajectory-0001"),
        lambda store: shutil.rmtree(store / "trajectory-0000/frames"),
        lambda store: (store / "trajectory-0000/frames/c.0").write_bytes(b"garbage"),
    ],
)
def test_a_damaged_store_is_said(tmp_path, values, damage):
    writer = create(tmp_path / "a.zarr")
    fill(writer, values)
    writer.finish()
    damage(writer.path)
    with pytest.raises(InputError, match=r"a\.zarr is (damaged|not a feature store)"):
        FeatureStore(writer.path)


def test_a_damaged_chunk_is_said(tmp_path, values):
    writer = create(tmp_path / "a.zarr")
    fill(writer, values)
    writer.finish()
    (writer.path / "trajectory-0000/scalars/c.0.0.0").write_bytes(b"garbage")
    with pytest.raises(InputError, match=r"scalars/c\.0\.0\.0 is damaged; delete this"):
        FeatureStore(writer.path)["scalars"][:2]


def test_a_single_wrong_bit_is_seen(tmp_path, values):
    writer = create(tmp_path / "a.zarr")
    fill(writer, values)
    writer.finish()
    file = writer.path / "trajectory-0001/scalars/c.1.0.0"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    scalars = FeatureStore(writer.path)["scalars"]
    np.testing.assert_array_equal(scalars[:14], values[:14])
    with pytest.raises(InputError, match=r"trajectory-0001/scalars/c\.1\.0\.0 is dam"):
        scalars[10:]


def test_rows_are_those_of_the_store_that_was_opened(tmp_path, values, monkeypatch):
    monkeypatch.chdir(tmp_path)
    writer = create(Path("a.zarr"))
    fill(writer, values)
    writer.finish()
    scalars = FeatureStore("a.zarr")["scalars"]
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    np.testing.assert_array_equal(scalars, values)
    file = tmp_path / "a.zarr/trajectory-0000/scalars/c.1.0.0"
    file.rename(tmp_path / "kept")
    np.testing.assert_array_equal(scalars[:4], values[:4])
    with pytest.raises(InputError, match="run the command that made the store again"):
        scalars[3:5]
    (tmp_path / "kept").rename(file)
    fill(create(tmp_path / "a.zarr", overwrite=True), 2 * values)
    with pytest.raises(InputError, match="moved, removed or replaced after it was op"):
        scalars[0]
    shutil.rmtree(tmp_path / "a.zarr")
    with pytest.raises(InputError, match="moved, removed or replaced"):
        scalars[0]


def test_what_a_killed_replacement_left_is_removed(tmp_path, values):
    writer = create(tmp_path / "a.zarr")
    fill(writer, values)
    (tmp_path / ".a.zarr.mdgeomfeat-old").mkdir()
    (tmp_path / ".a.zarr.mdgeomfeat-old" / "zarr.json").touch()
    StoreWriter.resume(writer.path, IDENTITY)
    assert os.listdir(tmp_path) == ["a.zarr"]


def change_attribute(store, name, value):
    text = json.loads((store / "zarr.json").read_text())
    text["attributes"][name] = value
    (store / "zarr.json").write_text(json.dumps(text))


def test_a_link_to_a_store_is_the_store(tmp_path, values):
    (tmp_path / "b.zarr").symlink_to(tmp_path / "far" / "a.zarr")
    with StoreLock(tmp_path / "b.zarr"):
        with pytest.raises(InputError, match="is being written"):
            StoreLock(tmp_path / "far" / "a.zarr").__enter__()
        fill(create(tmp_path / "b.zarr"), values)
    create(tmp_path / "b.zarr", overwrite=True)
    assert (tmp_path / "b.zarr").is_symlink()
    assert os.listdir(tmp_path / "far") == ["a.zarr"]


def test_copies_of_a_writer_share_the_work(tmp_path, values):
    writer = create(tmp_path / "a.zarr")
    copy = pickle.loads(pickle.dumps(writer))
    fill(copy, values, chunks=[0, 2, 4])
    fill(writer, values, chunks=[1, 3])
    writer.finish()
    np.testing.assert_array_equal(FeatureStore(writer.path)["scalars"], values)


def test_smaller_batches_are_put_down(tmp_path, values):
    writer = create(tmp_path / "a.zarr", batch_size=4)
    writer.note_batch(4)
    assert FeatureStore(writer.path, unfinished=True).smallest_batch == 4
    for size in (2, 1, 4):
        writer.note_batch(size)
    assert FeatureStore(writer.path, unfinished=True).smallest_batch == 1


def test_half_precision_is_refused_where_it_overflows(tmp_path, values):
    arrays = {"scalars": ((2, 4), "float16")}
    writer = create(tmp_path / "a.zarr", arrays=arrays)
    with pytest.raises(InputError, match=r"as large as 7e\+04 do not fit into float16"):
        fill(writer, np.where(values > 1, np.float32(7e4), values))
    fill(writer, values, bad=[3])
    writer.finish()
    got = np.asarray(FeatureStore(writer.path)["scalars"])
    assert got.dtype == np.float16
    np.testing.assert_allclose(got, np.delete(values, 3, axis=0), rtol=2**-11)


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (errno.ENOSPC, "the disk is full or a quota is used up .* run the same again"),
        (errno.EDQUOT, "the disk is full or a quota is used up"),
        (errno.EROFS, "cannot be written .*name another place"),
    ],
)
def test_a_full_disk_leaves_a_store_that_can_be_resumed(
    tmp_path, values, monkeypatch, number, message
):
    path = tmp_path / "a.zarr"
    writer = create(path)
    opened, budget = Path.open, [7]

    def open_until_full(self, mode="r", *more, **options):
        if self.name.endswith(".partial"):
            budget[0] -= 1
            if not budget[0]:
                raise OSError(number, os.strerror(number))
        return opened(self, mode, *more, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", open_until_full)
        with pytest.raises(InputError, match=message):
            fill(writer, values)
    writer = StoreWriter.resume(path, IDENTITY)
    assert [int(flags.sum()) for flags in writer.finished()] == [2, 0]
    fill(writer, values, chunks=[2, 3, 4])
    writer.finish()
    np.testing.assert_array_equal(FeatureStore(path)["scalars"], values)


@pytest.mark.parametrize("overwrite", [False, True])
def test_other_peoples_folders_are_never_removed(tmp_path, overwrite):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(InputError, match="is not a feature store; name another path"):
        create(tmp_path, overwrite=overwrite)
    zarr.create_group(tmp_path / "group.zarr")
    with pytest.raises(InputError, match="is not a feature store; name another path"):
        create(tmp_path / "group.zarr", overwrite=overwrite)
    assert (tmp_path / "thesis.tex").exists()
    assert (tmp_path / "group.zarr").exists()


def test_what_is_no_store_is_said(tmp_path, values):
    with pytest.raises(InputError, match="is not a feature store: no zarr group"):
        FeatureStore(tmp_path / "none.zarr")
    zarr.create_group(tmp_path / "group.zarr")
    with pytest.raises(InputError, match="is a zarr group, but not one with features"):
        FeatureStore(tmp_path / "group.zarr")
    writer = create(tmp_path / "a.zarr")
    fill(writer, values)
    writer.finish()
    root = zarr.open_group(tmp_path / "a.zarr", mode="r+")
    for version, message in ((4, "4, newer than 3"), (1, "1, which this version no")):
        root.attrs["format_version"] = version
        with pytest.raises(InputError, match=f"has the format {message}"):
            FeatureStore(tmp_path / "a.zarr")
    create(tmp_path / "a.zarr", overwrite=True)


def test_a_defective_writer_is_stopped(tmp_path, values):
    writer = create(tmp_path / "a.zarr")
    rows = {"times": np.zeros(4), "frames": np.arange(4)}
    with pytest.raises(ValueError, match=r"arrays \['frames', 'times'\] were given"):
        writer.write(0, 0, rows)
    for start in (1, 8):
        with pytest.raises(
            ValueError, match=f"rows {start} to {start + 4} are not one"
        ):
            writer.write(0, start, rows | {"scalars": values[:4]})


def test_many_trajectories_keep_their_order(tmp_path):
    n_frames = [1] * 6 + [0] + [1] * 6
    writer = create(tmp_path / "a.zarr", n_frames)
    fill(writer, np.arange(12 * 8, dtype=np.float32).reshape(12, 2, 4), n_frames)
    writer.finish()
    store = FeatureStore(tmp_path / "a.zarr")
    assert store.sources == [f"run{k}.xtc" for k in range(13)]
    assert store.trajectory.tolist() == [0, 1, 2, 3, 4, 5, 7, 8, 9, 10, 11, 12]
    np.testing.assert_array_equal(store["frames"], np.arange(12))
