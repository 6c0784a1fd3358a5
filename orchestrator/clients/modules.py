"""Which module a name of the code's stands for, and what may be taken of it."""

from __future__ import annotations

import ast
import importlib
import importlib.util
from collections.abc import Iterator, Mapping
from types import ModuleType

Allowed = Mapping[str, frozenset[str] | None]


def bindings(nodes: list[ast.AST]) -> dict[str, str]:
    """What the code's imports bind: its names, with the dotted names of what they stand for."""
    bound: dict[str, str] = {}
    for node in nodes:
        if isinstance(node, ast.Import):
            for alias in node.names:
                first = alias.name.partition(".")[0]
                bound[alias.asname or first] = alias.name if alias.asname else first
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            bound |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    return bound


def stray(nodes: list[ast.AST], allowed: Allowed) -> Iterator[tuple[int, str]]:
    """Lines that take a module's module which is not on the list, a name that is not, or that hand a module on."""
    bound = bindings(nodes)
    parts = {id(node.value) for node in nodes if isinstance(node, ast.Attribute)}  # each but the last of a chain
    for node in nodes:
        if id(node) in parts or not isinstance(node, ast.Attribute | ast.Name) or not isinstance(node.ctx, ast.Load):
            continue
        chain: list[str] = []
        root: ast.expr = node
        while isinstance(root, ast.Attribute):
            chain.insert(0, root.attr)
            root = root.value
        if isinstance(root, ast.Name) and root.id in bound and (problem := _problem(bound[root.id], chain, allowed)):
            yield node.lineno, problem


def taken(module: str, name: str, allowed: Allowed) -> bool:
    """Whether `name` may be taken of a listed module, as far as modules go."""
    names = allowed[module]
    return name in names if names is not None else f"{module}.{name}" in allowed or not _is_module(module, name)


def _problem(place: str, chain: list[str], allowed: Allowed) -> str:
    while place in allowed or _leads_to(place, allowed):
        if not chain:
            return f"it hands the module {place} on"
        name, *chain = chain
        if place in allowed and not _leads_to(f"{place}.{name}", allowed) and not taken(place, name, allowed):
            return f"it reaches for {place}.{name}"
        if place not in allowed and not _leads_to(f"{place}.{name}", allowed):
            return f"it reaches for {place}.{name}"
        place = f"{place}.{name}"
    return ""


def _leads_to(place: str, allowed: Allowed) -> bool:
    return any(each == place or each.startswith(f"{place}.") for each in allowed)


def _is_module(module: str, name: str) -> bool:
    """Whether the name is a module in this listed one: its part, loaded or not, or what it has imported itself."""
    loaded = importlib.import_module(module)
    if isinstance(vars(loaded).get(name), ModuleType):
        return True
    try:
        return hasattr(loaded, "__path__") and importlib.util.find_spec(f"{module}.{name}") is not None
    except (ImportError, AttributeError, ValueError):
        return True  # whatever it is, it is no plain name
