"""What `potluck://` serves, and to whom."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from mcp.server.mcpserver import MCPServer
from mcp.shared.exceptions import MCPError
from mcp_types import INVALID_PARAMS

from federation.aggregation.rule_cards import rule_cards
from federation.errors import ErrorCode, Refused
from federation.spec import TaskSpec
from mcp_server.cuts import Cuts
from resources import uris
from resources.datasets import catalogue as datasets
from resources.models import catalogue as models
from tools.context import Access, Potluck, current_caller

P = ParamSpec("P")
T = TypeVar("T")

_JSON = "application/json"


def register_resources(server: MCPServer, state: Potluck) -> None:
    """Adds every resource. Single nodes' numbers are for viewers and operators; the rest is for nodes as well."""
    views = state.federation.views
    cuts = Cuts(state.workload)

    @server.resource(uris.SCHEMA, name="task schema", mime_type=_JSON)
    @_guarded(nodes=True)
    async def task_schema() -> str:
        """JSON Schema of a task spec, as create_task and validate_task take it."""
        return json.dumps(TaskSpec.model_json_schema())

    @server.resource(uris.MODELS, name="models", mime_type=_JSON)
    @_guarded(nodes=True)
    async def model_list() -> str:
        """The catalogue's models."""
        return _dump([_card(card) for card in models.models()])

    @server.resource(uris.MODEL, name="model", mime_type=_JSON)
    @_guarded(nodes=True)
    async def model(model_id: str) -> str:
        """One model of the catalogue with its options."""
        return _dump(_card(models.card(model_id)))

    @server.resource(uris.RULES, name="rules", mime_type=_JSON)
    @_guarded(nodes=True)
    async def rule_list() -> str:
        """The aggregation rules: their options, and what each goes together with."""
        return _dump(rule_cards())

    @server.resource(uris.DATASETS, name="data sets", mime_type=_JSON)
    @_guarded(nodes=True)
    async def dataset_list() -> str:
        """The catalogue's data sets."""
        return _dump([_card(card) for card in datasets.datasets()])

    @server.resource(uris.DATASET, name="data set", mime_type=_JSON)
    @_guarded(nodes=True)
    async def dataset(data_id: str) -> str:
        """One data set of the catalogue."""
        return _dump(_card(datasets.card(data_id)))

    @server.resource(uris.TASKS, name="tasks", mime_type=_JSON)
    @_guarded(nodes=True)
    async def tasks() -> str:
        """The latest tasks with their state and scores."""
        return _dump(await views.tasks(simulated=current_caller().sees_nodes))

    @server.resource(uris.TASK, name="task", mime_type=_JSON)
    @_guarded(nodes=True)
    async def task(task_id: str) -> str:
        """One task: spec, rounds, current model, members."""
        return _dump(await views.task(task_id, private=current_caller().sees_nodes))

    @server.resource(uris.ROUND, name="round", mime_type=_JSON)
    @_guarded()
    async def task_round(task_id: str, round: str) -> str:
        """One round: its cohort, its updates and their weights."""
        return _dump(await views.round(task_id, _number("round", round)))

    @server.resource(uris.METRICS, name="metrics", mime_type=_JSON)
    @_guarded()
    async def task_metrics(task_id: str) -> str:
        """The latest 2000 metrics of a task: who measured what on which version, and when."""
        return _dump(await views.metrics(task_id))

    @server.resource(uris.PARTITION, name="partition", mime_type=_JSON)
    @_guarded(nodes=True)
    async def partition(task_id: str, index: str) -> str:
        """One share of a task's training set: the places of its examples, from 0."""
        number, spec = _number("index", index), await views.spec(task_id)
        share = await cuts.share(spec, number)
        return await asyncio.to_thread(
            lambda: _compact({"data": spec.data.id, "partition_index": number, "examples": share.tolist()})
        )

    @server.resource(uris.VERSION, name="model version", mime_type=_JSON)
    @_guarded()
    async def model_version(task_id: str, version: str) -> str:
        """A version of the global model with its lineage: its parent and the updates that made it."""
        return _dump(await views.version(task_id, _number("version", version)))

    @server.resource(uris.BLOB, name="model bytes", mime_type="application/octet-stream")
    @_guarded(nodes=True)
    async def blob(sha256: str, offset: str) -> bytes:
        """A piece of a model version, from an offset: the in-band download. Empty at the end."""
        data, task_id = await state.federation.models.piece(sha256, _number("offset", offset))
        state.federation.traffic.sent("in-band", task_id, len(data))
        return data

    @server.resource(uris.NODES, name="nodes", mime_type=_JSON)
    @_guarded()
    async def nodes() -> str:
        """Every node that has shaken hands, what it can do, and whether it is at hand."""
        return _dump(await views.nodes())

    @server.resource(uris.AUDIT, name="audit", mime_type=_JSON)
    @_guarded(only_operators=True)
    async def audit() -> str:
        """The journal's latest 500 events: what changed and by whose hand, and which calls were refused."""
        return _dump(await state.audit.latest(500))


def _guarded(
    *, nodes: bool = False, only_operators: bool = False
) -> Callable[[Callable[P, Awaitable[T]]], Callable[P, Awaitable[T]]]:
    """Checks the caller's role, and turns a refusal into the SDK's error."""

    def decorate(read: Callable[P, Awaitable[T]]) -> Callable[P, Awaitable[T]]:
        @wraps(read)
        async def guarded(*args: P.args, **kwargs: P.kwargs) -> T:
            access = current_caller().access
            allowed = access is not None and (access is not Access.NODE or nodes)
            if not allowed or (only_operators and access not in (Access.OPERATOR, Access.OPEN)):
                role = "operator" if only_operators else "viewer or operator"
                refused = Refused(
                    ErrorCode.FORBIDDEN,
                    f"this resource is for the role {role}; this caller is {access or 'nobody'}.",
                    "read it with a bearer token of that role",
                )
                raise _error(refused)
            try:
                return await read(*args, **kwargs)
            except Refused as refused:
                raise _error(refused) from None

        return guarded

    return decorate


def _error(refused: Refused) -> MCPError:
    """The refusal as a protocol error that carries its code, problem and mend."""
    return MCPError(code=INVALID_PARAMS, message=str(refused), data={"error": refused.as_dict()})


def _number(name: str, text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise Refused(ErrorCode.NOT_FOUND, f"{name} {text[:40]!r} is no number.", "give digits only")
    return int(text)


def _card(card: Any) -> dict[str, Any]:
    return asdict(card)


def _dump(value: Any) -> str:
    return json.dumps(value)


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))
