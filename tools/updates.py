"""The bytes of an update, and its commit."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from pydantic import BaseModel, Field

from federation.coordinator.ports import MIB
from federation.coordinator.submissions import Submission
from tools.arguments import BaseVersion, Finite, NodeId, NodeToken, RoundNumber, TaskId, UploadId
from tools.context import Ctx, current_caller, potluck

_CHUNK_B64 = 3_500_000  # 2.5 MiB in base64; the exact bound is checked on the bytes
_INLINE_B64 = 90_000

MetricName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_.]{0,63}$")]


class UploadBegun(BaseModel):
    """Where the bytes go."""

    upload_id: str
    url: str = Field(description="relative to the server's base URL")
    received: bool
    next_offset: int
    expires_in_s: float
    chunk_max_bytes: int


class ChunkTaken(BaseModel):
    """How far an in-band upload has come."""

    upload_id: str
    next_offset: int
    complete: bool


class Submitted(BaseModel):
    """The receipt, and the node's next work."""

    receipt: dict[str, Any]
    next: dict[str, Any] = Field(description="as get_assignment answers")


async def begin_upload(
    ctx: Ctx,
    node_id: NodeId,
    node_token: NodeToken,
    task_id: TaskId,
    round: RoundNumber,
    base_version: BaseVersion,
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")],
    size: Annotated[int, Field(ge=1, le=2**40)],
) -> UploadBegun:
    """Announce an update's bytes; get a signed URL to PUT them to, and the offset at which upload_chunk goes on."""
    federation, caller = potluck(ctx).federation, current_caller()
    potluck(ctx).rates.uploads.take(caller.token_id, caller.address)
    await federation.handshakes.authenticate(node_id, node_token, caller.token_id)
    upload, offset, url = await federation.uploads.begin(
        node_id, task_id, number=round, base_version=base_version, sha256=sha256, size=size
    )
    return UploadBegun(
        upload_id=upload.upload_id,
        url=url,
        received=offset == size,
        next_offset=offset,
        expires_in_s=max(0.0, upload.expires_at - federation.shared.clock()),
        chunk_max_bytes=federation.limits.chunk_max_bytes,
    )


async def upload_chunk(
    ctx: Ctx,
    node_id: NodeId,
    node_token: NodeToken,
    upload_id: UploadId,
    offset: Annotated[int, Field(ge=0, le=2**40)],
    data_b64: Annotated[str, Field(max_length=_CHUNK_B64, description="base64 of at most chunk_max_bytes.")],
) -> ChunkTaken:
    """Send a piece of an update in-band, for clients that only speak MCP. Safe to repeat."""
    federation, caller = potluck(ctx).federation, current_caller()
    potluck(ctx).rates.upload_mib.take(caller.token_id, caller.address, len(data_b64) * 3 / 4 / MIB)
    await federation.handshakes.authenticate(node_id, node_token, caller.token_id)
    offset, complete = await federation.uploads.chunk(node_id, upload_id, offset, data_b64)
    return ChunkTaken(upload_id=upload_id, next_offset=offset, complete=complete)


async def submit_update(
    ctx: Ctx,
    node_id: NodeId,
    node_token: NodeToken,
    task_id: TaskId,
    round: RoundNumber,
    base_version: BaseVersion,
    num_examples: Annotated[int, Field(description="Examples trained on.")],
    num_steps: Annotated[int, Field(description="Optimiser steps taken.")],
    signature: Annotated[str, Field(max_length=200, description="base64url; see docs/protocol.md.")],
    metrics: Annotated[dict[MetricName, Finite] | None, Field(max_length=50, description="e.g. train_loss.")] = None,
    upload_id: Annotated[UploadId | None, Field(description="Uploaded, or …")] = None,
    inline_b64: Annotated[str | None, Field(max_length=_INLINE_B64, description="… inline.")] = None,
) -> Submitted:
    """Commit an update (local minus global weights) to a round. Repeating it answers the same receipt."""
    federation = potluck(ctx).federation
    node = await federation.handshakes.authenticate(node_id, node_token, current_caller().token_id)
    receipt = await federation.submissions.submit(
        node,
        Submission(
            task_id=task_id,
            round=round,
            base_version=base_version,
            num_examples=num_examples,
            num_steps=num_steps,
            metrics=metrics or {},
            signature=signature,
            upload_id=upload_id,
            inline_b64=inline_b64,
        ),
    )
    following = await federation.assignments.now(task_id, node_id)
    return Submitted(receipt=asdict(receipt), next=following.as_dict())
