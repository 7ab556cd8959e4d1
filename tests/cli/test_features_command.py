"""The command that only featurizes: long runs from the command line."""

import json
import shutil

import numpy as np
import pytest

from mdgeomfeat.featurizer import FeatureResults


@pytest.fixture(scope="module")
def command(gly2, tiny_model):
    """Return a command whose answer has the same bits for any number of processes."""
    options = ["--model", tiny_model, "--engine", "cpu", "--step", 20]
    return ["features", *gly2[:3], *options]


@pytest.fixture(scope="module")
def made(run_cli, command, tmp_path_factory):
    out = tmp_path_factory.mktemp("made") / "features"
    result = run_cli(*command, "--out", out)
    assert result.exit_code == 0, result.stderr
    return out


@pytest.fixture
def out(made, tmp_path):
    return shutil.copytree(made, tmp_path / "features")


def bytes_of(folder):
    files = [p for p in folder.rglob("*") if p.is_file() and p.name != "summary.json"]
    return {p.relative_to(folder): p.read_bytes() for p in files}


def test_the_same_command_goes_on(run_cli, command, made, out):
    (out / "summary.json").unlink()
    (out / "features.zarr/trajectory-0001/vectors/c.0.0.0.0").unlink()
    result = run_cli(*command, "--out", out)
    assert result.exit_code == 0, result.stderr
    assert "frames already, and the run computes the others" in result.stderr
    assert bytes_of(out) == bytes_of(made)
    assert json.loads((out / "summary.json").read_text())["kind"].endswith("features")


def test_a_finished_store_is_said(run_cli, command, made, out):
    result = run_cli(*command, "--out", out)
    assert result.exit_code == 0, result.stderr
    assert (
        "so nothing is computed; overwrite=True (features --overwrite)" in result.stderr
    )
    assert bytes_of(out) == bytes_of(made)


def test_other_settings_are_refused_unless_they_replace(run_cli, command, made, out):
    result = run_cli(*command, "--select", "name CA C N", "--out", out)
    assert result.exit_code == 2
    assert "was made with selection of" in result.stderr
    assert bytes_of(out) == bytes_of(made)
    result = run_cli(*command, "--select", "name XX", "--overwrite", "--out", out)
    assert result.exit_code == 2
    assert bytes_of(out) == bytes_of(made)
    assert (out / "summary.json").exists()
    result = run_cli(
        *command, "--store-dtype", "float16", "--overwrite", "--out", out
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    results = FeatureResults.load(out / "features.zarr")
    assert results.scalars.dtype == np.float16
    whole = FeatureResults.load(made / "features.zarr")
    np.testing.assert_allclose(results.scalars, whole.scalars, rtol=2**-11, atol=1e-6)


def test_workers_make_the_same_store(run_cli, command, made, tmp_path):
    result = run_cli(*command, "--workers", 2, "--out", tmp_path / "many")
    assert result.exit_code == 0, result.stderr
    assert bytes_of(tmp_path / "many") == bytes_of(made)


def test_other_folders_are_left_alone(run_cli, command, tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    result = run_cli(*command, "--overwrite", "--out", tmp_path)
    assert result.exit_code == 2
    assert "something other than features ('thesis.tex')" in result.stderr
    result = run_cli(*command, "--out", tmp_path / "thesis.tex")
    assert result.exit_code == 2
    assert "is a file, so --out must name another folder" in result.stderr
