from __future__ import annotations

import csv
import html
import json
import re
from itertools import pairwise

import MDAnalysis as mda
import numpy as np
import pytest
from MDAnalysis.analysis import rms
from MDAnalysis.analysis.dihedrals import Dihedral


def read_csv(path):
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_folder_is_whole(study):
    names = {p.name for p in study.out.iterdir()}
    assert names == {
        "report.html",
        "summary.json",
        "cvs.csv",
        "importance.csv",
        "features.zarr",
        "model",
        "states",
        "viewer",
        "figures",
    }
    assert [p.name for p in study.out.parent.iterdir()] == ["result"]
    assert study.result.stdout.strip().endswith("report.html")


def test_report_loads_only_the_viewer_beside_it(study):
    assert "http://" not in study.page
    assert "https://" not in study.page
    assert 'src="data:image/' in study.page
    sources = [p.split('"')[0] for p in study.page.split('src="')[1:]]
    files = [s for s in sources if not s.startswith("data:")]
    assert len(files) == study.page.count("<script") == 3
    assert all((study.out / name).is_file() for name in files)
    assert len(study.page) < 8_000_000


def test_the_view_shows_what_the_files_hold(study):
    text = (study.out / "viewer/structures.js").read_text()
    content = json.loads(text.partition(" = ")[2].rstrip(";\n"))
    *states, way = content["groups"]
    assert way["kind"] == "way"
    table = read_csv(study.out / "states/frames.csv")
    for group in content["groups"]:
        name = f"{group['title'].replace(' ', '-')}.pdb"
        path = study.out / "states" / (name if group in states else "way.pdb")
        models = mda.Universe(str(path))
        origins = [row for row in table if row["structure"] == path.name]
        assert len(origins) == models.trajectory.n_frames
        for k, model in enumerate(group["models"]):
            models.trajectory[k]
            xyz = np.array(model["positions"]).reshape(-1, 3) / 1000
            np.testing.assert_allclose(xyz, models.atoms.positions, atol=1.1e-3)
            row = origins[k]
            assert model["origin"].startswith(f"{row['file']}, frame {row['frame']}")
    assert content["atoms"]["name"] == list(models.atoms.names)
    assert content["atoms"]["element"] == list(models.atoms.elements)
    assert [r.split(":")[-1][:3] for r in content["residues"]["label"]] == [
        "ACE", "GLY", "NME",
    ]  # fmt: skip


def test_the_way_leads_from_one_end_of_variable_1_to_the_other(study):
    rows = {(r["file"], r["frame"]): r for r in read_csv(study.out / "cvs.csv")}
    table = read_csv(study.out / "states/frames.csv")
    way = [r for r in table if r["structure"] == "way.pdb"]
    values = [float(rows[r["file"], r["frame"]]["cv1"]) for r in way]
    assert len(values) > 10
    assert values == sorted(values)
    every = np.array([float(r["cv1"]) for r in rows.values()])
    assert values[0] < np.quantile(every, 0.05)
    assert values[-1] > np.quantile(every, 0.95)
    models = mda.Universe(str(study.out / "states/way.pdb"))
    shapes = np.array([models.atoms.positions for _ in models.trajectory])
    # each is superposed on the one before
    for one, other in pairwise(shapes):
        best = rms.rmsd(other, one, superposition=True, center=True)
        assert rms.rmsd(other, one) == pytest.approx(best, abs=2e-3)


@pytest.mark.parametrize(
    "part",
    [
        "The slowest motion has a timescale of",
        "What was analysed",
        "gly2-3.xtc",
        "300 frames",
        "Held-out scores",
        "random weights",
        "aligned positions",
        "dihedrals",
        "Collective variables over time",
        "free energy",
        "Chapman-Kolmogorov",
        "stationary",
        "states/state-1.pdb",
        "fingerprint",
        "MDAnalysis 2",
        "at 300 K",
    ],
)
def test_report_shows(study, part):
    assert part.lower() in study.page.lower()


