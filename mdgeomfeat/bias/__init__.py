"""Biased simulation along learnt variables, with OpenMM or, exported, with PLUMED."""

from __future__ import annotations

from mdgeomfeat.bias.colvar import read_colvar
from mdgeomfeat.bias.force import openmm_variables
from mdgeomfeat.bias.ranges import BiasRange, propose_ranges
from mdgeomfeat.bias.sampler import Bias, BiasSettings
from mdgeomfeat.bias.simulation import BiasedSimulation, RunSettings

__all__ = [
    "Bias",
    "BiasRange",
    "BiasSettings",
    "BiasedSimulation",
    "RunSettings",
    "openmm_variables",
    "propose_ranges",
    "read_colvar",
]
