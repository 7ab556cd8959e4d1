"""Sections on what was analysed, what was chosen, and how to repeat it."""

from __future__ import annotations

from collections.abc import Sequence

from mdgeomfeat.report import html
from mdgeomfeat.report.data import Record

__all__ = ["analysed_section", "choices_section", "run_section", "warnings_block"]


def analysed_section(record: Record) -> html.Html:
    """Show files, frames, atoms and the network."""
    parts = [_pairs(record.analysed)]
    if record.network:
        parts += [html.tag("h3", "Network"), _pairs(record.network)]
    return html.join(parts)


def choices_section(choices: Sequence[str]) -> html.Html:
    """Show what was chosen for the user, and why."""
    return html.items(choices)


def run_section(record: Record) -> html.Html:
    """Show the command, versions and what else lies in the folder."""
    rows = [
        (name, html.tag("code", value) if name == "Command" else value)
        for name, value in record.run
    ]
    parts = [_pairs(rows)]
    if record.files:
        rows = [
            (html.tag("a", name, href=name), meaning) for name, meaning in record.files
        ]
        parts += [
            html.tag("h3", "Files beside this page"),
            html.table((), rows),
        ]
    return html.join(parts)


def warnings_block(warnings: Sequence[str]) -> html.Html:
    """Show what a reader must know before believing the page."""
    if not warnings:
        return html.Html("")
    return html.tag(
        "div",
        html.tag("p", html.tag("strong", "Before you rely on this")),
        html.items(warnings),
        class_="note",
        role="note",
    )


def _pairs(rows: Sequence[tuple[str, html.Child]]) -> html.Html:
    return html.table((), [(html.tag("b", name), value) for name, value in rows])
