"""Desktop hosts: `potluck serve --stdio` as they start it, the second one on a data directory as well as the first."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from agent import Heard, use
from forked import ForkedChildren
from machine import Machine, spec
from mcp import Client
from mcp.client.stdio import StdioServerParameters, stdio_client

from mcp_server.keys import operator_token

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.filterwarnings("ignore:resources/(un)?subscribe is removed"),  # in the era that has no other way
]
ERAS = ("auto", "legacy")


def _command(data_dir: Path, *flags: str) -> StdioServerParameters:
    arguments = ["-m", "potluck.cli", "serve", "--stdio", "--data-dir", str(data_dir), *flags]
    return StdioServerParameters(command=sys.executable, args=arguments, env=dict(os.environ))


@pytest.mark.parametrize("first_era", ERAS)
async def test_two_hosts_on_one_data_directory_share_a_server_that_the_first_one_is(
    tmp_path: Path, first_era: str
) -> None:
    data_dir, heard = tmp_path / "data", Heard()
    first = stdio_client(_command(data_dir, "--port", "0"))
    second = stdio_client(_command(data_dir, "--port", "0"))
    second_era = next(era for era in ERAS if era != first_era)
    async with Client(first, mode=first_era, message_handler=heard) as serving:
        pid = json.loads((data_dir / "server.json").read_text())["pid"]
        async with Client(second, mode=second_era, message_handler=heard) as bridging:
            assert serving.protocol_version != bridging.protocol_version
            tasks = {await use(serving, "first-host", heard), await use(bridging, "second-host", heard)}
            for client in (serving, bridging):
                listed = (await client.call_tool("list_tasks", {})).structured_content
                assert {task["task_id"] for task in (listed or {})["tasks"]} == tasks
        assert json.loads((data_dir / "server.json").read_text())["pid"] == pid, "the bridge's end ended nothing else"
        assert (await serving.call_tool("list_tasks", {})).structured_content
    assert not (data_dir / "server.json").exists(), "the server ended in order with its host"


class Raw:
    """`potluck serve --stdio` with nothing between its streams and the test."""

    def __init__(self, data_dir: Path, *flags: str) -> None:
        command = _command(data_dir, *flags)
        self.process = subprocess.Popen(
            [command.command, *command.args], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        self.said: list[bytes] = []
        self.logged: list[bytes] = []
        self._heard = threading.Condition()
        self._readers = [self._keep(self.process.stdout, self.said), self._keep(self.process.stderr, self.logged)]

    def _keep(self, stream: Any, into: list[bytes]) -> threading.Thread:
        def keep() -> None:
            for line in stream:
                with self._heard:
                    into.append(line)
                    self._heard.notify_all()

        thread = threading.Thread(target=keep, daemon=True)
        thread.start()
        return thread

    def answered(self, *ids: int) -> None:
        """Returns when the server has answered the requests with these ids."""

        def heard() -> bool:
            return set(ids) <= {json.loads(line).get("id") for line in self.said}

        with self._heard:
            assert self._heard.wait_for(heard, 60), b"".join(self.said + self.logged)

    def say(self, message: dict[str, Any]) -> None:
        """One message to the server."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")
        self.process.stdin.flush()

    def shake_hands(self) -> None:
        """Opens a session."""
        client = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "raw", "version": "1"}}
        self.say({"id": 0, "method": "initialize", "params": client})
        self.say({"method": "notifications/initialized"})

    def leave(self) -> int:
        """Closes the server's input, as hosts do; the exit code."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        return self._ended()

    def interrupt(self) -> int:
        """SIGTERM, its input still open; the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self._ended()

    def _ended(self) -> int:
        code = self.process.wait(20)
        for reader in self._readers:
            reader.join(10)
        return code


@contextmanager
def raw(data_dir: Path, *flags: str) -> Iterator[Raw]:
    host = Raw(data_dir, *flags)
    try:
        yield host
    finally:
        with suppress(OSError):
            host.process.kill()
        host.process.wait()
        for stream in (host.process.stdin, host.process.stdout, host.process.stderr):
            with suppress(OSError):
                if stream is not None:
                    stream.close()


async def test_standard_output_carries_messages_only_while_a_federation_trains_at_debug(tmp_path: Path) -> None:
    with ForkedChildren(tmp_path / "logs") as children:
        machine = Machine(tmp_path, children)
        with (
            raw(machine.data_dir, "--port", "0", "--log-level", "DEBUG") as serving,
            raw(machine.data_dir, "--log-level", "DEBUG") as bridging,
        ):
            machine.wait_for_address()
            for host in (serving, bridging):
                host.shake_hands()
                host.say({"id": 1, "method": "tools/list"})
            machine.operator = operator = operator_token(machine.data_dir)
            task = await machine.call("create_task", spec=spec(rounds=2), request_id="purity-test")
            uri = f"potluck://tasks/{task['task_id']}"
            for host in (serving, bridging):
                host.say({"id": 2, "method": "resources/subscribe", "params": {"uri": uri}})
                measure = {"name": "validate_task", "arguments": {"spec": spec(), "measure": True}}
                host.say({"id": 3, "method": "tools/call", "params": measure})
            token = await machine.node_token()
            for index in range(2):
                machine.start_node(f"node-{index}", task["task_id"], token, "--index", str(index))
            await machine.wait_for(task["task_id"], lambda task: task["state"] == "finished")
            for host in (serving, bridging):
                host.answered(0, 1, 2, 3)
            assert bridging.leave() == 0
            assert serving.leave() == 0
            for host in (serving, bridging):
                messages = [json.loads(line) for line in host.said]
                assert all(message["jsonrpc"] == "2.0" for message in messages)
                assert {message["id"] for message in messages if "id" in message} == {0, 1, 2, 3}
                assert "notifications/resources/updated" in {message.get("method") for message in messages}
            logged = b"".join(serving.logged)
            assert operator.encode() not in logged, "hosts keep what their servers write to standard error"


async def test_a_signal_ends_the_server_in_order_though_the_host_says_nothing(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    with raw(data_dir, "--port", "0") as serving, raw(data_dir) as bridging:
        for host in (serving, bridging):
            host.shake_hands()
            host.answered(0)
        assert bridging.interrupt() == 0
        assert serving.interrupt() == 0
        assert b"Traceback" not in b"".join(serving.logged + bridging.logged)
    assert not (data_dir / "server.json").exists()


async def test_a_port_that_nobody_asked_for_gives_way_and_one_that_was_asked_for_does_not(tmp_path: Path) -> None:
    with socket.socket() as taken:
        with suppress(OSError):  # then somebody else has it, which will do
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            taken.bind(("127.0.0.1", 7860))
            taken.listen()
        with raw(tmp_path / "data") as host:
            host.shake_hands()
            host.answered(0)
            assert host.leave() == 0
            assert b"port 7860 is taken; taking a free one" in b"".join(host.logged)
        with raw(tmp_path / "other", "--port", "7860") as host:
            assert host.process.wait(60) == 1
            host.leave()
            assert b"cannot listen on 127.0.0.1:7860" in b"".join(host.logged)
            assert host.said == []


@pytest.mark.parametrize("token", ["pl_wrong"])
async def test_a_host_with_a_wrong_token_is_refused_at_the_start(tmp_path: Path, token: str) -> None:
    with raw(tmp_path / "data", "--port", "0", "--token", token) as host:
        assert host.process.wait(60) == 1
        host.leave()
        assert b"wrong, revoked or expired" in b"".join(host.logged)
