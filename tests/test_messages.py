"""Every message is one kind of sentence: a capital, a full stop, and no fragments."""

import ast
import re
from pathlib import Path

import pytest
from generated import refusals_of_docs

import mdgeomfeat
from mdgeomfeat.errors import clause, sentence

PACKAGE = Path(mdgeomfeat.__file__).parent
WARNERS = {"warn", "_warn"}
CALLS, called = refusals_of_docs().CALLS, refusals_of_docs().called
# A capital, number, quotation mark or [table]; an option (--lag, select=) or an
# argument in Python's spelling (max_neighbors).
BEGINNING = re.compile(r"""[A-Z0-9"'\[]|--[a-z]|[a-z][a-z_0-9]*=|[a-z]+_[a-z_]+\b""")


def problem(text: ast.expr) -> str | None:
    """Say what is wrong with the words of a message, None if nothing is."""
    if isinstance(text, ast.Constant):
        parts: list[ast.expr] = [text]
    elif isinstance(text, ast.JoinedStr):
        parts = text.values
    else:  # Words that are made elsewhere; `sentence` gives them both ends.
        return None
    first, last = parts[0], parts[-1]
    if isinstance(first, ast.Constant) and not BEGINNING.match(first.value):
        return "begins with a small letter"
    if not isinstance(last, ast.Constant) or not last.value.endswith("."):
        return "ends without a full stop"
    if any("\n" in p.value for p in parts if isinstance(p, ast.Constant)):
        return "is more than one line"
    return None


def messages(tree: ast.AST):
    return called(tree, CALLS | WARNERS)


@pytest.mark.parametrize(
    "path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: str(p.relative_to(PACKAGE))
)
def test_messages_are_sentences(path):
    tree = ast.parse(path.read_text())
    wrong = [
        f"line {text.lineno}: {found}: {ast.unparse(text)}"
        for text in messages(tree)
        if (found := problem(text))
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("'no atoms are selected; choose some.'", "small letter"),
        ("'No atoms are selected; choose some'", "full stop"),
        ("f'No atoms in {path}'", "full stop"),
        ("f'positions of {path} are infinite.'", "small letter"),
        ("'One line.\\nAnother.'", "one line"),
        ("f'{path} is empty; name another file.'", None),
        ("f'select={text!r} is unknown.'", None),
        ("f'n_states={n} is too few.'", None),
        ("\"'mps' has no float64.\"", None),
    ],
)
def test_the_rule_sees(source, found):
    tree = ast.parse(f"raise InputError({source})")
    (text,) = messages(tree)
    got = problem(text)
    assert (got is None) if found is None else (found in got)


def test_there_are_messages_to_look_at():
    found = [
        text
        for path in PACKAGE.rglob("*.py")
        for text in messages(ast.parse(path.read_text()))
    ]
    assert len(found) > 300


@pytest.mark.parametrize(
    ("whole", "part"),
    [
        ("The outputs do not vary.", "the outputs do not vary"),
        ("A frame is damaged.", "a frame is damaged"),
        ("TICA failed (singular).", "TICA failed (singular)"),
        ("12 pairs are too few.", "12 pairs are too few"),
    ],
)
def test_sentences_and_their_clauses(whole, part):
    assert clause(ValueError(whole)) == part
    assert sentence(part) == whole
    assert sentence(whole) == whole
