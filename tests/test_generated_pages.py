"""Pages of the documentation that are made of the program hold all of it."""

import ast
import importlib.util
from pathlib import Path

import pytest

import mdgeomfeat
from mdgeomfeat.cli.app import app

PACKAGE = Path(mdgeomfeat.__file__).parent
SOURCE = Path(__file__).parent.parent / "docs" / "generate.py"


@pytest.fixture(scope="module")
def generate():
    spec = importlib.util.spec_from_file_location("generate", SOURCE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_refusal_is_on_the_page(generate):
    page = "\n".join(generate.message_page()).replace("\\", "")
    sources = [p for p in PACKAGE.rglob("*.py") if "InputError(" in p.read_text()]
    assert len(sources) > 80
    missing = []
    for path in sources:
        for node in ast.walk(ast.parse(path.read_text())):
            if not (isinstance(node, ast.Call) and node.args):
                continue
            if getattr(node.func, "id", "") != "InputError":
                continue
            text = node.args[0]
            parts = text.values if isinstance(text, ast.JoinedStr) else [text]
            words = [p.value for p in parts if isinstance(p, ast.Constant)]
            if words and max(words, key=len) not in page:
                missing.append((path.name, node.lineno, max(words, key=len)))
    assert not missing


def test_messages_of_both_branches_and_of_filled_in_names(generate):
    tree = ast.parse('raise InputError(f"No {x} here." if a else "Nothing.")')
    assert list(generate.messages(tree)) == ["No … here.", "Nothing."]
    assert not list(generate.messages(ast.parse("raise InputError(text)")))


def test_every_command_and_option_is_on_the_page(generate):
    page = "\n".join(generate.command_page())
    for info in app.registered_commands:
        name = info.name or info.callback.__name__
        assert f"## mdgeomfeat {name}" in page, name
    for option in ("--select", "--no-pbc", "--koopman", "--align", "--plumed"):
        assert f"`{option}`" in page
    # numbers and choices come with the default
    assert "`mean`, `sum`" in page
    assert page.count("| --- | --- | --- |") >= 15
