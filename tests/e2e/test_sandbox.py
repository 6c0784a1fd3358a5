"""Escapes from the sandbox, tried one by one: each is stopped, and the answer says by what."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from federation.spec import parse_spec
from federation.weights import to_bytes
from orchestrator.clients.template import Subject
from orchestrator.clients.trial import Trial, try_client
from orchestrator.sandbox.bounds import Bounds
from resources.workload import Workload

ROOT = Path(__file__).parents[2]
SECRET = "a-token-that-nobody-may-read"
SPEC = parse_spec(
    {
        "name": "trial",
        "model": {"id": "logistic"},
        "data": {"id": "digits", "partition": {"parts": 2}},
        "training": {"epochs": 3, "learning_rate": 0.1},
        "aggregation": {"max_update_norm": 5.0},
    }
)
SUBJECT = Subject("task-abcdefghijklmnop", SPEC, (1, 8, 8), 10)
QUICK = Bounds(cpu_seconds=2, clock_seconds=90, start_seconds=100)
ON_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="these fences are Linux's")


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "operator.token").write_text(SECRET)
    return folder


def tried(code: str, data_dir: Path, bounds: Bounds = QUICK) -> Trial:
    model = data_dir / "model.safetensors"
    model.write_bytes(to_bytes(Workload().initial_weights(SPEC)))
    how = {"round": 1, "workload": Workload(), "hidden": [data_dir], "bounds": bounds}
    return try_client(code, SUBJECT, "pytorch", model, **how)  # type: ignore[arg-type]


def doing(*lines: str) -> str:
    """A client whose training is this."""
    return "\n".join(["def train(lesson):", *(f"    {line}" for line in lines)])


def test_every_door_that_python_knows_is_shut_and_the_parent_lives(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POTLUCK_OPERATOR_TOKEN", SECRET)
    out = tmp_path / "escaped"
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        attempts = {
            f"open('/proc/{os.getpid()}/environ').read()": "environ' for reading",
            "open(f'/proc/{os.getppid()}/environ').read()": "environ' for reading",
            f"open({str(data_dir / 'operator.token')!r}).read()": "operator.token' for reading",
            "open('/etc/passwd').read()": "'/etc/passwd' for reading",
            f"socket.create_connection(('127.0.0.1', {port}), 1)": "socket.getaddrinfo",
            "socket.socket()": "socket.__new__",
            f"open({str(out)!r}, 'w')": "escaped' for writing",
            f"os.mkdir({str(out)!r})": "os.mkdir",
            "os.remove(lesson_file)": "os.remove",
            "os.symlink('/etc', 'here')": "os.symlink",
            "os.fork()": "os.fork",
            "os.system('id')": "os.system",
            "subprocess.run(['id'])": "subprocess.Popen",
            "os.execv('/bin/true', ['true'])": "os.exec",
            f"os.kill({os.getpid()}, 9)": "os.kill",
            "os.kill(os.getppid(), 9)": "os.kill",
            "ctypes.CDLL(None)": "ctypes.dlopen",
            "pickle.loads(pickle.dumps(Fraction))": "pickle.find_class",
        }
        code = ["import ctypes, os, pickle, socket, subprocess, traceback", "from fractions import Fraction"]
        code += [
            f"lesson_file = {str(data_dir / 'model.safetensors')!r}",
            "said = []",
            f"for each in {list(attempts)!r}:",
        ]
        code += ["    try:", "        said.append(str(eval(each)))", "    except OSError as error:"]
        code += ["        said.append(f'{type(error).__name__} {error}')"]
        code += ["print(dict(os.environ))", "raise ValueError('|'.join(said))"]
        trial = tried(doing(*code), data_dir)
        server.settimeout(0)
        with pytest.raises(BlockingIOError):
            server.accept()
    assert len(trial.attempts) == len(attempts), trial
    for attempt, expected in zip(trial.attempts, attempts.values(), strict=True):
        assert expected in attempt
    assert trial.reason.count("the sandbox's audit hook refuses") > 1
    assert not trial.accepted
    assert "'PATH'" in trial.output  # what it printed of its environment
    assert not out.exists()
    assert SECRET not in repr(trial)


@pytest.mark.parametrize(
    ("code", "by", "says"),
    [
        (doing("while True: pass"), "CPU limit", "signal"),
        (doing("import time", "time.sleep(600)"), "clock", "ended at 1 s"),
        (doing("return bytearray(10 << 30)"), "memory limit", "MemoryError"),
        (doing("for _ in range(1000): print('x' * 1_000_000)"), "output limit", "1,048,576 bytes"),
        (doing("import os", "os._exit(0)"), "itself", "without an answer"),
        (doing("file = open('x', 'wb')", "while True: file.write(bytes(1 << 20))"), "file size limit", "large"),
    ],
    ids=["loop", "sleep", "allocation", "printing", "exit", "file"],
)
@ON_LINUX
def test_what_takes_too_much_is_ended_and_by_whom_is_said(code: str, by: str, says: str, data_dir: Path) -> None:
    bounds = replace(QUICK, clock_seconds=1) if by == "clock" else QUICK
    trial = tried(code, data_dir, bounds)
    assert not trial.accepted
    assert trial.stopped_by == by, trial
    assert says in trial.reason
    assert "audit hook" in trial.sandbox


def test_what_does_not_even_begin_in_time_is_ended_too(data_dir: Path) -> None:
    trial = tried(doing("return 1"), data_dir, replace(QUICK, start_seconds=0.1))
    assert (trial.accepted, trial.stopped_by, list(trial.sandbox)) == (False, "clock", [])
    assert "0.1 s" in trial.reason


BEHIND_THE_HOOK = """
import json, os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from orchestrator.sandbox import namespaces, system_calls
work, data = Path(sys.argv[2]), Path(sys.argv[3])
held = namespaces.enter(work, [data], room=1 << 20, leaving=()) if sys.argv[4] == "namespaces" else []
filtered = sys.argv[4] == "filter" and system_calls.forbid()
import socket

