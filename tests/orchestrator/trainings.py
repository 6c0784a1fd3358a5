"""Trainings as literal numbers: what get_task, the metrics and the rounds would say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from federation.spec import parse_spec
from orchestrator.diagnosis.diagnose import diagnose
from orchestrator.diagnosis.facts import Finding
from orchestrator.diagnosis.training import Training

BEGAN = 1000.0
Json = dict[str, Any]


def spec(**changes: Any) -> Json:
    """A whole spec, as the server fills it in."""
    known: Json = {"name": "t", "model": {"id": "mlp"}, "data": {"id": "digits"}, "cohort": {"size": 3}, "rounds": 9}
    return parse_spec(known | changes).model_dump(mode="json")


def round_(number: int, state: str = "closed", **changes: Any) -> Json:
    """A round that made the version of its number, from the one before."""
    made = number if state == "closed" else None
    known: Json = {"round": number, "state": state, "base_version": number - 1, "version": made, "sha256": None}
    known |= {"selected": 3, "wanted": 3, "quorum": 2, "submitted": 3, "deadline_at": BEGAN + 600, "seconds": 2.5}
    known |= {"bytes_up": 3000, "bytes_down": 1500, "reason": ""}
    scores = dict.fromkeys(("accuracy", "loss", "node_accuracy", "node_loss"))
    return known | scores | changes


def scored(*losses: float, accuracies: Sequence[float] | None = None, **changes: Any) -> list[Json]:
    """Closed rounds with the server's losses, one after the other."""
    accuracies = accuracies or [None] * len(losses)  # type: ignore[list-item]
    pairs = zip(losses, accuracies, strict=True)
    return [round_(n, loss=loss, accuracy=accuracy, **changes) for n, (loss, accuracy) in enumerate(pairs, 1)]


def member(name: str, **changes: Any) -> Json:
    """A node called `name`, that has done all it was asked for."""
    known: Json = {"node_id": f"node-{name}", "name": name, "partition_index": 0, "at_hand": True, "in_cohort": True}
    known |= {"submitted": True, "progress": None, "selected": 3, "delivered": 3, "dropped_out": 0}
    return known | {"weight_share": 0.25} | changes


def update(name: str, **changes: Any) -> Json:
    """An update like any other."""
    known: Json = {"update_id": "upd", "node_id": f"node-{name}", "num_examples": 400, "num_steps": 10, "size": 1000}
    known |= {"norm": 1.0, "metrics": {}, "accepted_at": BEGAN + 2, "version": 1, "weight": 0.25}
    return known | {"cosine": 0.9, "score": None, "reason": ""} | changes


def detail(number: int, *updates: Json, **changes: Any) -> Json:
    """A round with its updates."""
    return round_(number, **changes) | {"cohort": [], "updates": list(updates)}


def view(rounds: Sequence[Json] = (), *, members: Sequence[Json] = (), **changes: Any) -> Json:
    """A task as get_task shows it."""
    version = max((each["version"] or 0 for each in rounds), default=0)
    known: Json = {"task_id": "task-aaaaaaaaaaaaaaaa", "name": "t", "state": "running", "reason": "", "best": {}}
    known |= {"round": len(rounds), "num_rounds": 9, "version": version, "model": {}, "rounds": list(rounds)}
    return known | {"nodes": list(members), "spec": spec(), "initial_scores": {}, "simulation": None} | changes


def metric(name: str, value: float, version: int, *, source: str = "server", number: int | None = None) -> Json:
    """A row of the metrics."""
    made = version if number is None else number
    return {"round": made, "version": version, "source": source, "node_id": "", "name": name, "value": value, "at": 0.0}


def found(kind: str, rounds: Sequence[Json] = (), metrics: Sequence[Json] = (), **changes: Any) -> Finding | None:
    """The finding of this kind, if there is one; `details` are rounds with their updates."""
    details = changes.pop("details", ())
    return next((f for f in diagnose(view(rounds, **changes), metrics, details) if f.kind == kind), None)


def kinds(rounds: Sequence[Json] = (), metrics: Sequence[Json] = (), **changes: Any) -> set[str]:
    """Every kind that is found."""
    details = changes.pop("details", ())
    return {f.kind for f in diagnose(view(rounds, **changes), metrics, details)}


def training(rounds: Sequence[Json] = (), metrics: Sequence[Json] = (), **changes: Any) -> Training:
    """The training itself."""
    details = changes.pop("details", ())
    return Training.of(view(rounds, **changes), metrics, details)
