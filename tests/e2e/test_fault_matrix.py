"""Every step of the server's side of a round × every fault: what was acknowledged stays, and the bits are the same.

Run alone, this prints the matrix at its end: `python -m pytest tests/e2e/test_fault_matrix.py`.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from evidence import blobs_on_disk, blobs_referred_to, hashes_of_rounds, incoming, receipts_kept
from lives import Lives
from small_federation import ROUNDS, SmallFederation

from federation.fault_points import SERVER_POINTS

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(180)]

# The first file to become a blob is version 0 of the model; the second is a node's update.
IN_A_ROUND = {
    "first_model_stored": 1,
    "task_written": 1,
    "task_created": 1,
    "share_taken": 1,
    "cohort_written": 2,
    "cohort_drawn": 2,
    "upload_announced": 1,
    "part_written": 2,
    "part_synced": 2,
    "part_renamed": 2,
    "folder_synced": 2,
    "chunk_appended": 2,
    "chunks_complete": 1,
    "received_written": 1,
    "upload_received": 1,
    "update_written": 1,
    "update_committed": 1,
    "claim_written": 1,
    "round_claimed": 1,
    "round_folded": 1,
    "new_model_stored": 1,
    "next_round_written": 1,
    "finish_written": 1,
    "round_closed": ROUNDS,
    "prune_written": ROUNDS,
    "prune_committed": ROUNDS,
    "blob_pruned": 1,
}
WITHOUT_QUORUM = ("void_written", "round_void")
WRITES = (
    "task_written",
    "cohort_written",
    "part_written",
    "part_synced",
    "folder_synced",
    "chunk_appended",
    "chunks_complete",
    "received_written",
    "update_written",
    "claim_written",
    "next_round_written",
    "finish_written",
    "prune_written",
    "blob_pruned",
)


class Undisturbed:
    """What comes of a run without a fault, computed once."""

    def __init__(self, folder: Callable[[], Path]) -> None:
        self._folder = folder
        self._found: dict[bool, list[tuple[int, str, str | None]]] = {}

    async def hashes(self, *, void: bool) -> list[tuple[int, str, str | None]]:
        if void not in self._found:
            lives = Lives(self._folder())
            try:
                await lives.start()
                await (first_round_void if void else SmallFederation.live)(SmallFederation(lives))
                assert await lives.stop() == 0
            finally:
                lives.end()
            self._found[void] = hashes_of_rounds(lives.data_dir)
        return self._found[void]


def test_no_point_is_left_out() -> None:
    assert list(IN_A_ROUND | dict.fromkeys(WITHOUT_QUORUM)) == [
        point for point in SERVER_POINTS if point not in WITHOUT_QUORUM
    ] + list(WITHOUT_QUORUM)


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    return Undisturbed(lambda: tmp_path_factory.mktemp("undisturbed"))


async def first_round_void(federation: SmallFederation) -> None:
    """Nobody delivers in round 1, which is void at its deadline; then both nodes come back."""
    token = await federation.create(deadline_s=4, rounds=ROUNDS + 1)
    await federation.take_assignments_and_fall_silent(token)
    await federation.lives.task_once(federation.task_id, lambda task: task["rounds"][0]["state"] == "void")
    await federation.train(token)


async def killed_at(fault: str, lives: Lives, work: Callable[[SmallFederation], Any]) -> list[dict[str, Any]]:
    """A life that ends at `fault`, and one without a fault that goes on; the receipts given before the end."""
    federation = SmallFederation(lives)
    await lives.start(fault)
    working = asyncio.ensure_future(work(federation))
    dying = asyncio.ensure_future(lives.ended())
    await asyncio.wait([working, dying], return_when=asyncio.FIRST_COMPLETED)
    assert not working.done(), f"{fault} was never reached, or broke a node: {working.exception()!r}\n{lives.said()}"
    assert await dying == -signal.SIGKILL
    given = list(federation.receipts)
    kept = receipts_kept(lives.data_dir)
    assert [kept.get(receipt["update_id"]) for receipt in given] == [1] * len(given), "a receipt was not kept"
    await lives.start()
    await working
    check_receipts(federation)
    return given


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.05)


def check_receipts(federation: SmallFederation) -> None:
    kept = receipts_kept(federation.lives.data_dir)
    assert kept == {receipt["update_id"]: 1 for receipt in federation.receipts}
    assert len(federation.receipts) == 2 * ROUNDS


async def check_the_end(lives: Lives, expected: list[tuple[int, str, str | None]]) -> None:
    """Nothing is left over, nothing is missing, and every round made the same model."""
    assert await lives.stop() == 0
    assert hashes_of_rounds(lives.data_dir) == expected
    assert len({sha256 for _, state, sha256 in expected if state == "closed"}) == ROUNDS
    assert incoming(lives.data_dir) == []
    assert blobs_on_disk(lives.data_dir) == blobs_referred_to(lives.data_dir)


@pytest.mark.parametrize("point", IN_A_ROUND)
async def test_a_server_killed_at(
    point: str, lives: Lives, undisturbed: Undisturbed, record_property: Callable[[str, object], None]
) -> None:
    expected = await undisturbed.hashes(void=False)
    given = await killed_at(f"kill@{point}:{IN_A_ROUND[point]}", lives, SmallFederation.live)
    await check_the_end(lives, expected)
    record_property("fault", ("kill", point, f"{len(given)} receipts kept; same bits after a restart"))


@pytest.mark.parametrize("point", WITHOUT_QUORUM)
async def test_a_server_killed_without_quorum_at(
    point: str, lives: Lives, undisturbed: Undisturbed, record_property: Callable[[str, object], None]
) -> None:
    expected = await undisturbed.hashes(void=True)
    assert [state for _, state, _ in expected] == ["void"] + ["closed"] * ROUNDS
    await killed_at(f"kill@{point}", lives, first_round_void)
    await check_the_end(lives, expected)
    record_property("fault", ("kill", point, "the model stays; same bits after a restart"))


@pytest.mark.parametrize("point", WRITES)
async def test_a_server_whose_disk_is_full_at(
    point: str, lives: Lives, undisturbed: Undisturbed, record_property: Callable[[str, object], None]
) -> None:
    expected = await undisturbed.hashes(void=False)
    federation = SmallFederation(lives)
    await lives.start(f"disk_full@{point}:{IN_A_ROUND[point]}")
    await federation.live()
    assert f"asked for a fault at {point}" in lives.said()
    check_receipts(federation)
    await until(lambda: blobs_on_disk(lives.data_dir) == blobs_referred_to(lives.data_dir))
    await check_the_end(lives, expected)
    record_property("fault", ("disk_full", point, "refused or tried again; same bits once there was room"))
