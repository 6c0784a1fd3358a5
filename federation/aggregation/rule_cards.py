"""The rules for those who choose one: title, paper, options, and what each goes together with."""

from __future__ import annotations

from typing import Any

from federation.aggregation.compatibility import MIXINGS, MODEL_KINDS, WEIGHTINGS, Cell, ModelKind, refusals
from federation.aggregation.methods import METHODS, Method


def rule_cards() -> list[dict[str, Any]]:
    """Every rule as JSON: `name`, `title`, `paper`, `kind`, `robust`, `fewest_for_one` (updates among which it
    withstands one Byzantine; null for none), `options` (a JSON Schema each, by name), `goes_with` (model kind: mixing:
    the weightings; what is missing is refused)."""
    return [_card(method) for method in METHODS.values()]


def _card(method: Method) -> dict[str, Any]:
    options = method.options.model_json_schema().get("properties", {})
    return {
        "name": method.name,
        "title": method.title,
        "paper": method.paper,
        "kind": method.kind.value,
        "robust": method.robust,
        "fewest_for_one": method.fewest(1) if method.robust else None,
        "options": {
            name: {key: value for key, value in schema.items() if key != "title"} for name, schema in options.items()
        },
        "goes_with": {model: found for model in MODEL_KINDS if (found := _mixings(method, model))},
    }


def _mixings(method: Method, model: ModelKind) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {
        mixing: [
            str(weighting) for weighting in WEIGHTINGS if not refusals(Cell(method.name, mixing, weighting, model))
        ]
        for mixing in MIXINGS
    }
    return {mixing: weightings for mixing, weightings in found.items() if weightings}
