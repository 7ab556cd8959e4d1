"""Pages that are made of the program itself, so that they cannot be outdated."""

from __future__ import annotations

import ast
import importlib
import json
import re
from collections.abc import Iterable, Iterator
from enum import Enum
from pathlib import Path
from typing import Any, get_args

import typer

import mdgeomfeat

__all__ = ["command_lines", "messages", "model_cards", "write_pages"]

PACKAGE = Path(mdgeomfeat.__file__).parent

#: Rooms whose messages a user meets, and what is done there.
ROOMS = {
    "reading": "Opening files",
    "boxes": "Periodic boxes",
    "structure": "Atoms, elements and selections",
    "neighbors": "Neighbours",
    "featurespec": "Options of the features",
    "gnn": "Networks and their weights",
    "featurizer": "Computing features",
    "store": "Features on disk",
    "descriptors": "Distances, dihedrals and coordinates",
    "mixing": "Token mixers",
    "kinetics": "Slow motions and states",
    "projection": "Maps",
    "explain": "What differs, and which residues matter",
    "variables": "Saved models",
    "bias": "Biased simulations",
    "commands": "Commands",
    "cli": "The command line",
    "pretraining": "Pre-training",
    "finetuning": "Fine-tuning",
}
_RAISED = {"InputError", "ScoreError"}


def messages(tree: ast.AST) -> Iterator[str]:
    """Yield the sentences that a module refuses with; … stands for what it fills in."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and node.args and _name(node.func) in _RAISED:
            yield from _texts(node.args[0])


def _name(function: ast.expr) -> str:
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def _texts(text: ast.expr) -> Iterator[str]:
    """Yield the wordings of an expression; nothing if they are made elsewhere."""
    if isinstance(text, ast.IfExp):
        yield from _texts(text.body)
        yield from _texts(text.orelse)
    elif isinstance(text, ast.Constant) and isinstance(text.value, str):
        yield text.value
    elif isinstance(text, ast.JoinedStr):
        yield "".join(
            str(part.value) if isinstance(part, ast.Constant) else "…"
            for part in text.values
        )


def message_page() -> Iterator[str]:
    """Yield the lines of the page that lists every refusal."""
    for room, title in ROOMS.items():
        folder = PACKAGE / room
        paths = sorted(folder.rglob("*.py")) or [PACKAGE / f"{room}.py"]
        found = {
            text for path in paths for text in messages(ast.parse(path.read_text()))
        }
        if found:
            yield from (f"## {title}", "")
            yield from (f"- {_plain(text)}" for text in sorted(found, key=_order))
            yield ""


def _order(text: str) -> str:
    """Return what a sentence is found by: its first words that are always the same."""
    return text.lower().lstrip("…'\"([ ")


def _plain(text: str) -> str:
    """Return words without what Markdown would read as markup."""
    text = re.sub(r"([\\`*_\[\]<>|$#~])", r"\\\1", text)
    # a double hyphen would become a dash
    return text.replace("--", r"\-\-")


def command_lines() -> Iterator[tuple[str, Any]]:
    """Yield every command's name and what typer knows of it."""
    for module, program in (
        ("mdgeomfeat.cli.app", "mdgeomfeat"),
        ("mdgeomfeat.pretraining.commands", "mdgeomfeat pretrain"),
        ("mdgeomfeat.finetuning.commands", "mdgeomfeat finetune"),
    ):
        group = typer.main.get_command(importlib.import_module(module).app)
        yield from _commands(program, group)


def _commands(program: str, command: Any) -> Iterator[tuple[str, Any]]:
    inner = getattr(command, "commands", None)
    if inner is None:
        # the first of these only hands over to the second
        if "--help')" not in (command.help or ""):
            yield program, command
        return
    for name, one in inner.items():
        yield from _commands(f"{program} {name}", one)


def command_page() -> Iterator[str]:
    """Yield the lines of the page that lists every command and option."""
    for name, command in command_lines():
        yield from (f"## {name}", "", *_paragraphs(command.help or ""), "")
        if command.params:
            yield "| argument or option | what it does | default |"
            yield "| --- | --- | --- |"
            yield from map(_row, command.params)
        yield ""


def _paragraphs(text: str) -> Iterator[str]:
    """Yield the lines of a help text; lines that show a command are code."""
    for paragraph in text.replace("\b", "").strip("\n").split("\n\n"):
        words: list[str] = []
        for line in filter(None, map(str.strip, paragraph.split("\n"))):
            before, program, rest = line.partition("mdgeomfeat ")
            if program and before in ("", "Example: ", "For example: "):
                yield from (_plain(" ".join(words)), "")
                yield from ("```", program + rest, "```", "")
                words = []
            else:
                words.append(line)
        yield from (_plain(" ".join(words)), "")


def _row(parameter: Any) -> str:
    options = [*parameter.opts, *parameter.secondary_opts]
    if parameter.param_type_name == "argument":
        options = [parameter.metavar or parameter.name.upper()]
    text = _plain(" ".join((parameter.help or "").split()))
    if choices := _choices(parameter.type_descriptor.annotation):
        text += f" One of {', '.join(f'`{name}`' for name in choices)}."
    default = parameter.default
    default = getattr(default, "value", default)
    shown = "" if default is None or callable(default) else f"`{default}`"
    if shown in ("`False`", "`()`", "`[]`"):
        shown = ""
    return f"| {', '.join(f'`{o}`' for o in options)} | {text} | {shown} |"


def _choices(annotation: Any) -> list[str]:
    """Return the names to choose from, if the type is an enumeration of such."""
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return [str(member.value) for member in annotation]
    return [str(a) for a in get_args(annotation) if isinstance(a, str)]


def model_cards() -> Iterator[str]:
    """Yield the lines of the page of shipped networks."""
    for path in sorted((PACKAGE / "weights").glob("*.json")):
        card = json.loads(path.read_text())
        yield from (f"## {card['name']}", "")
        for key in ("training", "licence", "note"):
            if key in card:
                yield f"- **{key}**: {card[key]}"
        spec = card["spec"]
        yield (
            f"- **network**: {spec['architecture']}, {spec['n_layers']} layers, "
            f"{spec['n_channels']} channels, cutoff {spec['cutoff']} Å"
        )
        yield f"- **elements** (atomic numbers): {spec['elements']}"
        yield f"- **fingerprint**: `{card['fingerprint'][:16]}`"
        yield from ("", "The whole card:", "", "```json")
        shown = {k: v for k, v in card.items() if k != "reference"}
        yield from (json.dumps(shown, indent=1), "```", "")


def write_pages(folder: Path) -> None:
    """Write all of these pages."""
    folder.mkdir(exist_ok=True)
    pages: dict[str, Iterable[str]] = {
        "cards": model_cards(),
        "messages": message_page(),
        "commands": command_page(),
    }
    for name, lines in pages.items():
        (folder / f"{name}.md").write_text("\n".join(lines), encoding="utf-8")
