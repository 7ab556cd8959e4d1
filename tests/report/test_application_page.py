"""What a page of an applied model says, of numbers that are known."""

from __future__ import annotations

import numpy as np
import pytest

from mdgeomfeat.report import (
    Application,
    Gallery,
    Record,
    application_in_words,
    application_page,
    conclusion_in_words,
)
from mdgeomfeat.variables import (
    ChangedToken,
    Novelty,
    TokenAlignment,
    record_training,
)

LABELS = ("ALA1", "TRP2", "GLY3")


def application(share=0.0, *, alignment=None, known=True, dim=2):
    """Return 100 new frames, of which a share lies beyond the training data."""
    rng = np.random.default_rng(0)
    features = [rng.normal(size=(400, 3, 2))]
    values = [features[0].reshape(400, -1)[:, :dim]]
    labels = [np.repeat([0, 1], [300, 100])]
    record = record_training(features, values, labels, 2, box=False)
    states = [np.repeat([0, 1], [20, 40]), np.repeat([1, -1], [30, 10])]
    far = np.arange(100) < round(100 * share)
    distances = np.split(np.where(far, 2.0, 0.5), [60])
    return Application(
        method="tica",
        cvs=[rng.normal(size=(60, dim)), rng.normal(size=(40, dim))],
        states=states,
        trajectories=(0, 1),
        n_states=2,
        training=record if known else None,
        novelty=Novelty(distances=distances, shifts=np.arange(3.0)) if known else None,
        alignment=alignment,
        labels=LABELS,
    )


def test_shares_are_of_frames_with_a_state():
    one = application()
    assert one.counts.tolist() == [20, 70]
    np.testing.assert_allclose(one.shares, [2 / 9, 7 / 9])
    np.testing.assert_allclose(one.shares_in_training, [0.75, 0.25])
    assert one.visited.tolist() == [1, 2]
    assert one.n_frames == 100
    first, second = application_in_words(one)
    assert first == (
        "22 % of the frames are in state 1 (75 % in training) and 78 % of the frames "
        "are in state 2 (25 % in training)."
    )
    assert second.startswith("0.0 % of the frames lie farther")


@pytest.mark.parametrize(
    ("share", "said"),
    [
        (0.01, "may be read as there"),
        (0.2, "beyond a distance of 1 are not to be believed"),
        (0.9, "Most frames are unlike any"),
    ],
)
def test_conclusions_follow_the_distance(share, said):
    (sentence,) = conclusion_in_words(application(share))
    assert said in sentence


def test_conclusions_of_other_tokens():
    change = ChangedToken(
        token=1, before="TRP2", after="ALA2", elements_before="C11", elements_after="C3"
    )
    alignment = TokenAlignment(
        counterpart=np.array([0, 1, -1]),
        labels=LABELS,
        changed=(change,),
        missing=("GLY3",),
        extra=("LIG9",),
    )
    one = application(0.01, alignment=alignment)
    sentences = conclusion_in_words(one)
    assert "may be read as there" not in " ".join(sentences)
    assert "need a check" in sentences[0]
    said = " ".join(application_in_words(one))
    assert "1 of the model's 3 tokens have the same atoms" in said
    assert "TRP2 (C11) is ALA2 (C3)." in said
    assert "average in training: GLY3." in said
    assert "left out: LIG9." in said
    told = one.to_dict()["alignment"]
    assert told["counterpart"] == [1, 2, None]
    assert told["changed"][0]["token"] == 2


@pytest.mark.parametrize("dim", [1, 2])
@pytest.mark.parametrize("known", [True, False])
def test_the_page_is_whole(dim, known, tmp_path):
    record = Record(title="<b>", subtitle="100 frames", analysed=(("Files", "a.xtc"),))
    one = application(0.2, dim=dim, known=known)
    page = application_page(one, record, Gallery(tmp_path), 10.0)
    assert "<b>" not in page.split("<h1>")[1].split("</h1>")[0]
    assert "10 frames lie where training has no state" in page
    assert (tmp_path / "map.png").is_file()
    assert (tmp_path / "distance.png").is_file() is known
    assert ("learn it again" in page) is not known
