"""The browser node's page: /edge/ and the files of its bundle, as the build compressed them."""

from __future__ import annotations

import hashlib
import mimetypes
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from federation.errors import ErrorCode, Refused
from mcp_server.edge_policy import policies, style_hashes
from mcp_server.plain_page import plain_page
from mcp_server.refusals import answer
from mcp_server.settings import Settings

FOLDER = Path(__file__).parent / "static" / "edge"
_UNBUILT = Path(__file__).with_name("no_bundle.html")
_ENCODINGS = (("br", ".br"), ("gzip", ".gz"))
_TYPES = mimetypes.MimeTypes(filenames=(), strict=True)  # the machine's own tables would change what is served
for _type, _suffix in (
    ("text/javascript", ".js"),
    ("application/wasm", ".wasm"),
    ("font/woff2", ".woff2"),
    ("application/manifest+json", ".webmanifest"),
    ("application/octet-stream", ".bin"),
):
    _TYPES.add_type(_type, _suffix)


@dataclass(frozen=True)
class File:
    """A file of the bundle: its bytes by encoding (`identity`, `br`, `gzip`), in memory, for they are few and small."""

    media_type: str
    variants: Mapping[str, bytes]
    tag: str
    lasting: bool
    """Named by its content, so it never changes."""

    def headers(self, encoding: str) -> dict[str, str]:
        """What caches need to know."""
        kept = "public, max-age=31536000, immutable" if self.lasting else "no-cache"
        headers = {"Cache-Control": kept, "ETag": f'"{self.tag}-{encoding}"', "Vary": "Accept-Encoding"}
        return headers if encoding == "identity" else headers | {"Content-Encoding": encoding}


class Edge:
    """The routes of the page. A bundle that is built while the server runs is served from the next visit on."""

    def __init__(self, settings: Settings) -> None:
        self._folder = FOLDER
        self._policies = policies(settings)
        self._files: dict[str, File] = {}
        self._read: tuple[int, int] | None = None
        text = plain_page(_UNBUILT)
        headers = policies(settings, style_hashes(text)) | {"Cache-Control": "no-store"}
        self._unbuilt = Response(text, status_code=503, media_type="text/html", headers=headers)

    def routes(self) -> list[Route]:
        """Without a token: these files are the same for everybody, and hold no secret."""
        return [Route("/edge", self.redirect), Route("/edge/", self.index), Route("/edge/{name:path}", self.file)]

    async def redirect(self, request: Request) -> Response:
        """To the folder, by a relative URL: it holds whatever prefix a proxy puts before it."""
        query = request.url.query
        return RedirectResponse("edge/" + (f"?{query}" if query else ""), status_code=308)

    async def index(self, request: Request) -> Response:
        """The page; 503 where it was not built, for then it is this server that lacks something."""
        self._look()
        page = self._files.get("index.html")
        if page is not None:
            return self._send(request, page)
        return self._unbuilt

    async def file(self, request: Request) -> Response:
        """A file of the bundle. Names are looked up, never joined to a path."""
        if not self._files:
            self._look()
        found = self._files.get(request.path_params["name"])
        if found is not None:
            return self._send(request, found)
        missing = Refused(ErrorCode.NOT_FOUND, "the page has no such file.", "load it again: it may be a newer one")
        return answer(missing)

    def _send(self, request: Request, file: File) -> Response:
        encoding = _chosen(request.headers.get("accept-encoding", ""), file.variants)
        headers = self._policies | file.headers(encoding)
        known = (tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(","))
        if any(tag in (headers["ETag"], "*") for tag in known):
            headers.pop("Content-Encoding", None)
            return Response(status_code=304, headers=headers)
        return Response(file.variants[encoding], media_type=file.media_type, headers=headers)

    def _look(self) -> None:
        """Reads the bundle if it is another one than before."""
        try:
            found = (self._folder / "index.html").stat()
        except OSError:
            self._files, self._read = {}, None
            return
        if self._read != (found.st_mtime_ns, found.st_ino):
            self._files, self._read = _files(self._folder), (found.st_mtime_ns, found.st_ino)


def is_built() -> bool:
    """Whether there is a page to serve."""
    return (FOLDER / "index.html").is_file()


def _files(folder: Path) -> dict[str, File]:
    files = {}
    suffixes = tuple(suffix for _, suffix in _ENCODINGS)
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        if not path.is_file() or path.suffix in suffixes or name.startswith(".") or name == "sizes.json":
            continue
        content = path.read_bytes()
        variants = {"identity": content}
        for encoding, suffix in _ENCODINGS:
            packed = path.with_name(path.name + suffix)
            if packed.is_file():
                variants[encoding] = packed.read_bytes()
        kind = _TYPES.guess_type(name)[0] or "application/octet-stream"
        files[name] = File(kind, variants, hashlib.sha256(content).hexdigest()[:32], name.startswith("assets/"))
    return files


def _chosen(accepted: str, variants: Mapping[str, bytes]) -> str:
    """The best encoding that there is and that the client takes (RFC 9110, 12.5.3)."""
    weights = {}
    for part in accepted.lower().split(","):
        name, _, parameters = part.partition(";")
        weight = re.search(r"q\s*=\s*([0-9.]+)", parameters)
        weights[name.strip()] = _number(weight[1]) if weight else 1.0
    taken = (name for name, _ in _ENCODINGS if name in variants and weights.get(name, weights.get("*", 0.0)) > 0)
    return next(taken, "identity")


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
