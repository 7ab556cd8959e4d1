"""Arrays whose rows are read, or computed, when they are asked for."""

from itertools import pairwise

import numpy as np
import pytest

from mdgeomfeat import GeomGNNFeaturizer
from mdgeomfeat.featurizer import FeatureResults
from mdgeomfeat.store import (
    LazyArray,
    MappedArray,
    RowArray,
    cut_rows,
    flat_rows,
    join_rows,
    map_rows,
)

RNG = np.random.default_rng(0)
VALUES = RNG.normal(size=(17, 2, 4)).astype(np.float32)
KEYS = [
    slice(None),
    slice(8, 12),
    slice(None, None, -3),
    3,
    -1,
    [1, 12, 3],
    np.arange(17) % 2 == 0,
    (slice(2, 14), 0),
    (..., 0),
    slice(4, 4),
]


def lazy(values=VALUES, cuts=(0, 10, 17)):
    parts = [values[a:b] for a, b in pairwise(cuts)]
    return LazyArray(parts, [None] * len(parts))


class Spy(LazyArray):
    """Counts the rows that are read."""

    read = 0

    def _take(self, index):
        type(self).read += len(index)
        return super()._take(index)


@pytest.mark.parametrize("key", KEYS, ids=str)
def test_mapped_rows_index_like_an_array(key):
    mapped = MappedArray(lambda x: 2 * x[:, 0], [lazy()], (4,), np.float32)
    want = 2 * VALUES[:, 0]
    np.testing.assert_array_equal(mapped[key], want[key])
    assert mapped.shape == want.shape


@pytest.mark.parametrize(
    ("start", "stop"), [(0, 17), (3, 8), (8, 12), (10, 17), (5, 5), (-12, 9), (3, -2)]
)
def test_a_part_is_lazy_and_the_same(start, stop):
    for array, want in (
        (lazy(), VALUES),
        (MappedArray(np.negative, [lazy()], (2, 4), np.float32), -VALUES),
    ):
        part = cut_rows(array, start, stop)
        assert isinstance(part, RowArray)
        np.testing.assert_array_equal(part, want[start:stop])
        inner = cut_rows(part, 1, 3)
        np.testing.assert_array_equal(inner, want[start:stop][1:3])


def test_only_the_rows_that_are_asked_for_are_read():
    Spy.read = 0
    spied = Spy([VALUES], [None])
    part = flat_rows(map_rows(np.negative, [spied], (2, 4), np.float32)).part(2, 12)
    assert Spy.read == 0
    assert part.shape == (10, 8)


def test_rows_without_gaps_are_read_as_a_slice():
    class Sliced:
        shape, dtype = VALUES.shape, VALUES.dtype

        def __getitem__(self, key):
            assert isinstance(key, slice)
            return VALUES[key]

    array = LazyArray([Sliced()], [None])
    np.testing.assert_array_equal(array[4:9], VALUES[4:9])
    np.testing.assert_array_equal(array[[4, 5, 6]], VALUES[4:7])


def test_in_memory_nothing_is_lazy():
    assert isinstance(map_rows(np.negative, [VALUES], (2, 4), np.float32), np.ndarray)
    assert isinstance(join_rows([VALUES, VALUES]), np.ndarray)
    assert flat_rows(VALUES).shape == (17, 8)
    assert np.shares_memory(cut_rows(VALUES, 2, 5), VALUES)


def test_joined_rows_follow_each_other():
    joined = join_rows([lazy(), VALUES[:3]])
    assert isinstance(joined, RowArray)
    np.testing.assert_array_equal(joined, np.concatenate([VALUES, VALUES[:3]]))


@pytest.mark.skipif(
    np.lib.NumpyVersion(np.__version__) < "2.0.0", reason="numpy 1 cannot ask for it"
)
def test_a_copy_cannot_be_avoided():
    with pytest.raises(ValueError, match="without a copy"):
        np.asarray(lazy(), copy=False)


def test_stored_results_are_the_same_lazily(gly2, options, tmp_path):
    held = GeomGNNFeaturizer(gly2, **options).run(stop=40).results
    GeomGNNFeaturizer(gly2, **options, store=tmp_path / "f.zarr").run(stop=40)
    stored = FeatureResults.load(tmp_path / "f.zarr")
    for name in ("features", "token_features", "channels"):
        assert isinstance(getattr(stored, name), RowArray)
        np.testing.assert_array_equal(getattr(stored, name), getattr(held, name))
        assert isinstance(getattr(held, name), np.ndarray)
    for lists in ("features_list", "token_features_list"):
        for got, want in zip(
            getattr(stored, lists)(), getattr(held, lists)(), strict=True
        ):
            assert isinstance(got, np.ndarray)
            np.testing.assert_array_equal(got, want)
    for got, want in zip(
        stored.split(stored.features), held.features_list(), strict=True
    ):
        assert isinstance(got, RowArray)
        np.testing.assert_array_equal(got, want)
    assert held.channels.shape == (*held.scalars.shape[:2], 4, held.scalars.shape[2])
    np.testing.assert_array_equal(held.channels[:, :, 0], held.scalars)
    np.testing.assert_array_equal(held.channels[:, :, 1:], held.vectors)


def test_arithmetic_reads_the_rows():
    array = lazy()
    np.testing.assert_array_equal(array - array, np.zeros_like(VALUES))
    np.testing.assert_array_equal(2 * array, 2 * VALUES)
    np.testing.assert_array_equal(VALUES + array, 2 * VALUES)
    np.testing.assert_array_equal(array > 0, VALUES > 0)
    np.testing.assert_array_equal(np.abs(array), np.abs(VALUES))
    np.testing.assert_array_equal(np.mean(array, axis=0), VALUES.mean(axis=0))
