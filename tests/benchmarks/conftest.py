"""Benchmarks are scripts: their folder is put on the path, as it is when they run."""

from __future__ import annotations

import sys
from pathlib import Path

from label_fixtures import graphs, network, one_thread

__all__ = ["graphs", "network", "one_thread"]

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"

# At the end: a name there must not hide a package, as tables.py would hide PyTables.
if str(BENCHMARKS) not in sys.path:
    sys.path.append(str(BENCHMARKS))
