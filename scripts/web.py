"""Builds and checks the browser node (`web/`) with a Node.js that suits: `python -m scripts.web build check test`.

It stands on Python alone, since it also runs while pip builds the package (hatch_build.py). `POTLUCK_WEB` decides what
a missing Node.js or registry means: `auto` (the default) a warning, `require` an error; `skip` leaves all of it out.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from scripts.node import Node, system_node, wheel_node

ROOT = Path(__file__).parents[1]
_NOT_IN_THE_BUNDLE = ("node_modules", "tests")
_INSTALL_S, _BUILD_S, _CHECK_S = 300, 120, 900
_STEPS = ("build", "check", "test", "lock")
_MEND = "it needs Node.js (22.12 or newer, or 20.19) and npm's registry within reach; `make web` tries again"


_NOISE = re.compile(
    r"npm (warn|notice)|(npm error)?\s+(at |network (This|In most))|npm error (A complete log|errno|syscall)"
)
_PATIENCE = {"npm_config_fetch_retry_mintimeout": "1000", "npm_config_fetch_retry_maxtimeout": "5000"}
"""Milliseconds between attempts, unless the environment says otherwise: by default, no network is a minute's wait."""


class NotBuilt(Exception):
    """The browser node could not be built or checked; the text says why, and how to mend it."""

    def __init__(self, problem: str, mend: str = _MEND) -> None:
        super().__init__(f"{problem} Mend: {mend}")