def test_every_figure_says_what_it_shows(study):
    images = study.page.split("<img ")[1:]
    assert len(images) >= 6
    for image in images:
        alt = image.split('alt="')[1].split('"')[0]
        assert len(alt) > 20


def test_summary_is_strict_json_with_the_scores(study):
    def refuse(name):
        raise AssertionError(f"{name} is not JSON")

    text = (study.out / "summary.json").read_text()
    summary = json.loads(text, parse_constant=refuse)
    assert summary["study"]["lag_frames"] == 1
    assert summary["study"]["lag"] == 10.0
    inputs = {s["input"] for s in summary["study"]["scores"]}
    assert {"GNN features", "random weights", "distances", "dihedrals"} <= inputs
    assert summary["study"]["states"]["n_states"] >= 2
    assert summary["findings"]


def test_summary_holds_what_the_page_shows(study):
    summary = json.loads((study.out / "summary.json").read_text())
    assert summary["format"] == 2
    msm = summary["study"]["states"]
    n, m = msm["n_states"], msm["n_micro"]
    # the transition matrices, of states and of microstates
    between = np.array(msm["transition_matrix"])
    assert between.shape == (n, n)
    np.testing.assert_allclose(between.sum(axis=1), 1)
    np.testing.assert_allclose(msm["populations"] @ between, msm["populations"])
    micro = msm["microstates"]
    matrix, weight = np.array(micro["transition_matrix"]), np.array(micro["stationary"])
    assert len(matrix) <= m
    np.testing.assert_allclose(weight @ matrix, weight, atol=1e-6)
    eigenvalue = np.sort(np.linalg.eigvals(matrix).real)[-2]
    slowest = -summary["study"]["lag"] / np.log(eigenvalue)
    assert msm["timescales"][0] == pytest.approx(slowest, rel=1e-4)
    state = np.array(micro["state"])
    shares = [weight[state == i + 1].sum() for i in range(n)]
    np.testing.assert_allclose(shares, msm["populations"], atol=1e-9)
    assert np.shape(micro["memberships"]) == (len(matrix), n)
    # the curves of the test begin with the model itself
    ck = msm["ck"]
    assert ck["lags"][0] == summary["study"]["lag"] == 10 * ck["lags_frames"][0]
    np.testing.assert_allclose(ck["predicted"][0], between, atol=1e-6)
    for curve in ("estimated", "estimated_lower", "estimated_upper"):
        assert np.shape(ck[curve]) == np.shape(ck["predicted"])
    # free energies over the variables
    energy = summary["study"]["free_energy"]
    surface = energy["surface"]
    assert surface["unit"] == "kJ/mol"
    assert np.shape(surface["energy"]) == tuple(len(e) - 1 for e in surface["edges"])
    assert len(energy["profiles"]) == summary["study"]["n_cvs"]
    lowest = [v for v in energy["profiles"][0]["energy"] if v is not None]
    assert min(lowest) == 0
    # angles and structures of the states
    assert {len(angle["mean"]) for angle in msm["dihedrals"]} == {n}
    assert all((study.out / path).is_file() for path in msm["structures"])


def test_representatives_are_frames_of_their_files(study, gly2):
    """File and frame, counted from 0, bring back the structure that was written."""
    summary = json.loads((study.out / "summary.json").read_text())
    msm = summary["study"]["states"]
    pdb = next(p for p in gly2 if p.suffix == ".pdb")
    paths = {p.name: p for p in gly2 if p.suffix == ".xtc"}
    rows = {(r["file"], r["frame"]): r for r in read_csv(study.out / "cvs.csv")}
    for state, chosen in enumerate(msm["representatives"], start=1):
        text = (study.out / f"states/state-{state}.pdb").read_text()
        assert text.startswith(("HEADER", "TITLE"))
        assert "MDANALYSIS FRAMES FROM" not in text
        models = mda.Universe(str(study.out / f"states/state-{state}.pdb"))
        assert models.trajectory.n_frames == len(chosen)
        for k, origin in enumerate(chosen):
            name, frame = origin["file"], origin["frame"]
            assert (
                f"MODEL {k + 1}: {name} FRAME {frame}, {origin['time']:.10g} PS" in text
            )
            row = rows[name, str(frame)]
            assert row["state"] == str(state)
            assert row["trajectory"] == str(origin["trajectory"])
            source = mda.Universe(str(pdb), str(paths[name]))
            source.trajectory[frame]
            assert source.trajectory.time == pytest.approx(origin["time"])
            heavy = source.select_atoms("not element H").positions
            models.trajectory[k]
            assert rms.rmsd(heavy, models.atoms.positions, superposition=True) < 0.01


