from __future__ import annotations

import os
from pathlib import Path

import pytest

from potluck.processes import Children, Died


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_child_that_fails_is_noticed_and_its_words_are_kept(tmp_path: Path) -> None:
    with Children(tmp_path) as children:
        children.start("odd", ["nonsense"], {})
        with pytest.raises(Died, match="odd ended with exit code 2"):
            children.wait("odd")
        assert "nonsense" in children.tails()


def test_a_child_that_ends_well_is_no_failure(tmp_path: Path) -> None:
    with Children(tmp_path) as children:
        children.start("helpful", ["--help"], {})
        children.wait("helpful")
        children.check()


def test_children_end_with_their_parent_even_when_it_fails(tmp_path: Path) -> None:
    def fail() -> None:
        with Children(tmp_path) as children:
            # a node that waits for a server which will never answer
            key = str(tmp_path / "node.pem")
            children.start("patient", ["join", "http://127.0.0.1:9", "--task", "t", "--key", key], {})
            pids.append(children.pid("patient"))
            raise RuntimeError("something else")

    pids: list[int] = []
    with pytest.raises(RuntimeError):
        fail()
    assert not alive(pids[0])
