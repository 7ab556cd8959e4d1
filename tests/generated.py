"""What makes the pages of the documentation that come from the program itself."""

from __future__ import annotations

import importlib
import sys
from functools import cache
from pathlib import Path
from types import ModuleType

DOCS = Path(__file__).parents[1] / "docs"


@cache
def _module(name: str) -> ModuleType:
    sys.path.insert(0, str(DOCS))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(DOCS))


def generate() -> ModuleType:
    """Return docs/generate.py."""
    return _module("generate")


def refusals_of_docs() -> ModuleType:
    """Return docs/refusals.py."""
    return _module("refusals")
