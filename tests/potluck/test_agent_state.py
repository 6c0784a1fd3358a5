"""The agent's file, its questions, and how a command begins, ends and is gone on with."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import stat
import termios
from pathlib import Path
from typing import Any

import anyio
import pytest
from typer.testing import CliRunner

from edge_client.endpoint import Endpoint
from federation.errors import ErrorCode, Refused
from potluck.agent import run as running
from potluck.agent.consent import Pending
from potluck.agent.person import Person, Unanswered
from potluck.agent.run import _begin, _state_file, run
from potluck.agent.state import State, Store, file_of, latest_of
from potluck.agent.wish import Exit, Wish
from potluck.cli import app
from tests.potluck.agents import Answers

URL = "http://127.0.0.1:1"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state" / "potluck" / "agent"


def test_a_state_is_whole_and_private_and_comes_back_as_it_was(tmp_path: Path) -> None:
    store, state = Store(tmp_path / "run.json"), State(URL, "a goal", agreed=["make-0"], plan={"spec": {"name": "x"}})
    store.save(State(URL, "before"))
    store.save(state)
    assert store.load() == state
    assert stat.S_IMODE(store.path.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]
    assert Store(tmp_path / "other.json").load() is None
    store.path.write_text("{}")
    with pytest.raises(Refused, match="is no state of an agent"):
        store.load()


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "null",
        '{"url": 1, "goal": "g", "run": "r"}',
        '{"url": "u", "goal": "g", "run": ""}',
        '{"url": "u", "goal": "g", "run": "r", "plan": 3}',
        '{"url": "u", "goal": "g", "run": "r", "transcript": [{"kind": "reply"}]}',
        '{"url": "u", "goal": "g", "run": "r", "pending": {"key": "k"}}',
        "\x00",
    ],
)
def test_a_file_of_another_shape_is_refused_in_words(tmp_path: Path, text: str) -> None:
    path = tmp_path / "run.json"
    path.write_text(text)
    with pytest.raises(Refused, match="is no state of an agent"):
        run(Endpoint(URL), Wish(URL, resume=True, state_file=path))


def test_a_path_that_cannot_be_a_file_is_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "file" / "run.json", tmp_path / "folder"):
        with pytest.raises(Refused, match=r"cannot be the file of a run: .* --state"):
            run(Endpoint(URL), Wish(URL, "a goal", state_file=path))


def test_what_is_agreed_and_not_done_comes_back_from_the_file(tmp_path: Path) -> None:
    pending = Pending("k", "why", "what", [("control_task", {"action": "cancel"})], 3, done=1, successor={"name": "x"})
    store = Store(tmp_path / "run.json")
    store.save(State(URL, "a goal", pending=pending, changes=2))
    found = store.load()
    assert found is not None
    assert (found.pending, found.changes) == (pending, 2)


def test_request_ids_are_of_the_run_and_the_generation() -> None:
    state = State(URL, "a goal")
    first = state.request_id("task")
    assert first == state.request_id("task") != state.request_id("nodes")
    state.generation = 1
    assert state.request_id("task") != first
    assert State(URL, "a goal").request_id("task") != first, "another run is another federation"


def test_two_agents_do_not_work_on_one_run(tmp_path: Path) -> None:
    with Store(tmp_path / "run.json").held():
        with pytest.raises(Refused, match="another agent is at work"), Store(tmp_path / "run.json").held():
            pass
    with Store(tmp_path / "run.json").held():
        pass


def test_a_run_is_found_by_its_server_and_goal_and_the_latest_by_its_server(home: Path) -> None:
    assert file_of(URL, "a") != file_of(URL, "b") != file_of("http://other:1", "b")
    assert file_of(URL, "a").parent == home
    with pytest.raises(Refused, match="no run of the agent"):
        latest_of(URL)
    home.mkdir(parents=True)
    for goal in ("a", "b"):
        Store(file_of(URL, goal)).save(State(URL, goal))
    assert latest_of(URL) == file_of(URL, "b")
    assert _state_file(Endpoint(URL), Wish(URL, resume=True)) == file_of(URL, "b")
    assert _state_file(Endpoint(URL), Wish(URL, resume=True, state_file=Path("x"))) == Path("x")


def test_a_run_that_is_not_over_is_not_begun_anew_by_accident(tmp_path: Path) -> None:
    store, wish = Store(tmp_path / "run.json"), Wish(URL, "a goal")
    planned = _begin(store, Endpoint(URL), wish)
    assert _begin(store, Endpoint(URL), wish).run != planned.run, "a plan alone is not lost by planning again"
    made = _begin(store, Endpoint(URL), wish)
    made.agreed.append("make-0")
    store.save(made)
    with pytest.raises(Refused, match="go on with it: --resume"):
        _begin(store, Endpoint(URL), wish)
    assert _begin(store, Endpoint(URL), Wish(URL, resume=True)).run == made.run
    with pytest.raises(Refused, match="is of a run on"):
        _begin(store, Endpoint("http://127.0.0.1:2"), Wish(URL, resume=True))
    made.finished = True
    store.save(made)
    assert _begin(store, Endpoint(URL), wish).run != made.run


def test_a_question_that_nobody_can_answer_has_an_exit_code_and_a_way_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def asks(server: Any, person: Person, *_: Any) -> int:
        await person.ask("May I?")
        return Exit.DONE

    monkeypatch.setattr(running, "drive", asks)
    path = tmp_path / "run.json"
    assert run(Endpoint(URL), Wish(URL, "a goal", state_file=path)) == Exit.UNANSWERED == 4
    said = capsys.readouterr()
    assert "? May I?" in said.out
    assert f"potluck agent {URL} --resume --state {path}" in said.err
    assert run(Endpoint(URL), Wish(URL, "a goal", state_file=path, yes=True)) == Exit.DONE
    assert "? May I? yes (--yes)" in capsys.readouterr().out


def test_without_an_input_or_an_output_there_is_nobody_to_ask(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def asks(server: Any, person: Person, *_: Any) -> int:
        assert not person.sees_secrets
        await person.ask("May I?")
        return Exit.DONE

    monkeypatch.setattr(running, "drive", asks)
    monkeypatch.setattr("sys.stdin", None)
    assert run(Endpoint(URL), Wish(URL, "a goal", state_file=tmp_path / "run.json")) == Exit.UNANSWERED
    monkeypatch.setattr("sys.stdout", None)
    assert run(Endpoint(URL), Wish(URL, "a goal", state_file=tmp_path / "run.json")) == Exit.UNANSWERED


@pytest.mark.parametrize(
    ("changed", "line"),
    [
        ({"task_id": "task-aaaaaaaaaaaaaaaa"}, "--state {path}"),
        ({"transcript": [{"kind": "said", "text": "x"}]}, "--state {path} --llm"),
    ],
)
def test_a_refusal_in_the_middle_of_a_run_says_how_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], changed: Any, line: str
) -> None:
    async def refused(server: Any, person: Person, state: State, *_: Any) -> int:
        for name, value in changed.items():
            setattr(state, name, value)
        raise Refused(ErrorCode.BUSY, "the quota is used up.", "wait")

    monkeypatch.setattr(running, "drive", refused)
    path = tmp_path / "run.json"
    with pytest.raises(Refused, match="quota"):
        run(Endpoint(URL), Wish(URL, "a goal", state_file=path))
    assert f"to go on: potluck agent {URL} --resume {line.format(path=path)}\n" in capsys.readouterr().err


def test_an_interrupt_leaves_the_federation_and_says_how_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def works(server: Any, person: Person, state: State, store: Store, *_: Any) -> int:
        state.task_id = "task-aaaaaaaaaaaaaaaa"
        store.save(state)
        os.kill(os.getpid(), signal.SIGINT)
        await anyio.sleep_forever()
        return Exit.DONE

    monkeypatch.setattr(running, "drive", works)
    path = tmp_path / "run.json"
    assert run(Endpoint(URL), Wish(URL, "a goal", state_file=path)) == 130
    said = capsys.readouterr().err
    assert "the federation goes on without me" in said
    assert f"--resume --state {path}" in said
    assert json.loads(path.read_text())["task_id"] == "task-aaaaaaaaaaaaaaaa"


@pytest.mark.anyio
async def test_only_a_yes_is_a_yes_and_questions_have_a_bound() -> None:
    lines = iter(["\n", "no\n", "Y\n", "yes\n", "sure\n"])

    async def line() -> str:
        return next(lines)

    person = Person(terminal=True, line=line, most_questions=5)
    assert [await person.ask("May I?") for _ in range(5)] == [False, False, True, True, False]
    with pytest.raises(Unanswered):
        await person.ask("And now?")
    granting = Person(yes=True, most_questions=1)
    assert await granting.ask("May I?")
    with pytest.raises(Unanswered):
        await granting.ask("And now?")
    with pytest.raises(Unanswered, match="May I cancel"):
        await Person(terminal=False).ask("May I\ncancel\x1b[2K?")
    assert await Answers(yes=True).ask("May I?")


@pytest.mark.anyio
async def test_an_answer_comes_from_the_terminal_and_after_the_question(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = os.openpty()
    listens, flush = asyncio.Event(), termios.tcflush

    def flushed(terminal: int, queue: int) -> None:
        flush(terminal, queue)
        listens.set()

    monkeypatch.setattr(termios, "tcflush", flushed)
    with os.fdopen(ours, "rb+", buffering=0) as person_types, os.fdopen(theirs) as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        person = Person()
        person_types.write(b"yes\n")  # before anything was asked
        for typed, meant in ((b"no\n", False), (b"yes\n", True)):
            listens.clear()
            asking = asyncio.create_task(person.ask("May I?"))
            await asyncio.wait_for(listens.wait(), 20)
            person_types.write(typed)
            assert await asyncio.wait_for(asking, 20) is meant


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "either a goal or --resume"),
        (["x", "--resume"], "either"),
        (["x", "--simulate", "--nodes", "2"], "no --nodes"),
    ],
)
def test_wishes_that_contradict_each_other_are_wrong_usage(arguments: list[str], says: str) -> None:
    ran = CliRunner().invoke(app, ["agent", URL, *arguments])
    assert ran.exit_code == 2
    assert says in ran.output
