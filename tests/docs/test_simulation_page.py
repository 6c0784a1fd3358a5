"""What the tutorial shows of `potluck simulate` is what its command prints, but for scores and times."""

from __future__ import annotations

import re
import shlex
import sys

import pytest

from potluck.cli import main
from tests.docs.pages import blocks, page


def test_the_rows_on_the_page_are_those_of_its_own_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command, sample = blocks(page("docs/tutorials/simulation.md"))[:2]
    monkeypatch.setattr(sys, "argv", shlex.split(command.code.replace("\\\n", " ")))
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    printed = [_form(line) for line in capsys.readouterr().out.splitlines()]
    before, after = sample.code.split("...\n")
    shown, last = [_form(line) for line in before.splitlines()], [_form(line) for line in after.splitlines()]
    assert printed[: len(shown)] == shown
    assert printed[-len(last) :] == last


def test_the_summary_on_the_page_is_that_of_its_last_row() -> None:
    *_, row, summary = blocks(page("docs/tutorials/simulation.md"))[1].code.splitlines()
    assert f"accuracy {row.split()[1]} " in summary


def _form(line: str) -> str:
    """A line without the numbers that another processor may make otherwise."""
    if "rounds in" in line:
        return re.sub(r"\d+\.\d+ s|\d\.\d{3}", "#", line)
    return re.sub(r"\d+\.\d{3,4}", "#", line)
