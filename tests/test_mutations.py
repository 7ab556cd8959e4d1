"""The script that breaks rules sees what is stale, and leaves nothing broken."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent / "mutations"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("mutations", HERE / "__main__.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["mutations"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["mutations"]


@pytest.fixture
def repository(tmp_path):
    """A package of one line, with a test."""
    (tmp_path / "mdgeomfeat").mkdir()
    (tmp_path / "mdgeomfeat" / "a.py").write_text("LIMIT = 3\n")
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_a.py").write_text("def test_limit(): ...\n")
    return tmp_path


def rule(script, **changes):
    fields = {
        "room": "a",
        "says": "The limit is three.",
        "file": "a.py",
        "old": "LIMIT = 3",
        "new": "LIMIT = 4",
        "tests": ("test_a.py::test_limit",),
    }
    return script.Rule(**(fields | changes))


def test_a_broken_rule_is_mended_again(script, repository):
    with script.Workshop(repository) as shop:
        with shop.breaking(rule(script)) as compiled:
            assert compiled is None
            assert (shop.package / "a.py").read_text() == "LIMIT = 4\n"
        assert (shop.package / "a.py").read_text() == "LIMIT = 3\n"
    assert (repository / "mdgeomfeat" / "a.py").read_text() == "LIMIT = 3\n"
    assert not shop.package.exists()


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({}, None),
        ({"old": "LIMIT = 5"}, "its lines stand 0 times in a.py"),
        ({"file": "b.py"}, "its lines stand 0 times in b.py"),
        ({"old": "I"}, "its lines stand 2 times in a.py"),
        ({"new": "LIMIT = ("}, "its new lines are no Python"),
        ({"tests": ("test_b.py",)}, "there is no tests/test_b.py"),
        ({"tests": ("test_a.py::test_b",)}, "there is no tests/test_a.py::test_b"),
        ({"tests": ()}, "it names no tests"),
    ],
)
def test_what_is_stale_is_said(script, repository, changes, problem):
    found = script.problems([rule(script, **changes)], repository)
    assert len(found) == (problem is not None)
    assert all(problem in sentence for sentence in found)


def test_rules_stand_once(script, repository):
    (sentence,) = script.problems([rule(script)] * 2, repository)
    assert sentence == "stands there twice: The limit is three."


@pytest.mark.slow
def test_every_rule_can_still_be_broken(script):
    rules = script.read_rules(HERE)
    assert len(rules) >= 400
    assert script.problems(rules) == []
