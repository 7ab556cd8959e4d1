from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest


@pytest.fixture(scope="session")
def gly2(data) -> list[Path]:
    """Return glycine dipeptide: four trajectories, the topology in between."""
    folder = data / "gly2"
    files = sorted(folder.glob("*.xtc"))
    return [*files[:2], folder / "gly2.pdb", *files[2:]]


@pytest.fixture(scope="session")
def common(tiny_model) -> list[object]:
    """Return options that keep tests quick."""
    return ["--model", tiny_model, "--engine", "torch"]


@pytest.fixture(scope="session")
def study_command(gly2, common) -> list[object]:
    """Return a small study, but for the folder of its results."""
    return [
        "vamp", *gly2, *common, "--stop", 3000, "--step", 10, "--seeds", 1,
        "--lag", "10ps", "--dim", 2, "--states", 3, "--temperature", 300, "--no-maps",
    ]  # fmt: skip


@pytest.fixture(scope="session")
def study(run_cli, study_command, tmp_path_factory):
    """Run ``vamp`` once; many tests look at what it wrote."""
    out = tmp_path_factory.mktemp("study") / "result"
    result = run_cli(*study_command, "--out", out)
    assert result.exit_code == 0, result.stderr
    return SimpleNamespace(
        out=out, result=result, page=(out / "report.html").read_text()
    )
