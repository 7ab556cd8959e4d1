"""Geometric features of molecular dynamics trajectories, and their slow motions.

The public names are imported on first use, so that ``import mdgeomfeat`` (and
with it every ``mdgeomfeat --help``) stays well under a second.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mdgeomfeat.errors import InputError, MDGeomFeatWarning
    from mdgeomfeat.featurizer import GeomGNNFeaturizer
    from mdgeomfeat.featurizer.transformer import GeomGNNTransformer
    from mdgeomfeat.gnn import list_models, load_model
    from mdgeomfeat.kinetics import TokenDataset
    from mdgeomfeat.structure import Structure

__version__ = "0.1.0"

_HOMES = {
    "GeomGNNFeaturizer": "mdgeomfeat.featurizer",
    "GeomGNNTransformer": "mdgeomfeat.featurizer.transformer",
    "InputError": "mdgeomfeat.errors",
    "MDGeomFeatWarning": "mdgeomfeat.errors",
    "Structure": "mdgeomfeat.structure",
    "TokenDataset": "mdgeomfeat.kinetics",
    "list_models": "mdgeomfeat.gnn",
    "load_model": "mdgeomfeat.gnn",
}

__all__ = [
    "GeomGNNFeaturizer",
    "GeomGNNTransformer",
    "InputError",
    "MDGeomFeatWarning",
    "Structure",
    "TokenDataset",
    "__version__",
    "list_models",
    "load_model",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'mdgeomfeat' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
