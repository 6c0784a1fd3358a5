"""What the official suites call is there when it is asked for, and never otherwise."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.mcp_server.running import Served, serving

pytestmark = pytest.mark.anyio


async def _offered(server: Served, role: str) -> tuple[set[str], set[str], set[str]]:
    """Names of tools, URIs of resources and templates, names of prompts."""
    async with server.client((await server.token(role)).secret) as client:
        tools = {tool.name for tool in (await client.list_tools()).tools}
        uris = {str(each.uri) for each in (await client.list_resources()).resources}
        uris |= {each.uri_template for each in (await client.list_resource_templates()).resource_templates}
        return tools, uris, {prompt.name for prompt in (await client.list_prompts()).prompts}


@pytest.mark.parametrize("role", ["viewer", "node", "operator"])
async def test_no_fixture_exists_on_a_server_that_was_not_asked_for_them(served: Served, role: str) -> None:
    tools, uris, prompts = await _offered(served, role)
    assert not [name for name in tools | prompts if name.startswith(("test_", "json_schema"))]
    assert all(uri.startswith("potluck://") for uri in uris)
    async with served.client((await served.token(role)).secret) as client:
        refused = await client.call_tool("test_simple_text", {})
        assert refused.structured_content is not None
        assert refused.structured_content["error"]["code"] == "not_found"


async def test_fixtures_stand_beside_the_tools_of_each_role(served: Served, tmp_path: Path) -> None:
    async with serving(tmp_path / "data", conformance=True) as server:
        for role in ("viewer", "node", "operator"):
            plain, full = await _offered(served, role), await _offered(server, role)
            for before, after in zip(plain, full, strict=True):
                assert before < after
            added = full[0] - plain[0]
            assert "test_simple_text" in added
            assert all(name.startswith(("test_", "json_schema")) for name in added), "no tool of another role"
        async with server.client() as client:
            forbidden = await client.call_tool("create_task", {"spec": {}, "request_id": "x" * 8})
            assert forbidden.is_error
