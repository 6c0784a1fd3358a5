"""Looks a client's code over before anybody runs it. A lint: it finds what is written plainly, and proves nothing."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from orchestrator.clients.doors import BUILTINS, DOORS, FLOWER, IMPORTS, METHODS
from orchestrator.clients.template import Framework

MOST_CHARACTERS = 40_000
MOST_NODES = 8_000


@dataclass(frozen=True, order=True)
class Finding:
    """What is wrong, where (a line from 1), and what to do."""

    line: int
    problem: str
    mend: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.problem}. Mend: {self.mend}"


def check_code(code: str, framework: Framework) -> list[Finding]:
    """Everything found, by line; an empty list where nothing is."""
    if len(code) > MOST_CHARACTERS:
        return [
            Finding(1, f"the code has {len(code):,} characters, allowed are {MOST_CHARACTERS:,}", "make it shorter")
        ]
    try:
        tree = ast.parse(code)
    except SyntaxError as error:
        return [Finding(error.lineno or 1, f"it is no Python: {error.msg}", "correct the syntax")]
    except (ValueError, RecursionError, MemoryError) as error:
        return [Finding(1, f"it cannot be parsed: {error or type(error).__name__}", "write plain Python")]
    nodes = list(ast.walk(tree))
    if len(nodes) > MOST_NODES:
        return [Finding(1, f"the code has {len(nodes):,} parts, allowed are {MOST_NODES:,}", "make it shorter")]
    allowed = IMPORTS | (FLOWER if framework == "flower" else {})
    imported = {alias.asname or alias.name.partition(".")[0] for node in nodes for alias in _aliases(node)}
    found = [finding for node in nodes for finding in _findings(node, allowed, imported)]
    return sorted(set(found))


def _findings(node: ast.AST, allowed: dict[str, frozenset[str] | None], imported: set[str]) -> Iterator[Finding]:
    if isinstance(node, ast.Import | ast.ImportFrom):
        yield from _of_import(node, allowed)
    elif isinstance(node, ast.Name):
        yield from _of_name(node)
    elif isinstance(node, ast.Attribute):
        yield from _of_attribute(node, imported)
    elif isinstance(node, ast.Call):
        yield from _of_call(node)
    elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        if node.name.startswith("__") and node.name not in METHODS:
            yield Finding(node.lineno, f"it defines {node.name}", "leave Python's own machinery alone")
    elif isinstance(node, ast.arg | ast.keyword) and (node.arg or "").startswith("__"):
        yield Finding(node.lineno, f"it names something {node.arg}", "use a name without two underscores")


def _aliases(node: ast.AST) -> list[ast.alias]:
    return node.names if isinstance(node, ast.Import | ast.ImportFrom) else []


def _of_import(node: ast.Import | ast.ImportFrom, allowed: dict[str, frozenset[str] | None]) -> Iterator[Finding]:
    if isinstance(node, ast.Import):
        for alias in node.names:
            if allowed.get(alias.name, frozenset()) is not None:
                yield _foreign(node.lineno, alias.name, allowed)
        return
    module = "." * node.level + (node.module or "")
    if module not in allowed:
        yield _foreign(node.lineno, module, allowed)
        return
    names = allowed[module]
    for alias in node.names:
        known = alias.name in names if names is not None else not _is_door(alias.name)
        if not known or alias.name == "*":
            mend = f"import of it only {', '.join(sorted(names))}" if names else "import what training needs, by name"
            yield Finding(node.lineno, f"it imports {alias.name} from {module}", mend)


def _foreign(line: int, module: str, allowed: dict[str, frozenset[str] | None]) -> Finding:
    return Finding(line, f"it imports {module}", f"import only {', '.join(sorted(allowed))}")


def _of_name(node: ast.Name) -> Iterator[Finding]:
    if node.id in BUILTINS or (node.id.startswith("__") and node.id != "__name__"):
        yield Finding(node.lineno, f"it uses {node.id}", "a training needs no such thing")
    elif node.id in ("getattr", "hasattr", "__import__") and not isinstance(node.ctx, ast.Load):
        yield Finding(node.lineno, f"it gives {node.id} another meaning", "choose another name")


def _of_attribute(node: ast.Attribute, imported: set[str]) -> Iterator[Finding]:
    if _is_door(node.attr) and not _is_own(node):
        yield Finding(node.lineno, f"it reaches for .{node.attr}", "use tensors, models and optimisers only")
    root = node.value
    while isinstance(root, ast.Attribute):
        root = root.value
    if not isinstance(node.ctx, ast.Load) and isinstance(root, ast.Name) and root.id in imported:
        yield Finding(node.lineno, f"it changes {root.id}.{node.attr}", "leave libraries as they are")


def _is_own(node: ast.Attribute) -> bool:
    """Of an object of the code's own classes: `self._x`, `super().__init__`."""
    if isinstance(node.value, ast.Name) and node.value.id == "self":
        return not node.attr.startswith("__")
    is_super = isinstance(node.value, ast.Call) and isinstance(node.value.func, ast.Name)
    return is_super and ast.unparse(node.value) == "super()" and node.attr in METHODS


def _of_call(node: ast.Call) -> Iterator[Finding]:
    if not isinstance(node.func, ast.Name) or node.func.id not in ("getattr", "hasattr"):
        return
    name = node.args[1] if len(node.args) > 1 else None
    if not isinstance(name, ast.Constant) or not isinstance(name.value, str) or _is_door(name.value):
        yield Finding(node.lineno, f"it calls {node.func.id} with a name that is not plain", "write object.name")


def _is_door(name: str) -> bool:
    return name.startswith("_") or name in DOORS
