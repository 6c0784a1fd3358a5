"""validate_task tells the cut that nodes would hold, and the rules are a resource that everyone may read."""

from __future__ import annotations

import json

import pytest

from tests.mcp_server.running import SPEC, Served

pytestmark = pytest.mark.anyio


async def test_the_cut_and_the_rules_are_told(served: Served) -> None:
    operator = await served.operator()
    answer = await operator.call("validate_task", spec=SPEC)
    cut = answer["partition"]
    assert cut["parts"] == 8
    assert [sum(row) for row in cut["labels"]] == cut["examples"]
    own = SPEC | {"data": {"id": "own", "input_shape": [4], "num_classes": 2}}
    assert (await operator.call("validate_task", spec=own))["partition"] is None
    assert (await operator.call("validate_task", spec=SPEC | {"rounds": 0}))["partition"] is None
    largest = SPEC | {"data": {"id": "digits", "partition": {"parts": 100, "min_examples": 1}}}
    assert len(json.dumps((await operator.call("validate_task", spec=largest))["partition"])) < 8_000
    node = served.rpc((await served.token("node")).secret)
    assert "krum" in str(await node.read("potluck://rules"))
