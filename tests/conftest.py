"""Shared fixtures. Other people's data is used where it is present."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

if not torch.cuda.is_available():
    # Read when Triton is imported, which some modules of torch do, and by the engine
    # when it is made.
    os.environ.setdefault("TRITON_INTERPRET", "1")
from feature_fixtures import chain, gly2, model, options
from typer.testing import CliRunner

__all__ = ["chain", "gly2", "model", "options"]

ROOT = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("MDGEOMFEAT_SHARED", ROOT.parent / "shared"))


@pytest.fixture(scope="session")
def data() -> Path:
    """Return the folder of the repository's own trajectories."""
    return ROOT / "data"


@pytest.fixture(scope="session")
def shared() -> Path:
    """Return the folder of development data that other people made."""
    # the folder may be there and hold nothing
    if not all((SHARED / n).is_dir() for n in ("checkpoints", "data", "golden")):
        pytest.skip("the development data (../shared) is not on this machine")
    return SHARED


@pytest.fixture(scope="session")
def run_cli():
    """Run a command in this process; stdout and stderr are kept apart."""
    from mdgeomfeat.cli import app

    runner = CliRunner()

    def run(*arguments: object):
        words = [str(a) for a in arguments]
        with pytest.MonkeyPatch.context() as patch:
            # what a terminal would give, which is written down with the results
            patch.setattr("sys.argv", ["mdgeomfeat", *words])
            return runner.invoke(app, words)

    return run


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory) -> Path:
    """Save a random network that computes quickly."""
    from mdgeomfeat.gnn import ModelSpec, build_model, save_model

    spec = ModelSpec(
        architecture="et",
        n_channels=8,
        n_layers=1,
        n_heads=2,
        n_rbf=8,
        cutoff=5.0,
        elements=(1, 6, 7, 8),
    )
    path = tmp_path_factory.mktemp("models") / "tiny.safetensors"
    save_model(build_model(spec, seed=3), path, {"license": "MIT"})
    return path
