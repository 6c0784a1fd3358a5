"""What a task needs of memory is held against what nodes have said that they have."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from federation.spec import TaskSpec
from resources.measure import Measured
from tests.mcp_server.raw_node import RawNode
from tests.mcp_server.running import SPEC, Served, serving

pytestmark = pytest.mark.anyio


async def with_nodes(served: Served, memory_bytes: int) -> None:
    """Two nodes that have shaken hands."""
    for _ in range(2):
        node = RawNode(served, served.rpc((await served.token("node")).secret))
        await node.shake_hands(capabilities={"runtime": "test", "device": "cpu", "memory_bytes": memory_bytes})


async def test_nodes_are_compared_with_the_estimate_and_once_it_is_measured_with_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measured(spec: TaskSpec, **options: Any) -> Measured:
        return Measured(0.1, 3_000_000_000, 200_000_000, 2.3, True)

    monkeypatch.setattr("tools.validation.measure_step", measured)
    async with serving(tmp_path) as served:
        await with_nodes(served, 2_000_000_000)
        operator = await served.operator()
        estimated = await operator.call("validate_task", spec=SPEC)
        assert estimated["warnings"] == []
        tried = await operator.call("validate_task", spec=SPEC, measure=True)
        assert tried["measured"]["peak_memory_bytes"] == 3_000_000_000
        (warning,) = tried["warnings"]
        assert "0 of the 2 nodes" in warning["problem"]
        assert "3000000000 bytes" in warning["problem"]
