"""``--weights``: tables of weights beside the trajectories of biased runs."""

from __future__ import annotations

import csv
import json
from types import SimpleNamespace

import numpy as np
import pytest

N = 3000
STEP = 10


def logs(run):
    """Weights that favour the later frames of every run, and the first run most."""
    return np.linspace(0, 2, N) - 0.5 * run


def table(path, run, *, times=None, column=None, name="logw"):
    times = np.arange(N) + 1.0 if times is None else times
    column = logs(run) if column is None else column
    lines = [f"#! FIELDS time {name}"]
    lines += [f"{t:.6f} {w:.9f}" for t, w in zip(times, column, strict=True)]
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="module")
def short(gly2, tmp_path_factory):
    """Copies of the runs of 3,000 frames, 1 ps apart from 1 ps on."""
    import MDAnalysis as mda

    folder = tmp_path_factory.mktemp("short")
    top = next(f for f in gly2 if f.suffix == ".pdb")
    runs = []
    for i, run in enumerate(f for f in gly2 if f.suffix == ".xtc"):
        u = mda.Universe(top, run)
        runs.append(folder / f"run-{i}.xtc")
        u.atoms.write(runs[-1], frames=u.trajectory[:N])
    return SimpleNamespace(top=top, runs=runs)


@pytest.fixture(scope="module")
def weighted(run_cli, short, common, tmp_path_factory):
    folder = tmp_path_factory.mktemp("weighted")
    options = []
    for i in range(4):
        options += ["--weights", f"logw@{table(folder / f'COLVAR.{i}', i)}"]
    result = run_cli(
        "tica", short.top, *short.runs, *common, *options, "--out", folder / "out",
        "--step", STEP, "--lag", "10ps", "--dim", 1, "--states", 2, "--no-maps",
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    page = (folder / "out" / "report.html").read_text()
    summary = json.loads((folder / "out" / "summary.json").read_text())
    with (folder / "out" / "cvs.csv").open() as file:
        rows = list(csv.DictReader(file))
    return SimpleNamespace(result=result, page=page, summary=summary, rows=rows)


def test_weights_are_those_of_the_rows_of_the_frames(weighted):
    expected = np.exp(np.concatenate([logs(i)[::STEP] for i in range(4)]))
    found = np.array([float(row["weight"]) for row in weighted.rows])
    np.testing.assert_allclose(found, expected / expected.sum(), rtol=1e-5)
    states = np.array([int(row["state"]) for row in weighted.rows])
    mass = [found[states == s].sum() for s in (1, 2)]
    states_of_study = weighted.summary["study"]["states"]
    np.testing.assert_allclose(states_of_study["populations"], mass, rtol=1e-5)
    assert np.sum(mass) == pytest.approx(1, abs=1e-5)


def test_page_and_summary_say_why_there_is_no_timescale(weighted):
    study = weighted.summary["study"]
    assert study["implied_timescales"] is None
    assert study["states"]["timescales"] == []
    assert study["states"]["transition_matrix"] is None
    assert study["doubts"][0]["kind"] == "biased_dynamics"
    why = "No timescale is given, because the runs were biased"
    assert any(why in text for text in weighted.summary["findings"])
    assert why in weighted.page
    assert why in weighted.result.stdout + weighted.result.stderr
    assert "Implied timescales of Markov models" not in weighted.page
    assert "has a timescale of" not in weighted.page
    assert "effective sample size" in weighted.page


def run(run_cli, short, common, tmp_path, *options, runs=1):
    return run_cli(
        "tica", short.top, *short.runs[:runs], *common, *options, "--out",
        tmp_path / "out", "--step", STEP, "--lag", 1, "--dim", 1, "--no-maps",
    )  # fmt: skip


def test_rows_are_found_by_time(run_cli, short, common, tmp_path):
    """A table written twice as often, from before the first frame on."""
    times = np.arange(0, N + 50, 0.5)
    column = np.sin(times)
    path = table(tmp_path / "COLVAR", 0, times=times, column=column)
    result = run(run_cli, short, common, tmp_path, "--weights", f"logw@{path}")
    assert result.exit_code == 0, result.stderr
    with (tmp_path / "out" / "cvs.csv").open() as file:
        rows = list(csv.DictReader(file))
    expected = np.exp(np.sin([float(row["time_ps"]) for row in rows]))
    found = [float(row["weight"]) for row in rows]
    np.testing.assert_allclose(found, expected / expected.sum(), rtol=1e-5)


def test_a_bias_is_told_by_its_option(run_cli, short, common, tmp_path):
    path = table(tmp_path / "COLVAR", 0, column=3 * logs(0), name="opes.bias")
    asked = ["--weights", f"opes.bias@{path}"]
    result = run(run_cli, short, common, tmp_path, *asked)
    assert result.exit_code == 2
    assert "say --weights-are bias" in result.stderr
    result = run(run_cli, short, common, tmp_path, *asked, "--weights-are", "bias")
    assert result.exit_code == 2
    assert "needs --temperature" in result.stderr
    asked += ["--weights-are", "bias", "--temperature", 300]
    result = run(run_cli, short, common, tmp_path, *asked)
    assert result.exit_code == 0, result.stderr
    with (tmp_path / "out" / "cvs.csv").open() as file:
        found = np.array([float(row["weight"]) for row in csv.DictReader(file)])
    expected = np.exp(3 * logs(0)[::STEP] / (8.31446261815324e-3 * 300))
    np.testing.assert_allclose(found, expected / expected.sum(), rtol=1e-5)


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        ({"column": np.full(N, np.nan)}, [], "Row 1 of .* has nan"),
        ({"column": np.full(N, -1.0)}, ["--weights-are", "plain"], "-1 in column"),
        ({"column": np.zeros(N)}, ["--weights-are", "plain"], "All weights are zero"),
        ({"column": np.full(N, -np.inf)}, [], "All weights are zero"),
        ({"times": 2.0 * np.arange(N)}, [], "its times run differently"),
        (
            {"times": np.arange(N // 2) + 1.0, "column": np.zeros(N // 2)},
            [],
            r"no row for frame 2990 of run-0\.xtc at 2991 ps",
        ),
        (
            {"times": np.arange(N // 2) + 1.0, "column": np.zeros(N // 2)},
            ["--dt", "1ps"],
            "1,500 rows and run-0.xtc has 3,000 frames, .*--dt states",
        ),
        (
            {"column": np.where(np.arange(N) == 0, 99.0, 0.0)},
            [],
            "effective sample size is 1,",
        ),
    ],
)
def test_weights_that_cannot_be_used(
    run_cli, short, common, tmp_path, change, options, message
):
    import re

    path = table(tmp_path / "COLVAR", 0, **change)
    asked = ["--weights", f"logw@{path}", *options]
    result = run(run_cli, short, common, tmp_path, *asked)
    assert result.exit_code == 2, result.stderr
    assert re.search(message, result.stderr), result.stderr
    assert not (tmp_path / "out").exists()


def test_every_trajectory_has_its_table(run_cli, short, common, tmp_path):
    path = table(tmp_path / "COLVAR", 0)
    asked = ["--weights", f"logw@{path}"]
    result = run(run_cli, short, common, tmp_path, *asked, runs=2)
    assert result.exit_code == 2
    assert "--weights is given 1 time for 2 trajectory files" in result.stderr
    result = run(run_cli, short, common, tmp_path, "--weights", "COLVAR")
    assert "such as logw@COLVAR" in result.stderr
    result = run(run_cli, short, common, tmp_path, "--weights-are", "plain")
    assert "give both or neither" in result.stderr
