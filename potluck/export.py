"""`potluck export`: a version of the global model as a folder, ready for the library that it is made for."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import typer

from edge_client.connection import Connection
from edge_client.endpoint import Endpoint
from edge_client.transfer import Lanes
from federation.base_pin import BasePin
from federation.errors import ErrorCode, Refused
from federation.spec import TaskSpec, parse_spec
from federation.weights import load
from potluck.client import quiet


def export(
    endpoint: Endpoint, task_id: str, out: Path, *, version: int | None, merged: bool, models: Path | None
) -> None:
    """Write the version to the new folder `out`: weights, configuration and model card.

    Args:
        merged: instead of adapters, the whole model with the adapters merged in.
        models: folder of base models by name; default: the Hub and its cache.

    Raises:
        Refused: `out` is there already; the server refuses; the base model is not here, or another one.
    """
    if out.exists():
        raise Refused(ErrorCode.INVALID_ARGUMENT, f"{out} exists.", "name a folder that is not there yet")
    quiet()
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".export-") as scratch:
        folder = Path(scratch) / "model"
        folder.mkdir()
        made, spec = asyncio.run(_fetch(endpoint, task_id, version, folder, merged=merged))
        if merged:
            folder = _merged(made, spec, folder, Path(scratch) / "merged", models)
        os.rename(folder, out)
    typer.echo(f"version {made['version']} of {task_id} is in {out}: {', '.join(sorted(os.listdir(out)))}")


async def _fetch(
    endpoint: Endpoint, task_id: str, version: int | None, folder: Path, *, merged: bool
) -> tuple[dict[str, Any], TaskSpec]:
    """What the server says of the export, whose files are in `folder`, and the task's spec."""
    asked: dict[str, Any] = {"task_id": task_id, "merged": merged} | ({} if version is None else {"version": version})
    async with Connection(endpoint, patience_s=0) as connection, endpoint.http() as http:
        made = await connection.call("export_model", asked, timeout=300)
        spec = parse_spec((await connection.call("get_task", {"task_id": task_id}))["spec"])

        async def refuse(tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
            raise Refused(ErrorCode.INVALID_ARGUMENT, f"{tool} is no part of a download.", "report this")

        lanes = Lanes(connection, refuse, http, endpoint.url, chunk_max_bytes=1 << 20, patience_s=60)
        with tempfile.TemporaryDirectory(dir=folder.parent) as downloads:
            weights = await lanes.download(made, Path(downloads))
            weights.rename(folder / _name_of(made))
    for name, text in made["files"].items():
        (folder / Path(name).name).write_text(text, encoding="utf-8")
    return made, spec


def _name_of(made: dict[str, Any]) -> str:
    """What the server calls the file of weights: a name, and no path of a stranger's choice."""
    return Path(made["weights"]).name or "model.safetensors"


def _merged(made: dict[str, Any], spec: TaskSpec, adapters: Path, out: Path, root: Path | None) -> Path:
    if made["format"] != "peft":
        problem = "this model was trained as a whole: there are no adapters to merge."
        raise Refused(ErrorCode.INVALID_ARGUMENT, problem, "leave --merged out")
    from resources.models.language.bases import fetch
    from resources.models.language.export import merge

    base = fetch(spec.model, root, BasePin(**made["base"]))
    merge(out, spec.model, base, load(adapters / _name_of(made)))
    shutil.copy(adapters / "README.md", out)
    return out
