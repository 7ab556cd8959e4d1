"""A page in a few functions: whatever is not markup is escaped.

File, residue and atom names come from strangers' files, so text is escaped unless
it is an :class:`Html` object, and only the functions here make those.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from importlib import resources
from typing import Final

__all__ = [
    "Html",
    "details",
    "figure",
    "items",
    "join",
    "note",
    "page",
    "paragraph",
    "section",
    "table",
    "tag",
]

Child = object

#: What a browser may load for a page: scripts that lie beside it, and nothing else.
_LOADS: Final = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
    "script-src 'self' file:"
)


class Html(str):
    """Markup that is put on the page as it is."""

    __slots__ = ()


def join(children: Iterable[Child]) -> Html:
    """Put children one after another, escaping those that are not markup."""
    return Html(
        "".join(
            child if isinstance(child, Html) else escape(str(child))
            for child in children
            if child is not None
        )
    )


def tag(name: str, *children: Child, **attributes: object) -> Html:
    """Return an element; ``class_`` stands for the attribute ``class``."""
    inside = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(str(value), quote=True)}"'
        for key, value in attributes.items()
        if value is not None
    )
    return Html(f"<{name}{inside}>{join(children)}</{name}>")


def paragraph(*children: Child) -> Html:
    """Return a paragraph."""
    return tag("p", *children)


def note(*children: Child, **attributes: object) -> Html:
    """Return a paragraph that stands out, for warnings."""
    return tag("p", *children, class_="note", **attributes)


def items(entries: Iterable[Child]) -> Html:
    """Return a bulleted list."""
    return tag("ul", join(tag("li", entry) for entry in entries))


def details(summary: str, *children: Child, **attributes: object) -> Html:
    """Return a block that a reader may unfold, or fold with ``open="open"``."""
    return tag("details", tag("summary", summary), *children, **attributes)


def table(
    header: Sequence[Child],
    rows: Iterable[Sequence[Child]],
    *,
    caption: str | None = None,
    numeric: Sequence[int] = (),
    highlight: Sequence[int] = (),
) -> Html:
    """Return a table whose ``numeric`` columns are right-aligned.

    Parameters
    ----------
    header : sequence
        Column titles; empty for a table without a head.
    rows : iterable of sequences
        Cells.
    caption : str, optional
        Text over the table.
    numeric : sequence of int
        Columns that hold numbers.
    highlight : sequence of int
        Rows that stand out.
    """

    def cells(name: str, row: Sequence[Child]) -> Html:
        return join(
            tag(name, cell, class_="number" if i in numeric else None)
            for i, cell in enumerate(row)
        )

    parts: list[Child] = []
    if caption:
        parts.append(tag("caption", caption))
    if header:
        parts.append(tag("thead", tag("tr", cells("th", header))))
    body = join(
        tag("tr", cells("td", row), class_="highlight" if i in highlight else None)
        for i, row in enumerate(rows)
    )
    parts.append(tag("tbody", body))
    return tag("div", tag("table", *parts), class_="scroll")


def figure(uri: str, alt: str, caption: Child, width: float | None = None) -> Html:
    """Return a figure with an alternative text and a caption.

    Parameters
    ----------
    uri : str
        A ``data:`` address.
    alt : str
        What the figure shows, for those who cannot see it.
    caption : str or Html
        Text under it.
    width : float, optional
        Width in inches at which it is shown at most.
    """
    style = None if width is None else f"width: {width * 100:.0f}px"
    image = (
        f'<img src="{escape(uri, quote=True)}" alt="{escape(alt, quote=True)}"'
        + (f' style="{style}"' if style else "")
        + ">"
    )
    return tag("figure", Html(image), tag("figcaption", caption))


def section(identifier: str, title: str, *children: Child) -> Html:
    """Return a section with a heading that the table of contents can point to."""
    return tag("section", tag("h2", title), *children, id=identifier)


def page(title: str, lead: Child, sections: Sequence[tuple[str, str, Html]]) -> str:
    """Return a whole page, which loads nothing but what lies beside it.

    Parameters
    ----------
    title : str
        Heading of the page.
    lead : Html
        What stands under the heading.
    sections : sequence of (identifier, title, content)
        In reading order; they make the table of contents.
    """
    css = resources.files("mdgeomfeat.report").joinpath("report.css").read_text("utf-8")
    contents = tag(
        "nav",
        tag("p", "Contents", class_="contents"),
        tag(
            "ol",
            join(
                tag("li", tag("a", name, href=f"#{identifier}"))
                for identifier, name, _ in sections
            ),
        ),
        aria_label="Contents",
    )
    body = join(section(key, name, content) for key, name, content in sections)
    head = (
        '<meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_LOADS}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{css}</style>"
    )
    main = tag("main", tag("header", tag("h1", title), lead), body)
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head>{head}</head>'
        f"<body>{contents}{main}</body></html>\n"
    )
