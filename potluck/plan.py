"""`potluck plan URL "words"`: a task spec from plain words, to look at before anything is created."""

from __future__ import annotations

from pathlib import Path

import typer
import yaml

from edge_client.endpoint import Endpoint
from federation.errors import ErrorCode, Refused
from potluck.call import read_file
from potluck.client import call


def plan_and_print(endpoint: Endpoint, goal: str, path: Path | None) -> bool:
    """Print the spec as YAML on stdout, and on stderr why it is so and what it will not do; whether it can be trained.

    Args:
        path: of a spec to change.
    """
    arguments: dict[str, object] = {"goal": goal}
    if path is not None:
        arguments["spec"] = read_file(path)
        if not isinstance(arguments["spec"], dict):
            mend = "see the resource potluck://schema/task"
            raise Refused(ErrorCode.INVALID_SPEC, f"{path} holds no task spec.", mend)
    answer = call(endpoint, "plan_task", arguments)
    for reason in answer["reasons"]:
        typer.echo(f"{reason['field']}: {reason['why']}", err=True)
    for note in answer["notes"]:
        typer.echo(f"note  {note}", err=True)
    for kind in ("problem", "warning"):
        for each in answer[f"{kind}s"]:
            typer.echo(f"{kind}  {each['field']}: {each['problem']}", err=True)
            typer.echo(f"    mend: {each['mend']}", err=True)
    command = "run_simulation" if answer["simulate"] else "create_task"
    if (simulation := answer.get("simulation")) and simulation["attack"]:
        command += f" with attack {simulation['attack']} and attackers {simulation['attackers']:g}"
    typer.echo(f"planned by {answer['planner']}, for {command}", err=True)
    typer.echo(yaml.safe_dump(answer["spec"], sort_keys=False, allow_unicode=True), nl=False)
    return bool(answer["valid"])
