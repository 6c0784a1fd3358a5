"""A client's code for a task, ready to run."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, Field

from federation.errors import ErrorCode, Refused
from federation.trainer import check_trainable
from orchestrator.clients.checking import check_code
from orchestrator.clients.template import Framework, Subject
from orchestrator.clients.trial import try_client
from orchestrator.clients.writing import MOST_INSTRUCTIONS, write_client
from tools.arguments import TaskId
from tools.context import Ctx, Potluck, potluck

CHECKOUT = "/path/to/potluck"
"""A checkout of Potluck on the node's machine: it is on no package index yet."""


class GeneratedClient(BaseModel):
    """A file to run where the data is."""

    code: str
    filename: str
    install: str
    run: str
    problems: list[str] = Field(description="found by looking the code over")
    checked: dict[str, Any] | None = Field(description="of a tried round: accepted, reason, losses, sandbox")
    generator: str = Field(description="template, or the language model")
    notes: list[str]


async def generate_client(
    ctx: Ctx,
    task_id: TaskId,
    framework: Framework,
    instructions: Annotated[
        str, Field(max_length=MOST_INSTRUCTIONS, description="How to train; default: plainly.")
    ] = "",
    check: Annotated[bool, Field(description="Try one round of it on the server, in a sandbox.")] = False,
) -> GeneratedClient:
    """Write a client for a task, its training loop open to changes: PyTorch, or a Flower ClientApp. Changes nothing."""
    state = potluck(ctx)
    if check and not state.check_clients:
        raise Refused(
            ErrorCode.FORBIDDEN,
            "this server runs no clients to check them (its setting check_clients is off).",
            "call with check=false and try the client where it will run, or switch check_clients on",
        )
    task, model = await state.federation.models.version(task_id, None)
    check_trainable(task.spec)
    subject = Subject(task_id, task.spec, task.input_shape, task.num_classes)
    written = await write_client(subject, framework, instructions, state.model, state.llm_budget())
    problems = [str(finding) for finding in check_code(written.code, framework)]
    checked, notes = None, written.notes
    if check and not problems:
        checked, why = await _tried(state, written.code, subject, framework, model.sha256, max(task.round, 1))
        notes = [*notes, *why]
    filename = f"{framework}_client.py"
    extras = [*(["flower"] if framework == "flower" else []), *(["llm"] if task.spec.model.pretrained else [])]
    data = " --data PATH" if task.spec.data.id == "own" else ""
    return GeneratedClient(
        code=written.code,
        filename=filename,
        install=f"pip install '{CHECKOUT}[{','.join(extras)}]'" if extras else f"pip install {CHECKOUT}",
        run=f"POTLUCK_TOKEN=NODE_TOKEN python {filename} SERVER_URL{data}",
        problems=problems,
        checked=checked,
        generator=written.generator,
        notes=notes,
    )


async def _tried(
    state: Potluck, code: str, subject: Subject, framework: Framework, sha256: str, number: int
) -> tuple[dict[str, Any] | None, list[str]]:
    """What a round was; or none, and why."""
    if subject.spec.model.pretrained:
        return None, ["not tried: a language model's round takes more than a check may; try it on a node"]
    if framework == "flower" and find_spec("flwr") is None:
        return None, ["not tried: Flower is not installed beside this server (pip install 'potluck-fl[flower]')"]
    if state.measuring.locked():
        raise Refused(ErrorCode.BUSY, "another measurement is running.", "try again when it is done")
    shared = state.federation.shared
    async with state.measuring:
        trial = await asyncio.to_thread(
            try_client,
            code,
            subject,
            framework,
            shared.spool.path(sha256),
            round=number,
            workload=state.workload,
            hidden=[shared.data_dir, Path.home()],
        )
    return asdict(trial), []
