from __future__ import annotations

import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from mdgeomfeat.kinetics import (
    Evidence,
    ImpliedTimescales,
    MarkovLagReason,
    NoRates,
)
from mdgeomfeat.report import (
    Comparison,
    ComparisonRow,
    FrameOrigin,
    Gallery,
    Record,
    StateAngle,
    StateFrames,
    comparison_page,
    findings_in_words,
)
from mdgeomfeat.report.figures import ColorBy, NamedMap
from mdgeomfeat.report.molecule import Molecule, Role
from mdgeomfeat.report.sections.scores import scores_section
from mdgeomfeat.report.sections.states import states_section
from mdgeomfeat.text import (
    Clock,
    count,
    format_span,
    format_time,
    number,
    percent,
    pretty_angle,
)

NASTY = "<script>x</script>.xtc"


def score(name, value, minus=None, sd=0.01, primary=False, independent=True, null=1.01):
    return SimpleNamespace(
        input=name,
        method="VAMPNet",
        primary=primary,
        score=value,
        sd_folds=0.02,
        null=null,
        by_fold=[value] * 4,
        values=[[value]] * 4,
        minus_primary=minus,
        minus_primary_sd=None if minus is None else sd,
        n_folds=4,
        independent=independent,
    )


def evidence(slower=True, above=True, score=1.5, chance=1.01):
    return Evidence(
        slower_than_lag=slower,
        above_chance=above,
        score=score,
        error=0.01,
        chance=chance,
        n_parts=4,
    )


def implied(later=(136.0, 136.0), lag=10):
    values = np.array([[136.0], *([t] for t in later)])
    lags = lag * 2 ** np.arange(len(values))
    return ImpliedTimescales(lags, values, 0.95 * values, 1.05 * values, "blocks")


def study(
    scores,
    connected=True,
    timescales=(136.0, 34.0),
    lag=10,
    known=None,
    tica=None,
    passed=True,
    constant=True,
    later=(136.0, 136.0),
    dt=1.0,
    markov_lag=MarkovLagReason.VARIABLES,
    states_lag=None,
):
    slow = np.array(timescales if connected else ())
    known = known or evidence()
    return SimpleNamespace(
        settings=SimpleNamespace(dt=dt, seeds=3),
        lag=lag,
        dim=2,
        primary="GNN features",
        ceiling=2.05 if known.established else None,
        scores=scores,
        evidence=known,
        weights=None,
        biased=False,
        lag_scan=SimpleNamespace(
            n_slow=int(known.slower_than_lag), slowest=tica, levels_off=constant
        ),
        timescales=implied(later, states_lag or lag),
        rates=NoRates.NOT_MARKOVIAN,
        choices=SimpleNamespace(markov_lag=markov_lag),
        states=SimpleNamespace(
            connected=connected,
            lag=states_lag or lag,
            passed=passed,
            n_states=3,
            populations=np.array([0.6, 0.3, 0.1]) if connected else None,
            timescales=slow,
            timescales_lower=slow * 0.9,
            timescales_upper=slow * 1.1,
            ck=SimpleNamespace(passed=passed, largest_deviation=0.123),
        ),
    )


def test_summary_leads_with_the_slowest_motion():
    found = findings_in_words(study([]))
    assert found[0].startswith("The slowest motion has a timescale of 136 ps")
    assert "122 ps to 150 ps" in found[0]
    assert found[0].endswith("the next 34 ps.")
    assert "60 %, 30 % and 10 %" in found[1]


def test_summary_speaks_in_frames_without_a_time_step():
    assert "136 frames" in findings_in_words(study([], dt=None))[0]


def test_summary_claims_no_timescale_that_it_has_not_seen():
    found = findings_in_words(study([], connected=False))
    assert len(found) == 1
    assert found[0].startswith("Slow changes are seen, but too rarely for a timescale")
    assert "do not connect" in found[0]
    assert "held-out" not in found[0]
    found = findings_in_words(study([], timescales=(5.0,)))
    assert len(found) == 1, "states are told where a timescale separates them"
    assert "the Markov model gives no timescale above its lag of 10 ps" in found[0]


@pytest.mark.parametrize("known", [None, evidence(slower=False)])
def test_summary_of_biased_runs_tells_no_timescale(known):
    case = study([], known=known)
    case.biased = True
    case.weights = SimpleNamespace(n_frames=4000, effective_size=812.3)
    first, second = findings_in_words(case)
    assert "4,000 frames worth 812 frames of equal weight" in first
    assert "3 states that hold 60 %, 30 % and 10 % of the population" in first
    assert ("may be arbitrary" in first) is (known is not None)
    assert second.startswith("No timescale is given, because the runs were biased")
    assert "136" not in first + second


