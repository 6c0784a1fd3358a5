"""What the server offers beside its tools: resources, prompts, completions, health and metrics."""

from __future__ import annotations

import json
from typing import Any

import pytest
from mcp import MCPError
from mcp_types import PromptReference, ResourceTemplateReference, TextResourceContents

from tests.mcp_server.raw_node import RawNode, cohort, packed
from tests.mcp_server.rpc import ProtocolError, Rpc, strict_json
from tests.mcp_server.running import SPEC, Served

pytestmark = pytest.mark.anyio
BOTH = pytest.mark.parametrize(
    ("transport", "mode"), [("http", "auto"), ("http", "legacy"), ("sse", "auto"), ("sse", "legacy")]
)
INVALID_PARAMS = -32602


@pytest.fixture(scope="module")
async def trained(served: Served) -> RawNode:
    """A node of a task that has closed one round."""
    nodes = await cohort(served)
    for node in nodes:
        await node.deliver(packed(value=0.1), metrics={"train_loss": 0.5})
    await served.close_due_rounds()
    return nodes[0]


async def resource(client: Any, uri: str) -> Any:
    (content,) = (await client.read_resource(uri, cache_mode="bypass")).contents
    assert isinstance(content, TextResourceContents)
    assert content.mime_type == "application/json"
    return strict_json(content.text)


@BOTH
async def test_resources_are_the_same_over_every_transport_and_era(
    served: Served, trained: RawNode, transport: str, mode: str
) -> None:
    task = f"potluck://tasks/{trained.task_id}"
    async with served.client(transport=transport, mode=mode) as client:
        assert "properties" in await resource(client, "potluck://schema/task")
        assert any(card["id"] == "mlp" for card in await resource(client, "potluck://models"))
        assert (await resource(client, "potluck://models/mlp"))["options"]
        assert any(card["id"] == "digits" for card in await resource(client, "potluck://datasets"))
        assert (await resource(client, "potluck://datasets/digits"))["id"] == "digits"
        assert trained.task_id in [view["task_id"] for view in await resource(client, "potluck://tasks")]
        assert (await resource(client, task))["version"] == 1
        closed = await resource(client, f"{task}/rounds/1")
        assert [update["num_examples"] for update in closed["updates"]] == [100, 100]
        assert {row["name"] for row in await resource(client, f"{task}/metrics")} >= {"train_loss", "accuracy"}
        lineage = await resource(client, f"{task}/model/1")
        assert (lineage["parent"], len(lineage["made_of"])) == (0, 2)
        assert trained.node_id in [node["node_id"] for node in await resource(client, "potluck://nodes")]


@BOTH
async def test_the_lists_of_resources_and_templates_name_and_describe_each(
    served: Served, transport: str, mode: str
) -> None:
    async with served.client(transport=transport, mode=mode) as client:
        fixed = (await client.list_resources()).resources
        templates = (await client.list_resource_templates()).resource_templates
    assert [str(one.uri) for one in fixed] == [
        *("potluck://schema/task", "potluck://models", "potluck://rules", "potluck://datasets", "potluck://tasks"),
        "potluck://nodes",
        "potluck://audit",
    ]
    assert [one.uri_template for one in templates] == [
        "potluck://models/{model_id}",
        "potluck://datasets/{data_id}",
        "potluck://tasks/{task_id}",
        "potluck://tasks/{task_id}/rounds/{round}",
        "potluck://tasks/{task_id}/metrics",
        "potluck://tasks/{task_id}/partition/{index}",
        "potluck://tasks/{task_id}/model/{version}",
        "potluck://blobs/{sha256}/{offset}",
    ]
    assert all(one.name and one.description and one.mime_type for one in [*fixed, *templates])


