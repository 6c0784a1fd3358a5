"""Behind nginx, with TLS and a path prefix: everything that works without."""

from __future__ import annotations

import hashlib
import json
import shutil
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import pytest
import torch
from agent import Heard, use
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from forked import ForkedChildren
from machine import OPERATOR, Machine, spec
from mcp import Client
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client
from outside import missing
from proxy import NAME, nginx
from safetensors.torch import load, save

from edge_client.connection import Connection
from edge_client.endpoint import Endpoint
from edge_client.identity import Identity
from edge_client.membership import Membership
from mcp_server.edge import is_built

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.filterwarnings("ignore:resources/(un)?subscribe is removed"),  # in the era that has no other way
]
BEARER = {"Authorization": f"Bearer {OPERATOR}"}


@dataclass(frozen=True)
class Proxied:
    """A server behind nginx, as its clients see it."""

    machine: Machine
    url: str
    ca: Path

    def http(self, headers: dict[str, str] | None = None, **kwargs: object) -> httpx2.AsyncClient:
        """A client that trusts the certificate."""
        trust = ssl.create_default_context(cafile=self.ca)
        return httpx2.AsyncClient(headers=headers, timeout=30, verify=trust, **kwargs)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def proxied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxied]:
    program = shutil.which("nginx") or shutil.which("/usr/sbin/nginx")
    if program is None:
        missing("nginx is not installed: apt-get install nginx")
    folder = tmp_path_factory.mktemp("proxied")
    with ForkedChildren(folder / "logs") as children:
        machine = Machine(folder, children)
        flags = ["--base-path", "/potluck", "--allow-host", NAME, "--anonymous-role", "none"]
        machine.start_server(*flags, environment={"POTLUCK_TRUSTED_PROXIES": "127.0.0.1"})
        port = urlsplit(machine.url).port
        assert port is not None
        with nginx(program, tmp_path_factory.mktemp("nginx"), port) as (url, ca):
            yield Proxied(machine, url, ca)


@pytest.mark.parametrize("mode", ["auto", "legacy"])
@pytest.mark.parametrize("transport", ["http", "sse"])
async def test_an_agent_plans_reads_and_hears_of_changes(proxied: Proxied, transport: str, mode: str) -> None:
    """Also: listen streams, the GET stream and SSE are not held back until they end."""
    async with proxied.http(BEARER) as http:
        line = (
            sse_client(
                f"{proxied.url}/sse",
                httpx_client_factory=lambda **_: proxied.http(BEARER),  # type: ignore[arg-type]
            )
            if transport == "sse"
            else streamable_http_client(f"{proxied.url}/mcp", http_client=http)
        )
        heard = Heard()
        async with Client(line, mode=mode, message_handler=heard) as client:
            await use(client, f"nginx-{transport}-{mode}", heard)


async def test_the_sse_endpoint_names_a_path_below_the_prefix(proxied: Proxied) -> None:
    async with proxied.http(BEARER) as http, http.stream("GET", f"{proxied.url}/sse") as stream:
        lines = stream.aiter_lines()
        while not (line := await anext(lines)).startswith("data:"):
            pass
    assert line.removeprefix("data:").strip().startswith("/potluck/messages/?session_id=")


async def test_health_metrics_refusals_and_redirects_are_those_of_the_prefix(proxied: Proxied) -> None:
    async with proxied.http() as http:
        assert (await http.get(f"{proxied.url}/healthz")).json() == {"status": "ok"}
        metrics = await http.get(f"{proxied.url}/metrics", headers=BEARER)
        assert "potluck_records" in metrics.text
        refused = await http.post(f"{proxied.url}/mcp", content=b"{}")
        assert refused.status_code == 401
        assert refused.headers["www-authenticate"].startswith("Bearer ")
        assert "Mend" in json.dumps(refused.json()) or refused.json()["error"]["mend"]
        slash = await http.post(f"{proxied.url}/mcp/", headers=BEARER, content=b"{}")
        assert slash.status_code in (307, 308)
        assert slash.headers["location"] == f"{proxied.url}/mcp"
        foreign = await http.get(f"{proxied.url}/healthz", headers={"Host": "evil.example"})
        assert foreign.status_code == 421
        page = await http.get(f"{proxied.url}/healthz", headers={"Origin": "https://evil.example"})
        assert page.status_code == 403


