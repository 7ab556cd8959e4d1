"""The rooms of the design: who may import whom, and how light they are."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from importlib import metadata
from pathlib import Path

import pytest

import mdgeomfeat

PACKAGE = Path(mdgeomfeat.__file__).parent
PYPROJECT = PACKAGE.parent / "pyproject.toml"

# Every room may import from those that stand above it.
ROOMS = [
    ["errors", "jit", "radii", "tensorfiles", "text"],
    ["boxes", "memory", "upstream"],
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
    ["variables"],
    ["explain"],
    ["bias"],
    ["report"],
    ["commands"],
    ["cli"],
]
LEVEL = {room: level for level, rooms in enumerate(ROOMS) for room in rooms}
WINGS = {
    "pretraining": {
        "errors", "jit", "radii", "tensorfiles", "gnn", "neighbors", "testing",
        "pretraining",
    },
    "finetuning": {
        "errors", "tensorfiles", "gnn", "pretraining", "finetuning"
    },
    "folds": {
        "errors", "tensorfiles", "structure", "neighbors", "reading", "gnn",
        "featurizer", "pretraining", "finetuning", "folds",
    },
}  # fmt: skip


def imported_rooms(source: str, module: str, *, package: bool = False) -> set[str]:
    """Rooms of the package that a module imports, wherever in it and however.

    Counted are absolute and relative imports, names taken from the package itself,
    attributes of it (``mdgeomfeat.kinetics`` imports on access) and modules that
    ``import_module`` is given by name. Imports for type checkers count as well.
    """
    tree = ast.parse(source)
    home = module.split(".")[: None if package else -1]
    names: set[str] = set()
    roots = {"mdgeomfeat"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
            roots |= {
                alias.asname
                for alias in node.names
                if alias.name == "mdgeomfeat" and alias.asname
            }
        elif isinstance(node, ast.ImportFrom):
            base = home[: len(home) - node.level + 1] if node.level else []
            origin = ".".join([*base, *([node.module] if node.module else [])])
            names |= {f"{origin}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Call) and _callee(node) in IMPORTERS:
            names |= {_named(text, home) for text in _texts(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) in roots:
            names.add(f"mdgeomfeat.{node.attr}")
    found = {name.split(".")[1] for name in names if name.startswith("mdgeomfeat.")}
    homes = {name: where.split(".")[1] for name, where in mdgeomfeat._HOMES.items()}
    return {homes.get(name, name) for name in found} - {"__version__", "__file__"}


IMPORTERS = {"import_module", "__import__", "find_spec"}


def _callee(call: ast.Call) -> str:
    function = call.func
    return (
        function.attr if isinstance(function, ast.Attribute) else ast.unparse(function)
    )


def _texts(call: ast.Call) -> list[str]:
    """Text among the arguments of a call; of f-strings, what stands at their start."""
    found = []
    for argument in [*call.args, *(word.value for word in call.keywords)]:
        if isinstance(argument, ast.JoinedStr) and argument.values:
            argument = argument.values[0]
        if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
            found.append(argument.value)
    return found


def _named(text: str, home: list[str]) -> str:
    """Absolute name of a module that may be given relative to its importer."""
    dots = len(text) - len(text.lstrip("."))
    base = home[: len(home) - dots + 1] if dots else []
    return ".".join([*base, text.lstrip(".")])


def rooms_imported_by(path: Path) -> set[str]:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    package = parts[-1] == "__init__"
    module = ".".join(parts[:-1] if package else parts)
    return imported_rooms(path.read_text(), module, package=package)


def files() -> list[Path]:
    return sorted(
        p for p in PACKAGE.rglob("*.py") if p.parent != PACKAGE or p.stem[0] != "_"
    )


@pytest.mark.parametrize("path", files(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_module_imports_only_from_rooms_above(path):
    room = path.relative_to(PACKAGE).with_suffix("").parts[0]
    imported = rooms_imported_by(path) - {room}
    if room in WINGS:
        assert imported <= WINGS[room]
        return
    if room == "cli":
        imported -= set(WINGS)
    assert room in LEVEL, f"{path.name} is in no room of the design"
    # What stands on no level is a wing: only the command line may open it.
    below = sorted(n for n in imported if LEVEL.get(n, len(ROOMS)) >= LEVEL[room])
    assert not below, f"{room} imports {below}, which the design places below it"


@pytest.mark.parametrize(
    "line",
    [
        "import mdgeomfeat.cli",
        "import mdgeomfeat.cli.app as a",
        "from mdgeomfeat import cli",
        "from mdgeomfeat.cli import app",
        "from mdgeomfeat.cli.app import main",
        "from ..cli import app",
        "from ..cli.app import main",
        "from .. import cli",
        "def f():\n    from ..cli.app import main",
        "if TYPE_CHECKING:\n    from ..cli import app",
        "import mdgeomfeat\nmdgeomfeat.cli.app.main()",
        "import mdgeomfeat as m\nm.cli.app.main()",
        "import_module('mdgeomfeat.cli')",
        "importlib.import_module('..cli.app', __package__)",
        "importlib.import_module(name='mdgeomfeat.cli.app')",
        "importlib.import_module(f'mdgeomfeat.cli.{name}')",
        "__import__('mdgeomfeat.cli')",
    ],
)
def test_the_guard_sees_every_way_to_import(line):
    assert imported_rooms(line, "mdgeomfeat.pretraining.made_up") == {"cli"}


def test_the_guard_knows_where_a_relative_import_starts():
    # A package's own file stands one level higher than the modules in it.
    source = "from ..errors import InputError\nfrom . import files"
    assert imported_rooms(source, "mdgeomfeat.gnn", package=True) == {"errors", "gnn"}
    assert imported_rooms(source, "mdgeomfeat.gnn.et") == {"errors", "gnn"}
    deeper = "from ...cli import app\nfrom ..cpu import engine"
    assert imported_rooms(deeper, "mdgeomfeat.gnn.engine.choice") == {"cli", "gnn"}
    assert imported_rooms("from mdgeomfeat import Structure", "x") == {"structure"}
    assert imported_rooms("from mdgeomfeat import __version__", "x") == set()
    assert imported_rooms("import torch\nfrom numpy import linalg", "x") == set()


def test_the_guard_refuses_a_made_up_file(tmp_path, monkeypatch):
    package = tmp_path / "mdgeomfeat"
    wing = package / "pretraining"
    wing.mkdir(parents=True)
    bad = wing / "made_up.py"
    bad.write_text("from ..cli import app\n")
    monkeypatch.setitem(globals(), "PACKAGE", package)
    with pytest.raises(AssertionError):
        test_a_module_imports_only_from_rooms_above(bad)
    bad.write_text("from ..gnn import load_model\n")
    test_a_module_imports_only_from_rooms_above(bad)


def module_name(path: Path, root: Path) -> str:
    parts = path.relative_to(root.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def outside_functions(node: ast.AST) -> Iterator[ast.AST]:
    """Yield what stands at module level: in classes and branches, not in functions."""
    for child in ast.iter_child_nodes(node):
        yield child
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield from outside_functions(child)


def modules_needed(root: Path) -> dict[str, set[str]]:
    """Modules of a package that each of them imports at module level.

    Imports for type checkers count: who reads a module needs them as well.
    """
    paths = {module_name(path, root): path for path in root.rglob("*.py")}
    needed: dict[str, set[str]] = {}
    for name, path in paths.items():
        home = name.split(".")[: None if path.name == "__init__.py" else -1]
        found: set[str] = set()
        for node in outside_functions(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                base = home[: len(home) - node.level + 1] if node.level else []
                origin = ".".join([*base, *([node.module] if node.module else [])])
                whole = {f"{origin}.{alias.name}" for alias in node.names}
                found |= (whole & set(paths)) or {origin}
        # what takes a module from its own package does not need the others there
        needed[name] = {other for other in found & set(paths) if other != name}
    return needed


def test_no_module_needs_itself():
    try:
        TopologicalSorter(modules_needed(PACKAGE)).prepare()
    except CycleError as error:
        pytest.fail(" <- ".join(error.args[1]))


@pytest.mark.parametrize(
    ("line", "circle"),
    [
        ("from mdgeomfeat.room.one import name", True),
        ("from . import one", True),
        ("if TYPE_CHECKING:\n    from .one import name", True),
        ("import mdgeomfeat.room.one", True),
        ("def f():\n    from .one import name", False),
        ("from .three import name", False),
    ],
)
def test_the_guard_sees_circles(tmp_path, line, circle):
    room = tmp_path / "mdgeomfeat" / "room"
    room.mkdir(parents=True)
    (room / "one.py").write_text("from .two import name")
    (room / "two.py").write_text(line)
    (room / "three.py").write_text("")
    graph = TopologicalSorter(modules_needed(tmp_path / "mdgeomfeat"))
    if circle:
        with pytest.raises(CycleError):
            graph.prepare()
    else:
        graph.prepare()


@pytest.mark.parametrize("path", files(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_modules_stay_small(path):
    assert len(path.read_text().splitlines()) <= 500


@pytest.mark.parametrize(
    "room", ["mdgeomfeat.gnn", "mdgeomfeat.pretraining", "mdgeomfeat.finetuning"]
)
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


def test_rooms_are_there_without_being_imported():
    code = (
        "import sys, mdgeomfeat\n"
        "assert 'mdgeomfeat.kinetics' not in sys.modules\n"
        "assert 'kinetics' in dir(mdgeomfeat)\n"
        "print(mdgeomfeat.kinetics.__name__, mdgeomfeat.errors.InputError.__name__)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert run.stdout.split() == ["mdgeomfeat.kinetics", "InputError"]


def test_the_version_is_stated_once():
    stated = tomllib.loads(PYPROJECT.read_text())["project"]["version"]
    assert mdgeomfeat.__version__ == metadata.version("mdgeomfeat") == stated
    cited = [
        line.split()[1]
        for line in (PYPROJECT.parent / "CITATION.cff").read_text().splitlines()
        if line.startswith("version:")
    ]
    assert cited == [stated]
    others = [p.name for p in PACKAGE.rglob("*.py") if f'"{stated}"' in p.read_text()]
    assert others == []


def test_test_files_have_names_of_their_own():
    # pytest imports them by their base names, and stops at the second of a kind
    names = [path.name for path in Path(__file__).parent.rglob("test_*.py")]
    assert sorted(n for n in set(names) if names.count(n) > 1) == []
