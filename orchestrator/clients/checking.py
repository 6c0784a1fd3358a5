"""Looks a client's code over before anybody runs it. A lint: it finds what is written plainly, and proves nothing."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from orchestrator.clients.doors import BUILTINS, DOORS, FLOWER, IMPORTS, METHODS
from orchestrator.clients.modules import Allowed, stray, taken
from orchestrator.clients.owned import Owned, plainly_formatted
from orchestrator.clients.template import Framework

MOST_CHARACTERS = 40_000
MOST_NODES = 8_000
_ASKING = ("getattr", "hasattr")


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
    owned = Owned(nodes)
    found = [finding for node in nodes for finding in _findings(node, allowed, owned)]
    modules = [
        Finding(line, problem, "take what training needs, by its name") for line, problem in stray(nodes, allowed)
    ]
    return sorted({*found, *modules})


def _findings(node: ast.AST, allowed: Allowed, owned: Owned) -> Iterator[Finding]:
    if isinstance(node, ast.Import | ast.ImportFrom):
        yield from _of_import(node, allowed)
    elif isinstance(node, ast.Name):
        yield from _of_name(node, owned)
    elif isinstance(node, ast.Attribute):
        yield from _of_attribute(node, owned)
    elif isinstance(node, ast.Call):
        yield from _of_call(node)
    elif isinstance(node, ast.MatchClass):
        for name in node.kwd_attrs:
            if _is_door(name):
                yield Finding(node.lineno, f"it matches .{name}", "use tensors, models and optimisers only")
    elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        if node.name.startswith("__") and node.name not in METHODS:
            yield Finding(node.lineno, f"it defines {node.name}", "leave Python's own machinery alone")
    elif isinstance(node, ast.arg | ast.keyword) and (node.arg or "").startswith("__"):
        yield Finding(node.lineno, f"it names something {node.arg}", "use a name without two underscores")


def _of_import(node: ast.Import | ast.ImportFrom, allowed: Allowed) -> Iterator[Finding]:
    if isinstance(node, ast.Import):
        for alias in node.names:
            if alias.name not in allowed:
                yield _foreign(node.lineno, alias.name, allowed)
        return
    module = "." * node.level + (node.module or "")
    if module not in allowed:
        yield _foreign(node.lineno, module, allowed)
        return
    names = allowed[module]
    for alias in node.names:
        known = alias.name != "*" and taken(module, alias.name, allowed)
        if not known or (names is None and f"{module}.{alias.name}" not in allowed and _is_door(alias.name)):
            mend = f"import of it only {', '.join(sorted(names))}" if names else "import what training needs, by name"
            yield Finding(node.lineno, f"it imports {alias.name} from {module}", mend)


def _foreign(line: int, module: str, allowed: Allowed) -> Finding:
    return Finding(line, f"it imports {module}", f"import only {', '.join(sorted(allowed))}")


def _of_name(node: ast.Name, owned: Owned) -> Iterator[Finding]:
    stored = not isinstance(node.ctx, ast.Load)
    if node.id in BUILTINS or (node.id.startswith("__") and not owned.is_plain(node)):
        yield Finding(node.lineno, f"it uses {node.id}", "a training needs no such thing")
    elif node.id in (*_ASKING, "type", "super", "__import__") and stored:
        yield Finding(node.lineno, f"it gives {node.id} another meaning", "choose another name")
    elif node.id in _ASKING and not owned.is_called(node):
        yield Finding(node.lineno, f"it hands {node.id} on", "call it, with a plain name")


def _of_attribute(node: ast.Attribute, owned: Owned) -> Iterator[Finding]:
    if _is_door(node.attr) and not owned.is_own(node) and not plainly_formatted(node):
        yield Finding(node.lineno, f"it reaches for .{node.attr}", "use tensors, models and optimisers only")
    if owned.changes_library(node):
        yield Finding(node.lineno, f"it changes {ast.unparse(node)[:80]}", "leave libraries and classes as they are")


def _of_call(node: ast.Call) -> Iterator[Finding]:
    if not isinstance(node.func, ast.Name):
        return
    if node.func.id == "type" and len(node.args) + len(node.keywords) != 1:
        yield Finding(node.lineno, "it makes a class by a call", "write class")
    if node.func.id not in _ASKING:
        return
    name = node.args[1] if len(node.args) > 1 else None
    if not isinstance(name, ast.Constant) or not isinstance(name.value, str) or _is_door(name.value):
        yield Finding(node.lineno, f"it calls {node.func.id} with a name that is not plain", "write object.name")


def _is_door(name: str) -> bool:
    return name.startswith("_") or name in DOORS
