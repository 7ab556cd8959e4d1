"""Maps: what they must keep, and what they say about bad input."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from mdgeomfeat.errors import InputError
from mdgeomfeat.projection import fit_map, knn_r2, neighbour_purity


def clusters(n=150, width=80, seed=0):
    """Three clusters of frames that follow each other in turn."""
    rng = np.random.default_rng(seed)
    label = np.arange(3 * n) % 3
    centres = 10 * rng.normal(size=(3, width))
    return centres[label] + rng.normal(size=(3 * n, width)), label


@pytest.mark.parametrize("method", ["umap", "pca"])
def test_separated_clusters_stay_separated_and_the_map_repeats(method):
    features, label = clusters()
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        result = fit_map(features, method, seed=3)
    assert result.embedding.shape == (450, 2)
    assert result.embedding.dtype == np.float32
    for basin in range(3):
        purity, base = neighbour_purity(result.embedding, label == basin)
        assert purity > 0.999
        assert base == pytest.approx(1 / 3)
    again = fit_map(features, method, seed=3)
    np.testing.assert_array_equal(again.embedding, result.embedding)


def test_umap_unrolls_what_pca_cannot():
    rng = np.random.default_rng(0)
    t = rng.uniform(0, 4 * np.pi, 500)
    spiral = np.stack([t * np.cos(t), t * np.sin(t)], axis=1) @ rng.normal(size=(2, 5))
    curved, flat = fit_map(spiral, n_neighbors=10), fit_map(spiral, "pca")
    kept = [knn_r2(m.embedding, t, periodic=False)[0] for m in (curved, flat)]
    assert kept[0] > 0.95
    assert flat.embedding.shape == (500, 2)


def test_subsample_is_even_in_time_and_the_rest_can_be_placed():
    features, label = clusters()
    result = fit_map(features, max_points=100)
    assert len(result.frames) == len(result.embedding) == 100
    assert result.frames[0] == 0
    assert result.frames[-1] == 449
    assert set(np.diff(result.frames)) <= {4, 5}
    assert "100 of 450 frames, evenly in time" in result.note
    assert "PCA to 50" in result.note
    everything = fit_map(features, max_points=100, transform_rest=True)
    np.testing.assert_array_equal(everything.frames, np.arange(450))
    np.testing.assert_array_equal(everything.embedding[result.frames], result.embedding)
    assert neighbour_purity(everything.embedding, label == 1)[0] > 0.99


def test_frames_that_were_not_sampled_are_placed_where_the_sample_is():
    features, _ = clusters(20, 6)
    # every frame twice, one after the other, on scales and offsets of all sizes
    twice = np.repeat(features * np.logspace(-2, 2, 6) + 50.0, 2, axis=0)
    placed = fit_map(twice, "pca", max_points=60, transform_rest=True).embedding
    np.testing.assert_allclose(placed[::2], placed[1::2], atol=1e-4)
    assert np.abs(placed[::2] - placed[:1]).max() > 1


def test_scale_and_offset_of_columns_do_not_matter():
    features, _ = clusters(40, 6)
    scaled = features * np.logspace(-3, 3, 6) + 100.0
    scaled = np.concatenate([scaled, np.full((120, 1), 7.3)], axis=1)
    one, two = fit_map(features, "pca"), fit_map(scaled, "pca")
    distance = [
        np.linalg.norm(e[:, None] - e[None], axis=-1)
        for e in (one.embedding, two.embedding)
    ]
    np.testing.assert_allclose(distance[0], distance[1], atol=1e-2)


def test_one_varying_column_makes_a_line():
    features = np.stack([np.arange(30.0), np.ones(30)], axis=1)
    embedding = fit_map(features, "pca").embedding
    assert not embedding[:, 1].any()
    assert fit_map(features).embedding.shape == (30, 2)


@pytest.mark.parametrize(
    ("features", "method", "match"),
    [
        (np.zeros((50, 3)), "tsne", "'tsne' is unknown; choose one of umap, pca"),
        (np.zeros((50, 3)), "umap", "No column of the features varies"),
        (np.zeros((50, 3, 2)), "umap", r"got \(50, 3, 2\)"),
        (np.zeros((19, 3)), "umap", "19 frames are too few for a umap map"),
        (np.array([[0.0, 1], [1, np.nan]]), "pca", "Column 1 .* not finite"),
    ],
)
def test_bad_maps_are_named(features, method, match):
    with pytest.raises(InputError, match=match):
        fit_map(features, method)


def test_knn_r2_of_identity_and_noise():
    rng = np.random.default_rng(0)
    angle = rng.uniform(-np.pi, np.pi, size=(2000, 2))
    circle = np.stack([np.cos(angle[:, 0]), np.sin(angle[:, 0])], axis=1)
    known, unknown = knn_r2(circle, angle)
    assert known > 0.999
    assert -0.2 < unknown < 0.05
    assert knn_r2(circle, circle, periodic=False).min() > 0.999
    assert np.isnan(knn_r2(circle, np.ones((2000, 1)))).all()


def test_knn_r2_does_not_break_at_the_end_of_the_angle_range():
    angle = np.linspace(-np.pi, np.pi, 400, endpoint=False)
    shifted = np.angle(np.exp(1j * (angle + 2.0)))
    circle = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    scores = knn_r2(circle, np.stack([angle, shifted], axis=1))
    assert scores.min() > 0.99
    assert scores[0] == pytest.approx(scores[1], abs=1e-9)


def test_knn_r2_equals_a_plain_loop_and_never_uses_the_frame_itself():
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(60, 2)), rng.normal(size=60)
    residual = 0.0
    for i in range(60):
        order = np.argsort(np.linalg.norm(x - x[i], axis=1))
        residual += (y[i] - y[order[order != i][:5]].mean()) ** 2
    expected = 1 - residual / np.square(y - y.mean()).sum()
    assert knn_r2(x, y, k=5, periodic=False)[0] == pytest.approx(expected)


def test_groups_leave_out_neighbours_in_time():
    # Each trajectory wanders in features of its own: its frames know each other, but
    # other trajectories know nothing of them.
    rng = np.random.default_rng(2)
    group = np.repeat(np.arange(20), 50)
    y = np.repeat(rng.normal(size=20), 50) + 0.01 * rng.normal(size=1000)
    x = np.repeat(rng.normal(size=(20, 2)), 50, axis=0)
    x = x + 0.01 * rng.normal(size=x.shape)
    assert knn_r2(x, y, periodic=False)[0] > 0.99
    assert knn_r2(x, y, periodic=False, groups=group)[0] < 0.3


def test_bad_neighbours_are_named():
    x = np.zeros((10, 2))
    with pytest.raises(InputError, match="k=10 neighbours from other frames"):
        knn_r2(x, np.zeros(10))
    with pytest.raises(InputError, match="k=3 neighbours from other groups"):
        knn_r2(x, np.zeros(10), k=3, groups=np.zeros(10, dtype=int))
    with pytest.raises(InputError, match="there are 9 targets"):
        knn_r2(x, np.zeros(9), k=1)
    assert np.isnan(neighbour_purity(x, np.zeros(10, dtype=bool), k=3)).all()
