"""No wording at which a native reader of messages, help or documentation stumbles."""

import ast
import re
from pathlib import Path

import pytest

import mdgeomfeat

PACKAGE = Path(mdgeomfeat.__file__).parent
ROOT = Path(__file__).resolve().parents[1]
# What to write instead stands beside each.
STUMBLING = {
    r"\banew\b": "again, over",
    r"(?<!here )\b(is|are|be) no (?!(longer|more)\b)[a-z]": "is not a",
    r"\b(is|are) none of\b": "is not among",
    r"\bthat (is|are) none\b": "that is not one",
    r"\b(go|goes|going|gone) on (with|from|where)\b": "continue",
    r"\bof one's own\b": "of your own",
    r"\bso that\b[^.;:]*\bso that\b": "two sentences",
    r"\bmay well\b": "may",
    r"\b(nothing|something) can be said (of|about) its\b": "is not known",
}
DOCUMENTS = sorted(
    path
    for pattern in ("*.md", "docs/*.md", "data/**/*.md")
    for path in ROOT.glob(pattern)
    if path.name != "CHANGELOG.md"
)


def sentences(tree: ast.AST) -> list[str]:
    """Return the texts of a module that people may read, without docstrings."""
    silent = {
        id(part)
        for node in ast.walk(tree)
        for part in ast.walk(node)
        if (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
    }
    texts = []
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            silent.update(id(part) for part in node.values)
            texts.append(
                "".join(
                    part.value if isinstance(part, ast.Constant) else "X"
                    for part in node.values
                )
            )
        elif isinstance(node, ast.Constant) and id(node) not in silent:
            texts.append(str(node.value))
    return texts


def stumbles(text: str) -> list[str]:
    """Return the wordings in a text that should be others."""
    plain = " ".join(text.split())
    return [
        f"{found[0]!r}: write {better!r}"
        for pattern, better in STUMBLING.items()
        for found in re.finditer(pattern, plain, re.IGNORECASE)
    ]


@pytest.mark.parametrize(
    "path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT))
)
def test_documents(path):
    text = re.sub(r"```.*?```", "", path.read_text("utf-8"), flags=re.DOTALL)
    assert stumbles(text) == []


@pytest.mark.parametrize(
    "path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: str(p.relative_to(PACKAGE))
)
def test_what_the_program_says(path):
    tree = ast.parse(path.read_text("utf-8"))
    assert [found for text in sentences(tree) for found in stumbles(text)] == []


@pytest.mark.parametrize(
    "text",
    [
        "Frame 3 holds positions that are no numbers.",
        "--variable 4 is none of this model's.",
        "Angles and variables that are none cannot be biased.",
        "Begin anew with --overwrite.",
        "The same command goes on\nwhere it stopped.",
        "A Universe of one's own is refused.",
        "It is cut so that it fits, so that nothing is lost.",
    ],
)
def test_the_rules_see(text):
    assert stumbles(text)


@pytest.mark.parametrize(
    "text",
    [
        "There is no file here.",
        "If there\nis no box, none is used.",
        "Positions are no longer finite.",
        "0 is no more than the mean.",
        "Frames are rotated so that the first vector lies along x.",
        "The state from which the command continues.",
    ],
)
def test_the_rules_let_plain_words_pass(text):
    assert stumbles(text) == []


def test_texts_are_found():
    source = '"""Not this."""\nraise InputError(f"A {x} is\\n" f"{y} here.")\nz = "So."'
    assert set(sentences(ast.parse(source))) == {"A X is\nX here.", "So."}
    assert len(DOCUMENTS) > 15
