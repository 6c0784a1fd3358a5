"""Faults are named in one place, happen where and when they are asked for, and never otherwise."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from federation import fault_points
from federation.errors import ErrorCode, Refused
from federation.fault_points import POINTS, Fault, arm, reach

ROOT = Path(__file__).parents[2]
PACKAGES = ("potluck", "dashboard", "edge_client", "mcp_server", "tools", "orchestrator", "resources", "federation")


@pytest.fixture(autouse=True)
def _disarmed() -> Iterator[None]:
    yield
    arm(None)


def reached_in_the_source() -> list[str]:
    found = []
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            for call in re.findall(r"\breach\(([^)]*)\)", path.read_text()):
                found += re.findall(r'"(\w+)"', call)
    return found


def test_every_point_is_reached_somewhere_and_every_place_is_a_point() -> None:
    reached = reached_in_the_source()
    assert sorted(set(reached)) == sorted(POINTS)
    assert sorted(reached) == sorted(set(reached)), "a name is one place, or a test could not tell"


@pytest.mark.parametrize(
    "text", ["kill", "kill@", "@", "explode@part_written", "kill@nowhere", "kill@part_written:x", "kill@part_written:0"]
)
def test_what_is_no_fault_is_refused_and_says_what_is(text: str) -> None:
    with pytest.raises(Refused) as refused:
        Fault(text)
    assert refused.value.code is ErrorCode.INVALID_ARGUMENT
    assert repr(text) in refused.value.problem
    assert all(word in refused.value.mend for word in ("kill", "stop", "disk_full", *POINTS))


def test_without_a_fault_nothing_happens_anywhere() -> None:
    arm(None)
    for point in POINTS:
        reach(point)
    assert fault_points._fault is None


def test_a_full_disk_is_found_once_at_its_place_and_its_time() -> None:
    arm("disk_full@part_written:2")
    reach("part_written")
    reach("part_synced")
    with pytest.raises(OSError, match="No space") as full:
        reach("part_written")
    assert full.value.errno == errno.ENOSPC
    reach("part_written")


@pytest.mark.e2e
def test_a_process_ends_at_the_place_that_its_environment_names() -> None:
    code = "from federation.fault_points import reach; reach('part_written'); print('before', flush=True); "
    code += "reach('part_synced'); print('after')"
    environment = os.environ | {"POTLUCK_FAULT": "kill@part_synced", "PYTHONPATH": str(ROOT)}
    ran = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout) == (-9, "before\n")


@pytest.mark.e2e
def test_a_server_that_is_told_of_no_known_fault_does_not_start() -> None:
    environment = os.environ | {"POTLUCK_FAULT": "kill@nowhere", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "potluck.cli", "serve", "--port", "0"]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 1
    assert "POTLUCK_FAULT is 'kill@nowhere', which is no fault. Mend: unset it" in ran.stderr
