"""Equivariant networks: from atoms and edges to scalars and vectors."""

from mdgeomfeat.gnn.base import Backbone
from mdgeomfeat.gnn.build import build_model, random_twin
from mdgeomfeat.gnn.heads import GatedEquivariantHead
from mdgeomfeat.gnn.spec import ModelSpec

__all__ = [
    "Backbone",
    "GatedEquivariantHead",
    "ModelSpec",
    "build_model",
    "random_twin",
]
