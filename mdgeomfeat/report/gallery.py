"""Collects figures: embeds them in the page and keeps them as files."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from matplotlib.figure import Figure

from mdgeomfeat.report import html
from mdgeomfeat.report.figures import to_data_uri, to_png, to_svg

__all__ = ["Gallery"]


class Gallery:
    """The figures of one page.

    Parameters
    ----------
    folder : Path or None
        Where each figure is also written as PNG; None keeps them in the page only.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)

    def add(
        self,
        name: str,
        figure: Figure,
        *,
        alt: str,
        caption: html.Child,
        kind: Literal["svg", "png"] = "svg",
    ) -> html.Html:
        """Return a figure's markup and write its file.

        Parameters
        ----------
        name : str
            Name of the file, without its ending.
        figure : Figure
        alt : str
            What it shows, for those who cannot see it.
        caption : str or Html
            Text under it.
        kind : {"svg", "png"}
            How it is embedded.
        """
        picture = to_png(figure)
        figure.set_layout_engine("none")  # it has been found, which takes as long again
        if self._folder is not None:
            (self._folder / f"{name}.png").write_bytes(picture)
        if kind == "svg":
            picture = to_svg(figure)
        return html.figure(
            to_data_uri(picture, kind), alt, caption, figure.get_size_inches()[0]
        )
