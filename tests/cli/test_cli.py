from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import time

import pytest
from published_layout import save_random

from mdgeomfeat.commands.inspection import _clock


def refused(result, *parts: str) -> None:
    """One sentence on stderr, status 2, nothing else."""
    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.output
    assert "Traceback" not in result.stderr
    lines = [
        line for line in result.stderr.splitlines() if line.startswith("mdgeomfeat: ")
    ]
    assert len(lines) == 1, result.stderr
    for part in parts:
        assert part in lines[0]


@pytest.fixture(scope="module")
def pdb(data):
    return data / "gly2" / "gly2.pdb"


@pytest.fixture(scope="module")
def xtc(data):
    return data / "gly2" / "gly2-0.xtc"


def test_help_is_quick_and_names_every_command():
    start = time.process_time()
    code = (
        "import sys, time; start = time.process_time()\n"
        "from mdgeomfeat.cli import app\n"
        "app(['--help'], standalone_mode=False)\n"
        "heavy = {'torch', 'MDAnalysis', 'deeptime', 'numba', 'umap', 'matplotlib'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
        "assert time.process_time() - start < 1.0\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    for name in (
        "vamp", "tica", "features", "compare", "weights", "pretrain", "info",
    ):  # fmt: skip
        assert f" {name} " in done.stdout
    assert time.process_time() - start < 5.0


@pytest.mark.parametrize("command", ["vamp", "tica", "features", "compare"])
def test_common_options_are_there(run_cli, command):
    text = run_cli(command, "--help").stdout
    for option in (
        "--out", "--select", "--model", "--tokens", "--window", "--start", "--stop",
        "--step", "--device", "--engine", "--no-pbc", "--allow-unseen",
        "--skip-bad-frames", "--overwrite",
    ):  # fmt: skip
        assert option in text
    if command in ("vamp", "tica"):
        for option in ("--lag", "--dim", "--states", "--temperature"):
            assert option in text


def test_usage_errors_exit_with_2(run_cli):
    assert run_cli("vamp").exit_code == 2
    assert run_cli("vamp", "a.xtc", "--dim", "many").exit_code == 2
    assert run_cli("nonsense").exit_code == 2


def test_version(run_cli):
    from mdgeomfeat import __version__

    assert run_cli("--version").stdout.strip() == f"mdgeomfeat {__version__}"


def test_missing_file_is_named(run_cli, pdb, tmp_path):
    result = run_cli("vamp", pdb, "nowhere.xtc", "--out", tmp_path / "o")
    refused(result, "nowhere.xtc")
    assert list(tmp_path.iterdir()) == []


def test_no_topology_is_told(run_cli, xtc, tmp_path):
    refused(run_cli("features", xtc, "--out", tmp_path / "o"), "topology")


def test_two_topologies_are_ambiguous(run_cli, pdb, xtc, tmp_path):
    copy = tmp_path / "copy.pdb"
    shutil.copy(pdb, copy)
    refused(run_cli("vamp", pdb, copy, xtc, "--out", tmp_path / "o"), "copy.pdb")


def test_garbage_trajectory(run_cli, pdb, common, tmp_path):
    bad = tmp_path / "bad.xtc"
    bad.write_bytes(b"this is no trajectory" * 50)
    result = run_cli("vamp", pdb, bad, *common, "--out", tmp_path / "o")
    refused(result, "bad.xtc")
    assert not (tmp_path / "o").exists()


def test_selection_that_matches_nothing(run_cli, pdb, xtc, common, tmp_path):
    result = run_cli(
        "vamp", pdb, xtc, *common, "--select", "resname TRP", "--out", tmp_path / "o"
    )
    refused(result, "resname TRP", "GLY")


def test_a_single_frame_is_no_comparison(run_cli, pdb, xtc, common, tmp_path):
    result = run_cli(
        "compare", pdb, xtc, *common, "--stop", "1", "--out", tmp_path / "o"
    )
    refused(result, "1 frame is too few for a comparison", "vamp and tica need 100")


def test_too_few_frames(run_cli, pdb, xtc, common, tmp_path):
    result = run_cli(
        "vamp", pdb, xtc, *common, "--step", "100", "--out", tmp_path / "o"
    )
    refused(result, "50 frames are too few", "100")
    assert list(tmp_path.iterdir()) == [], "nothing half-written is left"


def test_slice_that_leaves_nothing(run_cli, pdb, xtc, common, tmp_path):
    result = run_cli(
        "features", pdb, xtc, *common, "--start", "9000", "--out", tmp_path / "o"
    )
    refused(result, "--start 9000", "5,000")


def test_lag_that_is_no_whole_number_of_frames(run_cli, pdb, xtc, common, tmp_path):
    result = run_cli(
        "vamp", pdb, xtc, *common, "--step", "20", "--lag", "30ps", "--out",
        tmp_path / "o",
    )  # fmt: skip
    refused(result, "30ps", "20 ps", "40 ps")


