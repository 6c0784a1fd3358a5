"""Arguments that several tools take, bounded and described once."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

TaskId = Annotated[str, Field(pattern=r"^task-[a-z2-7]{16}$", description="From list_tasks.")]
NodeId = Annotated[str, Field(pattern=r"^node-[a-z2-7]{16}$", description="From handshake.")]
NodeToken = Annotated[str, Field(min_length=1, max_length=1024)]
UploadId = Annotated[str, Field(pattern=r"^up-[a-z2-7]{24}$", description="From begin_upload.")]
RoundNumber = Annotated[int, Field(ge=1, le=1_000_000)]
BaseVersion = Annotated[int, Field(ge=0, le=1_000_000, description="Trained from.")]
Version = Annotated[int | None, Field(ge=0, le=1_000_000, description="Model version; default: the current one.")]
RequestId = Annotated[
    str,
    Field(
        pattern=r"^[A-Za-z0-9_.:-]{8,100}$",
        description="Your own unique id for this request; the same id again changes nothing and answers the same.",
    ),
]
Finite = Annotated[float, Field(ge=-1e30, le=1e30)]
Query = Annotated[str, Field(max_length=200, description="Words to look for.")]
Limit = Annotated[int, Field(ge=1, le=50)]