@pytest.mark.parametrize("slower", [True, False])
def test_summary_of_noise_is_that_nothing_is_established(slower):
    known = evidence(slower=slower, above=False, score=1.002, chance=1.013)
    first = score("GNN features", 1.002, primary=True, null=1.013)
    found = findings_in_words(study([first], known=known))
    assert found[0] == (
        "No slow motion could be established on held-out data at a lag of 10 ps."
    )
    assert (
        "score 1.00 (VAMP-2, VAMPNet; 1 is nothing, and chance gives 1.01)"
        in (found[1])
    )
    text = " ".join(found)
    for word in ("timescale", "states", "at most"):
        assert word not in text


def test_summary_of_motions_within_the_lag():
    known = evidence(slower=False)
    found = findings_in_words(study([], known=known))
    assert found == [
        "No motion slower than the lag of 10 ps could be established on held-out data."
    ]


def test_summary_of_a_change_seen_once():
    known = evidence(above=False, chance=1.0)
    found = findings_in_words(study([], connected=False, known=known))
    assert found[0].startswith("Slow changes are seen, but too rarely")
    assert found[0].endswith("no slow motion could be established on held-out data.")


def test_summary_names_a_slower_timescale_than_its_own():
    first = findings_in_words(study([], tica=280.0))[0]
    assert "not certain: at the same lag TICA finds 280 ps" in first
    other = findings_in_words(study([], tica=280.0, states_lag=5))[0]
    assert "not certain: at a lag of 10 ps TICA finds 280 ps" in other
    assert "TICA" not in findings_in_words(study([], tica=145.0))[0]
    # a linear estimator may find a faster motion, but not one five times as fast
    assert "TICA" not in findings_in_words(study([], tica=90.0))[0]
    assert "TICA finds 27 ps" in findings_in_words(study([], tica=27.0))[0]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"passed": False},
            "fails its Chapman-Kolmogorov test (largest deviation 0.12)",
        ),
        ({"passed": None}, "too few to decide the Chapman-Kolmogorov test"),
        ({"constant": False}, "the TICA timescale levels off at no lag"),
        ({"later": (150.0, 190.0)}, "at a lag of 40 ps it is 190 ps"),
    ],
)
def test_what_speaks_against_a_timescale_stands_beside_it(change, said):
    first = findings_in_words(study([], **change))[0]
    assert "a timescale of 136 ps" in first
    assert "This is not certain: " in first
    assert said in first


@pytest.mark.parametrize("passed", [True, None])
def test_a_linear_timescale_that_rises_is_outweighed_by_a_model_that_passes(passed):
    found = findings_in_words(
        study([], constant=False, passed=passed, markov_lag=MarkovLagReason.CONSTANT)
    )
    assert ("levels off at no lag" in found[0]) is (passed is None)


def test_a_timescale_that_is_not_known_is_not_told():
    found = findings_in_words(study([], timescales=(np.nan, 34.0)))
    assert "gives no timescale above its lag" in found[0]


def test_noise_that_beats_noise_is_not_recommended():
    known = evidence(above=False)
    first = score("GNN features", 1.002, primary=True)
    pair = [first, score("dihedrals", 1.025, minus=0.023, sd=0.001)]
    assert "do better" not in " ".join(findings_in_words(study(pair, known=known)))
    pair[1] = score("dihedrals", 1.5, minus=0.498)
    assert "dihedrals do better" in " ".join(
        findings_in_words(study(pair, known=known))
    )


def test_summary_gives_pre_training_no_credit_it_has_not_earned():
    first = score("GNN features", 2.0, primary=True)
    as_good = [first, score("random weights", 2.0, minus=0.0)]
    assert "give pre-training no credit" in " ".join(findings_in_words(study(as_good)))
    worse = [first, score("random weights", 1.5, minus=-0.5)]
    assert "never trained" not in " ".join(findings_in_words(study(worse)))


def test_summary_names_a_better_baseline_only_when_it_is_clearly_better():
    first = score("GNN features", 2.0, primary=True)
    better = [first, score("dihedrals", 2.1, minus=0.1)]
    assert "Here dihedrals do better" in " ".join(findings_in_words(study(better)))
    noise = [first, score("dihedrals", 2.1, minus=0.1, sd=0.5)]
    assert "do better" not in " ".join(findings_in_words(study(noise)))


def test_dependent_scores_are_told():
    first = score("GNN features", 2.0, primary=True, independent=False)
    assert "not independent" in " ".join(findings_in_words(study([first])))


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


