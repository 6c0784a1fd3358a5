"""The browser node's page: what is served below /edge, how, to whom, and what it may do."""

from __future__ import annotations

import base64
import gzip
import hashlib
import re
import shutil
from collections.abc import AsyncGenerator
from pathlib import Path

import httpx2
import pytest

from mcp_server import edge
from mcp_server.edge_policy import framers
from mcp_server.settings import Settings
from tests.mcp_server.running import Served, serving

pytestmark = pytest.mark.anyio
PAGE = "<!doctype html><title>the page</title>" + "<p>words</p>" * 50
SCRIPT = "export const words = 1;" * 50
FILES = {
    "index.html": ("text/html; charset=utf-8", PAGE),
    "assets/index-a1.js": ("text/javascript; charset=utf-8", SCRIPT),
    "assets/index-b2.css": ("text/css; charset=utf-8", "p { color: red }" * 50),
    "assets/icon-c3.svg": ("image/svg+xml", "<svg/>" * 50),
    "assets/digits-d4.bin": ("application/octet-stream", "01" * 50),
    "assets/engine-e5.wasm": ("application/wasm", "\0asm" * 50),
    "assets/letters-f6.woff2": ("font/woff2", "woff" * 50),
    "app.webmanifest": ("application/manifest+json", "{}" * 50),
}


def write_bundle(folder: Path) -> Path:
    """A bundle; nothing is packed with Brotli but what the tests compare."""
    for name, (_, text) in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(text.encode()))
    (folder / "assets/index-a1.js.br").write_bytes(b"as brotli packs it")
    (folder / "sizes.json").write_text("[]")
    (folder / ".digest").write_text("0")
    return folder


@pytest.fixture(scope="module")
async def server(anyio_backend: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Served]:
    """It has a bundle, and demands a token of everybody."""
    folder = tmp_path_factory.mktemp("page")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(edge, "FOLDER", write_bundle(folder / "edge"))
        async with serving(folder / "data", anonymous_role="none") as running:
            yield running


@pytest.fixture
def bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A bundle of the test's own, for servers that it starts."""
    folder = write_bundle(tmp_path / "edge")
    monkeypatch.setattr(edge, "FOLDER", folder)
    return folder


async def get(server: Served, path: str, **headers: str) -> httpx2.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await server.http.get(path, headers={"Accept-Encoding": "identity"} | named)


@pytest.mark.parametrize("name", FILES)
async def test_every_file_is_served_whole_with_its_type_and_without_a_token(server: Served, name: str) -> None:
    kind, text = FILES[name]
    for path in {f"/edge/{name}", "/edge/" if name == "index.html" else f"/edge/{name}"}:
        answer = await get(server, path)
        assert (answer.status_code, answer.text, answer.headers["content-type"]) == (200, text, kind)
        assert "content-encoding" not in answer.headers


async def test_the_address_without_its_slash_leads_to_the_page_and_keeps_what_was_asked(server: Served) -> None:
    answer = await get(server, "/edge?transport=sse&x=%0d%0ay")
    assert (answer.status_code, answer.headers["location"]) == (308, "edge/?transport=sse&x=%0d%0ay")
    assert (await get(server, "/edge")).headers["location"] == "edge/"


@pytest.mark.parametrize(
    ("accepted", "chosen"),
    [
        ("br, gzip", "br"),
        ("gzip, deflate, br;q=0.5", "br"),
        ("gzip", "gzip"),
        ("GZIP;q=1.0", "gzip"),
        ("br;q=0, *", "gzip"),
        ("br;q=0, gzip;q=0.000", None),
        ("*;q=0", None),
        ("zstd", None),
        ("gzip;q=1.0.0", None),
        ("", None),
    ],
)
async def test_a_client_gets_the_best_packing_that_it_takes(server: Served, accepted: str, chosen: str | None) -> None:
    async with server.http.stream("GET", "/edge/assets/index-a1.js", headers={"Accept-Encoding": accepted}) as answer:
        body = b"".join([piece async for piece in answer.aiter_raw()])
    packed = {"br": b"as brotli packs it", "gzip": gzip.compress(SCRIPT.encode()), None: SCRIPT.encode()}
    assert answer.headers.get("content-encoding") == chosen
    assert answer.headers["vary"].startswith("Accept-Encoding")
    assert int(answer.headers["content-length"]) == len(body)
    assert gzip.decompress(body) == SCRIPT.encode() if chosen == "gzip" else body == packed[chosen]


async def test_names_with_a_hash_last_a_year_and_the_page_is_asked_about_each_time(server: Served) -> None:
    script, page = await get(server, "/edge/assets/index-a1.js"), await get(server, "/edge/")
    assert script.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert page.headers["cache-control"] == "no-cache"
    for answer, path in ((script, "/edge/assets/index-a1.js"), (page, "/edge/")):
        again = await get(server, path, If_None_Match=f'"other", W/{answer.headers["etag"]}')
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == answer.headers["etag"]
        packed = await get(server, path, Accept_Encoding="gzip")
        assert packed.headers["etag"] != answer.headers["etag"], "other bytes have another tag"
        assert (await get(server, path, If_None_Match='"other"')).status_code == 200


async def test_head_answers_what_get_would_but_for_the_body(server: Served) -> None:
    packed = {"Accept-Encoding": "gzip"}  # with Brotli, the client would unpack the body that is not there
    for path in ("/edge/", "/edge/assets/index-a1.js"):
        asked, got = await server.http.head(path, headers=packed), await server.http.get(path, headers=packed)
        assert asked.content == b""
        alike = ("content-length", "content-type", "etag", "content-encoding", "content-security-policy")
        assert [asked.headers.get(name) for name in alike] == [got.headers.get(name) for name in alike]


