"""`potluck validate`: what is wrong with a spec, before anyone trains on it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from edge_client.endpoint import Endpoint
from federation.errors import ErrorCode, Refused
from potluck.call import read_file
from potluck.client import call
from potluck.live_table import human_bytes


def validate_and_print(endpoint: Endpoint, path: Path, *, measure: bool = False) -> bool:
    """Print every problem with its field and mend, and the budget; whether the spec can be trained."""
    spec = read_file(path)
    if not isinstance(spec, dict):
        raise Refused(ErrorCode.INVALID_SPEC, f"{path} holds no task spec.", "see the resource potluck://schema/task")
    answer = call(endpoint, "validate_task", {"spec": spec} | ({"measure": True} if measure else {}))
    for kind in ("problem", "warning"):
        for each in answer.get(f"{kind}s") or []:
            typer.echo(f"{kind}  {each['field']}: {each['problem']}")
            typer.echo(f"    mend: {each['mend']}")
    for title in ("budget", "measured"):
        for name, value in (answer.get(title) or {}).items():
            typer.echo(f"{title}  {name:<28} {_human(name, value)}")
    valid = bool(answer["valid"])
    typer.echo("valid" if valid else "not valid")
    return valid


def _human(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if "bytes" in name and isinstance(value, int | float):
        return human_bytes(value)
    if isinstance(value, float):
        return f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) else str(value)