def test_what_explains_nothing_is_none_and_spoils_no_mean(comparison, tmp_path):
    row = replace(
        comparison.rows[0],
        torsion_r2=np.array([0.9, -22.0]),
        distance_r2=-3.1,
        map_r2=np.array([-0.2, 0.001]),
    )
    bad = replace(comparison, rows=(row,), torsion_names=("A:ALA2:phi", "A:ALA2:psi"))
    page = comparison_page(
        bad, Record(title="t", subtitle="", analysed=()), Gallery(tmp_path)
    )
    cells = re.findall(r'<td class="number">([^<]*)</td>', page)
    assert cells == ["0.45", "none", "none"]
    assert "22" not in "".join(cells)


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
        weighted=False,
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
        origins=((FrameOrigin(trajectory=2, file="b.xtc", frame=17, time=34.0),), ()),
        positions=(np.zeros((1, 3, 3)) + np.eye(3), np.empty((0, 3, 3))),
        secondary=(("c",), ()),
        molecule=Molecule(
            names=np.array(["C1", "C2", "O1"]),
            numbers=np.array([6, 6, 8]),
            residue=np.zeros(3, dtype=int),
            labels=("LIG1",),
            roles=(Role.OTHER,),
            chain=np.zeros(1, dtype=int),
            bonds=np.array([[0, 1], [1, 2]]),
        ),
        files=("state-1.pdb", "state-2.pdb"),
        angles=(
            StateAngle(
                name="A:ALA2:phi",
                mean=np.array([-62.0, np.nan]),
                spread=np.array([15.0, np.nan]),
            ),
        ),
    )
    markup = states_section(states, frames, Clock(1.0), Gallery(None))
    assert "There is no Markov model" in markup
    assert "70 %" in markup
    assert "state-1.pdb" in markup
    assert "state-2.pdb" not in markup
    assert "b.xtc, 17" in markup
    assert "φ A:ALA2 (°)" in markup
    assert "\N{MINUS SIGN}62 ± 15" in markup
    assert "circular means over all frames of a state" in markup


def test_score_section_shows_only_what_there_is():
    full = score("GNN features", 1.2, primary=True, null=None)
    full.__dict__.update(
        n_seeds=1, sd_seeds=None, train=1.3, width=4, pca=4, n_parameters=4
    )
    case = study([full], known=evidence(above=False))
    case.folds = [SimpleNamespace(kind="thirds", gap=160, independent=True)]
    markup = scores_section(case, Clock(1.0), Gallery(None))
    assert "thirds of trajectories, 160 ps apart, that neither" in markup
    assert "no ceiling to compare with" in markup
    assert "grey tick" not in markup
    assert "PCA 4" not in markup
    full.null, full.width = 1.01, 40
    case.evidence, case.ceiling = evidence(), 2.05
    markup = scores_section(case, Clock(1.0), Gallery(None))
    assert "grey tick" in markup
    assert "40<br>→ PCA 4" in markup
    assert "a perfect model would score 2.05" in markup
    case.ceiling = None
    case.states = SimpleNamespace(
        ck=SimpleNamespace(passed=True), timescales=np.array([9.0]), lag=1
    )
    markup = scores_section(case, Clock(1.0), Gallery(None))
    assert "there is a slower motion than its variables show" in markup
    case.states.timescales = np.array([0.5])
    markup = scores_section(case, Clock(1.0), Gallery(None))
    assert "no Markov model has a timescale above the lag" in markup


def test_spans_of_time_share_one_unit():
    assert format_span(0.0, 1_408_000.0) == "0 to 1.408 µs"
    assert format_span(1.0, 999.0) == "1 to 999 ps"
    assert format_span(0.0, 0.5) == "0 to 0.5 ps"
    # times of single precision
    assert format_span(0.9999999, 97.99999) == "1 to 98 ps"
    assert format_span(-1.0, 1e12) == "-0.000001 to 1,000,000 µs"


@pytest.mark.parametrize(
    ("ps", "text"),
    [
        (0.0, "0 ps"),
        (0.05, "50 fs"),
        (0.9999999, "1 ps"),
        (12.3456, "12.3 ps"),
        (999.6, "1 ns"),
        (1500.0, "1.5 ns"),
        (1_408_000.0, "1.41 µs"),
        (2.5e9, "2,500 µs"),
    ],
)
def test_times_are_written_as_people_do(ps, text):
    assert format_time(ps) == text


def test_words():
    assert count(1, "state") == "1 state"
    assert count(12000, "frame") == "12,000 frames"
    assert count(2.0, "frame") == "2 frames"
    assert count(1_234_567, "frame") == "1,234,567 frames"
    assert percent(0.123) == "12 %"
    assert percent(0.001) == "0.1 %"
    assert number(-0.5) == "\N{MINUS SIGN}0.50"
    assert number(float("nan")) == "\N{EN DASH}"
    assert Clock(2.0).show(np.nan) == "\N{EN DASH}"
    assert pretty_angle("A:LEU42:chi1") == "\N{GREEK SMALL LETTER CHI}1 A:LEU42"
