"""Biased simulation along learnt variables, with OpenMM or, exported, with PLUMED."""

from __future__ import annotations

from mdgeomfeat.bias.force import openmm_variables

__all__ = ["openmm_variables"]
