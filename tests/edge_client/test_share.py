from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_client.data import load_share, own_examples, own_path
from federation.errors import ErrorCode, Refused
from federation.spec import TaskSpec, parse_spec


def task(parts: int = 4, holdout: float = 0.1, data: dict[str, Any] | None = None) -> TaskSpec:
    data = data or {"id": "digits", "partition": {"parts": parts}}
    return parse_spec({"name": "t", "model": {"id": "logistic"}, "data": data | {"holdout": holdout}})


def npz(folder: Path, labels: int = 3) -> Path:
    path = folder / "mine.npz"
    rng = np.random.default_rng(0)
    np.savez(path, x=rng.random((20, 4), dtype=np.float32), y=np.arange(20) % labels)
    return path


def rows(*parts: Any) -> set[bytes]:
    return {row.numpy().tobytes() for part in parts for row in part.x}


def test_the_shares_of_all_nodes_are_the_whole_training_set_and_no_example_twice() -> None:
    shares = [load_share(task(), index, None) for index in range(4)]
    sizes = [len(share.train) + len(share.held_out) for share in shares]
    assert sum(sizes) == 1437
    everything = set().union(*(rows(share.train, share.held_out) for share in shares))
    assert len(everything) > 1430  # a few of the digits are drawn alike


def test_what_is_held_out_is_never_trained_on_and_stays_the_same() -> None:
    share, again = (load_share(task(holdout=0.25), 2, None) for _ in range(2))
    assert len(share.held_out) == (len(share.train) + len(share.held_out)) // 4
    assert not rows(share.train) & rows(share.held_out)
    assert share.held_out.x.equal(again.held_out.x)


def test_own_data_needs_no_part_of_any_data_set(tmp_path: Path) -> None:
    spec = task(data={"id": "own", "input_shape": [4], "num_classes": 3})
    share = load_share(spec, None, own_examples(spec, npz(tmp_path)))
    assert (len(share.train), len(share.held_out)) == (18, 2)


def test_own_data_that_does_not_fit_the_task_is_refused(tmp_path: Path) -> None:
    spec = task(data={"id": "own", "input_shape": [4], "num_classes": 2})
    with pytest.raises(Refused) as caught:
        own_examples(spec, npz(tmp_path, labels=3))
    assert caught.value.code is ErrorCode.BAD_DATA


def test_a_task_for_own_data_asks_for_it() -> None:
    with pytest.raises(Refused, match="--data"):
        own_examples(task(data={"id": "own", "input_shape": [4], "num_classes": 3}), None)


def test_a_node_without_a_part_says_so() -> None:
    with pytest.raises(Refused, match="no part"):
        load_share(task(), None, None)


def test_a_data_sets_name_is_no_path_and_a_path_is_no_name(tmp_path: Path) -> None:
    assert own_path(None) is None
    assert own_path("digits") is None
    assert own_path(str(tmp_path)) == tmp_path


def test_the_name_of_another_data_set_than_the_tasks_is_refused() -> None:
    with pytest.raises(Refused, match="trains on digits, not on mnist"):
        own_examples(task(), "mnist")
