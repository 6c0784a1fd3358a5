"""Plotly for the browser, as the Python package brings it: served from here, packed once, kept for a year."""

from __future__ import annotations

import gzip
from functools import cache
from importlib.metadata import version
from importlib.resources import files

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

NAME = "plotly-{}.min.js"


def script_path() -> str:
    """Where it is served, relative to the page; another release is another path."""
    return NAME.format(version("plotly"))


async def plotly_script(request: Request) -> Response:
    """The script. It is asked for when the first chart is to be drawn."""
    headers = {"cache-control": "public, max-age=31536000, immutable", "vary": "accept-encoding"}
    if "gzip" in request.headers.get("accept-encoding", ""):
        packed = await run_in_threadpool(_packed)
        return Response(packed, media_type="text/javascript", headers=headers | {"content-encoding": "gzip"})
    return Response(await run_in_threadpool(_script), media_type="text/javascript", headers=headers)


def _script() -> bytes:
    return files("plotly").joinpath("package_data", "plotly.min.js").read_bytes()


@cache
def _packed() -> bytes:
    return gzip.compress(_script(), compresslevel=6)
