"""Shared fixtures. Other people's data is used where it is present."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("MDGEOMFEAT_SHARED", ROOT.parent / "shared"))


@pytest.fixture(scope="session")
def data() -> Path:
    """Return the folder of the repository's own trajectories."""
    return ROOT / "data"


@pytest.fixture(scope="session")
def shared() -> Path:
    """Return the folder of development data that other people made."""
    if not SHARED.is_dir():
        pytest.skip("the development data (../shared) is not on this machine")
    return SHARED
