"""Which residues matter, in words and on the page."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mdgeomfeat.explain import Importance, Quantity, QuantityKind, TokenImportance
from mdgeomfeat.report import Gallery, importance_in_words
from mdgeomfeat.report.figures import draw_importance
from mdgeomfeat.report.sections.importance import importance_section

LABELS = tuple(f"A:ALA{k}" for k in range(1, 7))


def effects(values) -> Importance:
    values = np.asarray(values, float)
    return Importance(
        values=values,
        sd_folds=np.full_like(values, 0.02),
        sd_seeds=np.full_like(values, np.nan),
        twin=np.zeros_like(values),
    )


@pytest.fixture
def importance() -> TokenImportance:
    quantities = (
        Quantity(kind=QuantityKind.SCORE, numbers=(), direction=np.zeros(1)),
        Quantity(kind=QuantityKind.VARIABLE, numbers=(0,), direction=np.ones(1)),
        Quantity(kind=QuantityKind.BOUNDARY, numbers=(0, 2), direction=np.ones(1)),
    )
    values = [0.03, 0.61, 0.22, 0.0, 0.01, 0.02]
    slopes = [0.3, 0.9, 0.8, 0.1, 0.15, 0.2]
    return TokenImportance(
        labels=LABELS,
        quantities=quantities,
        permutation=effects([values] * 3),
        gradient=effects([[np.nan] * 6, slopes, slopes]),
        no_gradient=None,
        n_folds=4,
        n_pairs=700,
        n_frames=60,
    )


def test_what_a_variable_rests_on_is_named_with_its_shares(importance):
    assert importance_in_words(importance) == [
        "Variable 1 rests most on A:ALA2 (0.61) and A:ALA3 (0.22); permutations and "
        "gradients rank the residues alike (Spearman correlation 1.00)."
    ]


@pytest.mark.parametrize(
    ("order", "word"),
    [([0, 1, 2, 3, 4, 5], "alike"), ([2, 0, 1, 5, 3, 4], "partly alike"),
     ([5, 4, 3, 2, 1, 0], "differently")],
)  # fmt: skip
def test_how_far_methods_agree_is_said(importance, order, word):
    ranks = np.argsort(np.argsort(importance.permutation.values[1]))
    slopes = np.tile(np.argsort(order)[ranks].astype(float), (3, 1))
    found = replace(importance, gradient=effects(slopes))
    rho = found.agreement[1]
    assert {"alike": rho > 0.9, "differently": rho < -0.9}.get(word, 0.4 < rho < 0.9)
    assert f"rank the residues {word} (" in importance_in_words(found)[0]


def test_effects_within_their_error_are_not_named(importance):
    wide = replace(importance.permutation, sd_folds=np.full((3, 6), 0.5))
    words = importance_in_words(replace(importance, permutation=wide))[0]
    assert "A:ALA2" in words  # 0.61 is above twice 0.5 / sqrt(4)
    assert "A:ALA3" not in words
    wide = replace(importance.permutation, sd_folds=np.full((3, 6), 0.7))
    words = importance_in_words(replace(importance, permutation=wide))[0]
    assert words.startswith("Variable 1 rests on no residue by itself")


def test_without_gradients_the_reason_is_said(importance, tmp_path):
    found = replace(importance, gradient=None, no_gradient="the wind blew")
    told = importance_in_words(found)
    assert "because the wind blew." in told[-1]
    assert "Spearman" not in told[0]
    page = str(importance_section(found, Gallery(tmp_path)))
    assert "because the wind blew" in page
    assert "Gradients: by how much" not in page


def test_the_structure_is_coloured_from_0_to_100(importance):
    assert importance.overall.max() == 100
    assert importance.overall[3] == 0
    lost = replace(importance, permutation=effects(np.full((3, 6), -0.1)))
    assert (lost.overall == 0).all()  # nothing falls, and nothing is divided by 0


def test_labels_are_left_out_where_there_are_many():
    n = 120
    values = np.random.default_rng(0).random((2, n))
    labels = [f"X{k}" for k in range(n)]
    fig = draw_importance(
        ["a", "b"], labels, values, values, values * np.nan, None, None
    )
    shown = [t.get_text() for t in fig.axes[-1].get_xticklabels()]
    assert shown == labels[::3]
    drawn = fig.axes[1].patches
    assert [bar.get_height() for bar in drawn] == pytest.approx(values[1].tolist())
    assert len(fig.axes) == 2  # no axis for gradients that there are not


def test_the_page_names_the_boundaries(importance, tmp_path):
    page = str(importance_section(importance, Gallery(tmp_path)))
    assert "states 1 and 3" in page
    assert (tmp_path / "importance.png").is_file()
