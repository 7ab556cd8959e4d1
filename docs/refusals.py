"""Every sentence that the package refuses with, found in its source."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from itertools import product
from pathlib import Path

__all__ = ["CALLS", "Module", "called", "refusals"]

#: What stops a command with a sentence.
CALLS = frozenset({"InputError", "ScoreError"})
_FUNCTION = ast.FunctionDef | ast.AsyncFunctionDef
#: A sentence is listed with all its wordings only up to this many.
_MANY = 12


def called(tree: ast.AST, names: Iterable[str]) -> Iterator[ast.expr]:
    """Yield the first argument of every call of one of these names."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and node.args and name_of(node.func) in names:
            yield node.args[0]


def name_of(function: ast.expr) -> str:
    """Return the last part of the name of what is called."""
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def refusals(source: Path) -> Iterator[str]:
    """Yield the sentences of a module; … stands for what it fills in."""
    tree = ast.parse(source.read_text(encoding="utf-8"))
    module = Module(tree)
    for text in called(tree, CALLS):
        yield from module.wordings(text)


class Module:
    """Finds the wordings of a text where parts of it are made elsewhere in a module.

    A clause that stands in a table, that a function of the module returns, that is
    assigned to a variable before, or that a caller hands over is put in its place if it
    has at least three words. Everything else is a name or a number, and becomes "…".
    """

    def __init__(self, tree: ast.Module) -> None:
        self._functions = {
            n.name: n for n in ast.walk(tree) if isinstance(n, _FUNCTION)
        }
        self._tables = {
            ast.unparse(target): node.value
            for node in tree.body
            if isinstance(node, ast.Assign | ast.AnnAssign)
            and isinstance(node.value, ast.Dict)
            for target in (
                node.targets if isinstance(node, ast.Assign) else [node.target]
            )
        }
        self._calls = [n for n in ast.walk(tree) if isinstance(n, ast.Call)]
        self._home = {
            id(part): function
            for function in self._functions.values()
            for part in ast.walk(function)
        }

    def wordings(self, text: ast.expr, depth: int = 0) -> list[str]:
        """Return the wordings of an expression, none if they are not found."""
        if isinstance(text, ast.Constant):
            return [text.value] if isinstance(text.value, str) else []
        if isinstance(text, ast.IfExp):
            return self.wordings(text.body, depth) + self.wordings(text.orelse, depth)
        if isinstance(text, ast.JoinedStr):
            parts = [self._part(value, depth) for value in text.values]
            return ["".join(whole) for whole in product(*parts)][:_MANY]
        return self._elsewhere(text, depth + 1) if depth < 3 else []

    def _part(self, value: ast.expr, depth: int) -> list[str]:
        if isinstance(value, ast.Constant):
            return [str(value.value)]
        assert isinstance(value, ast.FormattedValue)
        clauses = [w for w in self.wordings(value.value, depth) if w.count(" ") > 1]
        return clauses[:_MANY] or ["…"]

    def _elsewhere(self, text: ast.expr, depth: int) -> list[str]:
        found: list[ast.expr] = []
        if isinstance(text, ast.Subscript):
            table = self._tables.get(ast.unparse(text.value))
            found = list(table.values) if isinstance(table, ast.Dict) else []
        elif isinstance(text, ast.Call):
            function = self._functions.get(name_of(text.func))
            found = [
                node.value
                for node in (ast.walk(function) if function else ())
                if isinstance(node, ast.Return) and node.value is not None
            ]
        elif isinstance(text, ast.Name):
            found = self._values(text)
        return [w for one in found for w in self.wordings(one, depth)]

    def _values(self, name: ast.Name) -> list[ast.expr]:
        """Return what a variable holds: what is assigned, or what callers hand over."""
        function = self._home.get(id(name))
        if function is None:
            return []
        assigned = [
            node.value
            for node in ast.walk(function)
            if isinstance(node, ast.Assign)
            and any(ast.unparse(target) == name.id for target in node.targets)
        ]
        arguments = [a.arg for a in (*function.args.posonlyargs, *function.args.args)]
        if assigned or name.id not in arguments:
            return assigned
        handed = []
        for call in self._calls:
            if name_of(call.func) == function.name:
                method = arguments[0] in ("self", "cls")
                place = arguments.index(name.id) - method
                handed += call.args[place : place + 1]
                handed += [k.value for k in call.keywords if k.arg == name.id]
        return handed
