"""The least that takes and gives files over HTTP, for comparison: `python -m benchmarks.bare_files FILE FOLDER`.

uvicorn and Starlette as `potluck serve` uses them. `PUT` writes the body to a file as it comes: no hash, no sync, no
checks, no database.
"""

from __future__ import annotations

import sys
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from benchmarks.bare_mcp import serve


def build(folder: Path) -> Starlette:
    """The app."""

    async def put(request: Request) -> Response:
        with (folder / request.path_params["name"]).open("wb", buffering=0) as file:
            async for chunk in request.stream():
                file.write(chunk)
        return Response('{"size": 0}')

    async def get(request: Request) -> Response:
        response = FileResponse(folder / request.path_params["name"])
        response.chunk_size = 1 << 20
        return response

    return Starlette(routes=[Route("/{name}", put, methods=["PUT"]), Route("/{name}", get)])


if __name__ == "__main__":
    serve(build(Path(sys.argv[2])), Path(sys.argv[1]))
