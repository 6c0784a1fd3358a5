"""What is stored of a task is enough to make each of its models again, to the bit."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import pytest
from world import Node, World

from federation.aggregation.contributions import Contribution
from federation.aggregation.rules import aggregate
from federation.aggregation.server_optimizer import State
from federation.spec import TaskSpec, derive_seed
from federation.store.tables import model_versions, rounds, tasks, updates
from federation.weights import to_bytes

pytestmark = pytest.mark.anyio

FIVE: dict[str, Any] = {"cohort": {"size": 5, "quorum": 5, "min_nodes": 5}, "keep_rounds": 9}
DELTAS = (0.1, 0.3, -0.7, 1e-3, 3.3)


async def play(world: World, task: str, nodes: Sequence[Node], number: int) -> None:
    """One round; who comes first changes from round to round."""
    for node in nodes:
        await node.ask(task)
    turn = [*zip(nodes, DELTAS, strict=True)][number:] + [*zip(nodes, DELTAS, strict=True)][:number]
    for node, delta in turn:
        await node.submit(task, number, delta / number, examples=10 + 7 * number)
    await world.review()
    assert (await world.round(task, number))["state"] == "closed"


async def replayed(world: World, task_id: str) -> list[tuple[str, str]]:
    """(hash stored, hash made again) of each version after the first, from rows and blobs alone."""
    found, state = [], State()
    async with world.federation.shared.database.read() as connection:
        spec = TaskSpec.model_validate(
            (await connection.execute(tasks.select().where(tasks.c.task_id == task_id))).mappings().one()["spec"]
        )
        made = (await connection.execute(model_versions.select().order_by(model_versions.c.version))).mappings().all()
        done = (await connection.execute(rounds.select().where(rounds.c.version.is_not(None)))).mappings().all()
        given = (await connection.execute(updates.select())).mappings().all()
    sha256 = {row["version"]: row["sha256"] for row in made}
    path = world.federation.shared.spool.path
    for row in sorted(done, key=lambda row: int(row["version"])):
        contributions = [
            Contribution(each["node_id"], each["upload_id"], path(each["sha256"]), each["num_examples"], 1)
            for each in given
            if each["round"] == row["round"]
        ]
        again = aggregate(
            spec.aggregation,
            path(sha256[row["base_version"]]),
            contributions,
            training=spec.training,
            state=state,
            seed=derive_seed(spec.seed, "aggregate", row["round"]),
        )
        state = again.state
        found.append((sha256[row["version"]], hashlib.sha256(to_bytes(again.weights)).hexdigest()))
    return found


@pytest.mark.parametrize(
    "aggregation",
    [
        {"rule": "fedavg"},
        {"rule": "fedyogi"},
        {"rule": "fednova"},
        {"rule": "trimmed_mean", "mixing": "nnm", "options": {"f": 1}},
        {"rule": "multi_krum", "mixing": "bucketing", "bucket_size": 2, "options": {"f": 0}},
    ],
    ids=lambda aggregation: str(aggregation["rule"]),
)
async def test_a_replay_of_what_is_stored_gives_every_models_hash(world: World, aggregation: dict[str, Any]) -> None:
    task = await world.task(aggregation=aggregation, **FIVE)
    nodes = [await world.node(name) for name in ("ann", "bob", "cai", "dan", "eve")]
    for number in (1, 2, 3):
        await play(world, task, nodes, number)
    found = await replayed(world, task)
    assert len(found) == 3
    assert all(stored == again for stored, again in found)
    assert len({stored for stored, _ in found}) == 3


async def test_a_replay_notices_an_update_that_was_changed(world: World) -> None:
    task = await world.task(**FIVE)
    nodes = [await world.node(name) for name in ("ann", "bob", "cai", "dan", "eve")]
    await play(world, task, nodes, 1)
    async with world.federation.shared.database.read() as connection:
        row = (await connection.execute(updates.select().limit(1))).mappings().one()
    file = world.federation.shared.spool.path(row["sha256"])
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.chmod(0o600)
    file.write_bytes(content)
    [(stored, again)] = await replayed(world, task)
    assert stored != again
