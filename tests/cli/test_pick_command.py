"""``pick``: frames of the whole system as start structures."""

from __future__ import annotations

import csv
import json

import MDAnalysis as mda
import numpy as np
import pytest


@pytest.fixture(scope="module")
def picks(study, run_cli, gly2, tmp_path_factory):
    out = tmp_path_factory.mktemp("picks") / "next"
    result = run_cli(
        "pick", study.out, *gly2, "--stop", 3000, "--step", 10, "-n", 6,
        "--engine", "torch", "--out", out,
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    assert result.stdout.strip().endswith("picks.csv")
    with (out / "picks.csv").open(newline="") as file:
        return out, list(csv.DictReader(file))


def test_every_structure_is_the_frame_that_the_table_names(picks, gly2):
    out, rows = picks
    assert [row["structure"] for row in rows] == [
        f"start-{k:03d}.pdb" for k in range(1, 7)
    ]
    top = next(f for f in gly2 if f.suffix == ".pdb")
    for row in rows:
        (file,) = (f for f in gly2 if f.name == row["file"])
        source = mda.Universe(str(top), str(file))
        source.trajectory[int(row["frame"])]
        assert float(row["time_ps"]) == pytest.approx(source.trajectory.time)
        start = mda.Universe(str(out / row["structure"]))
        # all atoms of the topology, hydrogens too, to what a PDB file holds
        assert list(start.atoms.names) == list(source.atoms.names)
        assert np.allclose(start.atoms.positions, source.atoms.positions, atol=1e-3)


def test_variables_are_those_of_the_study(picks, study):
    _, rows = picks
    with (study.out / "cvs.csv").open(newline="") as file:
        known = {(r["file"], r["frame"]): r for r in csv.DictReader(file)}
    for row in rows:
        there = known[row["file"], row["frame"]]
        for name in ("cv1", "cv2"):
            assert float(row[name]) == pytest.approx(float(there[name]), abs=1e-4)


def test_the_summary_holds_the_table(picks):
    out, rows = picks
    content = json.loads((out / "summary.json").read_text())
    assert content["kind"] == "mdgeomfeat picks"
    assert [p["structure"] for p in content["picks"]] == [r["structure"] for r in rows]
    assert {p["why"] for p in content["picks"]} <= {"seen_once", "end", "rare"}


@pytest.mark.parametrize("n", [0, 1000])
def test_a_number_that_is_none_is_refused(n, study, run_cli, gly2, tmp_path):
    result = run_cli("pick", study.out, *gly2, "-n", n, "--out", tmp_path / "x")
    assert result.exit_code == 2
    assert f"--number {n} is not possible" in result.stderr
    assert not (tmp_path / "x").exists()


def test_a_folder_without_a_model_is_refused(run_cli, gly2, tmp_path):
    result = run_cli("pick", tmp_path, *gly2, "--out", tmp_path / "x")
    assert result.exit_code == 2
    assert "model" in result.stderr
