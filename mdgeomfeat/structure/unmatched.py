"""Parts of a selection that choose nothing: likelier mistyped than meant."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from mdgeomfeat.errors import MDGeomFeatWarning

if TYPE_CHECKING:
    from MDAnalysis.core.groups import AtomGroup
    from MDAnalysis.core.universe import Universe

__all__ = ["say_unmatched"]

_SHOWN = 4
# Words after which a selection lists values, and a list of them.
_LIST = re.compile(r"\b((?:resname|resid|resnum|segid|chainID)\s+)([^()]+?)"
                   r"(?=\s+(?:and|or|not)\b|\s*[()]|\s*$)")  # fmt: skip


def say_unmatched(
    group: Universe | AtomGroup, select: str, named: dict[str, Any], residues: str
) -> None:
    """Warn of alternatives in a selection that match no atom.

    Alternatives are what `or` joins, and the values that are listed after a word such
    as ``resname``. What stands behind a `not` may well match nothing.

    Parameters
    ----------
    group : Universe or AtomGroup
    select : str
        A selection that can be read.
    named : dict
        The groups that it names.
    residues : str
        Words for the residues there are.
    """
    parts = [part for part in _alternatives(select) if "not" not in part.split()]
    empty = [
        part
        for part in dict.fromkeys(parts)
        if not len(group.select_atoms(part, **named))
    ]
    if not empty or parts == [select]:
        return
    shown = " and ".join(f"'{part}'" for part in empty[:_SHOWN])
    if len(empty) > _SHOWN:
        shown += f" and {len(empty) - _SHOWN} more"
    warnings.warn(
        f"In select={select!r}, {shown} {'match' if empty[1:] else 'matches'} no atom; "
        f"the residues here are {residues}.",
        MDGeomFeatWarning,
        stacklevel=6,
    )


def _alternatives(select: str) -> Iterator[str]:
    """Yield what `or` and lists of values leave to choose from."""
    parts = _split(select.strip())
    if len(parts) > 1:
        for part in parts:
            yield from _alternatives(part)
        return
    inner = _unwrapped(parts[0])
    if inner != parts[0]:
        yield from _alternatives(inner)
        return
    lists = _LIST.findall(inner)
    values = lists[0][1].split() if len(lists) == 1 else []
    if len(values) < 2:
        yield inner
        return
    for value in values:
        yield _LIST.sub(lambda m, v=value: m[1] + v, inner)  # type: ignore[misc]


def _split(text: str) -> list[str]:
    """Split at every `or` that stands outside of parentheses."""
    parts, depth = [""], 0
    for word in re.split(r"(\s+|[()])", text):
        depth += (word == "(") - (word == ")")
        if word == "or" and depth == 0:
            parts.append("")
        else:
            parts[-1] += word
    return [part.strip() for part in parts]


def _unwrapped(text: str) -> str:
    """Take away parentheses around all of a text."""
    while text.startswith("(") and text.endswith(")"):
        depth = 0
        for place, letter in enumerate(text):
            depth += (letter == "(") - (letter == ")")
            if depth == 0 and place < len(text) - 1:
                return text
        text = text[1:-1].strip()
    return text
