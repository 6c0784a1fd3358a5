"""`potluck serve`: settings from flags, environment and a file, in that order."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from federation.errors import ErrorCode, Refused
from federation.spec import in_a_sentence, spec_problems

if TYPE_CHECKING:
    from mcp_server.app import PagesFor
    from mcp_server.settings import Settings


def run(flags: dict[str, Any], config: Path | None, *, stdio: bool = False, token: str | None = None) -> None:
    """Serve until stopped. `flags` holds only what was given; `config` is a TOML file.

    `stdio` serves an MCP host at the standard streams too, as the holder of `token` or else as the operator.
    """
    if stdio:
        from mcp_server.stdio.wire import Wire

        wire = Wire.claim()  # before anything is imported that might print
        from mcp_server.stdio.start import run_stdio

        settings = settings_from(flags, config)
        run_stdio(settings, wire, token, pages_for=_pages(settings))
        return
    settings = settings_from(flags, config)
    from mcp_server.run import serve

    serve(settings, pages_for=_pages(settings))


def _pages(settings: Settings) -> PagesFor | None:
    if not settings.dashboard:
        return None
    from potluck.pages import pages_for

    return pages_for(settings)


def settings_from(flags: dict[str, Any], config: Path | None) -> Any:
    """The server's settings; refuses those that are not valid, naming each."""
    from mcp_server.settings import Settings

    if config is not None:
        if not config.is_file():
            raise Refused(ErrorCode.INVALID_ARGUMENT, f"there is no file {config}.", "name a TOML file")
        os.environ["POTLUCK_CONFIG"] = str(config)
    try:
        return Settings(**flags)
    except ValidationError as error:
        mend = "see `potluck serve --help`; settings come from flags, POTLUCK_… and --config"
        raise Refused(ErrorCode.INVALID_ARGUMENT, in_a_sentence(spec_problems(error)), mend) from None
    except ValueError as error:  # the file is not TOML
        raise Refused(ErrorCode.INVALID_ARGUMENT, f"{config}: {error}.", "correct the file") from None