def outcome(attempt):
    try:
        return str(attempt())
    except OSError as error:
        return type(error).__name__ + str(error.errno)

def connect():
    with socket.create_connection(("127.0.0.1", int(sys.argv[5])), 5):
        return "connected"

def fill():
    with (work / "filler").open("wb") as file:
        for _ in range(4):
            file.write(bytes(1 << 20))

print(json.dumps({
    "held": held, "filtered": filtered, "connect": outcome(connect),
    "write": outcome(lambda: (data / "new").write_text("x")), "see": outcome(lambda: os.listdir(data)),
    "outside": outcome(lambda: Path(sys.argv[6]).write_text("x")),
    "parent": outcome(lambda: os.kill(int(sys.argv[7]), 0)), "fork": outcome(lambda: os.fork() or os._exit(0)),
    "exec": outcome(lambda: os.execv("/bin/true", ["true"])) if filtered else "", "full": outcome(fill)}))
"""


@contextmanager
def listening() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def behind(fence: str, tmp_path: Path, data_dir: Path) -> dict[str, object]:
    """What succeeds where only this fence stands."""
    work = tmp_path / "work"
    work.mkdir()
    with listening() as port:
        places = [str(ROOT), str(work), str(data_dir), fence, str(port), str(tmp_path / "outside"), str(os.getpid())]
        command = [sys.executable, "-I", "-B", "-c", BEHIND_THE_HOOK, *places]
        said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    found: dict[str, object] = json.loads(said.strip().splitlines()[-1])
    return found


@ON_LINUX
def test_the_filter_of_system_calls_holds_without_the_hook(tmp_path: Path, data_dir: Path) -> None:
    found = behind("filter", tmp_path, data_dir)
    if not found["filtered"]:
        pytest.skip("this kernel or processor has no filter that is known here")
    for attempt in ("connect", "parent", "fork", "exec"):
        assert found[attempt] == "PermissionError1", attempt


@ON_LINUX
def test_namespaces_hold_without_the_hook(tmp_path: Path, data_dir: Path) -> None:
    found = behind("namespaces", tmp_path, data_dir)
    if not found["held"]:
        pytest.skip("this machine allows no user namespaces")
    assert found["connect"] == "OSError101"  # the network is unreachable
    assert found["see"] == "[]"
    assert found["outside"] == "OSError30"  # read-only
    assert found["write"] == "OSError30"
    assert found["parent"] == "ProcessLookupError3"
    assert found["full"] == "OSError28"  # the folder has the room that it was given
    assert not (tmp_path / "outside").exists()
    assert (data_dir / "operator.token").read_text() == SECRET
