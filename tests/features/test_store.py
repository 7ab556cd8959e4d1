import numpy as np
import pytest
import zarr

from mdgeomfeat import InputError
from mdgeomfeat.store import FeatureStore, LazyArray, TrajectoryLayout

TOKENS = np.array(
    [("A", 1, "", "ALA"), ("A", 1, "B", "GLY")],
    dtype=[("segid", "U4"), ("resid", "i8"), ("icode", "U1"), ("resname", "U5")],
)


def create(path, n_frames=(10, 7), **changes):
    options = {
        "layout": [TrajectoryLayout(f"run{k}.xtc", n) for k, n in enumerate(n_frames)],
        "arrays": {"scalars": ((2, 4), "float32")},
        "batch_size": 4,
        "tokens": TOKENS,
        "structure": {"format": 1},
        "provenance": {"model": "et-64"},
    }
    return FeatureStore.create(path, **(options | changes))


def fill(writer, values, n_frames=(10, 7), bad=()):
    row = 0
    for number, n in enumerate(n_frames):
        for start in range(0, n, 4):
            rows = slice(row + start, row + min(start + 4, n))
            count = rows.stop - rows.start
            writer.write(
                number,
                start,
                {
                    "scalars": values[rows],
                    "times": np.arange(count) * 2.0,
                    "frames": np.arange(rows.start, rows.stop),
                },
                bad=[b - rows.start for b in bad if rows.start <= b < rows.stop],
            )
        row += n


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
    chunks = list((tmp_path / "a.zarr/trajectory-0000/scalars/c").rglob("*"))
    assert len([c for c in chunks if c.is_file()]) == 3


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
    ):
        np.testing.assert_array_equal(lazy[key], values[key])
    with pytest.raises(IndexError):
        lazy[17]
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


def test_an_unfinished_store_is_known_as_such_and_may_be_replaced(tmp_path, values):
    path = tmp_path / "a.zarr"
    writer = create(path)
    writer.write(
        0, 0, {"scalars": values[:4], "times": np.zeros(4), "frames": np.arange(4)}
    )
    with pytest.raises(ValueError, match="13 frames have not been written"):
        writer.finish()
    with pytest.raises(InputError, match=r"a\.zarr was left unfinished by an interr"):
        FeatureStore(path)
    assert not FeatureStore(path, unfinished=True).complete
    writer = create(path)
    fill(writer, values)
    writer.finish()
    assert FeatureStore(path).complete


def test_finished_features_are_replaced_only_on_demand(tmp_path, values):
    path = tmp_path / "a.zarr"
    writer = create(path)
    fill(writer, values)
    writer.finish()
    with pytest.raises(InputError, match="holds finished features; name another path"):
        create(path)
    create(path, overwrite=True)
    assert not FeatureStore(path, unfinished=True).complete


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
    root.attrs["format_version"] = 2
    with pytest.raises(InputError, match="has the format 2, newer than 1"):
        FeatureStore(tmp_path / "a.zarr")


def test_a_defective_writer_is_stopped(tmp_path, values):
    writer = create(tmp_path / "a.zarr")
    rows = {"times": np.zeros(4), "frames": np.arange(4)}
    with pytest.raises(ValueError, match=r"arrays \['frames', 'times'\] were given"):
        writer.write(0, 0, rows)
    with pytest.raises(ValueError, match="rows 8 to 12 do not fit trajectory 0 of 10"):
        writer.write(0, 8, rows | {"scalars": values[:4]})


def test_many_trajectories_keep_their_order(tmp_path):
    n_frames = [1] * 12
    writer = create(tmp_path / "a.zarr", n_frames)
    fill(writer, np.arange(12 * 8, dtype=np.float32).reshape(12, 2, 4), n_frames)
    writer.finish()
    store = FeatureStore(tmp_path / "a.zarr")
    assert store.sources == [f"run{k}.xtc" for k in range(12)]
    np.testing.assert_array_equal(store["frames"], np.arange(12))
