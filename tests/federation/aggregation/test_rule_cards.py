"""The rules as the resource lists them say what the server enforces."""

from __future__ import annotations

import json
from itertools import product

from federation.aggregation.compatibility import MIXINGS, MODEL_KINDS, WEIGHTINGS, Cell, refusals
from federation.aggregation.methods import METHODS
from federation.aggregation.rule_cards import rule_cards


def test_each_card_goes_with_exactly_what_is_not_refused() -> None:
    cards = {card["name"]: card for card in rule_cards()}
    assert list(cards) == list(METHODS)
    for name, model, mixing, weighting in product(METHODS, MODEL_KINDS, MIXINGS, WEIGHTINGS):
        allowed = weighting in cards[name]["goes_with"].get(model, {}).get(mixing, ())
        assert allowed == (not refusals(Cell(name, mixing, weighting, model))), (name, model, mixing, weighting)


def test_a_card_describes_every_option_and_is_small() -> None:
    cards = rule_cards()
    for card in cards:
        assert set(card["options"]) == set(METHODS[card["name"]].options.model_fields)
        assert all("description" in option for option in card["options"].values())
    assert len(json.dumps(cards)) < 16_000
