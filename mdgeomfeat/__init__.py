"""Geometric features of molecular dynamics trajectories, and their slow motions.

The public names and the rooms of the package (``mdgeomfeat.kinetics`` …) are imported
on first use, so that ``import mdgeomfeat`` (and with it every ``mdgeomfeat --help``)
stays well under a second.
"""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mdgeomfeat.commands.analyze import analyze, apply, compare
    from mdgeomfeat.errors import InputError, MDGeomFeatWarning
    from mdgeomfeat.featurizer import GeomGNNFeaturizer
    from mdgeomfeat.featurizer.transformer import GeomGNNTransformer
    from mdgeomfeat.gnn import list_models, load_model
    from mdgeomfeat.kinetics import TokenDataset
    from mdgeomfeat.structure import Structure

    __version__: str

_HOMES = {
    "GeomGNNFeaturizer": "mdgeomfeat.featurizer",
    "GeomGNNTransformer": "mdgeomfeat.featurizer.transformer",
    "InputError": "mdgeomfeat.errors",
    "MDGeomFeatWarning": "mdgeomfeat.errors",
    "Structure": "mdgeomfeat.structure",
    "TokenDataset": "mdgeomfeat.kinetics",
    "analyze": "mdgeomfeat.commands.analyze",
    "apply": "mdgeomfeat.commands.analyze",
    "compare": "mdgeomfeat.commands.analyze",
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
    "analyze",
    "apply",
    "compare",
    "list_models",
    "load_model",
]


_ROOMS = frozenset(found.name for found in iter_modules(__path__))


def __getattr__(name: str) -> object:
    if name == "__version__":
        # Of what is installed: pyproject.toml is the one place that states it.
        from importlib.metadata import version

        return version("mdgeomfeat")
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    if name in _ROOMS:
        return import_module(f"mdgeomfeat.{name}")
    raise AttributeError(f"module 'mdgeomfeat' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*__all__, *_ROOMS})
