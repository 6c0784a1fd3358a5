"""A node's way through a round, but for the bytes."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal, TypeVar, cast

from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict

from federation.errors import ErrorCode, Refused
from federation.identity import PublicKey, handshake_message
from tools.arguments import Finite, NodeId, NodeToken, RoundNumber, TaskId
from tools.context import Ctx, current_caller, potluck

T = TypeVar("T")

_MOST_CAPABILITIES = 8192


class Capabilities(BaseModel):
    """What a node can do. Unknown fields are kept for people to read."""

    model_config = ConfigDict(extra="allow", allow_inf_nan=False)

    runtime: str = Field(max_length=40)
    device: str = Field(max_length=80)
    memory_bytes: int | None = Field(default=None, ge=0)
    codecs: list[str] = Field(default=["none"], max_length=20)
    methods: list[str] = Field(default=["fedavg"], max_length=40)
    model_ids: list[str] | None = Field(default=None, max_length=200)


class Handshake(TypedDict, total=False):
    """A challenge, or a welcome."""

    status: Literal["challenge", "accepted"]
    challenge: str
    sign: str
    expires_in_s: float
    node_id: str
    node_token: str
    heartbeat_s: float
    codec: str
    lanes: dict[str, Any]
    limits: dict[str, Any]


class Assignment(TypedDict, total=False):
    """What the node does next."""

    action: Literal["train", "evaluate", "wait", "finished"]
    task_id: str
    task_state: str
    reason: str
    retry_after_s: float
    round: int
    model: dict[str, Any]
    spec: dict[str, Any]
    input_shape: list[int]
    num_classes: int
    base: dict[str, Any]
    partition_index: int
    codec: str
    lease_s: float
    deadline_in_s: float


class Heard(BaseModel):
    """Whether to go on."""

    state: Literal["continue", "stop"]
    lease_s: float
    reason: str


async def handshake(
    ctx: Ctx,
    public_key: Annotated[dict[str, Any], Field(description='{"alg": "ed25519"|"p256", "jwk": {…}}')],
    capabilities: Annotated[
        dict[str, Any], Field(description="runtime, device, memory_bytes, codecs, methods, model_ids, …")
    ],
    audience: Annotated[str, Field(min_length=1, max_length=255, description="The server's host, as dialled.")],
    name: Annotated[str, Field(max_length=80, pattern=r"^[^\x00-\x1f\x7f]*$")] = "",
    challenge: Annotated[str | None, Field(max_length=1024, description="From the first call.")] = None,
    signature: Annotated[str | None, Field(max_length=200, description="base64url, over `sign`.")] = None,
) -> Handshake:
    """Enrol as a node: the first call answers a challenge, the second brings its signature and gets node_id and
    node_token. A newer handshake with the same key fences the older process."""
    federation, caller = potluck(ctx).federation, current_caller()
    potluck(ctx).rates.handshakes.take(caller.token_id, caller.address)
    key = PublicKey.parse(public_key)
    if not potluck(ctx).is_called(audience):
        raise Refused(
            ErrorCode.BAD_CHALLENGE,
            f"this server is not called {audience!r}, so a signature for that name proves nothing to it.",
            "send the host of the URL that was dialled; an operator adds names with --allow-host",
        )
    if challenge is None:
        fresh = await federation.handshakes.challenge(key)
        return {
            "status": "challenge",
            "challenge": fresh.challenge,
            "sign": handshake_message(audience, fresh.challenge).decode(),
            "expires_in_s": fresh.expires_in_s,
        }
    if signature is None:
        raise Refused(ErrorCode.BAD_SIGNATURE, "a challenge needs its signature.", "sign the text in `sign`")
    welcome = await federation.handshakes.accept(
        key,
        audience=audience,
        challenge=challenge,
        signature=signature,
        name=name,
        capabilities=_checked(capabilities),
        enrolment=caller.token_id,
    )
    limits = federation.limits
    return {
        "status": "accepted",
        "node_id": welcome.node_id,
        "node_token": welcome.node_token,
        "heartbeat_s": limits.heartbeat_s,
        "codec": welcome.codec,
        "lanes": {
            "raw": True,
            "inline_max_bytes": limits.inline_max_bytes,
            "chunk_max_bytes": limits.chunk_max_bytes,
            "read_max_bytes": limits.read_max_bytes,
        },
        "limits": {"max_wait_s": limits.max_wait_s},
    }


async def get_assignment(
    ctx: Ctx,
    node_id: NodeId,
    node_token: NodeToken,
    task_id: TaskId,
    wait_s: Annotated[float, Field(ge=0, le=30, description="Long poll.")] = 0,
    partition_index: Annotated[int | None, Field(ge=0, le=10_000, description="Default: a free share.")] = None,
    own_data: Annotated[bool, Field(description="The node brings its own data.")] = False,
) -> Assignment:
    """Get this node's next work: train, evaluate, wait or finished. The first call joins the task."""
    federation = potluck(ctx).federation
    node = await federation.handshakes.authenticate(node_id, node_token, current_caller().token_id)
    assignment = await federation.assignments.get(
        node, task_id, wait_s=wait_s, partition_index=partition_index, own_data=own_data
    )
    return as_assignment(assignment.as_dict())


