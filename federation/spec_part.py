"""What every section of a task spec is."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Identifier = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$")]


class Part(BaseModel):
    """A section of the spec: immutable, and a misspelt field is an error instead of a silence."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