def test_lag_longer_than_a_trajectory(run_cli, pdb, xtc, common, tmp_path):
    result = run_cli(
        "tica", pdb, xtc, *common, "--step", "20", "--lag", "900", "--out",
        tmp_path / "o",
    )  # fmt: skip
    refused(result, "900")


@pytest.mark.parametrize("lag", ["soon", "3.5ps", "1e400", "5000"])
def test_a_bad_lag_is_told_before_features_are_computed(
    run_cli, pdb, xtc, common, tmp_path, lag, monkeypatch
):
    monkeypatch.delattr("mdgeomfeat.featurizer.GeomGNNFeaturizer.run")
    result = run_cli("tica", pdb, xtc, *common, "--lag", lag, "--out", tmp_path / "o")
    refused(result, lag)


def test_existing_folder_is_kept(run_cli, pdb, xtc, tmp_path):
    out = tmp_path / "o"
    out.mkdir()
    (out / "mine.txt").write_text("x")
    refused(run_cli("vamp", pdb, xtc, "--out", out), "already exists", "--overwrite")
    result = run_cli("vamp", pdb, xtc, "--out", out, "--overwrite")
    refused(result, "something other than results")
    assert (out / "mine.txt").read_text() == "x"


def test_temperature_below_zero(run_cli, pdb, xtc, common, tmp_path):
    result = run_cli(
        "vamp", pdb, xtc, *common, "--temperature", "-5", "--out", tmp_path / "o"
    )
    refused(result, "temperature")


def test_unknown_model(run_cli, pdb, xtc, tmp_path):
    result = run_cli("vamp", pdb, xtc, "--model", "gpt", "--out", tmp_path / "o")
    refused(result, "gpt")


def test_model_file_that_is_none(run_cli, pdb, xtc, tmp_path):
    bad = tmp_path / "bad.pth"
    bad.write_bytes(b"not a checkpoint")
    result = run_cli("vamp", pdb, xtc, "--model", bad, "--out", tmp_path / "o")
    refused(result, "bad.pth")


def test_apply_without_a_model(run_cli, pdb, xtc, tmp_path):
    result = run_cli("apply", tmp_path, pdb, xtc, "--out", tmp_path / "o")
    refused(result, "holds no model")


@pytest.mark.parametrize("metadata", [None, {}, {"features": 5}, {"features": {}}])
def test_a_model_that_says_too_little_is_refused(metadata):
    from mdgeomfeat.variables.saved import _is_recipe

    assert not _is_recipe(metadata)


@pytest.mark.parametrize(
    ("time", "text"),
    [
        (97.99998909, "98"),
        (900.0001, "900"),
        (0.9999999, "1"),
        (0.0, "0"),
        (1234567.4, "1,234,567"),
        (2.5, "2.5"),
        (None, "unknown"),
    ],
)
def test_info_rounds_what_sums_in_single_precision_add(time, text):
    assert _clock(time) == text


@pytest.mark.parametrize("command", ["vamp", "spib"])
def test_the_option_apply_has_become_a_command(command, run_cli, pdb, xtc):
    result = run_cli(command, pdb, xtc, "--apply", "report")
    refused(result, "mdgeomfeat apply report")
    assert "--apply" not in run_cli(command, "--help").stdout


def test_a_defect_keeps_its_traceback(run_cli, pdb, xtc, monkeypatch, tmp_path):
    import mdgeomfeat.commands.features as features

    def broken(*_args, **_more):
        raise RuntimeError("a defect")

    monkeypatch.setattr(features, "featurize", broken)
    result = run_cli("features", pdb, xtc, "--out", tmp_path / "o")
    assert isinstance(result.exception, RuntimeError) or result.exit_code == 1


def test_info_tells_what_would_be_done(run_cli, pdb, xtc, common):
    result = run_cli("info", xtc, pdb, *common, "--json")
    assert result.exit_code == 0, result.stderr
    facts = json.loads(result.stdout)
    assert facts["format"] == 1
    assert (facts["n_atoms"], facts["n_frames"], facts["n_frames_used"]) == (
        19, 5000, 5000,
    )  # fmt: skip
    assert facts["residues"] == {"ACE": 1, "GLY": 1, "NME": 1}
    (trajectory,) = facts["trajectories"]
    assert trajectory["dt"] == pytest.approx(1.0)
    assert trajectory["last_time"] - trajectory["first_time"] == pytest.approx(4999)
    assert trajectory["box"] is None
    assert not facts["uses_box"]
    selection = facts["selection"]
    assert selection["n_atoms"] == 9
    assert selection["elements"] == {"C": 5, "N": 2, "O": 2}
    assert [label.split(":")[-1] for label in selection["labels"]] == [
        "ACE1", "GLY2", "NME3",
    ]  # fmt: skip
    assert facts["network"]["unseen"] == []
    assert facts["engine"] == "torch"
    assert facts["problem"] is None


