"""What README and documentation type is known to the program."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted(ROOT.glob("docs/**/*.md")),
]
#: Commands that have commands of their own.
GROUPS = {"pretrain", "weights"}


def commands() -> dict[tuple[str, ...], set[tuple[str, str]]]:
    """Return the options of each command that stand on a page, with the page."""
    found: dict[tuple[str, ...], set[tuple[str, str]]] = {}
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for block in re.findall(r"```[^\n]*\n(.*?)```", text, re.S):
            for line in block.replace("\\\n", " ").splitlines():
                typed = re.match(r"\s*(?:\$ )?(?:\S*/)?mdgeomfeat ([a-z].*)", line)
                if typed is None:
                    continue
                words = shlex.split(typed[1], comments=True)
                n = 2 if words[0] in GROUPS else 1
                options = {w.split("=")[0] for w in words[n:] if w.startswith("--")}
                own = found.setdefault(tuple(words[:n]), set())
                own |= {(option, page.name) for option in options}
    return found


FOUND = commands()


def test_pages_type_most_commands():
    typed = {command[0] for command in FOUND}
    assert {"vamp", "tica", "info", "apply", "compare", "bias", "finetune"} <= typed


@pytest.mark.parametrize("command", FOUND, ids=" ".join)
def test_commands_and_options_of_pages_exist(command, run_cli):
    result = run_cli(*command, "--help")
    assert result.exit_code == 0, f"{' '.join(command)} is no command"
    known = set(re.findall(r"--[a-z][a-z-]*", result.stdout + result.stderr))
    unknown = {(o, page) for o, page in FOUND[command] if o not in known}
    assert not unknown
