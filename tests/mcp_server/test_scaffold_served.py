"""SCAFFOLD over real HTTP: real nodes come to a simulation's bits, and a second set that is wrong is refused."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from safetensors.torch import save

from edge_client.identity import open_identity, write_key
from edge_client.node import Node
from federation.aggregation.scaffold import change
from federation.simulation.run import simulate
from federation.spec import parse_spec
from federation.weights import load, to_bytes
from resources.simulate import population_of
from tests.mcp_server.raw_node import CAPABILITIES, RawNode, packed, sha256, zeros
from tests.mcp_server.refusals import refused
from tests.mcp_server.running import Served, serving

pytestmark = pytest.mark.anyio

SPEC: dict[str, Any] = {
    "name": "unlike nodes",
    "model": {"id": "mlp", "options": {"hidden": 128}},  # 38 kB: with its second set more than goes inline
    "data": {"id": "digits", "partition": {"kind": "dirichlet", "alpha": 0.3, "parts": 3}},
    "training": {"epochs": 2, "batch_size": 64, "learning_rate": 0.2, "weight_decay": 0.001},
    "aggregation": {"rule": "scaffold", "options": {"eta": 0.9}},
    "cohort": {"size": 3, "min_nodes": 3, "quorum": 3},
    "rounds": 3,
    "seed": 5,
}


def keys_in_order(folder: Path) -> list[Path]:
    """Keys whose node ids sort as the shares do: the simulation's clients are in that order."""
    found = {}
    for number in range(3):
        path = folder / f"{number}.pem"
        write_key(path, Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32))
        with open_identity(path) as identity:
            found[identity.public.node_id] = path
    return [found[node_id] for node_id in sorted(found)]


async def test_three_nodes_come_to_the_bits_of_a_simulation(tmp_path: Path) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        spec = parse_spec(SPEC)
        expected = [
            (sha256(to_bytes(each.weights)), sha256(to_bytes(each.state)))
            for each in simulate(spec, population_of(spec), engine="loop")
        ]
        async with serving(tmp_path / "server", clockwork=True) as served:
            token = (await served.token("node")).secret
            task_id = await served.task(**SPEC)
            nodes = [
                Node(served.base, task_id, token=token, key=key, index=index, lane="inband" if index == 1 else "auto")
                for index, key in enumerate(keys_in_order(tmp_path))
            ]
            summaries = await asyncio.gather(*(node.run() for node in nodes))
            made = await served.federation.models.versions(task_id)
    finally:
        torch.set_num_threads(before)
    assert [(version.sha256, version.state_sha256) for version in made[1:]][-1] == expected[-1]
    assert [version.sha256 for version in made[1:]] == [weights for weights, _ in expected]
    assert len(set(expected)) == 3
    size, state = made[0].size, 4 * sum(t.numel() for t in zeros_like_mlp())
    for summary in summaries:
        assert summary.rounds == 3
        assert summary.bytes_up > 3 * 2 * state
        assert 3 * size + 2 * state < summary.bytes_down < 5 * size + 2 * state + 10_000


def zeros_like_mlp() -> list[torch.Tensor]:
    return [torch.zeros(shape) for shape in ((128, 64), (128,), (10, 128), (10,))]


# A second set that is wrong

TEN_STEPS: dict[str, Any] = {"aggregation": {"rule": "scaffold"}, "training": {"batch_size": 10}}  # of 100 examples


@pytest.fixture(scope="module")
async def members(served: Served) -> list[RawNode]:
    """Both nodes of a round that stays open."""
    return await cohort_of(served, await served.task(**TEN_STEPS))


async def cohort_of(served: Served, task_id: str) -> list[RawNode]:
    able = CAPABILITIES | {"methods": ["fedavg", "scaffold"]}
    nodes = []
    for _ in range(2):
        secret = (await served.token("node")).secret
        nodes.append(await RawNode(served, served.rpc(secret)).shake_hands(capabilities=able))
    for _ in range(2):
        for node in nodes:
            await node.join(task_id)
    assert [node.assignment["action"] for node in nodes] == ["train", "train"]
    return nodes


def both(value: float = 0.0, c: dict[str, torch.Tensor] | None = None, **changes: torch.Tensor | None) -> bytes:
    """An update of 10 steps at a rate of 0.05 with its second set; `changes` replace or remove (None) parts of that."""
    delta = {name.removeprefix("delta/"): torch.full_like(t, value) for name, t in zeros().items()}
    zero = {name: torch.zeros_like(tensor) for name, tensor in delta.items()}
    aux = change(delta, c or zero, steps=10, learning_rate=0.05, trained=set(delta))
    tensors = {f"delta/{name}": t for name, t in delta.items()} | {f"aux/{name}": t for name, t in aux.items()}
    for name, tensor in changes.items():
        whole = f"aux/output.{name}"
        if tensor is None:
            del tensors[whole]
        else:
            tensors[whole] = tensor
    return save(tensors)


