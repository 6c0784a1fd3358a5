"""What the form knows of specs: the schema, the rules, and the cards of models and data sets, from the server."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dashboard.desk import Line


@dataclass(frozen=True)
class Reference:
    """Cards by name or id."""

    schema: Mapping[str, Any]
    rules: Mapping[str, Mapping[str, Any]]
    models: Mapping[str, Mapping[str, Any]]
    datasets: Mapping[str, Mapping[str, Any]]

    def options(self, section: str, chosen: object) -> Mapping[str, Mapping[str, Any]]:
        """The options of a rule (`aggregation.options`) or of a model (`model.options`), each with its schema."""
        cards = self.rules if section.startswith("aggregation") else self.models
        found: Mapping[str, Mapping[str, Any]] = cards.get(str(chosen), {}).get("options", {})
        return dict(sorted(found.items()))


async def reference(line: Line) -> Reference:
    """Everything, read from the server.

    Raises:
        Refusal: the visitor may not read it.
    """
    return Reference(
        await line.read("potluck://schema/task"),
        {card["name"]: card for card in await line.read("potluck://rules")},
        {card["id"]: card for card in await line.read("potluck://models")},
        {card["id"]: card for card in await line.read("potluck://datasets")},
    )
