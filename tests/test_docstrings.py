"""What a reader can rely on: docstrings state arguments and errors.

Parameters are asked of what users reach: names that the package or one of its rooms
exports, and those of the reference. Errors are asked of everything that another module
may call.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import mdgeomfeat

PACKAGE = Path(mdgeomfeat.__file__).parent
FUNCTION = (ast.FunctionDef, ast.AsyncFunctionDef)


def exported() -> set[str]:
    """Return the names of the package, of its rooms, and of the reference."""
    names = set(mdgeomfeat.__all__)
    for path in PACKAGE.glob("*/__init__.py"):
        names |= named_in(ast.parse(path.read_text()))
    page = (PACKAGE.parent / "docs" / "api.md").read_text()
    for module in re.findall(r"^\.\. automodule:: mdgeomfeat\.([\w.]+)$", page, re.M):
        path = PACKAGE / f"{module.replace('.', '/')}.py"
        names |= named_in(ast.parse(path.read_text()))
    return names | set(re.findall(r"^\.\. auto\w+:: [\w.]+\.(\w+)$", page, re.M))


def named_in(tree: ast.Module) -> set[str]:
    """Return what ``__all__`` names."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return {
                c.value for c in ast.walk(node.value) if isinstance(c, ast.Constant)
            }
    return set()


def public(tree: ast.Module) -> list[tuple[str, ast.FunctionDef, ast.ClassDef | None]]:
    """Return functions that ``__all__`` names, and public methods of its classes."""
    named = named_in(tree)
    found = []
    for node in tree.body:
        if isinstance(node, FUNCTION) and node.name in named:
            found.append((node.name, node, None))
        elif isinstance(node, ast.ClassDef) and node.name in named:
            found += [
                (f"{node.name}.{part.name}", part, node)
                for part in node.body
                if isinstance(part, FUNCTION) and not part.name.startswith("_")
            ]
    return found


def arguments(node: ast.FunctionDef, owner: ast.ClassDef | None) -> list[str]:
    spec = node.args
    names = [a.arg for a in (*spec.posonlyargs, *spec.args, *spec.kwonlyargs)]
    static = any(ast.unparse(d) == "staticmethod" for d in node.decorator_list)
    return names[1:] if owner is not None and not static else names


def raises(node: ast.AST) -> bool:
    """Whether a function itself raises an error of use, not one of its nested ones."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Raise) and child.exc is not None:
            made = child.exc.func if isinstance(child.exc, ast.Call) else child.exc
            if ast.unparse(made) in {"InputError", "ValueError", "TypeError"}:
                return True
        elif not isinstance(child, (*FUNCTION, ast.ClassDef, ast.Lambda)) and raises(
            child
        ):
            return True
    return False


def overrides(owner: ast.ClassDef | None) -> bool:
    """Whether a class has a base, which may be where its methods are described."""
    bases = {ast.unparse(b).split("[")[0] for b in owner.bases} if owner else set()
    return bool(bases - {"Protocol", "Generic", "NamedTuple", "Enum"})


def lacking() -> list[str]:
    found, reached = [], exported()
    for path in sorted(PACKAGE.rglob("*.py")):
        if PACKAGE / "cli" in path.parents:
            continue  # their docstrings are what --help shows
        for name, node, owner in public(ast.parse(path.read_text())):
            text = ast.get_docstring(node) or ""
            where = f"{path.relative_to(PACKAGE)}: {name}"
            if any("overload" in ast.unparse(d) for d in node.decorator_list):
                continue
            if not text:
                found.append(f"{where} has no docstring")
                continue
            asked = name.split(".")[0] in reached and not overrides(owner)
            if (
                asked
                and len(arguments(node, owner)) >= 2
                and "Parameters\n---" not in text
            ):
                found.append(f"{where} lacks Parameters")
            if raises(node) and "Raises\n---" not in text:
                found.append(f"{where} lacks Raises")
    return found


def test_public_docstrings_state_arguments_and_errors():
    found = lacking()
    assert not found, "\n".join(found)


def test_what_is_missing_is_found():
    tree = ast.parse(
        "__all__ = ['f', 'C']\n"
        "def f(a, b):\n    if a:\n        raise InputError('No.')\n"
        "class C:\n"
        "    def one(self, a): ...\n"
        "    def _own(self, a, b): ...\n"
        "    def two(self, a, b):\n        def g(): raise ValueError\n"
        "def hidden(a, b): ...\n"
    )
    found = {
        name: (arguments(node, own), raises(node)) for name, node, own in public(tree)
    }
    assert found == {
        "f": (["a", "b"], True),
        "C.one": (["a"], False),
        "C.two": (["a", "b"], False),
    }
