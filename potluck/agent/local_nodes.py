"""Nodes as processes of this machine that end with the agent, and are the same nodes when it is resumed."""

from __future__ import annotations

import asyncio
import subprocess
import time
from contextlib import suppress
from pathlib import Path

from edge_client.identity import open_identity
from federation.errors import ErrorCode, Refused
from potluck.agent.person import Person
from potluck.agent.server import Server
from potluck.agent.wish import Wish
from potluck.processes import GRACE_S, Children, Died

LEAVING_S, LOOK_S, GUARD_S = 15.0, 0.1, 1.0
"""Seconds that a node of an earlier run may take to let go of its key, between two looks at it, and at
what runs."""


class TiedChildren(Children):
    """Children that end when this process does, were it by SIGKILL."""

    module = "potluck.agent.tied"
    tie = subprocess.PIPE
    keeps = True

    def codes(self) -> dict[str, int | None]:
        """The exit codes, None of those that run."""
        return {name: process.poll() for name, process in self._running.items()}

    def part(self) -> None:
        """Lets them score the last model and leave, for a few seconds."""
        until = time.monotonic() + GRACE_S
        for process in self._running.values():
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, until - time.monotonic()))


class LocalNodes:
    """The nodes of one run: keys and logs lie in a folder beside its state."""

    def __init__(self, folder: Path, children: TiedChildren, count: int, wish: Wish) -> None:
        self._folder = folder
        self._children = children
        self.count = count
        self._flags = ["--transport", wish.transport]
        self._flags += ["--ca-file", str(wish.ca_file)] if wish.ca_file else []
        self._working_on = ""

    async def start(self, server: Server, person: Person, task_id: str, token: str | None) -> None:
        """Start them on a task, once; those of a task before have left with it."""
        if not self.count or self._working_on == task_id:
            return
        self._working_on = task_id
        for number in range(1, self.count + 1):
            key = self._folder / f"node-{number}.pem"
            await self._free(key)
            arguments = ["join", server.url, "--task", task_id, "--key", str(key), "--name", f"agent-node-{number}"]
            environment = {"OMP_NUM_THREADS": "1"} | ({} if token is None else {"POTLUCK_TOKEN": token})
            self._children.start(f"{task_id}-{number}", [*arguments, *self._flags], environment)
        person.does(f"started {self.count} nodes on this machine; their logs are in {self._folder}")

    async def guard(self, person: Person) -> None:
        """Tells of each node that ends in an error; raises Died when all have."""
        told: set[str] = set()
        while True:
            await asyncio.sleep(GUARD_S)
            codes = self._children.codes()
            for name, code in codes.items():
                if code and name not in told:
                    told.add(name)
                    person.say(f"a node of this machine ended with exit code {code}; see {self._children.log(name)}")
            if codes and all(codes.values()):
                raise Died("all nodes of this machine have ended in errors")

    async def _free(self, key: Path) -> None:
        """Waits until no process of an earlier run holds the key. Refused when one does not let go."""
        for _ in range(int(LEAVING_S / LOOK_S)):
            try:
                with open_identity(key):  # made, where there is none yet
                    return
            except Refused as refused:
                if refused.code is not ErrorCode.FENCED:
                    raise
            await asyncio.sleep(LOOK_S)
        problem = f"a node of an earlier run still works with {key}."
        raise Refused(ErrorCode.FENCED, problem, "stop that process, then resume")
