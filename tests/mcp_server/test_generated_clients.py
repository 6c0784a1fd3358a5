"""`generate_client` as a tool: who may, what it answers, and what it will not do."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.mcp_server.refusals import refused
from tests.mcp_server.running import Served, serving

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("framework", "extra"), [("pytorch", "/path/to/potluck"), ("flower", "'/path/to/potluck[flower]'")]
)
async def test_a_client_comes_with_how_to_install_and_run_it(served: Served, framework: str, extra: str) -> None:
    operator = await served.operator()
    task_id = await served.task()
    answer = await operator.call("generate_client", task_id=task_id, framework=framework)
    assert f'TASK_ID = "{task_id}"' in answer["code"]
    assert ast.parse(answer["code"])
    assert (answer["filename"], answer["install"]) == (f"{framework}_client.py", f"pip install {extra}")
    assert answer["filename"] in answer["run"]
    assert (answer["problems"], answer["checked"], answer["generator"], answer["notes"]) == ([], None, "template", [])


async def test_data_of_ones_own_have_to_be_named_when_it_is_run(served: Served) -> None:
    task_id = await served.task(data={"id": "own", "input_shape": [1, 8, 8], "num_classes": 10})
    answer = await (await served.operator()).call("generate_client", task_id=task_id, framework="pytorch")
    assert answer["run"].endswith("--data PATH")


async def test_instructions_without_a_language_model_are_not_dropped_in_silence(served: Served) -> None:
    operator = await served.operator()
    wish = {"task_id": await served.task(), "framework": "pytorch", "instructions": "use AdamW"}
    answer = await operator.call("generate_client", **wish)
    assert answer["generator"] == "template"
    assert "no language model" in answer["notes"][0]


async def test_a_rule_that_needs_control_variates_has_no_client_of_ones_own(served: Served) -> None:
    operator, task_id = await served.operator(), await served.task(aggregation={"rule": "scaffold"})
    async with refused(served, "incompatible_node", says="scaffold"):
        await operator.call("generate_client", task_id=task_id, framework="pytorch")


async def test_an_unknown_task_or_framework_is_refused(served: Served) -> None:
    operator, task_id = await served.operator(), await served.task()
    async with refused(served, "not_found"):
        await operator.call("generate_client", task_id="task-" + "a" * 16, framework="pytorch")
    async with refused(served, "invalid_argument", says="framework"):
        await operator.call("generate_client", task_id=task_id, framework="keras")


async def test_a_server_whose_setting_says_so_runs_no_clients(tmp_path: Path) -> None:
    async with serving(tmp_path, check_clients=False) as running:
        operator = await running.operator()
        task_id = await running.task()
        async with refused(running, "forbidden", says="check_clients"):
            await operator.call("generate_client", task_id=task_id, framework="pytorch", check=True)
        answer = await operator.call("generate_client", task_id=task_id, framework="pytorch")
        assert answer["checked"] is None
