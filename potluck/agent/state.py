"""What the agent must not forget: one small file, whole or not there. A process that is killed goes on from it.

It holds no token: the same request_id answers the same one again.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from federation.errors import ErrorCode, Refused
from potluck.agent.consent import Pending
from potluck.agent.transcript import loaded


@dataclass
class State:
    """Where a run of the agent stands.

    Attributes:
        run: a random word from which its request_ids follow.
        plan: as `plan_task` answered; its spec is what is created.
        simulate: whether it is simulated; decided with the plan.
        nodes: node processes that this machine starts.
        places: nodes that the token of this generation lets in, once it was asked for.
        agreed: what the person has said yes to, and need not be asked again.
        settled: proposals that were answered, one way or the other.
        pending: the one that was agreed to and is not done yet.
        changes: calls of a language model that were granted and change something.
        generation: how many successors the first task has had.
        told: the last round that was told of.
        said: kinds of findings that were told of.
        transcript: turns of a language model that steers, as `potluck.agent.transcript` writes them.
    """

    url: str
    goal: str
    run: str = field(default_factory=lambda: secrets.token_hex(8))
    plan: dict[str, Any] | None = None
    simulate: bool = False
    nodes: int = 0
    places: int = 0
    agreed: list[str] = field(default_factory=list)
    task_id: str = ""
    former: list[str] = field(default_factory=list)
    generation: int = 0
    told: int = 0
    said: list[str] = field(default_factory=list)
    settled: list[str] = field(default_factory=list)
    pending: Pending | None = None
    changes: int = 0
    transcript: list[dict[str, Any]] = field(default_factory=list)
    finished: bool = False

    def request_id(self, what: str) -> str:
        """The request_id for making `what` of this generation: the same in every process of the run."""
        return f"agent-{self.run}-{what}-{self.generation}"


class Store:
    """The file, held by one process at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def save(self, state: State) -> None:
        """Writes it beside its place, synced, and then into it. Refused where that cannot be."""
        beside = self.path.with_name(self.path.name + ".new")
        with self._in_words():
            opened = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(opened, "w", encoding="utf-8") as file:
                json.dump(asdict(state), file)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(self.path)

    def load(self) -> State | None:
        """What is there; None where nothing is. Refused: it is no state of an agent."""
        try:
            with self._in_words():
                text = self.path.read_text(encoding="utf-8") if self.path.exists() else None
            return None if text is None else _read(text)
        except (ValueError, TypeError, KeyError, RecursionError):
            problem, mend = f"{self.path} is no state of an agent.", "name another file with --state, or delete this"
            raise Refused(ErrorCode.INVALID_ARGUMENT, problem, mend) from None

    @contextmanager
    def held(self) -> Iterator[None]:
        """While this lasts, no other process works on the same run. Refused where one does."""
        import fcntl

        with self._in_words():
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = os.open(self.path.with_name(self.path.name + ".lock"), os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            problem = f"another agent is at work on {self.path}."
            raise Refused(ErrorCode.BUSY, problem, "stop it first, or name another file with --state") from None
        else:
            yield
        finally:
            os.close(lock)

    @contextmanager
    def _in_words(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            problem = f"{self.path} cannot be the file of a run: {error.strerror or error}."
            mend = "name a file with --state, in a folder that can be written to"
            raise Refused(ErrorCode.INVALID_ARGUMENT, problem, mend) from None


def _read(text: str) -> State:
    """ValueError, TypeError or KeyError where it is none."""
    found = json.loads(text)
    if not found["run"]:  # without it every call would be made anew
        raise ValueError
    state = TypeAdapter(State).validate_python(found)
    loaded(state.transcript)
    return state


def folder() -> Path:
    """Where states are kept: `$XDG_STATE_HOME/potluck/agent`, else `~/.local/state/potluck/agent`."""
    base = os.environ.get("XDG_STATE_HOME")
    return (Path(base) if base else Path.home() / ".local" / "state") / "potluck" / "agent"


def file_of(url: str, goal: str) -> Path:
    """The state file of a goal on a server."""
    return folder() / f"{_digest(url)}-{_digest(goal)}.json"


def latest_of(url: str) -> Path:
    """The file last written for this server. Refused where there is none."""
    found = sorted(folder().glob(f"{_digest(url)}-*.json"), key=lambda path: path.stat().st_mtime)
    if not found:
        problem = f"no run of the agent on {url} is known here."
        raise Refused(ErrorCode.NOT_FOUND, problem, "begin one with a goal, or name its file with --state")
    return found[-1]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]
