"""Equivariant networks: from atoms and edges to scalars and vectors.

A :class:`ModelSpec` says what a network is, :func:`build_model` makes one with random
weights, :func:`load_model` one that was trained.
"""

from mdgeomfeat.gnn.base import Backbone
from mdgeomfeat.gnn.build import build_model, random_twin
from mdgeomfeat.gnn.checkpoints import read_model, save_model
from mdgeomfeat.gnn.heads import GatedEquivariantBlock, GatedEquivariantHead
from mdgeomfeat.gnn.published import PUBLISHED_ELEMENTS, read_published
from mdgeomfeat.gnn.registry import (
    describe_model,
    import_checkpoint,
    list_models,
    load_model,
    user_models,
    verify_model,
)
from mdgeomfeat.gnn.spec import ModelSpec

__all__ = [
    "PUBLISHED_ELEMENTS",
    "Backbone",
    "GatedEquivariantBlock",
    "GatedEquivariantHead",
    "ModelSpec",
    "build_model",
    "describe_model",
    "import_checkpoint",
    "list_models",
    "load_model",
    "random_twin",
    "read_model",
    "read_published",
    "save_model",
    "user_models",
    "verify_model",
]