def test_the_terminal_and_the_page_tell_the_same(study):
    summary = json.loads((study.out / "summary.json").read_text())
    page = html.unescape(study.page)
    for finding in summary["findings"]:
        assert finding in study.result.stderr
        assert finding in page


def test_cvs_have_one_line_per_frame(study):
    rows = read_csv(study.out / "cvs.csv")
    assert list(rows[0]) == [
        "trajectory", "file", "frame", "time_ps", "cv1", "cv2", "state",
    ]  # fmt: skip
    assert len(rows) == 4 * 300
    assert [r["frame"] for r in rows[:3]] == ["0", "10", "20"]
    assert rows[300]["trajectory"] == "2"
    assert rows[300]["frame"] == "0"
    assert rows[1]["file"] == "gly2-0.xtc"
    assert float(rows[1]["time_ps"]) == pytest.approx(11.0)
    assert {r["state"] for r in rows} <= {"", "1", "2", "3"}


def test_cvs_are_those_of_the_study(study):
    rows = read_csv(study.out / "cvs.csv")
    cv1 = np.array([float(r["cv1"]) for r in rows])
    assert cv1.std() == pytest.approx(1.0, abs=0.3)


def test_states_are_readable_structures_with_names(study):
    files = sorted((study.out / "states").glob("*.pdb"))
    assert len(files) >= 2
    for path in files:
        universe = mda.Universe(str(path))
        assert universe.trajectory.n_frames >= 2
        assert len(universe.atoms) == 9
        assert list(universe.residues.resnames) == ["ACE", "GLY", "NME"]
        assert set(universe.atoms.elements) == {"C", "N", "O"}
        for _ in universe.trajectory:
            bond = universe.select_atoms("resname GLY and name N CA").positions
            assert np.linalg.norm(bond[0] - bond[1]) == pytest.approx(1.45, abs=0.2)


