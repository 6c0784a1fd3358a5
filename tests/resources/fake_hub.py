"""A Hugging Face Hub on loopback: one repository with its files, some of them large ones, as the real one serves it;
and its lists, page by page."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route


@dataclass
class FakeHub:
    """Files by revision.

    Attributes:
        kind: of the repository.
        revisions: commit -> file name -> bytes.
        branches: branch or tag -> commit.
        gated: give metadata, but no files without a login.
        stated: SHA-256 by file name where the Hub states another than that of its bytes; None: states none.
        cards: README.md's front matter by commit, as JSON.
        listed: what lists hold: models and data sets as the Hub describes them.
        page: entries of a page.
        links: scheme and host that pages link to; default: its own.
        mood: well; busy: 429 with its time; broken: 503; mute: answers no list before the server ends.
        asked: every request's method and path.
        questions: every list's query, as pairs.
    """

    repository: str = "acme/tiny"
    kind: Literal["models", "datasets"] = "models"
    stated: dict[str, str | None] = field(default_factory=dict)
    cards: dict[str, dict[str, Any]] = field(default_factory=dict)
    listed: list[Any] = field(default_factory=list)
    page: int = 2
    links: str = ""
    mood: Literal["well", "busy", "broken", "mute"] = "well"
    questions: list[list[tuple[str, str]]] = field(default_factory=list)
    revisions: dict[str, dict[str, bytes]] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    gated: bool = False
    asked: list[str] = field(default_factory=list)
    url: str = ""

    def app(self) -> Starlette:
        """The routes that the client's downloads use."""
        prefix = "" if self.kind == "models" else "/datasets"
        return Starlette(
            routes=[
                Route("/api/models", self._list),
                Route("/api/datasets", self._list),
                Route(f"/api/{self.kind}/{{ns}}/{{name}}", self._info),
                Route(f"/api/{self.kind}/{{ns}}/{{name}}/revision/{{rev:path}}", self._info),
                Route(prefix + "/{ns}/{name}/resolve/{rev}/{file:path}", self._file, methods=["GET", "HEAD"]),
            ]
        )

    def fetched(self) -> list[str]:
        """Names of the files that were downloaded."""
        return [line.rpartition("/")[2] for line in self.asked if line.startswith("GET ") and "/resolve/" in line]

    async def _info(self, request: Request) -> Response:
        self.asked.append(f"{request.method} {request.url.path}")
        if self.mood == "busy":
            return _too_many()
        commit, refused = self._commit(request)
        if refused is not None:
            return refused
        siblings = []
        for name, data in self.revisions[commit].items():
            entry: dict[str, object] = {"rfilename": name, "size": len(data), "blobId": hashlib.sha1(data).hexdigest()}
            sha256 = self.stated.get(name, hashlib.sha256(data).hexdigest())
            if name.endswith((".safetensors", ".gguf", ".bin", ".parquet")) and sha256 is not None:
                entry["lfs"] = {"sha256": sha256, "size": len(data), "pointerSize": 130}
            siblings.append(entry)
        answer = {"id": self.repository, "sha": commit, "gated": self.gated, "siblings": siblings}
        return JSONResponse(answer | ({"cardData": self.cards[commit]} if commit in self.cards else {}))

    async def _list(self, request: Request) -> Response:
        """Everything that holds the words of `search` and every `filter`; pages by a Link header."""
        self.questions.append(request.query_params.multi_items())
        if self.mood == "busy":
            return _too_many()
        if self.mood == "broken":
            return JSONResponse({"error": "down"}, 503)
        if self.mood == "mute":
            while not await request.is_disconnected():
                await asyncio.sleep(0.01)
        asked = request.query_params
        words, tags = asked.get("search", "").lower().split(), asked.getlist("filter")
        found = [each for each in self.listed if not isinstance(each, dict) or _held(each, words, tags, asked)]
        start = int(asked.get("cursor", 0))
        end = start + self.page
        more = str(request.url.include_query_params(cursor=end))
        more = more.replace(self.url, self.links or self.url)
        headers = {"Link": f'<{more}>; rel="next"'} if end < len(found) else {}
        return JSONResponse(found[start:end], headers=headers)

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


def _too_many() -> Response:
    return JSONResponse({"error": "too many"}, 429, headers={"RateLimit": '"api";r=0;t=42'})


def _held(each: dict[str, Any], words: list[str], tags: list[str], asked: Any) -> bool:
    named = all(word in str(each.get("id", "")).lower() for word in words)
    tagged = set(tags) <= {str(tag) for tag in each.get("tags", [])}
    return named and tagged and asked.get("pipeline_tag", each.get("pipeline_tag")) == each.get("pipeline_tag")


def reach(monkeypatch: pytest.MonkeyPatch, url: str, cache: Path) -> None:
    """Point the Hub's client at `url`, with its cache in `cache`."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", url)
    monkeypatch.setattr(
        "huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", url + "/{repo_id}/resolve/{revision}/{filename}"
    )
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))


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
