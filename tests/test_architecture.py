"""The rooms of the design: who may import whom, and how light they are."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import mdgeomfeat

PACKAGE = Path(mdgeomfeat.__file__).parent

# Every room may import from those that stand above it.
ROOMS = [
    ["errors", "jit"],
    ["boxes", "memory"],
    ["structure"],
    ["neighbors"],
    ["reading"],
    ["gnn"],
    ["featurespec"],
    ["testing"],
    ["store"],
    ["featurizer"],
    ["descriptors"],
    ["mixing"],
    ["kinetics"],
    ["projection"],
    ["report"],
    ["workflow"],
    ["cli"],
]
LEVEL = {room: level for level, rooms in enumerate(ROOMS) for room in rooms}
WINGS = {"pretraining": {"errors", "jit", "gnn", "neighbors", "testing", "pretraining"}}


def room_of(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def imported_rooms(path: Path) -> set[str]:
    """Rooms of the package that a file imports at its top level or in functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            node.body = []
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module]
            if node.module == "mdgeomfeat":
                names = [f"mdgeomfeat.{alias.name}" for alias in node.names]
        found |= {room_of(name) for name in names if name.startswith("mdgeomfeat.")}
    return found - {"__version__"}


def files() -> list[Path]:
    return sorted(
        p for p in PACKAGE.rglob("*.py") if p.parent != PACKAGE or p.stem[0] != "_"
    )


@pytest.mark.parametrize("path", files(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_module_imports_only_from_rooms_above(path):
    room = path.relative_to(PACKAGE).with_suffix("").parts[0]
    imported = imported_rooms(path) - {room}
    if room in WINGS:
        assert imported <= WINGS[room]
        return
    if room == "cli":
        imported.discard("pretraining")
    assert room in LEVEL, f"{path.name} is in no room of the design"
    below = sorted(name for name in imported if LEVEL[name] >= LEVEL[room])
    assert not below, f"{room} imports {below}, which the design places below it"


@pytest.mark.parametrize("path", files(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_modules_stay_small(path):
    assert len(path.read_text().splitlines()) <= 500


@pytest.mark.parametrize("room", ["mdgeomfeat.gnn", "mdgeomfeat.pretraining"])
def test_training_needs_neither_mdanalysis_nor_deeptime(room):
    code = (
        "import sys, pkgutil, importlib.util\n"
        "for name in ('MDAnalysis', 'deeptime', 'mdtraj'): sys.modules[name] = None\n"
        f"room = importlib.import_module('{room}')\n"
        "triton = importlib.util.find_spec('triton') is not None\n"
        "for info in pkgutil.walk_packages(room.__path__, room.__name__ + '.'):\n"
        "    kernels = '.cuda.' in info.name and not info.name.endswith('.engine')\n"
        "    if triton or not kernels:\n"
        "        importlib.import_module(info.name)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr


def test_only_the_cuda_engine_needs_triton():
    code = (
        "import sys\n"
        "sys.modules['triton'] = None\n"
        "from mdgeomfeat.gnn import ModelSpec, build_model\n"
        "from mdgeomfeat.gnn.engine import cuda\n"
        "from mdgeomfeat.gnn.engine.choice import choose_engine\n"
        "print(choose_engine(build_model(ModelSpec(n_layers=1)), device='cpu')[0])\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "cpu"


def test_importing_the_package_loads_nothing_heavy():
    code = (
        "import sys, mdgeomfeat\n"
        "heavy = {'torch', 'MDAnalysis', 'numba', 'deeptime', 'sklearn', 'numpy'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "[]"


def test_public_names_exist():
    for name in mdgeomfeat.__all__:
        assert getattr(mdgeomfeat, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = mdgeomfeat.nonsense
