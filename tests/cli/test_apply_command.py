"""The command ``apply``: known answers on another molecule and on mutants."""

from __future__ import annotations

import csv
import json
import re

import MDAnalysis as mda
import numpy as np
import pytest
from MDAnalysis.analysis.dihedrals import Dihedral
from MDAnalysis.analysis.rms import rmsd
from scipy.spatial import cKDTree

import mdgeomfeat
from mdgeomfeat import InputError

STEP = 10
COMMON_ATOMS = "backbone or resname ACE NME"


def rows(path):
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def column(path, name):
    """Return numbers, 0 where a frame has no state."""
    return np.array([float(row[name] or 0) for row in rows(path)])


def files(data, name):
    found = sorted((data / name).glob(f"{name}*"))
    if not found:
        pytest.skip(f"{name} is not here")
    return found


def torsions(data, name):
    """Return phi and psi of every frame as cosines and sines."""
    top, *runs = sorted(files(data, name), key=lambda p: p.suffix != ".pdb")
    universe = mda.Universe(str(top), [str(p) for p in runs])
    middle = universe.residues[1]
    frames = np.concatenate(
        [
            first + np.arange(0, n, STEP)
            for first, n in zip(*_spans(universe), strict=True)
        ]
    )
    run = Dihedral([middle.phi_selection(), middle.psi_selection()]).run(frames=frames)
    angle = np.radians(run.results.angles)
    return np.concatenate([np.cos(angle), np.sin(angle)], axis=1)


def _spans(universe):
    lengths = [reader.n_frames for reader in universe.trajectory.readers]
    return [0, *np.cumsum(lengths[:-1])], lengths


def learnt_and_applied(run_cli, data, folder, *options):
    """Learn a model on the atoms that both dipeptides share, and apply it."""
    common = ["--select", COMMON_ATOMS, "--step", STEP]
    commands = [
        ["tica", *files(data, "ala2"), *common, *options, "--lag", 1, "--dim", 1,
         "--states", 2, "--no-maps", "--out", folder / "alanine"],
        ["apply", folder / "alanine", *files(data, "gly2"), *common,
         "--out", folder / "glycine"],
    ]  # fmt: skip
    for command in commands:
        result = run_cli(*command)
        assert result.exit_code == 0, result.stderr
    return folder / "alanine", folder / "glycine", result.stderr


