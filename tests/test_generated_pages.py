"""Pages of the documentation that are made of the program hold all of it."""

import ast
import re
from pathlib import Path

import pytest
from generated import generate, refusals_of_docs

import mdgeomfeat
from mdgeomfeat.cli.app import app

PACKAGE = Path(mdgeomfeat.__file__).parent
#: Words that say what to do, what is allowed, or what was wrong with what was given.
HELPFUL = re.compile(
    r";|\b(add|at least|at most|between|but|check|choose|convert|delete|give|has to|"
    r"install|leave|may|must|need|needs|one of|only|open|pass|read|run|save|set|"
    r"state|try|use|wait|write)\b|accept the"
)


@pytest.fixture(scope="module")
def page():
    return "\n".join(generate().message_page()).replace("\\", "")


def test_every_refusal_is_on_the_page(page):
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


def wordings(source: str) -> list[str]:
    tree = ast.parse(source)
    texts = refusals_of_docs().called(tree, {"InputError"})
    return [w for text in texts for w in refusals_of_docs().Module(tree).wordings(text)]


@pytest.mark.parametrize(
    ("source", "found"),
    [
        (
            'InputError(f"No {x} here." if a else "Nothing.")',
            ["No … here.", "Nothing."],
        ),
        # a table, and a function that returns the words
        (
            'T = {1: "is one of them", 2: "is the other one"}\n'
            'InputError(f"It {T[n]}.")',
            ["It is one of them.", "It is the other one."],
        ),
        (
            'def f(x):\n    return "is not read here"\nInputError(f"{p} {f(1)}.")',
            ["… is not read here."],
        ),
        # a method that callers give words to
        (
            "class C:\n"
            "    def e(self, what): return InputError(f'{self.p} {what}; stop.')\n"
            "    def g(self): raise self.e(f'has the tensor {n}')",
            ["… has the tensor …; stop."],
        ),
        ('def f():\n    w = "as it is now"\n    InputError(w)', ["as it is now"]),
        # a name or two is no clause
        ('T = {1: "one"}\nInputError(f"It is {T[n]}.")', ["It is …."]),
        ("InputError(text)", []),
    ],
)
def test_words_are_found_where_they_are_made(source, found):
    assert wordings(source) == found


def test_a_refusal_says_what_to_do_or_the_page_does():
    lacking = [
        text
        for path in PACKAGE.rglob("*.py")
        for text in refusals_of_docs().refusals(path)
        if not HELPFUL.search(text) and not list(generate().remedies(text))
    ]
    assert not lacking, "\n".join(lacking)


def test_every_remedy_belongs_to_a_refusal(page):
    for words in generate().REMEDIES:
        assert words in page, words


def test_every_command_and_option_is_on_the_page():
    page = "\n".join(generate().command_page())
    for info in app.registered_commands:
        name = info.name or info.callback.__name__
        assert f"## mdgeomfeat {name}" in page, name
    for option in ("--select", "--no-pbc", "--koopman", "--align", "--plumed"):
        assert f"`{option}`" in page
    # numbers and choices come with the default
    assert "`mean`, `sum`" in page
    assert page.count("| --- | --- | --- |") >= 15
