"""The examples of docstrings are run as they stand, with files of a small peptide."""

from __future__ import annotations

import doctest
from importlib import import_module
from pathlib import Path

import MDAnalysis as mda
import pytest

import mdgeomfeat

PACKAGE = Path(mdgeomfeat.__file__).parent
WITH_EXAMPLES = [
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
    for path in sorted(PACKAGE.rglob("*.py"))
    if ">>> " in path.read_text()
]


@pytest.fixture(scope="module")
def folder(data, tmp_path_factory):
    """Make a folder with the files that examples name: frames of a dipeptide."""
    place = tmp_path_factory.mktemp("examples")
    for top, traj, name, n in (
        ("top.pdb", "traj.xtc", "gly2-0.xtc", 40),
        ("top.pdb", "other.xtc", "gly2-1.xtc", 40),
        ("top.pdb", "run.xtc", "gly2-0.xtc", 200),
    ):
        u = mda.Universe(data / "gly2" / "gly2.pdb", data / "gly2" / name)
        u.atoms.write(place / top)
        with mda.Writer(str(place / traj), len(u.atoms)) as writer:
            for _ in u.trajectory[:n]:
                writer.write(u.atoms)
    return place


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_examples_give_what_they_show(name, folder, monkeypatch):
    monkeypatch.chdir(folder)
    module = import_module(name)
    done = doctest.testmod(module, optionflags=doctest.ELLIPSIS)
    assert done.attempted
    assert not done.failed


def test_no_example_is_skipped():
    # A skipped example is one that nobody knows to work.
    for name in WITH_EXAMPLES:
        path = PACKAGE.parent / (name.replace(".", "/") + ".py")
        assert "+SKIP" not in path.read_text(), name
