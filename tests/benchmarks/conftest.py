"""Benchmarks are scripts: their folder is put on the path, as it is when they run."""

from __future__ import annotations

import sys
from pathlib import Path

import numba
import pytest
import torch

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads(), numba.get_num_threads()
    torch.set_num_threads(1)
    numba.set_num_threads(1)
    yield
    torch.set_num_threads(before[0])
    numba.set_num_threads(before[1])


if str(BENCHMARKS) not in sys.path:
    sys.path.insert(0, str(BENCHMARKS))
