from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from mdgeomfeat.report import (
    Comparison,
    ComparisonRow,
    Gallery,
    Record,
    StateFrames,
    comparison_page,
)
from mdgeomfeat.report.figures import ColorBy, NamedMap
from mdgeomfeat.report.sections.states import states_section
from mdgeomfeat.report.summary import summarize
from mdgeomfeat.report.text import Clock, count, number, percent, pretty_angle

NASTY = "<script>x</script>.xtc"


def score(name, value, minus=None, sd=0.01, primary=False, independent=True):
    return SimpleNamespace(
        input=name,
        method="VAMPNet",
        primary=primary,
        score=value,
        minus_primary=minus,
        minus_primary_sd=None if minus is None else sd,
        n_folds=4,
        independent=independent,
    )


def study(scores, connected=True, timescales=(136.0, 34.0), lag=10):
    slow = np.array(timescales)
    return SimpleNamespace(
        lag=lag,
        dim=2,
        primary="GNN features",
        ceiling=2.05,
        scores=scores,
        msm=SimpleNamespace(
            connected=connected,
            n_states=3,
            populations=np.array([0.6, 0.3, 0.1]) if connected else None,
            timescales=slow,
            timescales_lower=slow * 0.9,
            timescales_upper=slow * 1.1,
        ),
    )


def test_summary_leads_with_the_slowest_motion():
    found = summarize(study([]), Clock(1.0))
    assert found[0].startswith("The slowest motion has a timescale of 136 ps")
    assert "122 ps to 150 ps" in found[0]
    assert found[0].endswith("the next 34 ps.")
    assert "60 %, 30 % and 10 %" in found[1]


def test_summary_speaks_in_frames_without_a_time_step():
    assert "136 frames" in summarize(study([]), Clock(None))[0]


def test_summary_claims_no_motion_that_it_has_not_seen():
    for case in (study([], connected=False), study([], timescales=(5.0,))):
        assert "No motion slower" in summarize(case, Clock(1.0))[0]
    assert "do not connect" in " ".join(
        summarize(study([], connected=False), Clock(1.0))
    )


def test_summary_gives_pre_training_no_credit_it_has_not_earned():
    first = score("GNN features", 2.0, primary=True)
    as_good = [first, score("random weights", 2.0, minus=0.0)]
    assert "give pre-training no credit" in " ".join(
        summarize(study(as_good), Clock(1.0))
    )
    worse = [first, score("random weights", 1.5, minus=-0.5)]
    assert "never trained" not in " ".join(summarize(study(worse), Clock(1.0)))


def test_summary_names_a_better_baseline_only_when_it_is_clearly_better():
    first = score("GNN features", 2.0, primary=True)
    better = [first, score("dihedrals", 2.1, minus=0.1)]
    assert "Here dihedrals do better" in " ".join(summarize(study(better), Clock(1.0)))
    noise = [first, score("dihedrals", 2.1, minus=0.1, sd=0.5)]
    assert "do better" not in " ".join(summarize(study(noise), Clock(1.0)))


def test_dependent_scores_are_told():
    first = score("GNN features", 2.0, primary=True, independent=False)
    assert "not independent" in " ".join(summarize(study([first]), Clock(1.0)))


@pytest.fixture
def comparison():
    rng = np.random.default_rng(0)
    angle = rng.uniform(-np.pi, np.pi, 80)
    return Comparison(
        maps=(
            NamedMap(
                name="GNN features",
                embedding=rng.standard_normal((80, 2)),
                frames=np.arange(80),
            ),
        ),
        columns=(ColorBy(label="phi", values=np.degrees(angle), cyclic=True),),
        rows=(
            ComparisonRow(
                name="GNN features",
                torsion_r2=np.array([0.91]),
                distance_r2=0.82,
                map_r2=np.array([0.73]),
                split="the last third",
            ),
            ComparisonRow(
                name="dihedrals",
                torsion_r2=None,
                distance_r2=0.5,
                map_r2=None,
                split="the last third",
            ),
        ),
        torsion_names=("A:ALA2:phi",),
        split="the last third",
        neighbours_elsewhere=True,
        notes=(NASTY,),
    )


def test_comparison_page_shows_numbers_and_escapes_names(comparison, tmp_path):
    record = Record(
        title=NASTY,
        subtitle=NASTY,
        analysed=(("Files", NASTY),),
        network=(("Name", NASTY),),
        run=(("Command", NASTY),),
        warnings=(NASTY,),
        files=((NASTY, NASTY),),
    )
    page = comparison_page(comparison, record, Gallery(tmp_path))
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    for value in ("0.91", "0.82", "0.73"):
        assert value in page
    assert {p.name for p in tmp_path.iterdir()} == {"maps.png", "agreement.png"}


def test_maps_of_molecules_without_torsions_are_grey(comparison, tmp_path):
    row = replace(comparison.rows[0], torsion_r2=None, map_r2=None)
    bare = replace(comparison, columns=(), rows=(row,), torsion_names=())
    record = Record(title="water", subtitle="", analysed=())
    page = comparison_page(bare, record, Gallery(tmp_path))
    assert 'alt="UMAP maps of GNN features."' in page
    assert [p.name for p in tmp_path.iterdir()] == ["maps.png"]


def test_states_without_a_model_show_counts_only():
    states = SimpleNamespace(
        connected=False,
        n_states=2,
        counts=np.array([70, 30]),
        dtrajs=[np.zeros(100, dtype=int)],
        populations=None,
        populations_lower=None,
        populations_upper=None,
        unit="blocks",
        lag=1,
        lost_share=0.3,
    )
    frames = StateFrames(
        frames=(np.array([1]), np.array([], dtype=int)),
        positions=(np.zeros((1, 3, 3)) + np.eye(3), np.empty((0, 3, 3))),
        numbers=np.array([6, 6, 8]),
        bonds=np.array([[0, 1], [1, 2]]),
        files=("state-1.pdb", "state-2.pdb"),
        angles=(("phi", np.array([10.0, np.nan])),),
    )
    markup = states_section(states, frames, Clock(1.0), Gallery(None))
    assert "There is no Markov model" in markup
    assert "70 %" in markup
    assert "state-1.pdb" in markup
    assert "state-2.pdb" not in markup


def test_words():
    assert count(1, "state") == "1 state"
    assert count(12000, "frame") == "12,000 frames"
    assert percent(0.123) == "12 %"
    assert percent(0.001) == "0.1 %"
    assert number(-0.5) == "\N{MINUS SIGN}0.50"
    assert number(float("nan")) == "\N{EN DASH}"
    assert Clock(2.0).show(np.nan) == "\N{EN DASH}"
    assert pretty_angle("A:LEU42:chi1") == "\N{GREEK SMALL LETTER CHI}1 A:LEU42"
