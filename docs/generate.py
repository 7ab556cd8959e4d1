"""Pages that are made of the program itself, so that they cannot be outdated."""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Iterable, Iterator
from enum import Enum
from pathlib import Path
from typing import Any, get_args

import typer
from refusals import refusals

import mdgeomfeat

__all__ = ["command_lines", "model_cards", "remedies", "write_pages"]

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
    "folds": "Folds of proteins",
}

#: Cause and remedy where a refusal is too short to state them, by words that it holds.
REMEDIES = {
    "names the column": "Keep one column of each name in the comment line.",
    "transformation …": "Workers cannot pass it on. Write the transformed trajectory "
    "to a file first, or run without workers.",
    "cannot be combined with start, stop or step": "Give one or the other.",
    "Vectors have the shape": "Hand over scalars (F, N, C) and vectors (F, N, 3, C) of "
    "the same frames.",
    "not a feature store: no zarr": "Name the folder that --store or `features` wrote, "
    "features.zarr for example.",
    "is not there: …": "Residues are named as in the report, such as A:ALA2; "
    "`mdgeomfeat info` lists them.",
    "A free energy has one or two axes": "Choose the variables to draw.",
    "is not above 0 K": "Temperatures are in kelvin.",
    "No frame has a weight": "The weights are 0 wherever there are frames: check their "
    "column and the files' order.",
    "There are too few pairs": "Too few frames lie one lag apart. Take a shorter lag, "
    "every frame, or longer runs.",
    "no pairs at a lag": "Runs, or parts of them that are held out, are no longer than "
    "the lag. Take a shorter lag or longer runs.",
    "No trajectory is longer than the lag": "Take a shorter lag or longer runs; frames "
    "of different files are never paired.",
    "is longer than any trajectory": "Take a shorter lag; frames of two files are "
    "never paired.",
    "contain numbers that are not finite": "Compute the variables again; a frame was "
    "damaged or a network diverged.",
    "outputs are not finite": "The network or the input has numbers that are not "
    "finite: check the frames, or train with another seed.",
    "has a weight.": "The weights of this part are all 0: give more evenly weighted "
    "runs, or leave weights out.",
    "outputs do not vary": "The variables are the same in every frame of this part. "
    "Nothing may happen there: take more data or another input.",
    "No column varies": "The input is the same in every frame: check the selection and "
    "that the trajectory moves.",
    "no direction varies": "The input is the same in every frame: check the selection "
    "and that the trajectory moves.",
    "TICA failed (…)": "The covariances cannot be inverted. Take fewer inputs or more "
    "frames.",
    "the loss is not finite": "Train with another seed, or scale the input.",
    "Training failed at step": "Train with another seed, or scale the input.",
    "so that no frame counts": "Check the column, and whether it holds logarithms.",
    "names no [[source]]": "Write at least one table that begins with [[source]].",
    "has an option of a wrong type": "The page on pre-training lists the types.",
    "matches no atom of": "Check the selection with `mdgeomfeat info --select`.",
    "is not a multi-frame xyz file": "Write one frame after the other, each with its "
    "count and a comment line.",
    "go to a file ending in .npz": "Name the file so.",
    "The split leaks": "The test would ask for what was trained on. Let the program "
    "split (--split), or put all of a molecule or scaffold into one part.",
    "are labels of kind": "Files of --tests hold labels of the same kind as those "
    "that are learnt.",
    "No seed was given": "Give one or more seeds, or a number of them.",
}


def message_page() -> Iterator[str]:
    """Yield the lines of the page that lists every refusal."""
    for room, title in ROOMS.items():
        folder = PACKAGE / room
        paths = sorted(folder.rglob("*.py")) or [PACKAGE / f"{room}.py"]
        found = {text for path in paths for text in refusals(path)}
        if found:
            yield from (f"## {title}", "")
            for text in sorted(found, key=_order):
                yield f"- {_plain(text)}"
                yield from (f"  {_plain(words)}" for words in remedies(text))
            yield ""


def remedies(text: str) -> Iterator[str]:
    """Yield cause and remedy of a refusal that does not state them itself."""
    for beginning, words in REMEDIES.items():
        if beginning in text:
            yield words


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
    if choices := _choices(parameter):
        text += f" One of {', '.join(f'`{name}`' for name in choices)}."
    default = parameter.default
    default = getattr(default, "value", default)
    shown = "" if default is None or callable(default) else f"`{default}`"
    if shown in ("`False`", "`()`", "`[]`"):
        shown = ""
    return f"| {', '.join(f'`{o}`' for o in options)} | {text} | {shown} |"


def _choices(parameter: Any) -> list[str]:
    """Return the names to choose from, if the type is an enumeration of such."""
    if not hasattr(parameter, "type_descriptor"):  # typer 0.26
        return [str(name) for name in getattr(parameter.type, "choices", ())]
    annotation = parameter.type_descriptor.annotation
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
