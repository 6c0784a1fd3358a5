"""A coordinator of a few lines, in this process: enough to try a node without a network."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx2
from mcp import Client
from mcp.server.mcpserver import MCPServer
from mcp_types import CallToolResult, TextContent

from federation.errors import ErrorCode, Refused
from federation.identity import PublicKey, handshake_message, update_message
from federation.weights import layout_of, load_bytes, to_bytes
from resources.models.catalogue import create_model

SPEC: dict[str, Any] = {
    "name": "a test",
    "model": {"id": "logistic"},
    "data": {"id": "digits", "partition": {"parts": 40}},
    "training": {"epochs": 1, "batch_size": 8},
    "rounds": 2,
}


@dataclass
class FakeServer:
    """Answers the node's tools; `answer`, where set, may answer or refuse first (given the tool and its arguments)."""

    rounds: int = 2
    inline_max: int = 1 << 20
    chunk_max: int = 1000
    raw: bool = True
    answer: Callable[[str, dict[str, Any]], dict[str, Any] | None] = lambda tool, arguments: None
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    updates: list[dict[str, Any]] = field(default_factory=list)
    uploads: dict[str, bytes] = field(default_factory=dict)
    connects: int = 0
    handshakes: int = 0
    round: int = 1

    def __post_init__(self) -> None:
        self.model = to_bytes(create_model("logistic", input_shape=(1, 8, 8), num_classes=10).state_dict())
        self.sha256 = hashlib.sha256(self.model).hexdigest()
        self.status: int | None = None
        self.host = "server.test"
        self.url = f"http://{self.host}"
        self.mcp = MCPServer("fake", log_level="CRITICAL")
        for tool in (
            self.handshake,
            self.get_task,
            self.get_assignment,
            self.begin_upload,
            self.upload_chunk,
            self.submit_update,
            self.report_progress,
        ):
            self._register(tool)
        self.mcp.resource("potluck://blobs/{sha256}/{offset}", mime_type="application/octet-stream")(self.read_blob)

    def _register(self, tool: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        name = tool.__name__

        def run(arguments: dict[str, Any]) -> CallToolResult:
            self.calls.append((name, arguments))
            try:
                result = self.answer(name, arguments) or tool(arguments)
            except Refused as refused:
                error = {"code": refused.code.value, "problem": refused.problem, "mend": refused.mend}
                text = TextContent(type="text", text=str(refused))
                return CallToolResult(content=[text], structured_content={"error": error}, is_error=True)
            return CallToolResult(content=[], structured_content=result)

        self.mcp.add_tool(run, name=name, structured_output=False)

    # ---- what a Connection and a Node ask of an endpoint

    @asynccontextmanager
    async def connect(self) -> AsyncGenerator[Client]:
        self.connects += 1
        async with Client(self.mcp) as client:
            wire = client.call_tool

            async def call_tool(name: str, arguments: dict[str, Any] | None = None, *rest: Any, **more: Any) -> Any:
                return await wire(name, {"arguments": arguments}, *rest, **more)

            client.call_tool = call_tool  # type: ignore[method-assign]
            yield client

    def http(self) -> httpx2.AsyncClient:
        return httpx2.AsyncClient(transport=httpx2.MockTransport(self.raw_lane))

    def raw_lane(self, request: httpx2.Request) -> httpx2.Response:
        if request.method == "PUT":
            body = request.content
            self.uploads["up-1"] = body
            return httpx2.Response(200, json={"upload_id": "up-1", "size": len(body)})
        return httpx2.Response(200, content=self.model)

    # ---- tools

    def handshake(self, arguments: dict[str, Any]) -> dict[str, Any]:
        if "challenge" not in arguments:
            return {
                "status": "challenge",
                "challenge": "c-1",
                "sign": handshake_message(arguments["audience"], "c-1").decode(),
            }
        key = PublicKey.parse(arguments["public_key"])
        if not key.verifies(arguments["signature"], handshake_message(arguments["audience"], "c-1")):
            raise Refused(ErrorCode.BAD_CHALLENGE, "wrong signature.", "sign the challenge")
        self.key = key
        self.handshakes += 1
        lanes = {"raw": self.raw, "inline_max_bytes": self.inline_max, "chunk_max_bytes": self.chunk_max}
        return {
            "status": "accepted",
            "node_id": key.node_id,
            "node_token": f"token-{self.handshakes}",
            "heartbeat_s": 10,
            "lanes": lanes,
            "limits": {"max_wait_s": 30},
        }

    def get_task(self, arguments: dict[str, Any]) -> dict[str, Any]:
        (task_id,) = arguments.values()  # it has no other argument, and the real one refuses any
        return {"task_id": task_id, "state": "running", "spec": SPEC}

    def get_assignment(self, arguments: dict[str, Any]) -> dict[str, Any]:
        if self.round > self.rounds:
            return {"action": "finished", "task_id": arguments["task_id"], "task_state": "finished"}
        model = {"version": self.round - 1, "sha256": self.sha256, "size": len(self.model), "url": f"raw/{self.sha256}"}
        return {
            "action": "train",
            "task_id": arguments["task_id"],
            "round": self.round,
            "model": model,
            "spec": SPEC,
            "input_shape": [1, 8, 8],
            "num_classes": 10,
            "partition_index": arguments.get("partition_index", 3),
        }

    def begin_upload(self, arguments: dict[str, Any]) -> dict[str, Any]:
        held = self.uploads.get("up-1", b"")
        received = hashlib.sha256(held).hexdigest() == arguments["sha256"]
        lane = {"url": "raw/up-1", "chunk_max_bytes": self.chunk_max}
        return {"upload_id": "up-1", "received": received, "next_offset": len(held)} | lane

    def upload_chunk(self, arguments: dict[str, Any]) -> dict[str, Any]:
        held, data = self.uploads.get("up-1", b""), base64.b64decode(arguments["data_b64"])
        if arguments["offset"] > len(held):
            raise Refused(ErrorCode.OFFSET_GAP, "a gap.", f"resume at {len(held)}")
        self.uploads["up-1"] = held[: arguments["offset"]] + data
        return {"next_offset": len(self.uploads["up-1"])}

    def submit_update(self, arguments: dict[str, Any]) -> dict[str, Any]:
        inline = arguments.get("inline_b64")
        payload = base64.b64decode(inline) if inline else self.uploads.pop("up-1")
        names = ("node_id", "task_id", "round", "base_version", "num_examples", "num_steps")
        message = update_message(sha256=hashlib.sha256(payload).hexdigest(), **{n: arguments[n] for n in names})
        if not self.key.verifies(arguments["signature"], message):
            raise Refused(ErrorCode.BAD_SIGNATURE, "wrong signature.", "sign the update")
        wanted = {f"delta/{name}" for name in layout_of(load_bytes(self.model))}
        if set(load_bytes(payload)) != wanted:
            raise Refused(ErrorCode.BAD_UPDATE, "other tensors.", "send the model's")
        self.updates.append(arguments | {"payload": payload})
        self.round += 1
        following = {"action": "wait"} if self.round <= self.rounds else self.get_assignment(arguments)
        return {"receipt": {"update_id": f"u-{self.round}"}, "next": following}

    def report_progress(self, arguments: dict[str, Any]) -> dict[str, Any]:
        return {"state": "continue", "lease_s": 60}

    def read_blob(self, sha256: str, offset: int) -> bytes:
        return self.model[offset : offset + self.chunk_max]
