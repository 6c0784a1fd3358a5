from __future__ import annotations

import socket

from federation.spec import parse_spec
from potluck.demo import Demo, free_port, spec


def test_the_demos_task_is_a_valid_one_in_which_every_node_counts() -> None:
    task = parse_spec(spec(Demo(nodes=3, rounds=7, seed=11, port=0, stay=False)))
    assert (task.rounds, task.seed) == (7, 11)
    assert task.data.partition.parts == task.cohort.size == task.cohort.min_nodes == task.cohort.quorum == 3


def test_a_port_that_is_taken_is_passed_over() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert free_port("127.0.0.1", port) not in (0, port)
    assert free_port("127.0.0.1", port) == port


def test_port_0_is_any_free_one() -> None:
    assert free_port("127.0.0.1", 0) > 0
