"""Numbers and limits in the sentences of a study."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import test_wording
from test_pages import evidence, score, study

from mdgeomfeat.kinetics import LagReason, reasons
from mdgeomfeat.report import choices_in_words, doubts_in_words, findings_in_words


def found(*scores, **changes):
    return " ".join(findings_in_words(study(list(scores), **changes)))


FIRST = score("GNN features", 1.9, primary=True)


def test_the_score_stands_beside_its_convention_and_its_ceiling():
    text = found(FIRST, score("dihedrals", 1.8, minus=-0.1))
    assert "score 1.9 of at most about 2.05" in text.replace("1.90", "1.9")
    assert "1 is nothing)" in text
    nothing = found(FIRST, known=evidence(above=False))
    assert "of at most" not in nothing
    assert "1 is nothing, and chance gives" in nothing


def test_the_headline_tells_stationary_populations():
    text = found(FIRST)
    assert "60" in text
    assert "of the stationary population" in text


@pytest.mark.parametrize(("minus", "credit"), [(-0.02, False), (-0.06, True)])
def test_pre_training_is_credited_from_two_standard_errors_on(minus, credit):
    # four parts with a standard deviation of 0.04: an error of 0.02
    twin = score("random weights", 1.9 + minus, minus=minus, sd=0.04)
    assert ("give pre-training no credit" in found(FIRST, twin)) is not credit


def test_the_cap_of_the_lag_is_told():
    text = choices_in_words(test_wording.study(lag=LagReason.LARGEST))[0]
    assert "1/20 of the shortest trajectory" in text


@pytest.mark.parametrize(("pca", "width", "told"), [(1000, 2400, 1), (40, 40, 0)])
def test_a_pca_is_told_where_it_leaves_columns_out(pca, width, told):
    asked = test_wording.study()
    asked.scores = [SimpleNamespace(pca=pca, width=width, input="distances")]
    sentences = [s for s in choices_in_words(asked) if "principal components" in s]
    assert len(sentences) == told


@pytest.mark.parametrize(
    ("unusable", "said"), [(True, "too few to trust"), (False, "expect errors of 30")]
)
def test_few_data_are_told_by_degree(unusable, said):
    doubt = reasons.FewData(12.0, 50.0, 70, unusable)
    (text,) = doubts_in_words(test_wording.study([doubt]))
    assert said in text


def test_a_model_that_could_not_be_tested_is_not_certain():
    untested = study([])
    untested.states.ck = None
    text = findings_in_words(untested)[0]
    assert "This is not certain: the trajectories are too short to test" in text
