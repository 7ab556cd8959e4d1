"""Benchmarks are scripts: their folder is put on the path, as it is when they run."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import pytest
from label_fixtures import graphs, network, one_thread

__all__ = ["graphs", "network", "one_thread"]

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"

# At the end: a name there must not hide a package, as tables.py would hide PyTables.
if str(BENCHMARKS) not in sys.path:
    sys.path.append(str(BENCHMARKS))


@pytest.fixture(scope="session")
def scripts():
    """Scripts of ``benchmarks/``, which import each other."""
    names = ("qm9", "qm9_data", "qm9_probe", "hot_molecules", "constant_energy")
    found = {name: import_module(name) for name in names}
    return SimpleNamespace(**found, forces=import_module("finetuning"))
