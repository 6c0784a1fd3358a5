"""What is the code's own, with which it may do as it likes, and what is a library's."""

from __future__ import annotations

import ast
import string

from orchestrator.clients.doors import METHODS, SETTINGS
from orchestrator.clients.modules import bindings


class Owned:
    """Knows the code's classes and imports, and the names that it gave to parts of libraries."""

    def __init__(self, nodes: list[ast.AST]) -> None:
        self._bound = bindings(nodes)
        stored = {node.id for node in nodes if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load)}
        self._classes = {node.name for node in nodes if isinstance(node, ast.ClassDef)} - stored - set(self._bound)
        self._called = {id(node.func) for node in nodes if isinstance(node, ast.Call)}
        self._slots = {
            id(target)
            for body in (node.body for node in nodes if isinstance(node, ast.ClassDef))
            for each in body
            if isinstance(each, ast.Assign)
            for target in each.targets
        }
        self._foreign = set(self._bound)
        aliases = [node for node in nodes if isinstance(node, ast.Assign | ast.NamedExpr | ast.AnnAssign)]
        for _ in range(3):  # a name for a name for a name
            for node in aliases:
                if node.value is not None and self._is_foreign(node.value):
                    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                    self._foreign |= {target.id for target in targets if isinstance(target, ast.Name)}

    def is_plain(self, node: ast.Name) -> bool:
        """`__name__`, and `__slots__` where a class lists them."""
        return node.id == "__name__" or (node.id == "__slots__" and id(node) in self._slots)

    def is_called(self, node: ast.Name) -> bool:
        return id(node) in self._called

    def is_own(self, node: ast.Attribute) -> bool:
        """Of an object of the code's own classes: `self._x`, `Net._x`, `super().__init__`."""
        if isinstance(node.value, ast.Name):
            return node.value.id in {"self", "cls", *self._classes} and not node.attr.startswith("__")
        call = node.value
        is_super = isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "super"
        return is_super and node.attr in METHODS

    def changes_library(self, node: ast.Attribute) -> bool:
        """An assignment, or a deletion, in a module, in something of one, or in a class that `type` answered."""
        if isinstance(node.ctx, ast.Load) or not self._is_foreign(node.value):
            return False
        first, _, rest = ast.unparse(node).partition(".")
        return f"{self._bound.get(first, first)}.{rest}" not in SETTINGS

    def _is_foreign(self, node: ast.expr) -> bool:
        while isinstance(node, ast.Attribute | ast.Subscript):
            node = node.value
        if isinstance(node, ast.Call):
            return isinstance(node.func, ast.Name) and node.func.id == "type"
        return isinstance(node, ast.Name) and node.id in self._foreign


def plainly_formatted(node: ast.Attribute) -> bool:
    """`"{:.3f}".format`: of a text that stands there, whose places reach into nothing."""
    if node.attr != "format" or not isinstance(node.value, ast.Constant) or not isinstance(node.value.value, str):
        return False
    try:
        return _is_plain(node.value.value)
    except ValueError:
        return False


def _is_plain(text: str) -> bool:
    for _, name, form, _ in string.Formatter().parse(text):
        if name is not None and (not name.isidentifier() and not name.isdecimal() and name):
            return False
        if form and not _is_plain(form):
            return False
    return True
