from __future__ import annotations

from typing import Any

import pytest

from edge_client.membership import _capabilities
from edge_client.models import Models
from federation.aggregation.methods import METHODS
from federation.spec import AggregationSpec


@pytest.mark.parametrize(
    ("rule", "options", "mu"),
    [
        ("fedprox", {}, 0.01),
        ("fedprox", {"mu": 2}, 2.0),
        ("fednova", {}, 0.0),
        ("fednova", {"mu": 0.5}, 0.5),
        ("fedavg", {}, 0.0),
        ("krum", {"f": 1}, 0.0),
    ],
)
def test_a_node_takes_the_proximal_term_that_the_method_asks_for(rule: Any, options: dict[str, Any], mu: float) -> None:
    assert AggregationSpec(rule=rule, options=options).proximal == mu


def test_a_node_knows_every_method_that_there_is_support_for() -> None:
    assert set(_capabilities(Models())["methods"]) == METHODS.keys()
