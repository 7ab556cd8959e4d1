"""Scripts of ``data/``, which are no package, imported by their path."""

import importlib.util
import sys
from pathlib import Path

import pytest

DATA = Path(__file__).parents[2] / "data"


def load_script(path):
    """Import one script; what it imports from its own folder is found there."""
    # Both folders have a simulate.py.
    name = f"{path.parent.name}_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    sys.path.insert(0, str(path.parent))
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(path.parent))
    return module


@pytest.fixture(scope="session")
def folding():
    """The folder ``data/folding``."""
    return DATA / "folding"


@pytest.fixture(scope="session")
def structure_based(folding):
    pytest.importorskip("openmm")
    return load_script(folding / "structure_based.py")


@pytest.fixture(scope="session")
def simulate_folding(folding):
    pytest.importorskip("openmm")
    return load_script(folding / "simulate.py")


@pytest.fixture(scope="session")
def simulate_peptides():
    pytest.importorskip("openmm")
    return load_script(DATA / "simulate.py")


@pytest.fixture(scope="session")
def folding_reference(folding):
    pytest.importorskip("openmm")
    return load_script(folding / "reference.py")


@pytest.fixture(scope="session")
def simulate_pocket():
    pytest.importorskip("openmm")
    return load_script(DATA / "pocket" / "simulate.py")
