"""When a box is used: unless it cannot be one, whatever the molecules' extent."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from mdgeomfeat.boxes import (
    BoxReason,
    BoxSample,
    judge_box,
    lattice_vectors,
    nearest_image,
    spread,
)
from mdgeomfeat.errors import InputError, MDGeomFeatWarning

DODECAHEDRON = np.array([26.0, 26, 26, 60, 60, 90])


def judge(periodic, *frames, numbers=None):
    """Judge frames, pairs of positions and box."""
    samples = [BoxSample(f"frame {i} of x", *f) for i, f in enumerate(frames)]
    if numbers is None:
        numbers = np.full(len(frames[0][0]), 6)
    return judge_box(periodic, samples, numbers)


def zigzag(n, step=1.27, width=0.85):
    """Return an extended chain of n carbon atoms along x, bonds of 1.53 Å."""
    k = np.arange(n)
    return np.column_stack([step * k, width * (k % 2), np.zeros(n)])


def wrapped(x, box):
    """Put every atom by itself into the box."""
    vectors = lattice_vectors(box)
    places = x @ np.linalg.inv(vectors)
    return (places - np.floor(places)) @ vectors


def brute_force(x, box):
    """Return the shortest distance of two atoms in different images."""
    steps = np.stack(np.meshgrid(*[np.arange(-4, 5)] * 3), axis=-1).reshape(-1, 3)
    steps = steps[steps.any(axis=1)] @ lattice_vectors(box)
    return min(cdist(x, x + step).min() for step in steps)


@pytest.fixture
def silent():
    with warnings.catch_warnings():
        warnings.simplefilter("error", MDGeomFeatWarning)
        yield


def test_what_is_asked_for_is_done(silent):
    x, box = zigzag(5), np.array([30.0, 30, 30, 90, 90, 90])
    assert judge("auto", (x, box)).reason is BoxReason.FOUND
    assert judge(True, (x, box)).reason is BoxReason.ASKED
    assert judge(True, (x, box)).used
    assert judge("auto", (x, None), (x, 0 * box)).reason is BoxReason.ABSENT
    verdict = judge(False, (x, box))
    assert (verdict.used, verdict.reason) == (False, BoxReason.REFUSED)
    with pytest.raises(InputError, match=r"periodic=True \(--pbc\) needs a box"):
        judge(True, (x, box), (x, None))
    with pytest.raises(InputError, match="periodic='yes' is not known"):
        judge("yes", (x, box))


@pytest.mark.parametrize("other", [None, [0] * 6, [1, 1, 1, 90, 90, 90]])
@pytest.mark.parametrize("first", [True, False])
def test_frames_with_and_without_a_box_are_refused(first, other):
    x = zigzag(5)
    good = (x, np.array([30.0, 30, 30, 90, 90, 90]))
    bad = (x, None if other is None else np.array(other, float))
    frames = [good, good, bad] if first else [bad, bad, good]
    said = "Frame 0 of x has a box and frame 2" if first else "Frame 2 .* and frame 0"
    with pytest.raises(InputError, match=rf"{said} of x has none.*-all.*--no-pbc"):
        judge("auto", *frames)


@pytest.mark.parametrize(
    ("box", "reason", "said"),
    [
        ([30, 30, 0, 90, 90, 90], BoxReason.NO_VOLUME, "30 x 30 x 0 .* no volume"),
        ([1, 1, 1, 90, 90, 90], BoxReason.PLACEHOLDER, "1 x 1 x 1 .* placeholder"),
    ],
)
def test_what_is_no_box_is_left_out_and_named(box, reason, said):
    box = np.array(box, float)
    with pytest.warns(MDGeomFeatWarning, match=f"No box is used.*{said}.*--no-pbc"):
        verdict = judge("auto", (zigzag(5), box))
    assert (verdict.used, verdict.reason) == (False, reason)
    np.testing.assert_array_equal(verdict.box, box)


@pytest.mark.parametrize("place", ["whole", "wrapped", "first whole", "last whole"])
@pytest.mark.parametrize(
    ("length", "box"),
    [
        (31, [30, 12, 12, 90, 90, 90]),
        (22, DODECAHEDRON),
        (60, [24, 24, 24, 60, 60, 90]),
        (45, [25, 25, 25, 109.4712, 109.4712, 109.4712]),
    ],
)
def test_the_extent_makes_no_difference(silent, length, box, place):
    # A chain as long as its box, and in a direction in which images pass it.
    box = np.array(box, dtype=float)
    turn = np.linalg.qr(np.random.default_rng(4).normal(size=(3, 3)))[0]
    x = zigzag(length) @ turn
    assert brute_force(x, box) > 2.0
    torn = wrapped(x + np.array([3, 4, 5]), box)
    pick = {"whole": [x], "wrapped": [torn], "first whole": [x, torn, torn]}
    frames = pick.get(place, [torn, torn, x])
    verdict = judge("auto", *[(frame, box) for frame in frames])
    assert verdict.reason is BoxReason.FOUND
    assert verdict.n_frames == len(frames)


@pytest.mark.parametrize("place", [0, 3])
def test_a_box_in_which_atoms_overlap_in_any_frame_is_left_out(place):
    # A globule of 3 nm in the box of 2 nm that OpenMM gives where none is set.
    rng = np.random.default_rng(5)
    x = np.concatenate(
        [zigzag(20) + np.array([0, 4 * i, 4 * j]) for i, j in np.ndindex(6, 6)]
    )
    box = np.array([20.0, 20, 20, 90, 90, 90])
    compact = zigzag(12)
    frames = [(np.resize(compact, x.shape), box)] * 4
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert judge("auto", *frames).used
    frames[place] = (x + rng.normal(0, 0.1, x.shape), box)
    with pytest.warns(MDGeomFeatWarning, match=rf"frame {place} of x \(20 x 20 x 20"):
        verdict = judge("auto", *frames)
    assert verdict.reason is BoxReason.OVERLAP
    assert verdict.distance == pytest.approx(
        min(verdict.distance, brute_force(frames[place][0], box))
    )
    assert judge(True, *frames).used


@pytest.mark.parametrize(
    "box",
    [[11, 12, 13, 90, 90, 90], [14, 14, 14, 60, 60, 90], [30, 70, 90, 50, 55, 40]],
)
def test_the_nearest_image_is_that_of_brute_force(box):
    # One piece: a dense lump, of which every contact in another image counts.
    box = np.array(box, dtype=float)
    rng = np.random.default_rng(6)
    x = np.argwhere(np.ones((8, 8, 8))) * 1.5 + rng.normal(0, 0.05, (512, 3))
    x = x[rng.permutation(512)[:450]] * [1, 1, 1.05] + 7.0
    brute = brute_force(x, box)
    found = nearest_image(x, box, np.full(len(x), 6))
    if brute < 1.0:
        assert found == pytest.approx(brute, rel=1e-9)
    else:
        assert found == np.inf


def test_bonds_across_the_boundary_prove_nothing(silent):
    # Diamond, bonded to its own images; also through a box of another moment.
    cell = np.array([[0, 0, 0], [0, 2, 2], [2, 0, 2], [2, 2, 0]]) * 3.567 / 4
    cell = np.concatenate([cell, cell + 3.567 / 4])
    x = (cell[:, None] + 3.567 * np.argwhere(np.ones((3, 3, 3)))).reshape(-1, 3)
    box = np.array([10.701] * 3 + [90.0] * 3)
    assert judge("auto", (x, box)).used
    chain = wrapped(
        zigzag(30) + np.array([20.0, 3, 3]), np.array([30.0, 30, 30, 90, 90, 90])
    )
    assert judge("auto", (chain, np.array([29.6, 30, 30, 90, 90, 90]))).used


def test_hydrogens_count_only_alone():
    x = np.concatenate([zigzag(5), [[29.7, 0, 0]]])
    box = np.array([30.0, 30, 30, 90, 90, 90])
    assert nearest_image(x, box, np.array([6] * 5 + [1])) == np.inf
    assert nearest_image(x, box, np.full(6, 6)) == pytest.approx(0.3)
    assert nearest_image(x, box, np.full(6, 1)) == pytest.approx(0.3)


@pytest.mark.parametrize("n", [0, 1, 2, 3, 5, 16, 17, 1000])
def test_frames_that_decide(n):
    frames = spread(n)
    assert frames == sorted(set(frames))
    assert len(frames) <= 17
    if n:
        assert frames[0] == 0
        assert frames[-1] == n - 1
    assert len(spread(n, 100)) <= 3
