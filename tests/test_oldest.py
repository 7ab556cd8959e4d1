"""The oldest versions that are tested are those that pyproject.toml allows."""

from __future__ import annotations

import importlib.util
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def oldest():
    spec = importlib.util.spec_from_file_location("oldest", ROOT / ".ci" / "oldest.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.oldest


@pytest.mark.parametrize(
    ("requirement", "constraint"),
    [
        ("numpy>=1.26", "numpy==1.26.*"),
        ("zarr>=3.1.3", "zarr==3.1.3"),
        ("rich>=13", "rich==13.0.*"),
        ("torch-geometric[full]>=2.6", "torch-geometric==2.6.*"),
        ("netCDF4", None),
    ],
)
def test_the_bound_itself_is_tested(oldest, requirement, constraint):
    assert oldest(requirement) == constraint


def test_every_bound_is_read(oldest):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    bounded = [r for r in project["dependencies"] if ">=" in r]
    assert len(bounded) > 10
    assert all(oldest(requirement) for requirement in bounded)
