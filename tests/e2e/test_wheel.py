"""`pip wheel .`, isolated as pip does it: the wheel carries the browser node, which is as small as it promises."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest
from outside import missing

from tests.docs.pages import ROOT

pytestmark = pytest.mark.timeout(600)
EDGE = "mcp_server/static/edge/"
# Bytes, gzipped: of our own code before anybody presses anything, and of all that is fetched until a tab trains.
OWN_CODE = 40 << 10
WHOLE_PAGE = 160 << 10
_LEFT = (".*", "__pycache__", "node_modules", "static", "tests", "benchmarks", "potluck-data", "*.egg-info", "dist")


def pip_wheel(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Builds the wheel of a copy of this checkout in which nothing is built yet."""
    checkout = folder / "checkout"
    shutil.copytree(ROOT, checkout, ignore=_without_what_is_made)
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "POTLUCK_WEB")}
    command = [sys.executable, "-m", "pip", "wheel", ".", "--no-deps", "--verbose", "--wheel-dir", str(folder / "dist")]
    return subprocess.run(
        command, cwd=checkout, env=kept | environment, capture_output=True, text=True, timeout=500, check=False
    )


def _without_what_is_made(folder: str, names: list[str]) -> set[str]:
    left = shutil.ignore_patterns(*_LEFT)(folder, names)
    return left - {".npmrc", ".gitignore"} if Path(folder) in (ROOT, ROOT / "web") else left


def names_in(folder: Path) -> list[str]:
    (built,) = (folder / "dist").glob("*.whl")
    with ZipFile(built) as archive:
        return archive.namelist()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> ZipFile:
    """Built where the page is required."""
    folder = tmp_path_factory.mktemp("wheel")
    ran = pip_wheel(folder, POTLUCK_WEB="require")
    if ran.returncode:
        missing(f"no wheel can be built here: {ran.stdout[-1500:]}{ran.stderr[-500:]}")
    (built,) = (folder / "dist").glob("*.whl")
    return ZipFile(built)


def test_the_wheel_carries_the_page_packed_and_none_of_its_sources(wheel: ZipFile) -> None:
    names = set(wheel.namelist())
    assert f"{EDGE}index.html" in names
    page = wheel.read(f"{EDGE}index.html").decode()
    assert "<!doctype html>" in page
    assert gzip.decompress(wheel.read(f"{EDGE}index.html.gz")).decode() == page
    assert f"{EDGE}index.html.br" in names
    carried = (
        "mcp_server/no_bundle.html",
        "potluck/no_dashboard.html",
        "dashboard/look/page.js",
        "dashboard/look/ground.css",
    )
    assert names >= {*carried, "orchestrator/clients/templates/pytorch.py.txt"}
    assert not [name for name in names if name.startswith(("web/", "scripts/")) or "node_modules" in name]


@pytest.mark.parametrize("engine", ["webgpu", "cpu"])
def test_the_page_and_what_training_fetches_are_as_small_as_promised(wheel: ZipFile, engine: str) -> None:
    """Ours is every file of code but those of packages; what comes when it is asked for counts in neither sum."""
    files = {entry["file"]: entry for entry in json.loads(wheel.read(f"{EDGE}sizes.json"))}
    packed = {name: len(gzip.compress(wheel.read(EDGE + name), 9)) for name in files}
    for name, entry in files.items():
        assert abs(packed[name] - entry["gzip"]) <= 0.02 * entry["gzip"] + 32, name
    fetched = {name for name, entry in files.items() if engine in entry["tabs"]}
    first = {name for name, entry in files.items() if engine in entry["first"]}
    own = {name for name in first if files[name]["owner"] == "own" and files[name]["kind"] == "code"}
    report = "\n".join(f"{packed[name]:>8} {'own' if name in own else '   '} {name}" for name in sorted(fetched))
    assert {"index.html"} < own < first < fetched
    assert sum(packed[name] for name in own) <= OWN_CODE, report
    assert sum(packed[name] for name in fetched) <= WHOLE_PAGE, report


def test_every_file_of_code_is_measured_and_comes_first_or_when_it_is_asked_for(wheel: ZipFile) -> None:
    files = {entry["file"]: entry for entry in json.loads(wheel.read(f"{EDGE}sizes.json"))}
    shipped = {name.removeprefix(EDGE) for name in wheel.namelist() if name.startswith(EDGE)}
    code = {name for name in shipped if name.endswith((".html", ".js", ".css"))}
    assert code == {name for name, entry in files.items() if entry["kind"] == "code"}
    page = wheel.read(f"{EDGE}index.html").decode()
    linked = {name for name in code if name in page}
    assert linked
    assert all(files[name]["first"] == files[name]["tabs"] == ["webgpu", "cpu"] for name in linked)
    engines = [entry["tabs"] for name, entry in files.items() if "/engine-" in name]
    assert sorted(engines) == [["cpu"], ["webgpu"]]
    with_the_task = [entry for name, entry in files.items() if name.startswith(("assets/craft-", "assets/charts-"))]
    assert len(with_the_task) == 3
    assert all(entry["tabs"] == ["webgpu", "cpu"] and not entry["first"] for entry in with_the_task)
    for late in ("csv", "idx", "images", "npz", "digits", "pad", "rehearsal", "rehearse"):
        found = [entry for name, entry in files.items() if name.startswith(f"assets/{late}-")]
        assert found, late
        assert not any(entry["tabs"] for entry in found), late


def test_without_npms_registry_the_wheel_is_built_without_the_page_and_pip_says_why(tmp_path: Path) -> None:
    ran = pip_wheel(tmp_path, npm_config_registry="http://127.0.0.1:9", npm_config_cache=str(tmp_path / "cache"))
    if ran.returncode:
        missing(f"no wheel can be built here: {ran.stderr[-800:]}")
    assert "build of web/ left out: npm ci failed" in ran.stdout + ran.stderr
    assert "mcp_server/app.py" in names_in(tmp_path)
    assert not [name for name in names_in(tmp_path) if name.startswith(EDGE)]


def test_where_the_page_is_required_and_the_registry_is_not_there_the_build_fails_with_its_mend(tmp_path: Path) -> None:
    ran = pip_wheel(
        tmp_path,
        POTLUCK_WEB="require",
        npm_config_registry="http://127.0.0.1:9",
        npm_config_cache=str(tmp_path / "cache"),
    )
    assert ran.returncode != 0
    said = ran.stdout + ran.stderr
    if "hatchling" in said and "No matching distribution" in said:
        missing("hatchling cannot be had here")
    assert "NotBuilt: npm ci failed in web/" in said
    assert "Mend: " in said
