"""Biased simulation along learnt variables, with OpenMM or, exported, with PLUMED."""

from __future__ import annotations

from mdgeomfeat.bias.exported import write_torch_export
from mdgeomfeat.bias.force import openmm_variables
from mdgeomfeat.bias.plumed import ScriptedVariables, plumed_input, write_torchscript
from mdgeomfeat.bias.ranges import BiasRange, propose_ranges
from mdgeomfeat.bias.sampler import Bias, BiasSettings
from mdgeomfeat.bias.simulation import BiasedSimulation, RunSettings

__all__ = [
    "Bias",
    "BiasRange",
    "BiasSettings",
    "BiasedSimulation",
    "RunSettings",
    "ScriptedVariables",
    "openmm_variables",
    "plumed_input",
    "propose_ranges",
    "write_torch_export",
    "write_torchscript",
]
