"""The section on free energies over coordinates that the user named."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mdgeomfeat.report import html
from mdgeomfeat.report.data import ChosenFreeEnergy
from mdgeomfeat.report.figures import draw_landscape
from mdgeomfeat.report.gallery import Gallery
from mdgeomfeat.text import enumerate_words

if TYPE_CHECKING:
    from mdgeomfeat.descriptors import Coordinate

__all__ = ["coordinates_section"]


def coordinates_section(
    chosen: Sequence[ChosenFreeEnergy],
    *,
    weighted: bool,
    temperature: float | None,
    gallery: Gallery,
) -> html.Html:
    """Show one figure for each free energy.

    Parameters
    ----------
    chosen : sequence of ChosenFreeEnergy
    weighted : bool
        Whether the weights are those of biased frames, not of the Markov model.
    temperature : float or None
        K.
    gallery : Gallery
    """
    if any(one.surface is None for one in chosen):
        return html.note(
            "No free energy is drawn, because the Markov model is disconnected and "
            "its weights are unknown."
        )
    return html.join(
        _drawn(one, i, weighted, temperature, gallery) for i, one in enumerate(chosen)
    )


def _drawn(
    one: ChosenFreeEnergy,
    i: int,
    weighted: bool,
    temperature: float | None,
    gallery: Gallery,
) -> html.Html:
    surface, coordinates = one.surface, one.coordinates
    assert surface is not None
    names = enumerate_words([c.name for c in coordinates])
    figure = draw_landscape(
        surface.energy,
        surface.edges,
        surface.unit,
        representatives=one.representatives,
        labels=[_label(c) for c in coordinates],
        periods=[c.period for c in coordinates],
    )
    at = "" if temperature is None else f" at {temperature:g} K"
    weights = "weights of the frames" if weighted else "Markov model's weights"
    marks = "numbers" if len(coordinates) > 1 else "dashed lines"
    return gallery.add(
        f"free-energy-{i + 1}",
        figure,
        alt=f"Free energy over {names}.",
        caption=f"Free energy -kT ln p{at} over {names}, with the {weights} "
        f"({'; '.join(c.note for c in coordinates)}). The {marks} mark each state's "
        "most typical frame. Nothing is drawn where no frame was.",
    )


def _label(coordinate: Coordinate) -> str:
    unit = "°" if coordinate.unit == "degrees" else coordinate.unit
    return f"{coordinate.name} ({unit})"