async def test_the_browser_nodes_page_works_below_the_prefix_without_a_token(proxied: Proxied) -> None:
    """Built or not: how it is served does not depend on it. A browser follows the redirect to the same place."""
    async with proxied.http({"Accept-Encoding": "gzip"}) as http:
        leads = await http.get(f"{proxied.url}/edge?transport=sse")
        assert (leads.status_code, leads.headers["location"]) == (308, "edge/?transport=sse")
        page = await http.get(f"{proxied.url}/edge", follow_redirects=True)
        assert (str(page.url), page.status_code) == (f"{proxied.url}/edge/", 200 if is_built() else 503)
        assert "frame-ancestors 'self'" in page.headers["content-security-policy"]
        if is_built():
            assert page.headers["content-encoding"] == "gzip"
            known = await http.get(f"{proxied.url}/edge/", headers={"If-None-Match": page.headers["etag"]})
            assert known.status_code == 304
        assert (await http.get(f"{proxied.url}/edge/assets/none.js")).json()["error"]["code"] == "not_found"
        wrong = await http.get(f"{proxied.url}/edge/", headers={"Authorization": "Bearer pl_wrong"})
        assert wrong.status_code == 401


async def test_updates_beyond_a_megabyte_go_up_and_models_come_down_in_parts(proxied: Proxied) -> None:
    """By the relative URLs that the tools answer, joined to the base that this client dialled."""
    endpoint = Endpoint(proxied.url, token=OPERATOR, ca_file=proxied.ca)
    async with Connection(endpoint, patience_s=20) as operator, proxied.http() as http:
        wanted = spec(model={"id": "mnist_cnn"}, data={"id": "own", "input_shape": [1, 28, 28], "num_classes": 10})
        wanted |= {"cohort": {"size": 1, "min_nodes": 1, "quorum": 1}}
        task = await operator.call("create_task", {"spec": wanted, "request_id": "nginx-raw-lane"})
        issue = {"role": "node", "label": "raw lane", "request_id": "nginx-raw-node"}
        token = str((await operator.call("issue_token", issue))["token"])

        model = (await operator.call("get_task", {"task_id": task["task_id"]}))["model"]
        whole = await http.get(f"{proxied.url}/{model['url']}")
        assert hashlib.sha256(whole.content).hexdigest() == model["sha256"]
        part = await http.get(f"{proxied.url}/{model['url']}", headers={"Range": "bytes=100-199"})
        assert (part.status_code, part.content) == (206, whole.content[100:200])
        known = await http.get(f"{proxied.url}/{model['url']}", headers={"If-None-Match": whole.headers["etag"]})
        assert known.status_code == 304

        private = Ed25519PrivateKey.generate()
        node_endpoint = Endpoint(proxied.url, token=token, ca_file=proxied.ca)
        async with Connection(node_endpoint, patience_s=20) as connection:
            member = Membership(connection, Identity(private), None, node_endpoint.host, lambda why, pause: None)
            await member.renew()
            assignment = await member.call("get_assignment", {"task_id": task["task_id"], "own_data": True})
            update = save({f"delta/{name}": tensor for name, tensor in _zeros(whole.content).items()})
            assert len(update) > 1 << 20
            digest = hashlib.sha256(update).hexdigest()
            begin = {name: assignment[name] for name in ("task_id", "round")}
            begin["base_version"] = assignment["model"]["version"]
            upload = await member.call("begin_upload", begin | {"sha256": digest, "size": len(update)})
            sent = await http.put(f"{proxied.url}/{upload['url']}", content=update)
            assert (sent.status_code, sent.json()["sha256"]) == (200, digest)


def _zeros(model: bytes) -> dict[str, torch.Tensor]:
    return {name: torch.zeros_like(tensor) for name, tensor in load(model).items()}


@pytest.mark.timeout(180)
@pytest.mark.parametrize("transport", ["http", "sse"])
async def test_a_node_trains_through_it_over_the_raw_lane(proxied: Proxied, transport: str) -> None:
    machine = proxied.machine
    before = machine.bulk_bytes()
    wide = {"id": "mlp", "options": {"hidden": 1024}}  # an update of 300 kB: small ones go along with their receipt
    wanted = spec(model=wide, cohort={"size": 1, "min_nodes": 1, "quorum": 1}, rounds=1)
    task = await machine.call("create_task", spec=wanted, request_id=f"nginx-trains-{transport}")
    token = await machine.node_token()
    flags = ("--transport", transport, "--lane", "auto", "--ca-file", str(proxied.ca), "--index", "0")
    machine.start_node(f"proxied-{transport}", task["task_id"], token, *flags, url=proxied.url)
    done = await machine.wait_for(task["task_id"], lambda task: task["state"] == "finished")
    assert done["rounds"][0]["state"] == "closed"
    after = machine.bulk_bytes()
    for direction in ("up", "down"):
        assert after["raw", direction] > before.get(("raw", direction), 0)
        assert after.get(("in-band", direction), 0) == before.get(("in-band", direction), 0)
