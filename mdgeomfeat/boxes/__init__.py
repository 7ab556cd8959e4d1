"""Periodic boxes: which are boxes, whether they are used, and their lattices.

Boxes are MDAnalysis's: three lengths in Å, then alpha, beta and gamma in degrees.
Whoever asks whether there is a box asks :func:`has_box` for a frame, and
:func:`judge_box` for a run.
"""

from mdgeomfeat.boxes.checks import check_boxes, check_cutoff
from mdgeomfeat.boxes.lattice import (
    box_heights,
    has_box,
    lattice_vectors,
    reduced_lattices,
)
from mdgeomfeat.boxes.overlap import nearest_image
from mdgeomfeat.boxes.verdict import BoxReason, BoxSample, BoxVerdict, judge_box, spread

__all__ = [
    "BoxReason",
    "BoxSample",
    "BoxVerdict",
    "box_heights",
    "check_boxes",
    "check_cutoff",
    "has_box",
    "judge_box",
    "lattice_vectors",
    "nearest_image",
    "reduced_lattices",
    "spread",
]