def test_apply_reproduces_the_values(study, run_cli, gly2, tmp_path):
    out = tmp_path / "again"
    result = run_cli(
        "apply", study.out / "model", *gly2, "--stop", 3000, "--step", 10,
        "--out", out, "--engine", "torch",
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    first, again = read_csv(study.out / "cvs.csv"), read_csv(out / "cvs.csv")
    assert len(first) == len(again)
    for name in ("cv1", "cv2"):
        a = np.array([float(r[name]) for r in first])
        b = np.array([float(r[name]) for r in again])
        assert np.abs(a - b).max() < 1e-4
    same = [a["state"] == b["state"] for a, b in zip(first, again, strict=True)]
    assert np.mean(same) > 0.97


def test_apply_takes_other_frames_and_refuses_other_molecules(
    study, run_cli, gly2, data, tmp_path
):
    single = [gly2[0], data / "gly2" / "gly2.pdb"]
    result = run_cli(
        "apply", study.out, *single, "--step", 100, "--out", tmp_path / "one",
        "--engine", "torch",
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    assert len(read_csv(tmp_path / "one" / "cvs.csv")) == 50

    other = sorted((data / "ala2").glob("ala2*"))
    if not other:
        pytest.skip("alanine dipeptide is not here")
    result = run_cli(
        "apply", study.out / "model", other[-1], other[0], "--step", 1000,
        "--out", tmp_path / "other", "--engine", "torch",
    )  # fmt: skip
    assert result.exit_code == 2
    assert "A:GLY2 of C2 N1 O1 there, A:ALA2 of C3 N1 O1 here" in result.stderr
    assert not (tmp_path / "other").exists()

    result = run_cli(
        "apply", study.out / "model", *single, "--model", "visnet-64",
        "--out", tmp_path / "other",
    )  # fmt: skip
    assert result.exit_code == 2
    assert "brings the network that it was made with" in result.stderr


def test_apply_takes_any_order_of_atoms_within_residues(
    study, run_cli, gly2, common, tmp_path
):
    """Programs write the atoms of a residue in their own order."""
    pdb = next(p for p in gly2 if p.suffix == ".pdb")
    universe = mda.Universe(str(pdb), str(gly2[0]))
    turned = mda.Merge(*(r.atoms[::-1] for r in universe.residues))
    order = np.concatenate([r.atoms.ix[::-1] for r in universe.residues])
    frames = universe.trajectory.timeseries(step=100, order="fac")[:, order]
    turned.load_new(frames, order="fac")
    turned.atoms.write(str(tmp_path / "turned.pdb"))
    turned.atoms.write(str(tmp_path / "turned.dcd"), frames="all")
    values = []
    for name, files in (
        ("turned", [tmp_path / "turned.pdb", tmp_path / "turned.dcd"]),
        ("first", [pdb, gly2[0], "--step", 100]),
    ):
        result = run_cli(
            "apply", study.out, *files, "--engine", "torch",
            "--out", tmp_path / name,
        )  # fmt: skip
        assert result.exit_code == 0, result.stderr
        rows = read_csv(tmp_path / name / "cvs.csv")
        values.append([float(r["cv1"]) for r in rows])
    np.testing.assert_allclose(*values, atol=1e-4)


def test_angles_of_states_are_means_over_all_of_their_frames(study, gly2):
    pdb = next(p for p in gly2 if p.suffix == ".pdb")
    angles = []
    for path in (p for p in gly2 if p.suffix == ".xtc"):
        universe = mda.Universe(str(pdb), str(path))
        phi = universe.select_atoms("resname GLY").residues[0].phi_selection()
        run = Dihedral([phi]).run(stop=3000, step=10)
        angles.append(np.radians(run.results.angles[:, 0]))
    circle = np.exp(1j * np.concatenate(angles))
    states = np.array([r["state"] for r in read_csv(study.out / "cvs.csv")])
    for state in sorted({*states} - {""}):
        point = circle[states == state].mean()
        mean = np.degrees(np.angle(point))
        spread = np.degrees(np.sqrt(-2 * np.log(abs(point))))
        text = f"{mean:.0f} ± {spread:.0f}".replace("-", "\N{MINUS SIGN}")
        assert text in study.page


def test_frames_in_random_order_give_a_page_without_a_motion(
    run_cli, gly2, common, tmp_path
):
    pdb = next(p for p in gly2 if p.suffix == ".pdb")
    universe = mda.Universe(str(pdb), str(gly2[0]))
    frames = universe.trajectory.timeseries(step=20, order="fac")
    order = np.random.default_rng(0).permutation(len(frames))
    universe.load_new(frames[order], order="fac")
    universe.atoms.write(str(tmp_path / "mixed.dcd"), frames="all")
    out = tmp_path / "mixed"
    result = run_cli(
        "tica", pdb, tmp_path / "mixed.dcd", *common, "--out", out, "--no-maps"
    )
    assert result.exit_code == 0, result.stderr
    study = json.loads((out / "summary.json").read_text())
    assert study["findings"][0].startswith("No slow motion could be established")
    assert study["study"]["evidence"]["established"] is False
    page = (out / "report.html").read_text()
    assert "The slowest motion" not in page
    assert "a perfect model would score" not in page
    # said in the headline and once above what it concerns, which is marked
    said = [*study["findings"], *study["warnings"], *study["convergence"]]
    assert sum("established" in sentence.lower() for sentence in said) == 1
    assert page.lower().count("established") == 2
    sections = re.findall(r'<section id="([^"]+)">(.*?)</section>', page, re.DOTALL)
    marked = {name for name, text in sections if 'class="doubtful"' in text}
    assert marked == {
        "free-energy", "timescales", "states", "differences", "importance"
    }  # fmt: skip
    assert [n for n, text in sections if "Not established" in text] == ["free-energy"]
    assert result.stderr.count("established") == 1
    # noise is not made visible: no colours of residues
    structures = sorted((out / "states").glob("*.pdb"))
    assert structures
    for path in structures:
        assert not mda.Universe(str(path)).atoms.tempfactors.any()
        assert "B-FACTORS ARE 0" in path.read_text()
    assert not list((out / "states").glob("colour.*"))
    content = (out / "viewer/structures.js").read_text()
    assert '"importance":null' in content
    assert "B-factors of the files in the folder states are 0" in page


def test_tica_in_frames_where_the_selection_is_given(run_cli, gly2, common, tmp_path):
    out = tmp_path / "tica"
    result = run_cli(
        "tica", *gly2, *common, "--out", out, "--step", 50, "--lag", "1", "--select",
        "name N CA C O", "--no-maps", "--dim", 1,
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    summary = json.loads((out / "summary.json").read_text())
    assert {s["method"] for s in summary["study"]["scores"]} == {"TICA"}
    assert "name N CA C O" in (out / "report.html").read_text()


@pytest.mark.parametrize("kind", ["solvated", "dry"])
def test_whole_systems_are_the_frames_that_the_table_names(
    run_cli, gly2, common, tmp_path, kind
):
    out = tmp_path / kind
    result = run_cli(
        "tica", *gly2, *common, "--out", out, "--step", 50, "--lag", "1", "--no-maps",
        "--dim", 1, "--whole-systems", kind,
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    rows = read_csv(out / "states/frames.csv")
    whole = [r for r in rows if r["structure"].startswith("whole-systems/")]
    assert len(whole) == len(list((out / "states").glob("state-*.pdb")))
    pdb = next(p for p in gly2 if p.suffix == ".pdb")
    for row in whole:
        (file,) = (f for f in gly2 if f.name == row["file"])
        source = mda.Universe(str(pdb), str(file))
        source.trajectory[int(row["frame"])]
        written = mda.Universe(str(out / "states" / row["structure"]))
        assert list(written.atoms.names) == list(source.atoms.names)
        np.testing.assert_allclose(
            written.atoms.positions, source.atoms.positions, atol=1e-3
        )
        text = (out / "states" / row["structure"]).read_text()
        assert f"MODEL 1: {row['file']} FRAME {row['frame']}" in text
        # the same frame is the first model of the state's own file
        typical = row["structure"].removeprefix("whole-systems/")
        (first,) = (r for r in rows if r["structure"] == typical and r["model"] == "1")
        assert (first["file"], first["frame"]) == (row["file"], row["frame"])


def test_features_writes_a_store_that_opens(run_cli, gly2, common, tmp_path):
    from mdgeomfeat.featurizer import FeatureResults

    out = tmp_path / "features"
    result = run_cli("features", *gly2, *common, "--out", out, "--step", 500)
    assert result.exit_code == 0, result.stderr
    results = FeatureResults.load(out / "features.zarr")
    assert results.scalars.shape == (40, 3, 8)
    assert (np.asarray(results.trajectory) == np.repeat(range(4), 10)).all()
    assert json.loads((out / "summary.json").read_text())["kind"].endswith("features")


@pytest.mark.slow
def test_compare_shows_maps_and_agreement(run_cli, gly2, common, tmp_path):
    out = tmp_path / "compare"
    result = run_cli("compare", *gly2, *common, "--out", out, "--step", 50)
    assert result.exit_code == 0, result.stderr
    page = (out / "report.html").read_text()
    assert "UMAP" in page
    summary = json.loads((out / "summary.json").read_text())
    rows = {r["input"]: r for r in summary["comparison"]["inputs"]}
    assert rows["dihedrals"]["r2_torsions"] is None, "a target does not explain itself"
    assert rows["dihedrals"]["knn_r2_torsions_in_map"][0] > 0.8
    assert rows["aligned positions"]["r2_torsions"][0] > 0.5
