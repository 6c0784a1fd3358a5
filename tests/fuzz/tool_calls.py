"""Every tool's arguments: valid, nearly valid, of the wrong type, too many, too few, huge, deep, no numbers at all."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from tests.fuzz.cases import draw, junk
from tests.fuzz.surface import answers_in, check_status, check_text, check_unchanged, outcome_of, shown
from tests.mcp_server.raw_node import RawNode, cohort, packed, sha256
from tests.mcp_server.rpc import Rpc
from tests.mcp_server.running import SPEC, Served
from tools.catalogue import TOOLS
from tools.contract import NODES, Entry, RoleTool

_TOUCHES = {  # what a refused call may leave: an announced upload, the end of a share's old holder
    "submit_update": {"uploads"},
    "begin_upload": set[str](),
    "get_assignment": set[str](),
}
_NEVER = {"measure": [True], "check": [True], "hub": [True]}  # a process of its own, and the network


class Tool:
    """One tool of a server with a round in progress."""

    def __init__(self, served: Served, entry: Entry, rpc: Rpc, known: dict[str, list[Any]]) -> None:
        self.served, self.entry, self.rpc = served, entry, rpc
        self.name = entry.name
        self._known = known
        self._schema = RoleTool.of(entry).parameters

    def cases(self, count: int, seed: int) -> list[dict[str, Any]]:
        """Arguments."""
        return draw(_arguments(self._schema, self._known), count, seed)

    async def throw(self, case: dict[str, Any]) -> str:
        """Calls the tool."""
        before = await self.served.snapshot()
        response = await self.rpc.post("tools/call", {"name": self.name, "arguments": case})
        check_status(response.status_code)
        check_text(self.served, response.text)
        (answer,) = answers_in(response.text, response.headers["content-type"])
        outcome = outcome_of(answer)
        if outcome != "ok" or self.entry.read_only:
            after = await self.served.snapshot()
            touches = _TOUCHES.get(self.name, set())
            try:
                check_unchanged(before, after, touches=touches, may_free=self.name == "submit_update")
            except AssertionError as error:
                raise AssertionError(f"{outcome}: {error}: {shown(case)}") from None
        return outcome


async def tools_of(served: Served) -> list[Tool]:
    """All of them, each for a caller who may use it and knows real ids."""
    node, _ = await cohort(served)
    data = packed(value=1.0)
    begun = await node.begin(data)
    operator = await served.operator()
    known = _known(node, begun, data)
    return [Tool(served, entry, node.rpc if entry.roles == NODES else operator, known) for entry in TOOLS]


def _known(node: RawNode, begun: dict[str, Any], data: bytes) -> dict[str, list[Any]]:
    spec = SPEC | {"data": {"id": "own", "input_shape": [4], "num_classes": 2}}
    return {
        "task_id": [node.task_id, "task-aaaaaaaaaaaaaaaa", node.task_id.upper()],
        "node_id": [node.node_id, node.node_id, "node-aaaaaaaaaaaaaaaa"],
        "node_token": [node.node_token, node.node_token, node.node_token[:-1], "x"],
        "upload_id": [begun["upload_id"], "up-" + "a" * 24, "up-"],
        "round": [1, 1, 0, 2, 10**6],
        "base_version": [0, 0, 1],
        "version": [0, 1, 10**6],
        "sha256": [sha256(data), "0" * 64, "g" * 64],
        "size": [len(data), 1, 2**40],
        "offset": [0, 1, len(data), 2**40],
        "data_b64": ["AAAA", "", "A", "AA==", "\n", "A" * 10_000],
        "inline_b64": ["AAAA", "", "=", "A" * 10_000],
        "signature": ["A" * 86, "", "é"],
        "num_examples": [1, 10, 0, 10**9],
        "num_steps": [1, 10**9, 10**10],
        "metrics": [{"train_loss": 1.0}, {"eval_accuracy": 2}, {"UPPER": 1}, {"a": float("nan")}, {}],
        "wait_s": [0, 0.001],
        "partition_index": [0, 7, 8, 10_000],
        "own_data": [False, True],
        "inputs": [[[0.5] * 64], [[0.5] * 63], [[float("nan")] * 64], [[1e308] * 64], [["a"] * 64]],
        "public_key": [
            node.public_key,
            {"alg": "ed25519"},
            {"alg": ["ed25519"], "jwk": {}},
            {"alg": "p256", "jwk": []},
        ],
        "capabilities": [{"runtime": "x", "device": "y"}, {"runtime": "x", "device": "y", "codecs": []}],
        "audience": [node.served.host, "evil.example"],
        "challenge": ["x", "a.b.c"],
        "spec": [spec, spec | {"rounds": 10**9}, spec | {"name": ""}, {"name": "x", "model": "mlp", "data": []}],
        "request_id": ["fuzz-00000001", "fuzz-00000002", "first-operator"],
        "revoke": ["aaaaaaaaaaaaaaaa", "x"],
        "action": ["pause", "resume", "roll_back", "start"],
        "phase": ["training", "evaluation", "leaving"],
        "start": [False],
        "measure": [False],
        "check": [False],
        "hub": [False],
    }


def _arguments(schema: dict[str, Any], known: dict[str, list[Any]]) -> SearchStrategy[dict[str, Any]]:
    properties: dict[str, Any] = schema.get("properties", {})
    required = set(schema.get("required", []))

    names = list(properties)

    def fit(name: str) -> SearchStrategy[Any]:
        choices = known.get(name, []) + properties[name].get("enum", [])
        return st.sampled_from([choices[0]] * 6 + choices) if choices else st.just("x")

    def strange(name: str) -> SearchStrategy[tuple[str, Any]]:
        return st.tuples(st.just(name), junk().filter(lambda found: found not in _NEVER.get(name, [])))

    must = {name: fit(name) for name in names if name in required}
    may = {name: fit(name) for name in names if name not in required}
    whole = st.fixed_dictionaries(must, optional=may)
    if not names:
        return st.one_of(whole, st.dictionaries(st.text(max_size=12), junk(), max_size=2))
    changed = st.tuples(whole, st.lists(st.sampled_from(names).flatmap(strange), min_size=1, max_size=2).map(dict))
    lacking = st.tuples(whole, st.sampled_from(names))
    extra = st.tuples(whole, st.dictionaries(st.text(max_size=12), junk(), min_size=1, max_size=2))
    kinds = [
        whole,
        changed.map(lambda pair: pair[0] | pair[1]),
        lacking.map(lambda pair: {name: value for name, value in pair[0].items() if name != pair[1]}),
        extra.map(lambda pair: pair[1] | pair[0]),
    ]
    return st.sampled_from([0, 0, 0, 0, 1, 1, 1, 2, 3]).flatmap(lambda kind: kinds[kind])
