"""Two inputs behind one linear map, where each sees half of what is slow."""

from __future__ import annotations

import numpy as np
import pytest
from chains import embed, markov_chain, two_state

from mdgeomfeat.kinetics import StudySettings, TrainingOptions, run_study


@pytest.fixture(scope="module")
def halves():
    """Two independent slow switches, one in each input, and an input of noise."""
    inputs = {}
    for k, (name, rates) in enumerate(
        {"one": (0.01, 0.02), "two": (0.02, 0.02)}.items()
    ):
        matrix, _ = two_state(*rates)
        runs = [markov_chain(matrix, 800, 10 * k + i) for i in range(4)]
        inputs[name] = embed(runs, 5, 0.3, seed=k)
    rng = np.random.default_rng(0)
    inputs["noise"] = [rng.normal(size=(800, 4)).astype(np.float32) for _ in range(4)]
    return inputs


@pytest.mark.parametrize("method", ["tica", "vampnet"])
def test_together_they_see_both_motions(halves, method):
    settings = StudySettings(
        method=method,
        lag=5,
        dim=2,
        seeds=1,
        max_folds=3,
        n_bootstrap=5,
        fused=("two", "noise"),
        training=TrainingOptions(max_steps=150),
    )
    study = run_study(halves, "one", settings)
    kind = "TICA" if method == "tica" else "VAMPNet"
    scores = {s.input: s for s in study.scores if s.method == kind}
    # the partner is the better one of those that may be one
    assert list(scores) == ["one", "two", "noise", "two + one"]
    both = scores["two + one"]
    # a switch of rates a and b keeps (1 - a - b) of its correlation in a frame
    expected = 1 + sum((1 - a - b) ** 10 for a, b in ((0.01, 0.02), (0.02, 0.02)))
    assert both.score == pytest.approx(expected, abs=0.25)
    assert both.score > scores["one"].score + 0.3
    assert both.minus_primary == pytest.approx(both.score - scores["one"].score)
    assert both.width == 10


def test_nothing_is_fused_unasked(halves):
    study = run_study(halves, "one", StudySettings(method="tica", lag=5, n_bootstrap=5))
    assert [s.input for s in study.scores] == ["one", "two", "noise"]
