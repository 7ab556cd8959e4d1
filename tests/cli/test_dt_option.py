"""``--dt`` and ``--allow-implausible`` from the command line to the results."""

import json
from pathlib import Path

import MDAnalysis as mda
import numpy as np
import pytest

from mdgeomfeat.featurizer import FeatureResults


@pytest.fixture(scope="module")
def bare(gly2, tmp_path_factory):
    """Return two files of 120 frames as VMD writes them, and their topology."""
    folder = tmp_path_factory.mktemp("bare")
    files = []
    for number in range(2):
        u = mda.Universe(gly2[2], gly2[number])
        files.append(folder / f"run{number}.dcd")
        with mda.Writer(str(files[-1]), u.atoms.n_atoms, dt=0.04888821) as writer:
            for _ in u.trajectory[:2400:20]:
                writer.write(u.atoms)
        content = bytearray(files[-1].read_bytes())
        content[44:48] = np.float32(1).tobytes()
        files[-1].write_bytes(content)
    return [*files, Path(gly2[2])]


@pytest.fixture(scope="module")
def study(run_cli, bare, common, tmp_path_factory):
    out = tmp_path_factory.mktemp("stated") / "result"
    result = run_cli(
        "tica", *bare, *common, "--out", out, "--dt", "20ps", "--step", 2,
        "--lag", "80ps", "--dim", 1, "--states", 2, "--no-maps",
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    return out


def test_info_tells_no_times_that_nobody_stated(run_cli, bare):
    # the table is folded, also within words
    said = "".join(run_cli("info", *bare).stdout.split())
    assert said.count("notimes") == 2
    said = "".join(run_cli("info", *bare, "--dt", "20ps").stdout.split())
    assert said.count("20psapartas--dtstates") == 2
    said = json.loads(run_cli("info", *bare, "--json").stdout)
    assert said["stated_dt"] is None
    for run in said["trajectories"]:
        assert (run["dt"], run["file_dt"], run["no_dt"]) == (None, None, "no times")
    said = json.loads(run_cli("info", *bare, "--json", "--dt", "20ps").stdout)
    assert said["stated_dt"] == 20.0
    for run in said["trajectories"]:
        assert (run["dt"], run["file_dt"], run["last_time"]) == (20.0, None, 2380.0)


def test_info_has_both_time_steps_where_they_differ(run_cli, gly2):
    said = json.loads(run_cli("info", *gly2, "--dt", "7ps", "--json").stdout)
    for run in said["trajectories"]:
        assert (run["dt"], run["file_dt"]) == (7.0, 1.0)


def test_a_lag_in_time_needs_times(run_cli, bare, common, tmp_path):
    out = tmp_path / "out"
    result = run_cli("tica", *bare, *common, "--lag", "80ps", "--out", out)
    assert result.exit_code == 2
    assert "--lag '80ps' is a time" in result.stderr
    assert "state it with --dt" in result.stderr
    assert not out.exists()


def test_a_stated_time_step_reaches_results_and_model(study):
    results = FeatureResults.load(study / "features.zarr")
    assert (results.dt, results.provenance["dt"]) == (40.0, 20.0)
    np.testing.assert_array_equal(results.times, np.tile(40.0 * np.arange(60), 2))
    content = json.loads((study / "summary.json").read_text())
    assert "40 ps between analysed frames, stated with --dt" in json.dumps(content)
    lines = (study / "cvs.csv").read_text().splitlines()
    assert [line.split(",")[3] for line in lines[1:4]] == ["0", "40", "80"]


def test_a_model_lends_its_time_step(run_cli, bare, study, tmp_path):
    out = tmp_path / "applied"
    result = run_cli("apply", study, bare[0], bare[2], "--out", out)
    assert result.exit_code == 0, result.stderr
    assert "taken to be 20 ps apart, as stated for the model" in result.stderr
    lines = (out / "cvs.csv").read_text().splitlines()
    assert [line.split(",")[3] for line in lines[1:4]] == ["0", "20", "40"]


def test_positions_in_nm_are_refused_unless_accepted(run_cli, gly2, common, tmp_path):
    u = mda.Universe(gly2[2], gly2[0])
    u.load_new(u.trajectory.timeseries(stop=5, order="fac") / 10)
    path = tmp_path / "nm.dcd"
    u.atoms.write(path, frames="all")
    command = ["features", path, gly2[2], *common, "--no-pbc", "--out", tmp_path / "o"]
    result = run_cli(*command)
    assert result.exit_code == 2
    assert "as positions in nm are" in result.stderr
    assert "Traceback" not in result.stderr
    assert (
        "in nm"
        in json.loads(run_cli("info", path, gly2[2], "--json").stdout)["problem"]
    )
    result = run_cli(*command, "--allow-implausible")
    assert result.exit_code == 0, result.stderr
    assert "as positions in nm are" in result.stderr
