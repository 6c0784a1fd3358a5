"""A spec in the making: fields by dotted path, each with its reason."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from orchestrator.planning.plan import Reason
from orchestrator.planning.reading.wishes import Wishes


class Draft:
    """What has been decided so far.

    Args:
        base: a spec to change; default: an empty one.
    """

    def __init__(self, base: Mapping[str, Any] | None = None) -> None:
        self.spec: dict[str, Any] = copy.deepcopy(dict(base or {}))
        self.notes: list[str] = []
        self._reasons: dict[str, Reason] = {}

    @property
    def reasons(self) -> tuple[Reason, ...]:
        """One a field, in the order in which they were decided."""
        return tuple(self._reasons.values())

    def put(self, path: str, value: Any, why: str) -> None:
        """Decides a field."""
        *sections, name = path.split(".")
        place = self.spec
        for section in sections:
            if not isinstance(place.get(section), dict):
                place[section] = {}
            place = place[section]
        place[name] = value
        self._reasons[path] = Reason(path, value, why)

    def get(self, path: str, default: Any = None) -> Any:
        """What a field has been decided to be."""
        place: Any = self.spec
        for name in path.split("."):
            if not isinstance(place, Mapping) or name not in place:
                return default
            place = place[name]
        return place

    def drop(self, path: str) -> None:
        """Leaves a field, or a section, to its default."""
        *sections, name = path.split(".")
        place = self.get(".".join(sections)) if sections else self.spec
        if isinstance(place, dict):
            place.pop(name, None)
        for gone in [each for each in self._reasons if each == path or each.startswith(f"{path}.")]:
            del self._reasons[gone]

    def choose(self, wishes: Wishes, path: str, value: Any, why: str) -> None:
        """Decides a field: as it was named, or else as is best."""
        stated = wishes.stated.get(path)
        if stated is not None:
            self.put(path, stated.value, stated.why)
        else:
            self.put(path, value, why)

    def take(self, wishes: Wishes, *paths: str) -> None:
        """Decides fields that were named; the others keep their defaults."""
        for path in paths:
            if path in wishes.stated:
                self.put(path, wishes.stated[path].value, wishes.stated[path].why)

    @property
    def pretrained(self) -> bool:
        """Whether the model is a pretrained language model."""
        return str(self.get("model.id", "")).startswith("hf:")
