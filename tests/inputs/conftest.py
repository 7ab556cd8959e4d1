"""What a user sees: the exit status, one sentence, or the facts and features."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import MDAnalysis as mda
import pytest

from mdgeomfeat.commands import inspection
from mdgeomfeat.commands.inspection import Inspection, inspect_files

N_FRAMES = 20


@pytest.fixture(scope="session")
def quick(tiny_model) -> list[object]:
    """Return options that keep tests quick."""
    return ["--model", tiny_model, "--engine", "torch"]


@pytest.fixture
def refuse(run_cli, quick, tmp_path):
    """Run a command that must end with one sentence, status 2 and nothing written."""

    def run(command: str, *arguments: object) -> str:
        out = tmp_path / "refused"
        if command != "info":
            arguments = ("--out", out, *arguments)
        result = run_cli(command, *arguments, *quick)
        assert result.exit_code == 2, result.output
        assert "Traceback" not in result.output
        said = [x for x in result.stderr.splitlines() if x.startswith("mdgeomfeat: ")]
        assert len(said) == 1, result.stderr
        assert not (out / "summary.json").exists(), "nothing looks finished"
        return said[0]

    return run


@pytest.fixture
def inform(run_cli, quick, monkeypatch):
    """Run ``info`` and return its facts, as a person reads them."""
    found: list[Inspection] = []

    def inspected(*arguments: object) -> Inspection:
        found.append(inspect_files(*arguments))
        return found[-1]

    def run(*arguments: object) -> dict:
        monkeypatch.setattr(inspection, "inspect_files", inspected)
        result = run_cli("info", *arguments, *quick, "--json")
        assert result.exit_code == 0, result.output
        assert json.loads(result.stdout) == found[-1].numbers
        return found[-1].facts

    return run


@pytest.fixture
def featurize(run_cli, quick, tmp_path):
    """Run ``features`` and return results, notes and the summary."""
    from mdgeomfeat.featurizer import FeatureResults

    runs = iter(range(1000))

    def run(*arguments: object) -> SimpleNamespace:
        out = tmp_path / f"features-{next(runs)}"
        result = run_cli("features", *arguments, "--out", out, *quick)
        assert result.exit_code == 0, result.output
        return SimpleNamespace(
            results=FeatureResults.load(out / "features.zarr"),
            notes=[x for x in result.stderr.splitlines() if x.startswith("note: ")],
            summary=json.loads((out / "summary.json").read_text()),
        )

    return run


@pytest.fixture(scope="session")
def peptide(data) -> mda.Universe:
    """Return glycine dipeptide with 5,000 frames."""
    return mda.Universe(data / "gly2" / "gly2.pdb", data / "gly2" / "gly2-0.xtc")


@pytest.fixture(scope="session")
def top(data) -> Path:
    """Return the topology of glycine dipeptide."""
    return data / "gly2" / "gly2.pdb"


@pytest.fixture(scope="session")
def write(peptide, tmp_path_factory):
    """Write the first frames of the peptide to a file of any format."""
    folder = tmp_path_factory.mktemp("written")

    def to(name, n_frames=N_FRAMES, times=None, change=None, into=None) -> Path:
        path = (into or folder) / name
        step = {"dt": 2.0} if path.suffix == ".dcd" else {}
        with mda.Writer(str(path), len(peptide.atoms), **step) as writer:
            for ts in peptide.trajectory[:n_frames]:
                ts.time = 100 + 2.0 * ts.frame if times is None else times[ts.frame]
                if change is not None:
                    change(ts)
                writer.write(peptide.atoms)
        return path

    return to
