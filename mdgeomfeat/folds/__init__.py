"""Folds of proteins: the fold benchmark's files, residue tokens, a residue network.

Names are looked up when they are asked for, so that reading lists loads no network.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOMES = {
    "Domain": "domains",
    "FoldConfig": "config",
    "FoldLists": "lists",
    "FoldTraining": "training",
    "ResidueNetwork": "network",
    "ResidueTokens": "tokens",
    "fit_folds": "run",
    "nearest_family": "retrieval",
    "pooled_tokens": "retrieval",
    "read_domain": "domains",
    "read_domains": "lists",
    "read_fold_lists": "lists",
    "residue_graph": "graphs",
    "residue_tokens": "tokens",
}

__all__ = sorted(_HOMES)  # noqa: PLE0605


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)
