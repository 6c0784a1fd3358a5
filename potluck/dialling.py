"""Options of every command that talks to a server."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

Url = Annotated[str, typer.Argument(help="The server's address, e.g. http://127.0.0.1:7860")]
Token = Annotated[str | None, typer.Option(envvar="POTLUCK_TOKEN", show_envvar=True, help="Bearer token.")]
Transport = Annotated[Literal["http", "sse"], typer.Option(help="Streamable HTTP, or SSE.")]
CaFile = Annotated[Path | None, typer.Option(help="Certificates to trust instead of the system's.")]