def _numbers_only(value):
    """Whether JSON holds no sentence: no text with two words in it."""
    if isinstance(value, dict):
        return all(map(_numbers_only, value.values()))
    if isinstance(value, list):
        return all(map(_numbers_only, value))
    return not isinstance(value, str) or " " not in value


def test_info_gives_numbers_to_programs(run_cli, pdb, xtc, common):
    result = run_cli("info", xtc, pdb, *common, "--json", "--allow-unseen")
    facts = json.loads(result.stdout)
    said = facts.pop("notes"), facts.pop("problem")
    assert said == ([], None)
    for entry in facts["trajectories"]:
        entry.pop("path")
    facts.pop("topology")
    facts["network"].pop("model")
    assert _numbers_only(facts)


def test_info_uses_or_refuses_every_option(run_cli, pdb, xtc, common):
    used = run_cli(
        "info", xtc, pdb, *common, "--json", "--start", "10", "--stop", "100",
        "--step", "7", "--window", "1", "--no-pbc",
    )  # fmt: skip
    facts = json.loads(used.stdout)
    assert facts["n_frames_used"] == len(range(10, 100, 7))
    assert facts["selection"]["window"] == 1
    told = run_cli("info", xtc, pdb, *common, "--step", "1000000", "--window", "2")
    assert "5,000, of which 1 would be used" in told.stdout
    assert "sees 2 tokens on either side" in told.stdout
    for unused in (("--workers", "99"), ("--store", "f.zarr")):
        result = run_cli("info", xtc, pdb, *common, *unused)
        assert result.exit_code == 2
        assert unused[0] in result.stderr
    nothing = run_cli("info", xtc, pdb, *common, "--start", "5000")
    assert nothing.exit_code == 2
    assert "leaves no frame" in nothing.stderr


@pytest.mark.parametrize(
    ("command", "stop", "message"),
    [
        (
            "compare",
            "49",
            "49 frames are too few .* at least 50 .vamp and tica need 100",
        ),
        ("vamp", "99", "99 frames are too few .* at least 100 .compare, which maps"),
        ("tica", "49", "49 frames are too few .* at least 100 .compare needs 50"),
    ],
)
def test_frames_are_counted_before_features_are_computed(
    run_cli, pdb, xtc, common, monkeypatch, tmp_path, command, stop, message
):
    def computed(*_args, **_more):
        raise AssertionError("features were computed")

    monkeypatch.setattr("mdgeomfeat.featurizer.GeomGNNFeaturizer", computed)
    result = run_cli(
        command, xtc, pdb, *common, "--stop", stop, "--out", tmp_path / "o"
    )
    assert result.exit_code == 2, result.output
    assert re.search(message, result.stderr)
    assert not (tmp_path / "o").exists()


def test_info_as_a_table(run_cli, pdb, common):
    result = run_cli("info", pdb, *common)
    assert result.exit_code == 0, result.stderr
    assert "selected" in result.stdout


def test_info_explains_a_problem_rather_than_stopping(run_cli, pdb, common):
    result = run_cli("info", pdb, *common, "--select", "resname TRP")
    assert result.exit_code == 0
    assert "problem" in result.stdout


def test_weights_import_show_verify(run_cli, tiny_model, monkeypatch, tmp_path):
    monkeypatch.setenv("MDGEOMFEAT_MODELS", str(tiny_model.parent))
    listed = run_cli("weights", "list")
    assert listed.exit_code == 0, listed.stderr
    assert "tiny" in listed.stdout
    shown = run_cli("weights", "show", "tiny")
    assert json.loads(shown.stdout)["spec"]["n_channels"] == 8
    assert "intact" in run_cli("weights", "verify", "tiny").stdout

    damaged = tmp_path / "tiny.safetensors"
    payload = bytearray(tiny_model.read_bytes())
    payload[-5] ^= 0xFF
    damaged.write_bytes(bytes(payload))
    shutil.copy(tiny_model.with_suffix(".json"), tmp_path)
    assert run_cli("weights", "verify", damaged).exit_code == 1
    refused(run_cli("weights", "show", "nobody"), "nobody")


def test_weights_import_of_a_published_file(run_cli, monkeypatch, tmp_path):
    monkeypatch.setenv("MDGEOMFEAT_MODELS", str(tmp_path / "kept"))
    source = save_random("et", tmp_path / "et_l6_h64_rbf64_r75.pth")
    result = run_cli("weights", "import", source, "--name", "published-et")
    assert result.exit_code == 0, result.stderr
    assert "16 channels" in result.stdout
    assert "published-et" in run_cli("weights", "list").stdout
