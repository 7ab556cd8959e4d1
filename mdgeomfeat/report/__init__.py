"""Figures and the pages that show what was found."""

from __future__ import annotations

from mdgeomfeat.report.data import (
    Comparison,
    ComparisonRow,
    FrameOrigin,
    Record,
    StateAngle,
    StateFrames,
)
from mdgeomfeat.report.gallery import Gallery
from mdgeomfeat.report.pages import comparison_page, study_page

__all__ = [
    "Comparison",
    "ComparisonRow",
    "FrameOrigin",
    "Gallery",
    "Record",
    "StateAngle",
    "StateFrames",
    "comparison_page",
    "study_page",
]
