"""Every option and argument says what it is, in words that stand on their own."""

import re

import pytest
import typer.main

from mdgeomfeat.cli.app import app
from mdgeomfeat.finetuning.commands import app as finetuning_app
from mdgeomfeat.pretraining.commands import app as pretraining_app

# "Of the thermostat." and the like leave the reader to look for the noun; a sentence
# that begins with a small letter is a list of values.
_FRAGMENT = re.compile(r"(Of|For|In|As|By|Which|Whether|How|What|That|The highest)\b")
_WHOLE = re.compile(r"(For [a-z ]+:|How the|What the)")


def parameters(command, name="mdgeomfeat"):
    """Yield the words of every command and of its options, with where they stand."""
    yield name, command.help
    for parameter in getattr(command, "params", ()):
        if parameter.name != "help":
            yield f"{name} {parameter.name}", parameter.help
    for child, inner in getattr(command, "commands", {}).items():
        yield from parameters(inner, f"{name} {child}")


def all_words():
    yield from parameters(typer.main.get_command(app))
    yield from parameters(typer.main.get_command(pretraining_app), "pretrain")
    yield from parameters(typer.main.get_command(finetuning_app), "finetune")


def problem(words: str | None) -> str | None:
    """Say what is wrong with the help of an option, None if nothing is."""
    if not words:
        return "has no help"
    first = words.split("\n")[0]
    if not first[0].isupper():
        return "begins with a small letter"
    if not first.endswith("."):
        return "ends without a full stop"
    if _FRAGMENT.match(first) and not _WHOLE.match(first):
        return "is a fragment"
    return None


def test_every_option_explains_itself():
    wrong = {
        where: f"{found}: {words!r}"
        for where, words in all_words()
        if (found := problem(words))
    }
    assert not wrong


def test_all_commands_are_looked_at():
    places = [where for where, _ in all_words()]
    assert {"mdgeomfeat vamp lag", "mdgeomfeat weights import cutoff"} <= set(places)
    assert {"mdgeomfeat bias friction", "pretrain run device"} <= set(places)
    assert len(places) > 150


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (None, "has no help"),
        ("auto, cpu or cuda.", "begins with a small letter"),
        ("Number of steps", "ends without a full stop"),
        ("Of the thermostat.", "is a fragment"),
        ("The highest that is to be crossed.", "is a fragment"),
        ("Friction coefficient of the thermostat.", None),
        ("For biased runs: the column.", None),
    ],
)
def test_the_rule_sees(words, found):
    assert problem(words) == found
