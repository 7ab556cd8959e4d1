"""Sentences for what a study found, chose and doubts: for page, terminal and files.

The one place that words them; nothing else tests or sorts by these words.
"""

from __future__ import annotations

from mdgeomfeat.report.wording.application import (
    alignment_in_words,
    application_in_words,
    conclusion_in_words,
)
from mdgeomfeat.report.wording.choices import choices_in_words
from mdgeomfeat.report.wording.convergence import convergence_in_words
from mdgeomfeat.report.wording.differences import (
    difference_in_words,
    differences_in_words,
)
from mdgeomfeat.report.wording.doubts import doubts_in_words, failures_in_words
from mdgeomfeat.report.wording.ensembles import ensembles_in_words
from mdgeomfeat.report.wording.findings import RANDOM, findings_in_words
from mdgeomfeat.report.wording.importance import (
    importance_in_words,
    quantity_in_words,
)

__all__ = [
    "RANDOM",
    "alignment_in_words",
    "application_in_words",
    "choices_in_words",
    "conclusion_in_words",
    "convergence_in_words",
    "difference_in_words",
    "differences_in_words",
    "doubts_in_words",
    "ensembles_in_words",
    "failures_in_words",
    "findings_in_words",
    "importance_in_words",
    "quantity_in_words",
]
