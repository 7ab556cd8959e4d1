from __future__ import annotations

from html.parser import HTMLParser

import pytest

from mdgeomfeat.report import html

NASTY = "<script>alert('ALA&\"1\"')</script>"


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)

    def handle_data(self, data):
        self.text += data


def read(text: str) -> _Reader:
    reader = _Reader()
    reader.feed(text)
    return reader


@pytest.mark.parametrize(
    "make",
    [
        lambda: html.paragraph(NASTY),
        lambda: html.note(NASTY),
        lambda: html.items([NASTY]),
        lambda: html.table([NASTY], [[NASTY]], caption=NASTY),
        lambda: html.section("a", NASTY, NASTY),
        lambda: html.details(NASTY, NASTY),
        lambda: html.figure("data:,", NASTY, NASTY),
        lambda: html.Html(html.page(NASTY, NASTY, [("a", NASTY, html.join([NASTY]))])),
    ],
)
def test_names_from_files_never_become_markup(make):
    markup = make()
    reader = read(markup)
    assert "script" not in reader.tags
    assert NASTY in reader.text


def test_markup_is_not_escaped_twice():
    inner = html.tag("b", "a & b")
    assert html.paragraph(inner) == "<p><b>a &amp; b</b></p>"


def test_attributes_are_quoted():
    markup = html.tag("a", "x", href='"><script>')
    assert "script" not in read(markup).tags


def test_page_needs_nothing_beside_itself():
    page = html.page("T", html.paragraph("x"), [("s", "S", html.paragraph("y"))])
    assert "://" not in page
    assert "default-src 'none'" in page
    assert "@import" not in page
    assert 'href="#s"' in page
    assert 'id="s"' in page
    assert "--accent" in page, "the style sheet is inside"


def test_numeric_cells_and_highlighted_rows_are_marked():
    markup = html.table(["a", "b"], [["x", 1], ["y", 2]], numeric=[1], highlight=[1])
    assert markup.count('class="number"') == 3
    assert markup.count('class="highlight"') == 1
