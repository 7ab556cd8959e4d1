"""The section that sets the features beside classical descriptors."""

from __future__ import annotations

import numpy as np

from mdgeomfeat.report import html
from mdgeomfeat.report.data import Comparison
from mdgeomfeat.report.figures import draw_agreement, draw_maps
from mdgeomfeat.report.gallery import Gallery
from mdgeomfeat.text import explained, number, pretty_angle

__all__ = ["agreement_section", "maps_section"]

MAX_ANGLES = 10


def maps_section(comparison: Comparison, gallery: Gallery) -> html.Html:
    """Show the maps of all inputs."""
    figure = draw_maps(comparison.maps, comparison.columns)
    inputs = ", ".join(entry.name for entry in comparison.maps)
    colors = ", ".join(column.label for column in comparison.columns)
    return html.join(
        [
            gallery.add(
                "maps",
                figure,
                alt=f"UMAP maps of {inputs}"
                + (f", coloured by {colors}." if colors else "."),
                caption="UMAP maps (McInnes et al. 2018): every point is a frame, and "
                "frames that an input holds to be alike lie close together. Axes have "
                "no unit."
                + (
                    " An input that knows an angle shows it as one colour per region; "
                    "one that does not shows a mixture."
                    if colors
                    else ""
                ),
                kind="png",
            ),
            html.details("How the maps were made", html.items(comparison.notes)),
        ]
    )


def agreement_section(comparison: Comparison, gallery: Gallery) -> html.Html:
    """Show what can be read from each input, as a table and per angle."""
    rows = [
        [
            row.name,
            _mean(row.torsion_r2),
            explained(row.distance_r2),
            _mean(row.map_r2),
        ]
        for row in comparison.rows
    ]
    elsewhere = (
        ", taken from other trajectories," if comparison.neighbours_elsewhere else ""
    )
    parts: list[html.Child] = [
        html.paragraph(
            "How much of the dihedrals and distances can be read linearly from each "
            "input (ridge regression, R² on held-out frames: "
            f"{comparison.split}), and how well a frame's ten nearest neighbours in "
            f"the map{elsewhere} tell its dihedrals. 1 means completely, and none that "
            "the mean of the training frames would tell as much; it counts as 0 in "
            "means over dihedrals."
        ),
        html.table(
            [
                "input",
                "R² of dihedrals",
                "R² of distances",
                "R² of dihedrals from the map",
            ],
            rows,
            numeric=(1, 2, 3),
            highlight=(0,),
        ),
    ]
    if 0 < len(comparison.torsion_names) <= MAX_ANGLES:
        parts.append(_per_angle(comparison, gallery))
    return html.join(parts)


def _per_angle(comparison: Comparison, gallery: Gallery) -> html.Html:
    """Show the numbers of each angle as a shaded grid."""
    columns = [pretty_angle(name) for name in comparison.torsion_names]
    rows = [row for row in comparison.rows if row.torsion_r2 is not None]
    figure = draw_agreement(
        np.array([row.torsion_r2 for row in rows]),
        [row.name for row in rows],
        columns,
        label="held-out R²",
    )
    return gallery.add(
        "agreement",
        figure,
        alt="Held-out R² of every main-chain angle from every input.",
        caption="Held-out R² of every main-chain angle (mean over its sine and "
        "cosine) from every input, by ridge regression.",
    )


def _mean(values: np.ndarray | None) -> str:
    if values is None or not np.isfinite(values).any():
        return number(None)
    return explained(float(np.nanmean(np.clip(values, 0, None))))
