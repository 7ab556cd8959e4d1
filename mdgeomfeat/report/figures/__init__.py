"""Figures of the report: small functions from plain arrays to matplotlib figures."""

from __future__ import annotations

from mdgeomfeat.report.figures.agreement import draw_agreement
from mdgeomfeat.report.figures.chapman_kolmogorov import draw_chapman_kolmogorov
from mdgeomfeat.report.figures.ensembles import draw_ensembles
from mdgeomfeat.report.figures.importance import draw_importance
from mdgeomfeat.report.figures.landscape import draw_landscape
from mdgeomfeat.report.figures.maps import ColorBy, NamedMap, draw_maps
from mdgeomfeat.report.figures.network import draw_network
from mdgeomfeat.report.figures.old_map import draw_old_map
from mdgeomfeat.report.figures.scores import ScoreBar, draw_scores
from mdgeomfeat.report.figures.states import draw_populations
from mdgeomfeat.report.figures.structures import draw_structures
from mdgeomfeat.report.figures.style import (
    TimeUnit,
    choose_time_unit,
    to_data_uri,
    to_png,
    to_svg,
)
from mdgeomfeat.report.figures.time_series import draw_time_series
from mdgeomfeat.report.figures.timescales import draw_timescales

__all__ = [
    "ColorBy",
    "NamedMap",
    "ScoreBar",
    "TimeUnit",
    "choose_time_unit",
    "draw_agreement",
    "draw_chapman_kolmogorov",
    "draw_ensembles",
    "draw_importance",
    "draw_landscape",
    "draw_maps",
    "draw_network",
    "draw_old_map",
    "draw_populations",
    "draw_scores",
    "draw_structures",
    "draw_time_series",
    "draw_timescales",
    "to_data_uri",
    "to_png",
    "to_svg",
]
