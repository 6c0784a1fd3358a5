"""A disk that is really full: a data directory of a few megabytes. Needs root, for the disk."""

from __future__ import annotations

import asyncio
import hashlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from evidence import blobs_on_disk, blobs_referred_to, hashes_of_rounds, incoming, receipts_kept
from lives import Lives
from small_federation import ROUNDS, SmallFederation

from edge_client.connection import Connection
from edge_client.endpoint import Endpoint
from federation.errors import ErrorCode, Refused

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.timeout(120),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk"),
]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """4 MB at `tmp_path/data`."""
    disk = tmp_path / "data"
    disk.mkdir(mode=0o700)
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m,mode=700", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this machine does not let its root mount")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


def fill(disk: Path) -> Path:
    """Takes every byte that is left."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (4096, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue
    return ballast


async def test_a_full_disk_is_refused_by_every_lane_and_once_there_is_room_all_goes_on(
    small_disk: Path, lives: Lives
) -> None:
    await lives.start()
    federation = SmallFederation(lives)
    token = await federation.create()
    await federation.take_assignments_and_fall_silent(token)
    node = await federation.shake_hands("raw", token)
    where = {"task_id": federation.task_id, "round": 1, "base_version": 0}
    data = bytes(range(256)) * 300
    announced = node | where | {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
    async with Connection(Endpoint(lives.url, token=token), patience_s=30) as connection:
        begun = await connection.call("begin_upload", announced)
        ballast = fill(small_disk)
        async with httpx2.AsyncClient() as http:
            put = await http.put(f"{lives.url}/{begun['url']}", content=data)
        assert put.status_code == 507
        assert put.json()["error"]["code"] == "storage_full"
        assert "free space" in put.json()["error"]["mend"]
        chunk = node | {"upload_id": begun["upload_id"], "offset": 0, "data_b64": "AAECAwQF"}
        with pytest.raises(Refused) as refused:
            await connection.call("upload_chunk", chunk)
        assert refused.value.code is ErrorCode.STORAGE_FULL
        assert incoming(lives.data_dir) in ([], [f"{begun['upload_id']}.part"])
        answers = await asyncio.gather(*(connection.call("get_task", {"task_id": federation.task_id}) for _ in "123"))
        assert {answer["state"] for answer in answers} == {"running"}, "who only reads is served"
    working = asyncio.ensure_future(federation.train(token))
    await asyncio.wait([working], timeout=2)
    assert not working.done(), "nodes wait for room"
    ballast.unlink()
    await working
    assert await lives.stop() == 0
    assert [state for _, state, _ in hashes_of_rounds(lives.data_dir)] == ["closed"] * ROUNDS
    assert receipts_kept(lives.data_dir) == {receipt["update_id"]: 1 for receipt in federation.receipts}
    assert incoming(lives.data_dir) == []
    assert blobs_on_disk(lives.data_dir) == blobs_referred_to(lives.data_dir)
