"""Engines: ways to run a network over a trajectory, all with the same answer."""

from __future__ import annotations

from mdgeomfeat.gnn.engine.base import Engine, resolve_device
from mdgeomfeat.gnn.engine.choice import make_engine

__all__ = ["Engine", "make_engine", "resolve_device"]
