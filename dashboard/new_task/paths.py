"""Dotted places in a spec that a person may have written by hand: any section may be missing, or no section at all."""

from __future__ import annotations

from typing import Any

Spec = dict[str, Any]

MISSING: Any = object()


def found(spec: Spec, path: str) -> Any:
    """What stands at `path`, else MISSING."""
    node: Any = spec
    for name in path.split("."):
        if not isinstance(node, dict) or name not in node:
            return MISSING
        node = node[name]
    return node


def put(spec: Spec, path: str, value: Any) -> Spec:
    """A copy with `value` at `path`; sections are made on the way."""
    name, _, rest = path.partition(".")
    if not rest:
        return {**spec, name: value}
    section = spec.get(name)
    return {**spec, name: put(section if isinstance(section, dict) else {}, rest, value)}


def without(spec: Spec, path: str) -> Spec:
    """A copy with nothing at `path`; a section that is empty then goes too."""
    name, _, rest = path.partition(".")
    if name not in spec:
        return dict(spec)
    others = {key: value for key, value in spec.items() if key != name}
    section = spec[name]
    if not rest:
        return others
    if not isinstance(section, dict):
        return dict(spec)
    left = without(section, rest)
    return {key: (left if key == name else value) for key, value in spec.items()} if left else others