async def report_progress(
    ctx: Ctx,
    node_id: NodeId,
    node_token: NodeToken,
    task_id: TaskId,
    round: RoundNumber,
    phase: Annotated[
        Literal["training", "evaluation", "leaving"],
        Field(description="evaluation: scores of `version`, as assigned; leaving: goodbye."),
    ] = "training",
    step: Annotated[int | None, Field(ge=0, le=10**9)] = None,
    total_steps: Annotated[int | None, Field(ge=0, le=10**9)] = None,
    loss: Finite | None = None,
    accuracy: Annotated[float | None, Field(ge=0, le=1)] = None,
    num_examples: Annotated[int | None, Field(ge=1, le=10**9)] = None,
    version: Annotated[int | None, Field(ge=0, le=1_000_000)] = None,
    memory_bytes: Annotated[int | None, Field(ge=0, le=2**60)] = None,
    examples_per_s: Annotated[float | None, Field(ge=0, le=1e30)] = None,
) -> Heard:
    """Report progress while training; it is also the heartbeat that keeps the node's lease."""
    federation = potluck(ctx).federation
    node = await federation.handshakes.authenticate(node_id, node_token, current_caller().token_id)
    if phase == "leaving":
        heard = await federation.reports.leaving(node, task_id)
    elif phase == "evaluation":
        heard = await federation.reports.evaluation(
            node, task_id, version=_given("version", version), scores=_scores(num_examples, loss, accuracy)
        )
    else:
        report = {
            "step": step,
            "total_steps": total_steps,
            "loss": loss,
            "accuracy": accuracy,
            "memory_bytes": memory_bytes,
            "examples_per_s": examples_per_s,
        }
        heard = await federation.reports.progress(node, task_id, round, report)
    return Heard(state=heard.state, lease_s=heard.lease_s, reason=heard.reason)


def as_assignment(values: dict[str, Any]) -> Assignment:
    """An assignment as the tools answer it."""
    return cast(Assignment, values)


def _checked(capabilities: dict[str, Any]) -> dict[str, Any]:
    checked = Capabilities.model_validate(capabilities).model_dump(mode="json")
    if len(json.dumps(checked)) > _MOST_CAPABILITIES:
        raise Refused(
            ErrorCode.TOO_LARGE,
            f"capabilities hold more than {_MOST_CAPABILITIES} bytes.",
            "send what the coordinator negotiates, and little else",
        )
    return checked


def _scores(num_examples: int | None, loss: float | None, accuracy: float | None) -> dict[str, float]:
    scores = {"eval_examples": float(_given("num_examples", num_examples)), "eval_loss": _given("loss", loss)}
    return scores if accuracy is None else scores | {"eval_accuracy": accuracy}


def _given(name: str, value: T | None) -> T:
    if value is None:
        raise Refused(ErrorCode.INVALID_ARGUMENT, f"an evaluation needs {name}.", f"pass {name}")
    return value
