"""Figures and the pages that show what was found."""

from __future__ import annotations

from mdgeomfeat.report.application import Application
from mdgeomfeat.report.applied import application_page
from mdgeomfeat.report.biased import BiasedRun, bias_page
from mdgeomfeat.report.data import (
    Comparison,
    ComparisonRow,
    EnsembleComparison,
    FrameOrigin,
    Record,
    StateAngle,
    StateFrames,
)
from mdgeomfeat.report.ensembles import ensembles_page
from mdgeomfeat.report.gallery import Gallery
from mdgeomfeat.report.pages import comparison_page, study_page
from mdgeomfeat.report.scene import write_viewer
from mdgeomfeat.report.wording import (
    application_in_words,
    choices_in_words,
    conclusion_in_words,
    convergence_in_words,
    differences_in_words,
    doubts_in_words,
    ensembles_in_words,
    failures_in_words,
    findings_in_words,
    importance_in_words,
)

__all__ = [
    "Application",
    "BiasedRun",
    "Comparison",
    "ComparisonRow",
    "EnsembleComparison",
    "FrameOrigin",
    "Gallery",
    "Record",
    "StateAngle",
    "StateFrames",
    "application_in_words",
    "application_page",
    "bias_page",
    "choices_in_words",
    "comparison_page",
    "conclusion_in_words",
    "convergence_in_words",
    "differences_in_words",
    "doubts_in_words",
    "ensembles_in_words",
    "ensembles_page",
    "failures_in_words",
    "findings_in_words",
    "importance_in_words",
    "study_page",
    "write_viewer",
]
