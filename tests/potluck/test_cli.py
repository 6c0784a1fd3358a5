from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from potluck.cli import app, main


@pytest.fixture
def nowhere() -> str:
    """An address at which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


def run_main(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(sys, "argv", ["potluck", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    assert isinstance(ended.value.code, int)
    return ended.value.code


def test_help_names_every_command_and_imports_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from potluck.cli import main\n"
        "sys.argv = ['potluck', '--help']\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'mcp', 'numpy', 'sqlalchemy', 'pydantic', 'httpx2', 'yaml'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for command in ("demo", "serve", "join", "call", "validate", "simulate", "aggregate", "token"):
        assert f"  {command} " in done.stdout


@pytest.mark.parametrize("command", ["demo", "serve", "join", "call", "validate", "simulate", "aggregate", "token"])
def test_every_command_explains_itself(command: str) -> None:
    result = CliRunner().invoke(app, [command, "--help"])
    assert result.exit_code == 0
    assert "Usage" in result.output


def test_a_server_that_is_not_there_is_one_line_and_exit_code_1(
    nowhere: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_main(["call", nowhere, "list_tasks"], monkeypatch) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("error: ")
    assert said.err.count("\n") == 1


def test_a_node_without_patience_gives_up_on_a_server_that_is_not_there(
    nowhere: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    join = ["join", nowhere, "--task", "task-1", "--key", str(tmp_path / "node.pem"), "--patience", "0"]
    assert run_main(join, monkeypatch) == 1
    assert capsys.readouterr().err.startswith("error: ")


def test_a_wrong_address_is_refused_with_an_example(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_main(["call", "localhost:7860", "list_tasks"], monkeypatch) == 1
    assert "http://127.0.0.1:7860" in capsys.readouterr().err


def test_a_task_that_is_not_named_is_a_usage_error(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run_main(["join", "http://127.0.0.1:1"], monkeypatch) == 2


def test_a_token_comes_from_a_server_or_a_data_directory_but_not_from_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run_main(["token"], monkeypatch) == 2
    assert run_main(["token", "http://127.0.0.1:1", "--data-dir", str(tmp_path)], monkeypatch) == 2


def test_a_data_directory_that_is_not_there_has_no_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_main(["token", "--data-dir", str(tmp_path / "none")], monkeypatch) == 1
    assert "no server's data directory" in capsys.readouterr().err


def test_a_setting_that_is_not_valid_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_main(["serve", "--host", "0.0.0.0", "--open"], monkeypatch) == 1
    assert "--open" in capsys.readouterr().err
