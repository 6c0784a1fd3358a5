"""A node's own control variate: which one it trains with, and what it does when it is not there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from edge_client.state_folder import StateFolder, open_state
from edge_client.variates import Kept, Variates
from federation import fault_points
from federation.errors import Refused
from federation.layout import layout_of
from federation.weights import to_bytes

MODEL = layout_of({"w": torch.zeros(2)})


@contextmanager
def opened(tmp_path: Path) -> Iterator[tuple[StateFolder, list[str]]]:
    told: list[str] = []
    with open_state(tmp_path, server="s", task_id="t", node_id="n", on_trouble=told.append) as folder:
        yield folder, told


def server_state(tmp_path: Path, *values: float) -> Path:
    path = tmp_path / "control"
    path.write_bytes(to_bytes({"c/w": torch.tensor(values), "clients": torch.tensor(4)}))
    return path


def counted(number: int, update: str | None = None) -> dict[str, Any]:
    return {"counted": {"round": number, "sha256": update or f"update-{number}"}}


def kept(number: int, value: float, update: str | None = None) -> Kept:
    return Kept(number, update or f"update-{number}", {"w": torch.full((2,), value)})


def names(folder: StateFolder) -> set[str]:
    return {path.name for path in folder.path.glob("variate*")}


def test_before_the_first_round_all_is_zero(tmp_path: Path) -> None:
    with opened(tmp_path) as (folder, told):
        found = Variates(folder).control({}, None, MODEL)
        assert found.correction["w"].tolist() == [0.0, 0.0]
        assert not found.lost
        assert told == []


def test_a_node_that_nothing_counts_of_yet_is_corrected_by_c(tmp_path: Path) -> None:
    with opened(tmp_path) as (folder, told):
        found = Variates(folder).control({}, server_state(tmp_path, 1.0, -2.0), MODEL)
        assert found.correction["w"].tolist() == [1.0, -2.0]
        assert (found.lost, told) == (False, [])


def test_the_variate_that_the_server_counts_on_is_found_by_the_next_process(tmp_path: Path) -> None:
    with opened(tmp_path) as (folder, _):
        Variates(folder).keep(kept(1, 0.5), {})
    with opened(tmp_path) as (folder, told):
        found = Variates(folder).control(counted(1), server_state(tmp_path, 1.0, -2.0), MODEL)
        assert found.correction["w"].tolist() == [0.5, -2.5]
        assert found.moved({"w": torch.tensor([1.0, 2.0])})["w"].tolist() == [1.5, 2.5]
        assert (found.lost, told) == (False, [])


def test_a_round_that_does_not_count_leaves_the_variate_before_in_force(tmp_path: Path) -> None:
    with opened(tmp_path) as (folder, told):
        variates, c = Variates(folder), server_state(tmp_path, 0.0, 0.0)
        variates.keep(kept(1, 1.0), {})
        variates.keep(kept(2, 2.0), counted(1))  # void, then
        assert variates.control(counted(1), c, MODEL).own["w"].tolist() == [1.0, 1.0]
        variates.keep(kept(3, 3.0), counted(1))
        assert names(folder) == {"variate-1", "variate-3"}
        assert variates.control(counted(3), c, MODEL).own["w"].tolist() == [3.0, 3.0]
        variates.keep(kept(4, 4.0), counted(3))
        assert names(folder) == {"variate-3", "variate-4"}
        assert told == []


def test_keeping_the_same_variate_again_changes_nothing(tmp_path: Path) -> None:
    with opened(tmp_path) as (folder, _):
        variates = Variates(folder)
        variates.keep(kept(1, 1.0), {})
        variates.keep(kept(2, 2.0), counted(1))
        before = (folder.path / "variate-2").read_bytes()
        variates.keep(kept(2, 2.0), counted(1))
        assert (folder.path / "variate-2").read_bytes() == before
        assert names(folder) == {"variate-1", "variate-2"}


@pytest.mark.parametrize("trouble", ["missing", "damaged", "of another update", "of another model", "no tensors"])
def test_a_variate_that_is_lost_is_told_and_c_takes_its_place(tmp_path: Path, trouble: str) -> None:
    with opened(tmp_path) as (folder, told):
        variates = Variates(folder)
        value = kept(5, 9.0, "another" if trouble == "of another update" else None)
        if trouble == "of another model":
            value = Kept(5, "update-5", {"v": torch.zeros(7)})
        if trouble != "missing":
            variates.keep(value, {})
        path = folder.path / "variate-5"
        if trouble == "damaged":
            path.write_bytes(path.read_bytes()[:-1] + b"?")
        if trouble == "no tensors":
            folder.write("variate-5", {"round": 5, "update": "update-5"}, [b"nothing of use"])
        found = variates.control(counted(5), server_state(tmp_path, 1.0, -2.0), MODEL)
        assert found.lost
        assert found.correction["w"].tolist() == [0.0, 0.0]
        assert found.own["w"].tolist() == [1.0, -2.0]
        assert "control variate, of round 5, is lost" in told[-1]
        assert len(told) == (1 if trouble == "missing" else 2)
        assert not path.exists()


def test_what_a_full_disk_does_not_take_is_kept_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(tmp_path) as (folder, told):
        variates, c = Variates(folder), server_state(tmp_path, 0.0, 0.0)
        variates.keep(kept(1, 1.0), {})
        monkeypatch.setattr(fault_points, "_fault", fault_points.Fault("disk_full@node_state_unsealed"))
        variates.keep(kept(2, 2.0), counted(1))
        assert "the variate-2 cannot be kept" in told[0]
        assert variates.control(counted(2), c, MODEL).own["w"].tolist() == [2.0, 2.0]
        assert variates.control(counted(1), c, MODEL).own["w"].tolist() == [1.0, 1.0]
        assert Variates(folder).control(counted(2), c, MODEL).lost, "another process does not have it"


def test_a_server_state_of_another_model_is_refused(tmp_path: Path) -> None:
    with opened(tmp_path) as (folder, _), pytest.raises(Refused, match="other tensors than the model"):
        Variates(folder).control({}, server_state(tmp_path, 1.0, 2.0, 3.0), MODEL)
