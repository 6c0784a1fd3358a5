"""A Hugging Face Hub on loopback: one repository with its files, some of them large ones, as the real one serves it."""

from __future__ import annotations

import contextlib
import hashlib
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route


@dataclass
class FakeHub:
    """Files by revision.

    Attributes:
        revisions: commit -> file name -> bytes.
        branches: branch or tag -> commit.
        gated: give metadata, but no files without a login.
        asked: every request's method and path.
    """

    repository: str = "acme/tiny"
    revisions: dict[str, dict[str, bytes]] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    gated: bool = False
    asked: list[str] = field(default_factory=list)
    url: str = ""

    def app(self) -> Starlette:
        """The routes that the client's downloads use."""
        return Starlette(
            routes=[
                Route("/api/models/{ns}/{name}", self._info),
                Route("/api/models/{ns}/{name}/revision/{rev}", self._info),
                Route("/{ns}/{name}/resolve/{rev}/{file:path}", self._file, methods=["GET", "HEAD"]),
            ]
        )

    def fetched(self) -> list[str]:
        """Names of the files that were downloaded."""
        return [line.rpartition("/")[2] for line in self.asked if line.startswith("GET ") and "/resolve/" in line]

    async def _info(self, request: Request) -> Response:
        self.asked.append(f"{request.method} {request.url.path}")
        commit, refused = self._commit(request)
        if refused is not None:
            return refused
        siblings = []
        for name, data in self.revisions[commit].items():
            entry: dict[str, object] = {"rfilename": name, "size": len(data), "blobId": hashlib.sha1(data).hexdigest()}
            if name.endswith((".safetensors", ".gguf", ".bin")):
                entry["lfs"] = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 130}
            siblings.append(entry)
        return JSONResponse({"id": self.repository, "sha": commit, "gated": self.gated, "siblings": siblings})

    async def _file(self, request: Request) -> Response:
        self.asked.append(f"{request.method} {request.url.path}")
        commit, refused = self._commit(request)
        if refused is not None:
            return refused
        if self.gated:
            return JSONResponse({"error": "gated"}, 403, headers={"X-Error-Code": "GatedRepo"})
        data = self.revisions[commit].get(request.path_params["file"])
        if data is None:
            return Response(status_code=404, headers={"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit})
        etag = hashlib.sha256(data).hexdigest()
        headers = {"ETag": f'"{etag}"', "X-Repo-Commit": commit, "Content-Length": str(len(data))}
        return Response(b"" if request.method == "HEAD" else data, headers=headers)

    def _commit(self, request: Request) -> tuple[str, Response | None]:
        path = request.path_params
        if f"{path['ns']}/{path['name']}" != self.repository:
            return "", JSONResponse({"error": "no such repo"}, 404, headers={"X-Error-Code": "RepoNotFound"})
        revision = path.get("rev", "main")
        commit = self.branches.get(revision, revision)
        if commit not in self.revisions:
            return "", JSONResponse({"error": "no revision"}, 404, headers={"X-Error-Code": "RevisionNotFound"})
        return commit, None


@contextlib.contextmanager
def served(hub: FakeHub) -> Iterator[FakeHub]:
    """The Hub while it answers, at `hub.url`."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()  # whoever asks early is answered once the server runs
        server = uvicorn.Server(uvicorn.Config(hub.app(), log_level="warning"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]}, daemon=True)
        thread.start()
        hub.url = f"http://127.0.0.1:{sock.getsockname()[1]}"
        try:
            yield hub
        finally:
            server.should_exit = True
            thread.join(10)