def with_one(value: float) -> torch.Tensor:
    weight = torch.zeros(10, 64)
    weight[9, 63] = value
    return weight


BAD: dict[str, tuple[Callable[[], bytes], str]] = {
    "no second set": (packed, "'aux/output.bias' is missing"),
    "a tensor of it missing": (lambda: both(bias=None), "'aux/output.bias' is missing"),
    "a tensor too many": (lambda: both(other=torch.zeros(3)), "'aux/output.other' is none of the model's"),
    "a wrong shape": (lambda: both(weight=torch.zeros(64, 10)), "'aux/output.weight' is F32 [64, 10]"),
    "half precision": (lambda: both(bias=torch.zeros(10, dtype=torch.float16)), "this rule wants F32"),
    "double precision": (lambda: both(bias=torch.zeros(10, dtype=torch.float64)), "this rule wants F32"),
    "NaN": (lambda: both(weight=with_one(float("nan"))), "'aux/output.weight' holds NaN"),
    "infinity": (lambda: both(weight=with_one(float("-inf"))), "'aux/output.weight' holds NaN or infinite"),
    "a change that nothing made": (lambda: both(weight=with_one(1.0)), "'aux/output.weight' is not the change"),
    "a change the other way round": (lambda: both(0.5, bias=torch.ones(10)), "'aux/output.bias' is not the change"),
}


@pytest.mark.parametrize("lane", ["raw", "chunks", "inline"])
@pytest.mark.parametrize("kind", BAD)
async def test_a_second_set_that_is_wrong_is_refused_and_gone(
    served: Served, members: list[RawNode], kind: str, lane: str
) -> None:
    make, says = BAD[kind]
    data, node = make(), members[0]
    if lane == "inline":
        async with refused(served, "bad_update", says=says, touches={"uploads"}):
            await node.submit_inline(data)
    else:
        begun = await node.begin(data)
        if lane == "raw":
            await node.put(begun["url"], data)
        else:
            await node.chunk(begun["upload_id"], 0, data)
        async with refused(served, "bad_update", says=says, touches={"uploads"}, frees=True):
            await node.submit(data, begun["upload_id"])
    assert not served.federation.shared.spool.has(sha256(data))


@pytest.mark.parametrize("counts", [(100, 1), (100, 9), (100, 20), (1, 10), (101, 10), (90, 10)])
async def test_another_number_of_steps_than_so_many_examples_take_is_refused(
    served: Served, members: list[RawNode], counts: tuple[int, int]
) -> None:
    async with refused(served, "bad_count", says="this task's training takes"):
        await members[0].submit_inline(both(0.5), num_examples=counts[0], num_steps=counts[1])


async def test_a_change_for_another_number_of_steps_is_refused(served: Served, members: list[RawNode]) -> None:
    async with refused(served, "bad_update", says="is not the change", touches={"uploads"}):
        await members[0].submit_inline(both(0.5), num_examples=200, num_steps=20)


async def test_a_node_that_cannot_keep_variates_may_not_join(served: Served) -> None:
    task_id = await served.task(aggregation={"rule": "scaffold"})
    node = await RawNode(served, served.rpc((await served.token("node")).secret)).shake_hands()
    async with refused(served, "incompatible_node", says="uses scaffold"):
        await node.join(task_id)


@pytest.mark.parametrize("lane", ["raw", "chunks", "inline"])
async def test_c_comes_on_both_lanes_and_the_next_update_is_held_against_it(served: Served, lane: str) -> None:
    nodes = await cohort_of(served, await served.task(**TEN_STEPS))
    for node in nodes:
        await node.deliver(both(0.5), lane=lane)
    await served.close_due_rounds()
    for _ in range(2):
        for node in nodes:
            await node.join(node.task_id)
    control = nodes[0].assignment["model"]["control"]
    answer = await served.http.get(f"/{control['url']}")
    assert (len(answer.content), sha256(answer.content)) == (control["size"], control["sha256"])
    read = await served.federation.models.piece(control["sha256"], 100)
    assert read[0] == answer.content[100:]
    path = served.federation.shared.spool.path(control["sha256"])
    c = {name.removeprefix("c/"): t for name, t in load(path).items() if name != "clients"}
    assert {float(value) for tensor in c.values() for value in tensor.flatten()} == {-1.0}
    async with refused(served, "bad_update", says="is not the change", touches={"uploads"}):
        await nodes[0].submit_inline(both(0.25))  # as if c were zero still
    await nodes[0].submit_inline(both(0.25, c))
