"""Nodes that train and vanish, many in one process: `python -m benchmarks.churn_crowd`, told how by a line of JSON.

The line: `{host, port, token, task_id, first, count, seed, vanish, away_s}`. Each node really trains, with the node's
own functions (`edge_client.work`), on its share. In each round a node may meet one of four fates, drawn from the seed,
the node and the round: it breaks off before training, in the middle of its upload, before the commit, or right after
it. It says no goodbye, stays away for a while, shakes hands anew and goes on. Prints counts as JSON when all are done.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.light_node import LightNode
from benchmarks.wire import Failed, Wire
from edge_client.data import Share, load_share
from edge_client.work import Update, make_update, score
from federation.spec import derive_seed, parse_spec

FATES = ("vanished before training", "vanished in mid-upload", "vanished before the commit", "vanished after it")
HANDSHAKES = 8  # at once


class Vanished(Exception):
    """Ends one life of a node, in the round that it names; a later round begins another."""

    def __init__(self, round_number: int) -> None:
        super().__init__(f"in round {round_number}")
        self.round = round_number


class Crowd:
    """The nodes of one process. `counts` says what became of assignments."""

    def __init__(self, orders: dict[str, Any], folder: Path) -> None:
        self._orders = orders
        self._folder = folder
        self._trainer = ThreadPoolExecutor(1)  # one thread trains for all: the server has the other core
        self._gate = asyncio.Semaphore(HANDSHAKES)
        self._shares: dict[int, Share] = {}
        self.counts: Counter[str] = Counter()

    async def live(self, number: int) -> None:
        """A node's life until its task is finished."""
        wire = Wire(self._orders["host"], self._orders["port"], self._orders["token"])
        node = LightNode(wire, f"churn {number}")
        fresh = True
        while True:
            try:
                if fresh:
                    async with self._gate:
                        await node.shake_hands()
                    fresh = False
                    await node.ask(self._orders["task_id"], wait_s=20)
                match node.assignment["action"]:
                    case "finished":
                        return
                    case "train":
                        await self._train(node, number)
                    case "evaluate":
                        await self._score(node)
                        await node.ask(self._orders["task_id"])
                    case "wait":
                        await node.ask(self._orders["task_id"], wait_s=20)
            except Vanished as vanished:
                wire.drop()
                draw = derive_seed(self._orders["seed"], "away", number, vanished.round) / 2**63
                await asyncio.sleep(self._orders["away_s"] * (0.5 + draw))
                fresh = True
            except (Failed, OSError, asyncio.IncompleteReadError) as error:
                code = getattr(error, "code", "") or "lost connection"
                self.counts[code] += 1
                wire.drop()
                await asyncio.sleep(0.2)
                fresh = True

    async def _train(self, node: LightNode, number: int) -> None:
        self.counts["assigned"] += 1
        current = int(node.assignment["round"])
        fate = self._fate(number, current)
        self._meet(fate, "vanished before training", current)
        loop = asyncio.get_running_loop()
        update = await loop.run_in_executor(self._trainer, self._make, node.assignment, await self._model(node))
        begun = await node.begin(update.payload)
        if fate == "vanished in mid-upload":
            await node.wire.put(begun["url"], update.payload, stop_after=len(update.payload) // 2)
        self._meet(fate, "vanished in mid-upload", current)
        if not begun["received"]:
            await node.wire.put(begun["url"], update.payload)
        self._meet(fate, "vanished before the commit", current)
        examples, loss = update.num_examples, update.metrics["train_loss"]
        await node.submit(update.payload, begun["upload_id"], num_examples=examples, train_loss=loss)
        self.counts["accepted"] += 1
        self._meet(fate, "vanished after it", current)

    async def _score(self, node: LightNode) -> None:
        work = node.assignment
        share = self._share(work)
        loop = asyncio.get_running_loop()
        path = await self._model(node)
        spec = parse_spec(work["spec"])
        found = await loop.run_in_executor(self._trainer, lambda: score(spec, work, path, share, threads=1))
        await node.call(
            "report_progress",
            task_id=work["task_id"],
            round=work["round"],
            phase="evaluation",
            loss=found.loss,
            accuracy=found.accuracy,
            num_examples=found.num_examples,
            version=work["model"]["version"],
        )

    async def _model(self, node: LightNode) -> Path:
        """The assigned model's file; the nodes of one process share it, but each fetches it."""
        data = await node.model()
        path = self._folder / str(node.assignment["model"]["sha256"])
        if not path.exists():
            path.write_bytes(data)
        return path

    def _make(self, work: dict[str, Any], path: Path) -> Update:
        seed = derive_seed(self._orders["seed"], "train", work["round"], work["partition_index"])
        return make_update(
            parse_spec(work["spec"]),
            work,
            path,
            self._share(work),
            seed=seed,
            threads=1,
            on_progress=lambda progress: None,
            should_stop=lambda: False,
        )

    def _share(self, work: dict[str, Any]) -> Share:
        index = int(work["partition_index"])
        if index not in self._shares:
            self._shares[index] = load_share(parse_spec(work["spec"]), index, None)
        return self._shares[index]

    def _fate(self, number: int, round_number: int) -> str:
        draw = np.random.default_rng(derive_seed(self._orders["seed"], "fate", number, round_number)).random()
        vanish = self._orders["vanish"]
        return FATES[int(draw / vanish * len(FATES))] if draw < vanish else ""

    def _meet(self, fate: str, here: str, current: int) -> None:
        if fate == here:
            self.counts[fate] += 1
            raise Vanished(current)


async def main() -> None:
    """Obeys."""
    orders = json.loads(sys.stdin.readline())
    with tempfile.TemporaryDirectory(prefix="potluck-bench-") as folder:
        crowd = Crowd(orders, Path(folder))
        await asyncio.gather(*(crowd.live(orders["first"] + number) for number in range(orders["count"])))
    print(json.dumps(crowd.counts), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