@pytest.mark.parametrize(
    "path",
    [
        "/edge/assets/gone.js",
        "/edge/assets/",
        "/edge/index.html.gz",
        "/edge/assets/index-a1.js.br",
        "/edge/sizes.json",
        "/edge/.digest",
        "/edge/%2e%2e/edge.py",
        "/edge/..%2f..%2fapp.py",
        "/edge/assets/%2e%2e/%2e%2e/data/server.key",
        "/edge//etc/passwd",
        "/edge/%2Fetc%2Fpasswd",
        "/edge/assets%5c..%5cindex.html",
        "/edge/index.html%00",
    ],
)
async def test_nothing_but_the_files_of_the_bundle_is_there(server: Served, path: str) -> None:
    answer = await get(server, path)
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "not_found"


async def test_the_page_cannot_be_written(server: Served) -> None:
    for method in ("POST", "PUT", "DELETE"):
        assert (await server.http.request(method, "/edge/")).status_code == 405


@pytest.mark.parametrize("path", ["/edge", "/edge/", "/edge/assets/index-a1.js"])
async def test_a_wrong_token_is_401_even_here_and_a_right_one_is_no_hindrance(server: Served, path: str) -> None:
    assert (await get(server, path, Authorization="Bearer pl_wrong")).status_code == 401
    node = await server.token("node")
    assert (await get(server, path, Authorization=f"Bearer {node.secret}")).status_code in (200, 308)


@pytest.mark.parametrize("path", ["/edgeways", "/edge.py", "/Edge/"])
async def test_what_only_sounds_like_the_page_needs_a_token(server: Served, path: str) -> None:
    assert (await get(server, path)).status_code == 401


async def test_a_foreign_host_or_origin_is_turned_away_here_too(server: Served) -> None:
    assert (await get(server, "/edge/", Host="evil.example")).status_code == 421
    assert (await get(server, "/edge/", Origin="https://evil.example")).status_code == 403


@pytest.mark.parametrize("path", ["/edge/", "/edge/assets/index-a1.js"])
async def test_the_page_may_load_and_reach_its_own_server_and_nothing_else(server: Served, path: str) -> None:
    headers = (await get(server, path)).headers
    policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
    assert policy.pop("default-src") == "'none'"
    assert policy.pop("script-src") == "'self' 'wasm-unsafe-eval'"
    assert policy.pop("img-src") == "'self' data: blob:"
    for name in ("base-uri", "form-action"):
        assert policy.pop(name) == "'none'"
    named = {"style-src", "worker-src", "connect-src", "font-src", "manifest-src", "frame-ancestors"}
    assert policy == dict.fromkeys(named, "'self'")
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-opener-policy"] == "same-origin"
    assert headers["cross-origin-embedder-policy"] == "require-corp"
    assert "camera=()" in headers["permissions-policy"]


def test_only_the_server_its_allowed_origins_and_in_a_space_the_hub_may_frame_the_page(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("SPACE_ID", raising=False)
    assert framers(Settings()) == ["'self'"]
    strange = Settings(allow_origin=["https://a.example", "*", "null", "https://b.example; script-src *"])
    assert framers(strange) == ["'self'", "https://a.example"]
    monkeypatch.setenv("SPACE_ID", "somebody/potluck")
    assert framers(Settings()) == ["'self'", "https://huggingface.co"]


@pytest.mark.parametrize("path", ["/potluck/edge/", "/edge/"])
async def test_below_a_prefix_it_is_found_whether_the_proxy_takes_the_prefix_off_or_not(
    bundle: Path, tmp_path: Path, path: str
) -> None:
    async with serving(tmp_path / "data", base_path="/potluck", trusted_proxies=["127.0.0.1"]) as running:
        assert (await get(running, path)).text == PAGE
        assert (await get(running, f"{path}assets/index-a1.js")).text == SCRIPT
        assert (await get(running, path.rstrip("/"))).headers["location"] == "edge/"


async def test_a_server_without_the_bundle_says_how_to_build_it_and_serves_it_once_it_is_there(
    bundle: Path, tmp_path: Path
) -> None:
    away = tmp_path / "away"
    shutil.move(bundle, away)
    async with serving(tmp_path / "data") as running:
        answer = await get(running, "/edge/")
        assert answer.status_code == 503
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        assert answer.headers["cache-control"] == "no-store"
        assert "make web" in answer.text
        assert "POTLUCK_WEB=require pip install" in answer.text
        assert not re.search(r"(?:src|href)=(?!.data:)|url\(|<script", answer.text), "it stands alone"
        style = re.search(r"<style>(.*?)</style>", answer.text, re.DOTALL)
        assert style is not None
        digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
        assert f"style-src 'sha256-{digest}'" in answer.headers["content-security-policy"]
        assert (await get(running, "/edge/assets/index-a1.js")).status_code == 404
        shutil.move(away, bundle)
        assert (await get(running, "/edge/")).text == PAGE
        assert (await get(running, "/edge/assets/index-a1.js")).text == SCRIPT


async def test_a_bundle_that_is_built_anew_is_served_from_the_next_visit_on(bundle: Path, tmp_path: Path) -> None:
    async with serving(tmp_path / "data") as running:
        assert (await get(running, "/edge/")).text == PAGE
        newer = bundle.with_name("draft")
        newer.mkdir()
        (newer / "index.html").write_text("newer")
        shutil.rmtree(bundle)
        newer.rename(bundle)
        assert (await get(running, "/edge/")).text == "newer"
        assert (await get(running, "/edge/assets/index-a1.js")).status_code == 404
