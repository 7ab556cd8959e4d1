import json
import sys

import pytest

pytest.importorskip("rdkit")

from typer.testing import CliRunner

from mdgeomfeat.gnn import describe_model
from mdgeomfeat.pretraining.commands import app

CONFIG = """
name = "small"
[model]
n_channels = 16
n_layers = 2
n_heads = 2
n_rbf = 16
cutoff = 4.0
[train]
steps = 4
atoms = 60
log_every = 2
"""


def test_from_smiles_to_weights(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.smi").write_text(
        "CC(=O)Nc1ccc(O)cc1\nCC(C)Cc1ccc(C)cc1\nCCCCCC(=O)O\n"
    )
    (tmp_path / "d.toml").write_text(
        '[[source]]\nkind = "conformers"\nfiles = ["a.smi"]\nn_conformers = 1\n'
    )
    (tmp_path / "run.toml").write_text(CONFIG)
    (tmp_path / "facts.json").write_text('{"limits": "a test"}')

    def call(*arguments):
        result = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.output

    assert "3 molecules" in call("data", "d.toml", "--out", "d.npz")
    assert "conformations in all.npz" in call("merge", "d.npz", "--out", "all.npz")
    # Molecules have their names now, so nothing more of RDKit is used.
    monkeypatch.setitem(sys.modules, "rdkit", None)
    said = call("run", "run.toml", "--out", "run", "--data", "d.npz", "--threads", "1")
    assert "100.0 % done, step 4" in said
    assert len((tmp_path / "run/log.jsonl").read_text().splitlines()) == 2
    assert (tmp_path / "run/loss.png").exists()
    call(
        "export", "run", "--weights", "mine.safetensors", "--data", "d.npz",
        "--head", "heads/small.safetensors", "--facts", "facts.json",
    )  # fmt: skip
    card = json.loads((tmp_path / "mine.json").read_text())
    # The owner's name, although the configuration was copied with another.
    assert card["name"] == "mine"
    assert describe_model(tmp_path / "mine.safetensors")["name"] == "mine"
    assert card["recipe"]["name"] == "small"
    assert card["limits"] == "a test"
    assert card["recipe"]["data"]["file"] == "d.npz"
    shown = call(
        "evaluate", "run", "--data", "d.npz", "--validation", "1", "--sigma", "0.1",
        "--sigma", "0.3", "--out", "e.json",
    )  # fmt: skip
    assert shown.count("conformers") == 4
    rows = json.loads((tmp_path / "e.json").read_text())
    assert [r["sigma"] for r in rows] == [0.1, 0.3, 0.1, 0.3]
    assert {"1", "6"} <= set(rows[0]["by_element"])


def test_the_help_shows_what_stands_in_brackets():
    shown = CliRunner().invoke(app, ["data", "--help"]).output
    assert "[[source]]" in shown
