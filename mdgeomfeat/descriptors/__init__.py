"""Classical descriptors of the frames that a featurizer has just read.

================  ==============================================================
kind              columns
================  ==============================================================
``distances``     all heavy-atom pairs of a small system, else the closest
                  heavy-atom distance of pairs of tokens, Å
``ca_distances``  pairs of alpha carbons, Å
``dihedrals``     sine and cosine of backbone and side-chain torsions
``positions``     heavy atoms (alpha carbons of larger proteins) superposed on a
                  reference frame, Å
================  ==============================================================

Beside these tables, single coordinates go by the names that people give them, see
:mod:`mdgeomfeat.descriptors.coordinates`.
"""

from __future__ import annotations

from mdgeomfeat.descriptors.closest import closest_distances
from mdgeomfeat.descriptors.compute import Descriptors, angles, compute_descriptors
from mdgeomfeat.descriptors.coordinates import (
    Coordinate,
    CoordinateName,
    plan_coordinates,
    read_coordinates,
)
from mdgeomfeat.descriptors.distances import rank_in_chain
from mdgeomfeat.descriptors.plan import (
    KINDS,
    DescriptorPlan,
    applicable,
    descriptor_width,
    plan_angles,
    plan_descriptors,
)
from mdgeomfeat.descriptors.superpose import superpose

__all__ = [
    "KINDS",
    "Coordinate",
    "CoordinateName",
    "DescriptorPlan",
    "Descriptors",
    "angles",
    "applicable",
    "closest_distances",
    "compute_descriptors",
    "descriptor_width",
    "plan_angles",
    "plan_coordinates",
    "plan_descriptors",
    "rank_in_chain",
    "read_coordinates",
    "superpose",
]
