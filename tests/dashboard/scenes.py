"""A federation as the server tells it: one small task, with changes."""

from __future__ import annotations

from typing import Any

from dashboard.watch.reading import Picture

Record = dict[str, Any]

VIEWER = frozenset({"list_tasks", "get_task", "predict"})
OPERATOR = VIEWER | {"create_task", "control_task", "aggregate_round", "export_model"}
HOSTILE = "<img src=x onerror=alert(1)> [a](javascript:alert(1)) ${alert(1)} {{alert(1)}} \u202eevil\u0000"


def past_round(number: int, **changes: Any) -> Record:
    return {
        "round": number,
        "state": "closed",
        "base_version": number - 1,
        "version": number,
        "sha256": f"{number}" * 64,
        "selected": 2,
        "wanted": 2,
        "quorum": 2,
        "submitted": 2,
        "deadline_at": 1_000.0,
        "seconds": 1.5,
        "bytes_up": 2_000_000,
        "bytes_down": 3_000_000,
        "accuracy": 0.5 + number / 10,
        "loss": 1 / number,
        "node_accuracy": None,
        "node_loss": None,
        "reason": "",
    } | changes


def member(node_id: str, **changes: Any) -> Record:
    return {
        "node_id": node_id,
        "name": node_id.removeprefix("node-"),
        "at_hand": True,
        "in_cohort": True,
        "submitted": False,
        "progress": None,
    } | changes


def update(node_id: str, **changes: Any) -> Record:
    return {
        "update_id": f"upd-{node_id}",
        "node_id": node_id,
        "num_examples": 100,
        "num_steps": 4,
        "size": 1000,
        "norm": 1.25,
        "metrics": {"train_loss": 0.5, "memory_bytes": 3e8},
        "accepted_at": 1.0,
        "version": 1,
        "weight": 0.5,
        "cosine": 0.75,
        "score": None,
        "reason": None,
    } | changes


def task(**changes: Any) -> Record:
    rounds = changes.pop("rounds", [past_round(1), past_round(2)])
    return {
        "task_id": "task-aaaaaaaaaaaaaaaa",
        "name": "Digits",
        "state": "running",
        "simulated": False,
        "simulation": None,
        "model": {"version": 2, "sha256": "2" * 64, "size": 19_500, "url": "raw/blobs/2"},
        "data": "digits",
        "round": rounds[-1]["round"] if rounds else 0,
        "num_rounds": 5,
        "version": 2,
        "best": {"version": 2, "accuracy": 0.7, "loss": 0.5},
        "base": None,
        "reason": "",
        "initial_scores": {},
        "rounds": rounds,
        "nodes": [member("node-ada"), member("node-bob")],
        "spec": {
            "model": {"id": "mlp"},
            "data": {"id": "digits"},
            "aggregation": {"rule": "fedavg"},
            "cohort": {"min_nodes": 2, "size": 2},
        },
    } | changes


def collecting(cohort: list[Record], **changes: Any) -> Record:
    return past_round(3, state="collecting", version=None, submitted=0) | {"cohort": cohort, "updates": []} | changes


def metric(name: str, value: float, version: int, **changes: Any) -> Record:
    found = {"round": version, "version": version, "source": "server", "node_id": "", "name": name, "value": value}
    return found | {"at": 0.0} | changes


def seen(the_task: Record | None = None, **changes: Any) -> Picture:
    tools = changes.pop("tools", VIEWER)
    names = {"node-ada": "ada", "node-bob": "bob"}
    return Picture(tools, task=the_task or task(), unfiltered=1, **({"names": names} | changes))