@pytest.mark.parametrize(
    "uri",
    [
        "potluck://tasks/../../etc/passwd",
        "potluck://tasks/..%2f..%2fetc%2fpasswd",
        "potluck://blobs/../../server.key/0",
        "potluck://blobs/..%2f..%2fserver.key/0",
        "potluck://blobs/" + "0" * 64 + "/0",
        "potluck://blobs/" + "0" * 64 + "/-1",
        "potluck://models/..",
        "potluck://models/%2e%2e%2f%2e%2e",
        "potluck://tasks/task-aaaaaaaaaaaaaaaa",
        "potluck://tasks/task-aaaaaaaaaaaaaaaa/metrics",
        "potluck://tasks/task-aaaaaaaaaaaaaaaa/rounds/1",
        "potluck://nothing",
        "file:///etc/passwd",
        "http://127.0.0.1/",
    ],
)
async def test_what_is_not_there_is_an_unknown_resource(served: Served, uri: str) -> None:
    operator = await served.operator()
    before = await served.snapshot()
    with pytest.raises(ProtocolError) as caught:
        await operator.read(uri)
    assert caught.value.code == INVALID_PARAMS
    assert await served.snapshot() == before


@pytest.mark.parametrize("number", ["9", "-1", "x", "1.0", "%D9%A3", "9" * 18, "9" * 4000])
@pytest.mark.parametrize("place", ["rounds/{}", "model/{}"])
async def test_a_number_that_leads_nowhere_is_an_unknown_resource(
    served: Served, trained: RawNode, place: str, number: str
) -> None:
    with pytest.raises(ProtocolError) as caught:
        await served.rpc().read(f"potluck://tasks/{trained.task_id}/{place.format(number)}")
    assert caught.value.code == INVALID_PARAMS


async def test_an_offset_past_the_end_of_a_model_is_an_error_and_its_very_end_is_empty(
    served: Served, trained: RawNode
) -> None:
    model = (await served.state_of(trained.task_id))["model"]
    end = await served.rpc().ask("resources/read", {"uri": f"potluck://blobs/{model['sha256']}/{model['size']}"})
    assert end["contents"][0]["blob"] == ""
    with pytest.raises(ProtocolError, match="outside"):
        await served.rpc().read(f"potluck://blobs/{model['sha256']}/{model['size'] + 1}")


@BOTH
async def test_prompts_name_their_arguments_and_use_them(served: Served, transport: str, mode: str) -> None:
    async with served.client(transport=transport, mode=mode) as client:
        prompts = (await client.list_prompts()).prompts
        assert [prompt.name for prompt in prompts] == ["design_federation", "diagnose_training"]
        assert all(prompt.title and prompt.description and prompt.arguments for prompt in prompts)
        assert all(argument.description for prompt in prompts for argument in prompt.arguments or [])
        plan = await client.get_prompt("design_federation", {"goal": "read digits", "nodes": "7"})
        assert "read digits" in str(plan.messages[0].content)
        assert "7" in str(plan.messages[0].content)
        with pytest.raises(MCPError):
            await client.get_prompt("design_federation", {})
        with pytest.raises(MCPError):
            await client.get_prompt("no_such_prompt", {})


@BOTH
async def test_ids_are_completed(served: Served, trained: RawNode, transport: str, mode: str) -> None:
    async with served.client(transport=transport, mode=mode) as client:

        async def completed(ref: Any, name: str, start: str, known: dict[str, str] | None = None) -> list[str]:
            return (await client.complete(ref, {"name": name, "value": start}, known)).completion.values

        rounds = ResourceTemplateReference(uri="potluck://tasks/{task_id}/rounds/{round}")
        versions = ResourceTemplateReference(uri="potluck://tasks/{task_id}/model/{version}")
        models = ResourceTemplateReference(uri="potluck://models/{model_id}")
        diagnose = PromptReference(name="diagnose_training")
        assert trained.task_id in await completed(diagnose, "task_id", "")
        assert await completed(rounds, "task_id", trained.task_id[:10]) == [trained.task_id]
        assert await completed(rounds, "task_id", "no-such") == []
        assert await completed(rounds, "round", "", {"task_id": trained.task_id}) == ["1", "2"]
        assert await completed(rounds, "round", "", {"task_id": "../../etc/passwd"}) == []
        assert await completed(rounds, "round", "") == []
        assert await completed(versions, "version", "", {"task_id": trained.task_id}) == ["0", "1"]
        assert await completed(models, "model_id", "ml") == ["mlp"]