@pytest.fixture(scope="module")
def dipeptides(run_cli, data, tiny_model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("dipeptides")
    return learnt_and_applied(
        run_cli, data, folder, "--model", tiny_model, "--stop", 4000
    )


@pytest.mark.slow
def test_states_of_alanine_are_found_in_glycine_as_its_torsions_say(
    run_cli, data, tmp_path
):
    alanine, glycine, _ = learnt_and_applied(run_cli, data, tmp_path)
    # the state of the training frame whose torsions are nearest
    known = column(alanine / "cvs.csv", "state")
    nearest = cKDTree(torsions(data, "ala2")).query(torsions(data, "gly2"))[1]
    want, found = known[nearest], column(glycine / "cvs.csv", "state")
    assert (known == 2).mean() < 0.05
    assert (want == 2).mean() > 0.2  # glycine is there ten times as often
    assert (found == want).mean() > 0.93
    assert (found == 2).mean() == pytest.approx((want == 2).mean(), abs=0.07)


def test_folder_page_and_summary(dipeptides, data):
    alanine, out, said = dipeptides
    names = {p.name for p in out.iterdir()}
    assert names == {
        "report.html", "summary.json", "cvs.csv", "features.zarr", "figures",
        "states", "viewer",
    }  # fmt: skip
    page = (out / "report.html").read_text()
    found = column(out / "cvs.csv", "state")
    before = column(alanine / "cvs.csv", "state")
    content = json.loads((out / "summary.json").read_text())
    told = content["application"]
    assert told["counts"] == [int((found == s).sum()) for s in (1, 2)]
    np.testing.assert_allclose(
        told["shares_in_training"], [(before == s).mean() for s in (1, 2)], atol=1e-6
    )
    runs = np.array([row["trajectory"] for row in rows(out / "cvs.csv")])
    visited = [len(set(runs[found == s])) for s in (1, 2)]
    assert told["trajectories_with_state"] == visited
    distance = column(out / "cvs.csv", "distance")
    assert told["unseen_share"] == pytest.approx((distance > 1).mean(), abs=1e-3)
    assert told["unseen_share"] < 0.05
    assert told["alignment"] is None
    for text in [*content["findings"], *told["conclusions"]]:
        assert text in page
        assert text in said
    assert f"{visited[1]} of 4" in page
    assert "may be read as there" in page
    assert re.findall(r'<h2>(.*?)</h2>', page) == [
        "What was analysed", "States, here and in training", "Structures",
        "On the map of training", "Variables over time",
        "How far from the training data", "How to repeat this",
    ]  # fmt: skip
    # frames that are shown are of their states, and read from where they are said to be
    where = {(r["file"], r["frame"]): r for r in rows(out / "cvs.csv")}
    shown = rows(out / "states" / "frames.csv")
    typical = [r for r in shown if r["structure"].startswith("state-")]
    assert len(typical) == 20
    for r in typical:
        assert r["structure"] == f"state-{where[r['file'], r['frame']]['state']}.pdb"
    way = [r for r in shown if r["structure"] == "way.pdb"]
    along = [float(where[r["file"], r["frame"]]["cv1"]) for r in way]
    assert len(way) > 5
    assert along == sorted(along)
    first = mda.Universe(str(out / "states" / "state-2.pdb"))
    own = next(r for r in typical if r["structure"] == "state-2.pdb")
    folder = data / "gly2"
    glycine = mda.Universe(str(folder / "gly2.pdb"), str(folder / own["file"]))
    glycine.trajectory[int(own["frame"])]
    atoms = glycine.select_atoms(COMMON_ATOMS)
    assert rmsd(atoms.positions, first.atoms.positions, superposition=True) < 0.01
    # the frame that lies farthest out stands on the page
    worst = rows(out / "cvs.csv")[int(distance.argmax())]
    shown = re.findall(r"<tr><td>(\S+)</td><td[^>]*>(\d+)</td><td[^>]*>\S+</td>", page)
    assert shown[0] == (worst["file"], worst["frame"])


def test_a_changed_token_is_told_and_its_states_are_not_vouched_for(
    run_cli, data, tiny_model, tmp_path
):
    common = ["--engine", "torch", "--step", 160]
    result = run_cli(
        "tica", *files(data, "ala2"), "--model", tiny_model, *common, "--lag", 1,
        "--no-maps", "--out", tmp_path / "report",
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    command = ["apply", tmp_path / "report", *files(data, "gly2"), *common]
    result = run_cli(*command, "--out", tmp_path / "no")
    assert result.exit_code == 2
    assert "a mutant needs mdgeomfeat apply with --align" in result.stderr
    out = tmp_path / "out"
    result = run_cli(*command, "--align", "--out", out)
    assert result.exit_code == 0, result.stderr
    assert "2 of the model's 3 tokens have the same atoms" in result.stderr
    assert "A:ALA2 (C3 N1 O1) is A:GLY2 (C2 N1 O1)." in result.stderr
    told = json.loads((out / "summary.json").read_text())["application"]
    assert told["alignment"]["counterpart"] == [1, 2, 3]
    assert [c["token"] for c in told["alignment"]["changed"]] == [2]
    assert int(np.argmax(told["token_shifts"])) == 1
    page = (out / "report.html").read_text()
    assert "shares of states need a check" in page
    assert "Tokens of both molecules" in page


@pytest.fixture(scope="module")
def villin(run_cli, data, tiny_model, tmp_path_factory):
    folder = data / "folding" / "villin"
    if not folder.is_dir():
        pytest.skip("villin is not here")
    top, run = folder / "villin.pdb", folder / "villin-0.xtc"
    out = tmp_path_factory.mktemp("villin") / "report"
    result = run_cli(
        "tica", top, run, "--model", tiny_model, "--engine", "torch", "--step", 4,
        "--lag", 1, "--dim", 2, "--no-maps", "--allow-unseen", "--out", out,
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    return top, run, out


def test_a_point_mutation_and_a_cut_end_keep_the_variables_of_the_same_motion(
    villin, run_cli, tmp_path
):
    """Trp23 loses its side chain beyond CB, and the first residue is gone.

    The atoms that are left move as before, so the variables must be those of training
    but for what the network sees of the atoms that are gone.
    """
    top, run, report = villin
    universe = mda.Universe(str(top), str(run))
    kept = universe.select_atoms(
        "not resid 1 and not (resid 23 and not name N CA C O CB)"
    )
    universe.residues[22].resname = "ALA"
    kept.write(str(tmp_path / "mutant.pdb"))
    kept.write(str(tmp_path / "mutant.xtc"), frames=universe.trajectory[::4])
    out = tmp_path / "out"
    result = run_cli(
        "apply", report, tmp_path / "mutant.xtc", tmp_path / "mutant.pdb", "--align",
        "--engine", "torch", "--out", out,
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    told = json.loads((out / "summary.json").read_text())["application"]["alignment"]
    assert told["counterpart"] == [None, *range(1, 35)]
    assert [c["before"] for c in told["changed"]] == ["TRP23"]
    assert told["missing"] == ["LEU1"]
    here, there = (column(p / "cvs.csv", "cv1") for p in (out, report))
    assert np.corrcoef(here, there)[0, 1] > 0.9
    states = [column(p / "cvs.csv", "state") for p in (out, report)]
    assert (states[0] == states[1]).mean() > 0.9


def test_one_call_from_python_writes_what_the_command_writes(villin, run_cli, tmp_path):
    top, run, report = villin
    result = run_cli(
        "apply", report, top, run, "--engine", "torch", "--step", 50, "--align",
        "--out", tmp_path / "command",
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    out = mdgeomfeat.apply(
        report, [top, run], tmp_path / "call", align=True, engine="torch", step=50
    )
    assert out == tmp_path / "call"
    for name in ("cvs.csv", "figures/map.png"):
        assert (out / name).read_bytes() == (tmp_path / "command" / name).read_bytes()
    with pytest.raises(InputError, match=r"no option 'stp'; .* step"):
        mdgeomfeat.apply(report, [top, run], tmp_path / "no", stp=50)


def test_a_model_of_an_earlier_release_is_applied_without_distances(
    villin, run_cli, tmp_path
):
    top, run, report = villin
    (report / "model" / "training.safetensors").rename(tmp_path / "gone")
    try:
        command = ["apply", report, top, run, "--engine", "torch", "--step", 50]
        result = run_cli(*command, "--out", tmp_path / "out")
        assert result.exit_code == 0, result.stderr
        assert "nothing tells whether it has seen frames like these" in result.stderr
        assert "distance" not in rows(tmp_path / "out" / "cvs.csv")[0]
        told = json.loads((tmp_path / "out" / "summary.json").read_text())
        assert told["application"]["unseen_share"] is None
        result = run_cli(*command, "--align", "--out", tmp_path / "no")
        assert result.exit_code == 2
        assert "holds no record of its training data" in result.stderr
    finally:
        (tmp_path / "gone").rename(report / "model" / "training.safetensors")
