"""A simulation outlives its server, and no process of it does."""

from __future__ import annotations

import asyncio
import hashlib
import signal
import sys
from pathlib import Path

import pytest
from lives import Lives
from machine import spec

from federation.fault_points import SIMULATION_POINTS
from federation.simulation.child import MARK
from federation.simulation.run import simulate
from federation.spec import parse_spec
from federation.weights import to_bytes
from resources.simulate import population_of
from tests.processes import gone

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc"),
]

# A server optimiser and a draw by loss: what the next round starts from is more than the model.
SPEC = spec(
    data={"id": "digits", "partition": {"kind": "dirichlet", "alpha": 0.5, "parts": 12}},
    cohort={"size": 4, "selection": "power_of_choice"},
    aggregation={"rule": "fedadam"},
    rounds=8,
)
FAULTS = {"simulation_started": 1, "simulated_round_written": 2, "simulated_round_kept": 2}


def processes_below(folder: Path) -> list[int]:
    """Whoever simulates with a folder below this one, and its workers."""
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdecimal():
            try:
                environment = (process / "environ").read_bytes()
            except OSError:  # another user's, or gone
                continue
            if f"{MARK}={folder}".encode() in environment:
                found.append(int(process.name))
    return found


async def alone(folder: Path) -> None:
    """Waits until nobody works below `folder`."""
    async with asyncio.timeout(30):
        while pids := processes_below(folder):
            await asyncio.gather(*(gone(pid) for pid in pids))


def undisturbed() -> list[str]:
    parsed = parse_spec(SPEC)
    rounds = simulate(parsed, population_of(parsed), engine="loop")
    return [hashlib.sha256(to_bytes(each.weights)).hexdigest() for each in rounds]


async def test_a_simulation_whose_server_is_killed_again_and_again_ends_at_the_same_bits(lives: Lives) -> None:
    assert FAULTS.keys() == SIMULATION_POINTS.keys()
    task_id, folder, versions = "", lives.data_dir / "simulations", []
    for point, nth in FAULTS.items():
        await lives.start(f"kill@{point}:{nth}")
        if not task_id:
            arguments = {"spec": SPEC, "engine": "processes", "workers": 1}
            made = await lives.call("run_simulation", **arguments, request_id="simulation-lives")
            task_id = made["task_id"]
        assert await lives.ended() == -signal.SIGKILL
        await alone(folder)
        versions.append(len(list((lives.data_dir / "spool" / "blobs").rglob("*"))))
    await lives.start()
    async with asyncio.timeout(120):
        task = await lives.task_once(task_id, lambda task: task["state"] in ("finished", "cancelled", "paused"))
    assert (task["state"], task["reason"]) == ("finished", "")
    assert [each["sha256"] for each in task["rounds"]] == undisturbed()
    assert versions == sorted(versions)
    assert await lives.stop() == 0
    assert not processes_below(folder)


async def test_a_process_that_simulates_ends_when_its_input_does() -> None:
    """However early the server goes: here before it has said what to simulate."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "resources.simulation_child",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )
    said, _ = await asyncio.wait_for(process.communicate(b""), 60)
    assert said == b""
    assert process.returncode == 1