async def test_health_says_that_it_is_well(served: Served) -> None:
    answer = await served.http.get("/healthz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


async def metrics(served: Served) -> dict[str, float]:
    answer = await served.http.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    lines = [line.rpartition(" ") for line in answer.text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in lines}


async def test_metrics_count_calls_refusals_records_and_bytes(served: Served, trained: RawNode) -> None:
    before = await metrics(served)
    node, _ = await cohort(served)
    model, data = node.assignment["model"], packed(value=0.7)
    await served.http.get(f"/{model['url']}")
    await served.rpc().ask("resources/read", {"uri": model["uri"]})
    await node.put((await node.begin(data))["url"], data)
    other = packed(value=0.8)
    await node.chunk((await node.begin(other))["upload_id"], 0, other)
    await served.rpc().ask("tools/call", {"name": "issue_token", "arguments": {}})
    await served.rpc().ask("tools/call", {"name": "no_such_tool", "arguments": {}})
    after = await metrics(served)

    def grown(name: str) -> float:
        return after.get(name, 0) - before.get(name, 0)

    assert grown('potluck_tool_calls_total{outcome="ok",tool="begin_upload"}') == 2
    assert grown('potluck_tool_calls_total{outcome="refused",tool="issue_token"}') == 1
    assert grown('potluck_tool_calls_total{outcome="refused",tool="unknown"}') == 1
    assert grown('potluck_tool_seconds_count{tool="begin_upload"}') == 2
    for lane in ("raw", "in-band"):
        assert grown(f'potluck_bulk_bytes_total{{direction="up",lane="{lane}"}}') == len(data)
        assert grown(f'potluck_bulk_bytes_total{{direction="down",lane="{lane}"}}') == model["size"]
    assert grown('potluck_records{kind="tasks",state="running"}') == 1
    assert grown('potluck_records{kind="nodes",state="all"}') == 2
    assert grown('potluck_records{kind="updates",state="all"}') == 0
    assert grown("potluck_spool_bytes") == len(data) + len(other)
    assert not any("no_such_tool" in name for name in after)


async def test_an_export_carries_its_lineage_and_its_bytes(served: Served, trained: RawNode) -> None:
    operator = await served.operator()
    export = await operator.call("export_model", task_id=trained.task_id)
    assert (export["version"], export["format"]) == (1, "safetensors")
    assert len((await served.http.get(f"/{export['url']}")).content) == export["size"]
    assert export["sha256"] in export["model_card"]
    assert "2 updates, 200 examples" in export["model_card"]
    assert "| rule | fedavg, weighted by examples |" in export["model_card"]


async def test_a_tool_answers_the_same_over_every_transport_and_era(served: Served, trained: RawNode) -> None:
    answers = []
    for transport, mode in (("http", "auto"), ("http", "legacy"), ("sse", "auto"), ("sse", "legacy")):
        async with served.client(transport=transport, mode=mode) as client:
            result = await client.call_tool("get_task", {"task_id": trained.task_id})
            answers.append(json.dumps(result.structured_content, sort_keys=True))
            refused = await client.call_tool("get_task", {"task_id": "nonsense"})
            assert refused.is_error
            assert refused.structured_content is not None
            assert refused.structured_content["error"]["code"] == "invalid_argument"
            assert " Mend: " in refused.content[0].text  # type: ignore[union-attr]
    assert len(set(answers)) == 1


async def test_a_validated_spec_comes_with_its_budget(served: Served) -> None:
    rpc: Rpc = served.rpc()
    before = await served.snapshot()
    checked = await rpc.call("validate_task", spec=SPEC)
    assert (checked["valid"], checked["problems"]) == (True, [])
    assert checked["budget"]["parameters"] == 650
    assert await served.snapshot() == before


@pytest.mark.parametrize(
    "params",
    [{"name": "no_such_prompt"}, {"name": "diagnose_training"}, {"name": "diagnose_training", "arguments": {}}],
)
async def test_a_prompt_that_is_not_there_or_lacks_an_argument_is_no_fault_of_the_servers(
    served: Served, params: dict[str, Any]
) -> None:
    answer = (await served.rpc().post("prompts/get", params)).json()
    assert answer["error"]["code"] == -32602
    assert "prompts/list" in answer["error"]["message"]
