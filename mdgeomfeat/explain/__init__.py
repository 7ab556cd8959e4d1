"""What a study found, in terms of the molecule: what differs between states.

Numbers only; :mod:`mdgeomfeat.report` makes sentences of them.
"""

from __future__ import annotations

from mdgeomfeat.explain.differences import (
    Difference,
    StateComparison,
    StateDifferences,
    compare_states,
)
from mdgeomfeat.explain.observables import Kind
from mdgeomfeat.explain.sample import Sample, draw_sample

__all__ = [
    "Difference",
    "Kind",
    "Sample",
    "StateComparison",
    "StateDifferences",
    "compare_states",
    "draw_sample",
]
