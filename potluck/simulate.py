"""`potluck simulate`: a federation in this process, a line a round."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Mapping
from typing import Any

import typer

from federation.errors import ErrorCode, Refused
from federation.simulation.engine import EngineName
from federation.simulation.refusals import check_simulated_model
from federation.simulation.run import simulate
from federation.simulation.simulated_round import SimulatedRound
from federation.spec import TaskSpec, in_a_sentence, parse_spec
from federation.threads import use_threads
from potluck.flags import for_clients
from potluck.live_table import human_bytes
from potluck.pairs import pairs
from resources.simulate import population_of
from resources.workload import Workload

_HEADINGS = ("round", "accuracy", "loss", "seconds", "up", "down", "clients")
_WIDTHS = (5, 8, 8, 8, 9, 9, 7)


def run(
    raw: Mapping[str, Any],
    *,
    engine: EngineName | None,
    attack: str | None,
    attackers: float,
    workers: int | None,
    threads: int,
    target_accuracy: float | None,
    as_json: bool,
) -> None:
    """Print the rounds of the task in `raw`, whose options are lists of key=value, and a summary."""
    use_threads(threads)
    if workers is not None and engine != "processes":
        mend = "give --engine processes as well, or leave --workers out"
        raise Refused(ErrorCode.INVALID_ARGUMENT, "--workers belongs to the engine processes.", mend)
    began = time.perf_counter()
    done: list[dict[str, Any]] = []
    try:
        spec = _spec(raw)
        began = time.perf_counter()
        rounds = simulate(spec, population_of(spec), engine=engine, attack=attack, attackers=attackers, workers=workers)
        for each in _until(rounds, target_accuracy):
            done.append(_facts(each))
            if as_json:
                typer.echo(json.dumps(done[-1]))
            else:
                _print_row(done[-1], first=len(done) == 1)
    except Refused as refused:
        raise for_clients(refused) from None
    finally:
        if done:
            _say(_summary(done, time.perf_counter() - began, target_accuracy), as_json=as_json)


def _say(summary: Mapping[str, Any], *, as_json: bool) -> None:
    typer.echo(json.dumps({"summary": summary}) if as_json else _sentence(summary))


def _spec(raw: Mapping[str, Any]) -> TaskSpec:
    model, aggregation = dict(raw["model"]), dict(raw["aggregation"])
    model["options"] = pairs("--model-option", model["options"])
    aggregation["options"] = pairs("--option", aggregation["options"])
    if raw["data"]["id"] == "own":
        mend = "name a data set of the catalogue, or simulate in Python with a Population"
        raise Refused(ErrorCode.INVALID_SPEC, "own data is on its nodes, not here.", mend)
    check_simulated_model(str(model["id"]))
    spec = parse_spec({**raw, "model": model, "aggregation": aggregation})
    found = Workload().check(spec)
    if found:
        raise Refused(ErrorCode.INVALID_SPEC, in_a_sentence(found), "; ".join(each.mend for each in found))
    return Workload().settle(spec)


def _until(rounds: Iterator[SimulatedRound], target: float | None) -> Iterator[SimulatedRound]:
    for each in rounds:
        yield each
        if target is not None and each.accuracy is not None and each.accuracy >= target:
            return


def _facts(each: SimulatedRound) -> dict[str, Any]:
    """A round as JSON knows it."""
    facts: dict[str, Any] = {
        "round": each.round,
        "accuracy": each.accuracy,
        "loss": each.loss,
        "train_accuracy": each.train_accuracy,
        "train_loss": each.train_loss,
        "per_class_accuracy": each.per_class_accuracy,
        "seconds": round(each.seconds, 6),
        "bytes": each.bytes_up + each.bytes_down,
        "bytes_up": each.bytes_up,
        "bytes_down": each.bytes_down,
        "clients": len(each.participants),
        "attackers": len(each.attackers),
        "excluded": sum(diagnosis.reason.startswith("excluded") for diagnosis in each.diagnoses),
        "void": each.void,
    }
    if each.backdoor is not None:
        facts["backdoor"] = each.backdoor
    return {name: None if isinstance(v, float) and not math.isfinite(v) else v for name, v in facts.items()}


def _summary(done: list[dict[str, Any]], seconds: float, target: float | None) -> dict[str, Any]:
    scores = [each["accuracy"] for each in done if each["accuracy"] is not None]
    summary = {
        "rounds": len(done),
        "accuracy": done[-1]["accuracy"],
        "best_accuracy": max(scores, default=None),
        "loss": done[-1]["loss"],
        "seconds": round(seconds, 3),
        "bytes": sum(each["bytes"] for each in done),
    }
    if target is not None:
        summary["target_accuracy"] = target
        summary["target_reached"] = bool(scores) and scores[-1] >= target
    if "backdoor" in done[-1]:
        summary["backdoor"] = done[-1]["backdoor"]
    return summary


def _print_row(facts: Mapping[str, Any], *, first: bool) -> None:
    headings, cells = (
        list(_HEADINGS),
        [
            str(facts["round"]),
            _number(facts["accuracy"], ".3f"),
            _number(facts["loss"], ".4f"),
            _number(facts["seconds"], ".3f"),
            human_bytes(facts["bytes_up"]),
            human_bytes(facts["bytes_down"]),
            str(facts["clients"]),
        ],
    )
    widths = list(_WIDTHS)
    if "backdoor" in facts:
        headings.append("backdoor")
        cells.append(_number(facts["backdoor"], ".3f"))
        widths.append(8)
    for line in ([headings] if first else []) + [cells]:
        typer.echo(" ".join(text.rjust(width) for text, width in zip(line, widths, strict=True)))


def _number(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)


def _sentence(summary: Mapping[str, Any]) -> str:
    said = [f"{summary['rounds']} rounds in {summary['seconds']:.1f} s", f"{human_bytes(summary['bytes'])} moved"]
    said.append(f"accuracy {_number(summary['accuracy'], '.3f')} (best {_number(summary['best_accuracy'], '.3f')})")
    if "target_accuracy" in summary:
        reached = "reached" if summary["target_reached"] else "not reached"
        said.append(f"target {summary['target_accuracy']:g} {reached}")
    return "; ".join(said)
