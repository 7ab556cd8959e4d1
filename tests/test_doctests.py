"""The examples of docstrings are run as they stand, with files of a small peptide.

Every name of the reference has one.
"""

from __future__ import annotations

import doctest
import inspect
import re
from importlib import import_module
from pathlib import Path

import MDAnalysis as mda
import pytest

import mdgeomfeat
from mdgeomfeat import analyze

PACKAGE = Path(mdgeomfeat.__file__).parent
WITH_EXAMPLES = [
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
    for path in sorted(PACKAGE.rglob("*.py"))
    if ">>> " in path.read_text()
]


def reference() -> list[str]:
    """Return the functions and classes that the reference shows, by their paths."""
    page = (PACKAGE.parent / "docs" / "api.md").read_text()
    names = re.findall(r"^\.\. auto(?:function|class):: ([\w.]+)$", page, re.M)
    for name in re.findall(r"^\.\. automodule:: ([\w.]+)$", page, re.M):
        module = import_module(name)
        names += [
            f"{name}.{own}"
            for own in module.__all__
            if inspect.isclass(getattr(module, own))
            or inspect.isfunction(getattr(module, own))
        ]
    return names


def found_examples(name: str) -> int:
    """Return how many lines of an object's own docstring doctest finds, and runs."""
    module, _, own = name.rpartition(".")
    shown = inspect.unwrap(getattr(import_module(module), own))
    home = import_module(shown.__module__)
    tests = doctest.DocTestFinder(recurse=True).find(home, globs={})
    path = f"{home.__name__}.{shown.__qualname__}"
    return sum(len(test.examples) for test in tests if test.name == path)


@pytest.fixture(scope="module")
def folder(data, tmp_path_factory):
    """Make a folder with the files that examples name.

    Frames of a dipeptide (top.pdb, traj.xtc, other.xtc, run.xtc) and the report of the
    longest run (report).
    """
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
    files = [place / "top.pdb", place / "run.xtc"]
    analyze(files, place / "report", method="tica", maps=False)
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


@pytest.mark.parametrize("name", reference())
def test_every_name_of_the_reference_has_an_example(name):
    assert found_examples(name), f"{name} has no example that is run"


def test_a_docstring_without_examples_is_found(tmp_path, monkeypatch):
    (tmp_path / "lapsed.py").write_text(
        'def shown():\n    """Give one.\n\n    >>> 1\n    1\n    """\n'
        'def bare():\n    """Give >>> 1."""\n'
        'class Whole:\n    """Nothing."""\n'
        '    def part(self):\n        """\n        >>> 1\n        1\n        """\n'
    )
    monkeypatch.syspath_prepend(tmp_path)
    names = ("shown", "bare", "Whole")
    found = {name: found_examples(f"lapsed.{name}") for name in names}
    assert found == {"shown": 1, "bare": 0, "Whole": 0}
