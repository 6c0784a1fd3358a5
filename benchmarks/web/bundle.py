"""The pages under test: one bundle for each library, made by the Vite of `web/`, and a server on loopback for them."""

from __future__ import annotations

import functools
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from benchmarks.npm import NODE, NotInstalled, environment, node_modules
from benchmarks.peer_home import CACHE
from benchmarks.report import NotMeasured

HERE = Path(__file__).parent
WEB = HERE.parents[1] / "web"
ENTRIES = {"potluck": "page/potluck.ts", "jax": "peers/jax.ts", "tfjs": "peers/tfjs.ts"}
VITE = WEB / "node_modules" / "vite" / "bin" / "vite.js"
_BUILD_S = 120


def bundle(library: str, folder: Path) -> None:
    """`<library>.html` and all that it loads; raises NotMeasured with npm's or Vite's own words when that fails."""
    if not VITE.is_file():
        raise NotMeasured("web/node_modules is missing: run `npm ci` in web/")
    entry = HERE / ENTRIES[library]
    settings = {"ENTRY": str(entry), "OUT": str(folder)}
    if entry.parent.name == "peers":
        try:
            settings["PEERS"] = str(node_modules(HERE, CACHE / "web"))
        except NotInstalled as problem:
            raise NotMeasured(f"{library} cannot be installed: {problem}") from problem
    built = subprocess.run(
        [NODE, str(VITE), "build", "--config", str(HERE / "vite.config.mjs")],
        env={**environment(), **settings},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_BUILD_S,
        check=False,
    )
    if built.returncode:
        raise NotMeasured(f"{library} cannot be bundled: {(built.stderr or built.stdout).strip()[-600:]}")
    head = f'<!doctype html><title>{library}</title><link rel="icon" href="data:,">'
    (folder / f"{library}.html").write_text(f'{head}<script type="module" src="{library}.js"></script>\n')


class _Files(SimpleHTTPRequestHandler):
    """Files, without a line on the terminal for each."""

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serves a folder; its address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Files, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
