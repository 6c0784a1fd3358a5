"""A node's token as a link that a browser tab opens, and as a QR code."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from urllib.parse import urlsplit
from xml.etree import ElementTree

import pytest
import segno

from tests.mcp_server.refusals import refused
from tests.mcp_server.rpc import Rpc
from tests.mcp_server.running import Served, serving

pytestmark = pytest.mark.anyio
PUBLIC = "https://fl.example.org/potluck"


@pytest.fixture(scope="module")
async def named(anyio_backend: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Served]:
    """A server with a public name."""
    folder = tmp_path_factory.mktemp("named")
    async with serving(folder, allow_host=["fl.example.org"], anonymous_role="none") as running:
        yield running


@pytest.fixture
async def operator(named: Served) -> Rpc:
    return await named.operator()


async def test_a_nodes_token_comes_with_a_relative_link_that_holds_it_after_the_hash(
    named: Served, operator: Rpc
) -> None:
    issued = await operator.call("issue_token", role="node", request_id=named.fresh())
    assert issued["link"] == f"edge/#invite={issued['token']}"
    assert issued["qr_svg"] is None
    parts = urlsplit(f"{named.base}/{issued['link']}")
    assert issued["token"] not in parts.path + parts.query, "it is in no request"
    assert (await named.http.get(parts.path)).status_code in (200, 503), "the page, or how to build it"


@pytest.mark.parametrize("given", [PUBLIC, f"{PUBLIC}/", f"{PUBLIC}/mcp", f"{PUBLIC}/sse", f"{PUBLIC}/mcp/"])
async def test_with_the_servers_public_url_the_link_is_whole(named: Served, operator: Rpc, given: str) -> None:
    issued = await operator.call("issue_token", role="node", request_id=named.fresh(), base_url=given)
    assert issued["link"] == f"{PUBLIC}/edge/#invite={issued['token']}"


async def test_the_picture_shows_the_code_of_that_link_with_the_quiet_zone_around_it(
    named: Served, operator: Rpc
) -> None:
    issued = await operator.call("issue_token", role="node", request_id=named.fresh(), base_url=PUBLIC)
    code = segno.make_qr(issued["link"], error="m")
    assert drawn(issued["qr_svg"]) == [list(row) for row in code.matrix_iter(border=4)]
    assert len(issued["qr_svg"]) < 5_000


async def test_a_repeated_request_answers_the_same_link_and_one_for_another_address_the_same_token(
    named: Served, operator: Rpc
) -> None:
    request = {"role": "node", "request_id": named.fresh()}
    first = await operator.call("issue_token", **request)
    assert await operator.call("issue_token", **request) == first
    whole = await operator.call("issue_token", **request, base_url=PUBLIC)
    assert whole["link"] == f"{PUBLIC}/{first['link']}"
    assert await operator.call("issue_token", **request, base_url=PUBLIC) == whole


@pytest.mark.parametrize("role", ["viewer", "operator"])
async def test_people_get_no_link(named: Served, operator: Rpc, role: str) -> None:
    issued = await operator.call("issue_token", role=role, request_id=named.fresh())
    assert (issued["link"], issued["qr_svg"]) == (None, None)
    async with refused(named, "invalid_argument", says="base_url belongs to the role node"):
        await operator.call("issue_token", role=role, request_id=named.fresh(), base_url=PUBLIC)


@pytest.mark.parametrize(
    "given",
    [
        "fl.example.org",
        "ftp://fl.example.org",
        "javascript:alert(1)//fl.example.org",
        "https://",
        "https://fl.example.org/?a=b",
        "https://fl.example.org/#x",
        "https://fl.example.org/a b",
        "https://fl.example.org/\u00e9",
        "https://fl.example.org/\n",
        "https://[fl.example.org",
        "https://fl.example.org:port",
        "https://fl.example.org/" + "x" * 255,
        "https://evil.example",
        "https://evil.example/fl.example.org",
        "https://fl.example.org@evil.example",
        "https://somebody@fl.example.org",
        "https://fl.example.org.evil.example",
        "https://fl.example.org\\@evil.example",
    ],
)
async def test_a_url_that_is_none_or_leads_elsewhere_is_refused_and_issues_nothing(
    named: Served, operator: Rpc, given: str
) -> None:
    async with refused(named, "invalid_argument", says="base_url"):
        await operator.call("issue_token", role="node", request_id=named.fresh(), base_url=given)


def drawn(svg: str) -> list[list[int]]:
    """The modules of a QR code's picture, row by row: 1 is dark."""
    picture = ElementTree.fromstring(svg)
    paths = [element for element in picture.iter() if element.tag.endswith("path")]
    assert [path.get("fill") or path.get("stroke") for path in paths] == ["#fff", "#000"]
    size = int(re.match(r"M0 0h(\d+)v\1h-\1z$", paths[0].attrib["d"])[1])  # type: ignore[index]
    rows = [[0] * size for _ in range(size)]
    x, y = 0, 0.0
    for step in re.findall(r"([Mmh])(-?[\d.]+)(?:[ ]?(-?[\d.]+))?", paths[1].attrib["d"]):
        kind, first, second = step
        if kind == "h":
            for column in range(x, x + int(first)):
                rows[int(y)][column] = 1
            x += int(first)
        else:
            x, y = (int(first), float(second)) if kind == "M" else (x + int(first), y + float(second))
    return rows