@dataclass(frozen=True)
class Web:
    """The sources of a checkout, and where their bundle goes."""

    root: Path

    @property
    def sources(self) -> Path:
        """Where package.json is."""
        return self.root / "web"

    @property
    def bundle(self) -> Path:
        """What the server serves at /edge/."""
        return self.root / "mcp_server" / "static" / "edge"

    @property
    def _stamp(self) -> Path:
        return self.bundle / ".digest"  # goes whenever something else empties the folder

    def digest(self) -> str:
        """SHA-256 of everything that the bundle is made from, names included: deleted and renamed files count."""
        total = hashlib.sha256()
        for path in sorted(self._files(), key=lambda path: path.relative_to(self.sources).as_posix()):
            name = path.relative_to(self.sources).as_posix()
            total.update(f"{name}\n{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
        return total.hexdigest()

    def _files(self) -> Iterator[Path]:
        for folder, folders, names in os.walk(self.sources):
            folders[:] = [name for name in folders if name not in _NOT_IN_THE_BUNDLE and not name.startswith(".")]
            yield from (Path(folder, name) for name in names if not name.endswith(".md"))

    def stale(self) -> bool:
        """Whether the bundle is missing, or made from other sources. Without sources, what is there is all there is."""
        if not (self.sources / "package.json").is_file():
            return False
        return not self._stamp.is_file() or self._stamp.read_text(encoding="utf-8").strip() != self.digest()

    def build(self, node: Node) -> None:
        """Makes the bundle. It takes the older one's place once it is whole, so a failure leaves that as it was."""
        digest = self.digest()
        self.install(node, everything=False)
        draft = self.bundle.with_name("edge.draft")
        command = [self._program("vite/bin/vite.js"), "build", "--outDir", str(draft), "--emptyOutDir"]
        try:
            run(node, command, self.sources, _BUILD_S)
            (draft / ".digest").write_text(f"{digest}\n", encoding="utf-8")
            shutil.rmtree(self.bundle, ignore_errors=True)
            draft.rename(self.bundle)
        finally:
            shutil.rmtree(draft, ignore_errors=True)

    def check(self, node: Node) -> None:
        """Types."""
        self.install(node, everything=True)
        run(node, [self._program("typescript/bin/tsc"), "--noEmit"], self.sources, _CHECK_S, show=True)

    def test(self, node: Node) -> None:
        """Unit tests, kernels included."""
        self.install(node, everything=True)
        run(node, [self._program("vitest/vitest.mjs"), "run"], self.sources, _CHECK_S, show=True)

    def install(self, node: Node, *, everything: bool) -> None:
        """`npm ci`, once for each lock file. The build alone needs a quarter of what the checks need."""
        names = ("package.json", "package-lock.json")
        wanted = hashlib.sha256(b"".join((self.sources / name).read_bytes() for name in names)).hexdigest()
        stamp = self.sources / "node_modules" / ".potluck"  # npm ci empties the folder first
        installed = stamp.read_text(encoding="utf-8").split() if stamp.is_file() else []
        if installed[:1] == [wanted] and (not everything or "everything" in installed):
            return
        flags = ["--ignore-scripts", "--no-audit", "--no-fund", "--no-progress", "--prefer-offline"]
        run(node, [node.npm, "ci", *flags, *([] if everything else ["--omit=dev"])], self.sources, _INSTALL_S)
        stamp.write_text(f"{wanted} {'everything' if everything else ''}\n", encoding="utf-8")

    def lock(self, node: Node) -> None:
        """Brings package-lock.json up to date. It names no host: neither registries nor where to donate."""
        run(node, [node.npm, "install", "--package-lock-only", "--ignore-scripts"], self.sources, _INSTALL_S)
        path = self.sources / "package-lock.json"
        locked = json.loads(path.read_text(encoding="utf-8"))
        for package in locked["packages"].values():
            for key in ("funding", "deprecated", "resolved"):
                package.pop(key, None)
        path.write_text(json.dumps(locked, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")

    def _program(self, path: str) -> str:
        return str(self.sources / "node_modules" / path)


def run(node: Node, arguments: list[str], folder: Path, limit_s: float, *, show: bool = False) -> None:
    """Runs a program on Node.js: no terminal, a time limit, npm's settings as they are. `show`: people read along."""
    what = " ".join([Path(arguments[0]).stem.removesuffix("-cli"), *arguments[1:2]])
    with tempfile.TemporaryDirectory() as spare:
        try:
            with subprocess.Popen(
                [node.program, *arguments],
                cwd=folder,
                env=environment(node, Path(spare)),
                stdin=subprocess.DEVNULL,
                stdout=None if show else subprocess.PIPE,
                stderr=None if show else subprocess.STDOUT,
                text=True,
                errors="replace",
                start_new_session=True,
            ) as ran:
                try:
                    said, _ = ran.communicate(timeout=limit_s)
                except BaseException:
                    _kill(ran)
                    raise
        except subprocess.TimeoutExpired:
            raise NotBuilt(f"{what} did not end within {limit_s:g} seconds.") from None
        except OSError as error:
            raise NotBuilt(f"{what} cannot be run: {error}.") from None
    if ran.returncode:
        if show:
            raise SystemExit(f"{what} failed in {folder.name}/.")
        mend = "correct what it names" if arguments[1] == "build" else _MEND
        raise NotBuilt(f"{what} failed in {folder.name}/: {_gist(said or '')}.", mend)


def _kill(program: subprocess.Popen[str]) -> None:
    """Ends it with all that it has started: npm and vite are not alone."""
    if sys.platform == "win32":
        program.kill()
    else:
        with suppress(ProcessLookupError):
            os.killpg(program.pid, signal.SIGKILL)


def _gist(said: str) -> str:
    """What a program complained of, without warnings, stack traces, and where its registry is."""
    lines = [line.removeprefix("npm error").strip() for line in said.splitlines() if not _NOISE.match(line)]
    return re.sub(r"https?://\S+", "<url>", "; ".join(line for line in lines if line))[-1200:]


def environment(node: Node, spare: Path) -> dict[str, str]:
    """This process's, with that Node.js first on the path, and a cache for npm where no home can keep one."""
    kept = _PATIENCE | {name: value for name, value in os.environ.items() if name != "NODE_OPTIONS"}
    kept["PATH"] = os.pathsep.join([str(Path(node.program).parent), kept.get("PATH", os.defpath)])
    if not any(name.lower() == "npm_config_cache" for name in kept) and not os.access(Path.home(), os.W_OK):
        kept["npm_config_cache"] = str(spare)
    return kept


def mode() -> str:
    """`auto`, `require` or `skip`."""
    chosen = os.environ.get("POTLUCK_WEB") or "auto"
    if chosen not in ("auto", "require", "skip"):
        raise SystemExit(f"error: POTLUCK_WEB={chosen!r} is none of auto, require and skip. Mend: choose one of them")
    return chosen


def build(web: Web, warn: Callable[[str], None]) -> None:
    """Builds what is stale, if that is wanted; tells `warn` what prevents it, or raises that where it is required."""
    if mode() == "skip" or not web.stale():
        return
    _attempt(web.build, system_node() or wheel_node(), warn)


def _attempt(step: Callable[[Node], None], node: Node | None, warn: Callable[[str], None]) -> None:
    try:
        if node is None:
            raise NotBuilt("there is no suitable Node.js for the browser node.")
        step(node)
    except NotBuilt as problem:
        if mode() == "require":
            raise
        warn(f"{step.__name__} of web/ left out: {problem}")


def main(steps: list[str]) -> None:
    """Takes the steps in order; the exit code is 1 where one failed."""
    unknown = [step for step in steps if step not in _STEPS]
    if unknown or not steps:
        raise SystemExit(f"usage: python -m scripts.web {{{','.join(_STEPS)}}} …")
    web = Web(ROOT)

    def warn(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    for step in steps:
        if step == "build":
            stale = web.stale()
            build(web, warn)
            if mode() != "skip" and not web.stale():
                warn(f"the browser node's page is {'built' if stale else 'up to date'}")
        elif mode() != "skip":
            _attempt(getattr(web, step), wheel_node() or system_node(), warn)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except NotBuilt as problem:
        raise SystemExit(f"error: {problem}") from None
