"""`potluck call`: any tool, from the shell."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import typer
import yaml

from edge_client.endpoint import Endpoint
from federation.errors import ErrorCode, Refused
from potluck.client import ask, call


def parse_arguments(pairs: Iterable[str]) -> dict[str, Any]:
    """`key=value` pairs as a tool's arguments.

    A value that is JSON is that; any other is text; `@path` is the content of a JSON or YAML file; `@@...` is the text
    `@...`.

    Raises:
        Refused: a pair without a key, a key given twice, or a file that cannot be read.
    """
    arguments: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise Refused(ErrorCode.INVALID_ARGUMENT, f"{pair!r} is not key=value.", "write arguments like rounds=5")
        if key in arguments:
            raise Refused(ErrorCode.INVALID_ARGUMENT, f"{key} is given twice.", "give it once")
        arguments[key] = _parse_value(value)
    return arguments


def _parse_value(value: str) -> Any:
    if value.startswith("@@"):
        return value[1:]
    if value.startswith("@"):
        return read_file(Path(value[1:]))
    try:
        return json.loads(value)
    except ValueError:
        return value


def read_file(path: Path) -> Any:
    """The content of a JSON or YAML file (JSON is YAML); refuses one that is neither."""
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError:
        raise Refused(ErrorCode.INVALID_ARGUMENT, f"{path} is not a text file.", "name a YAML or JSON file") from None
    except OSError as error:
        raise Refused(
            ErrorCode.INVALID_ARGUMENT, f"{path} cannot be read: {error.strerror}.", "check the path"
        ) from None
    except yaml.YAMLError as error:
        problem = " ".join(str(error).split())
        raise Refused(ErrorCode.INVALID_ARGUMENT, f"{path} is not YAML: {problem}.", "correct the file") from None


def call_and_print(endpoint: Endpoint, tool: str, pairs: Iterable[str]) -> None:
    """Print the structured result as JSON."""
    typer.echo(json.dumps(call(endpoint, tool, parse_arguments(pairs)), indent=2, ensure_ascii=False))


def print_tools(endpoint: Endpoint) -> None:
    """List what this caller may call: each tool's arguments (optional ones in brackets) and what it does."""
    listing = ask(endpoint, lambda client: client.list_tools())
    for tool in listing.tools:
        required = tool.input_schema.get("required", [])
        names = [name if name in required else f"[{name}]" for name in tool.input_schema.get("properties", {})]
        typer.echo(" ".join([tool.name, *names]))
        typer.echo(f"    {(tool.description or tool.title or '').partition('. ')[0].rstrip('.')}")
