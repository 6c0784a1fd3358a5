"""The page under test: built with a scripted worker, and served under a strict Content-Security-Policy."""

from __future__ import annotations

import re
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

WEB = Path(__file__).parents[3] / "web"
POLICY = (
    "default-src 'self'; script-src 'self'; style-src 'self'; worker-src 'self'; connect-src 'self'; "
    "img-src 'self' data: blob:; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def build(node: str, folder: Path, environment: dict[str, str]) -> None:
    """Builds the page into `folder`, with `tests/page/scripted.worker.ts` for its worker."""
    vite = WEB / "node_modules" / "vite" / "bin" / "vite.js"
    ran = subprocess.run(
        [node, str(vite), "build", "--config", "tests/page/vite.config.ts"],
        cwd=WEB,
        env=environment | {"SCENES_OUT": str(folder)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr


class _Scenes(SimpleHTTPRequestHandler):
    """`/any/prefix/<scene>/edge/<file>` is a file of the build."""

    def translate_path(self, path: str) -> str:
        return super().translate_path(re.sub(r"^.*/edge/", "/", path.split("?", maxsplit=1)[0]))

    def end_headers(self) -> None:
        self.send_header("Content-Security-Policy", POLICY)
        super().end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The build's address; `<address>/<scene>/edge/` opens it in that scene."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Scenes, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
