"""Retrieval of families by nearest neighbours."""

from __future__ import annotations

import numpy as np
import pytest

from mdgeomfeat import InputError
from mdgeomfeat.folds import nearest_family, pooled_tokens
from mdgeomfeat.folds.graphs import AMINO_ACIDS
from mdgeomfeat.folds.retrieval import composition


def test_groups_that_lie_apart_are_found():
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(4, 6)) * 10
    families = [family for family in "abcd" for _ in range(5)]
    features = np.repeat(centres, 5, axis=0) + rng.normal(size=(20, 6))
    found = nearest_family(features, families)
    assert found.accuracy == 1.0
    assert found.queries.tolist() == list(range(20))


def test_shuffled_families_are_not_found():
    rng = np.random.default_rng(1)
    features = rng.normal(size=(300, 8))
    families = rng.permutation(np.repeat(np.arange(30), 10)).astype(str)
    assert nearest_family(features, families).accuracy < 0.1


def test_it_is_the_nearest_of_standardised_features_by_brute_force():
    rng = np.random.default_rng(2)
    features = rng.normal(size=(25, 4)) * [1, 10, 100, 1e-3] + 7
    families = list("aabbbccddeefghiijjkklmmno")
    entries = [str(i // 2) for i in range(25)]
    found = nearest_family(features, families, entries)
    z = (features - features.mean(0)) / features.std(0)
    for query, nearest, correct in zip(*found, strict=True):
        others = [i for i in range(25) if entries[i] != entries[query]]
        best = min(others, key=lambda i: np.linalg.norm(z[i] - z[query]))
        assert nearest == best
        assert correct == (families[best] == families[query])
    asked = [
        i
        for i in range(25)
        if any(
            families[j] == families[i] and entries[j] != entries[i] for j in range(25)
        )
    ]
    assert found.queries.tolist() == asked


def test_scales_and_constant_columns_do_not_matter():
    rng = np.random.default_rng(3)
    features = rng.normal(size=(20, 5))
    families = list("aabbccddeeffgghhiijj")
    one = nearest_family(features, families)
    other = np.concatenate([features * [1, 50, 1e-4, 3, 9], np.full((20, 1), 4)], 1)
    assert nearest_family(other, families).nearest.tolist() == one.nearest.tolist()


def test_neighbours_of_the_same_entry_do_not_count():
    features = [[0.0], [0.1], [1.0], [5.0], [5.1]]
    families = ["a", "a", "a", "b", "b"]
    found = nearest_family(features, families, ["1", "1", "2", "3", "3"])
    assert found.queries.tolist() == [0, 1, 2]
    assert found.nearest.tolist() == [2, 2, 1]


def test_pooled_tokens_and_composition():
    scalars = np.array([[1.0, 2.0], [3.0, 2.0]])
    assert pooled_tokens(scalars).tolist() == [2.0, 2.0, 1.0, 0.0]
    shares = composition(["ALA", "MSE", "MET", "XYZ"])
    expected = dict.fromkeys(AMINO_ACIDS, 0.0) | {"ALA": 0.25, "MET": 0.5}
    assert shares.tolist() == [*expected.values(), 0.25]


@pytest.mark.parametrize(
    ("features", "families", "message"),
    [
        ([[1.0], [2.0]], ["a"], "there are 1 families"),
        ([1.0, 2.0], ["a", "a"], "have the shape"),
        ([[1.0], [np.nan]], ["a", "a"], "features of protein 1 are not finite"),
        ([[1.0], [1.0]], ["a", "a"], "No feature varies"),
        ([[1.0], [2.0]], ["a", "b"], "None of 2 families has two members"),
    ],
)
def test_what_cannot_be_asked_is_refused(features, families, message):
    with pytest.raises(InputError, match=message):
        nearest_family(features, families)
