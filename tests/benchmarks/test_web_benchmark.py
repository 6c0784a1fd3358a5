"""Training in a browser is measured: our engines run, and whoever does other work than PyTorch is not compared."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pytest

from benchmarks.report import NotMeasured, Report

if TYPE_CHECKING:
    from benchmarks.web.session import Outcome

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(240),
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc"),
]

PAGE = """<!doctype html><link rel="icon" href="data:,"><script>
bench = {
  open: async (model, backend) => ({ about: `${model} on ${backend}`, seconds: 0.25 }),
  steps: async (first, count) => { %s; return { loss: 2 + first, seconds: count / 100 }; },
};
</script>"""


def missing(what: str) -> NoReturn:
    """A failure in CI, elsewhere a skip."""
    if os.environ.get("CI") == "true":
        pytest.fail(what)
    pytest.skip(what)


@pytest.fixture(autouse=True)
def chromium() -> None:
    if shutil.which("chromium") is None:
        missing("there is no Chromium: install Debian's package chromium")
    try:
        import playwright  # noqa: F401
    except ImportError:
        missing("there is no Playwright: pip install -e '.[dev]'")


@pytest.fixture
def pages(tmp_path: Path) -> Iterator[str]:
    """The address of pages that pretend to train: their losses are 2, 3, 4."""
    from benchmarks.web.bundle import served

    (tmp_path / "honest.html").write_text(PAGE % "")
    (tmp_path / "hanging.html").write_text(PAGE % "if (first === 1) await new Promise(() => {})")
    (tmp_path / "failing.html").write_text(PAGE % "if (first === 1) throw new Error('no such kernel')")
    with served(tmp_path) as url:
        yield url


async def of(library: str, url: str, losses: list[float]) -> Outcome:
    from benchmarks.web.contenders import Contender
    from benchmarks.web.session import measure
    from benchmarks.web.workload import WORKLOADS

    return await measure(url, Contender(library, library, "none"), WORKLOADS[0], losses, 0.1)


@pytest.mark.anyio
async def test_a_library_is_measured_where_its_losses_are_those_of_pytorch(pages: str) -> None:
    found = await of("honest", pages, [2.001, 3.0, 4.0])
    assert found.checked == 3
    assert found.off == pytest.approx(0.001 / 2.001)
    assert found.rate == pytest.approx(100)
    assert found.start_s == pytest.approx(0.26)
    assert found.cpu_ms > 0
    assert found.pss > 50e6


@pytest.mark.anyio
async def test_a_library_that_trains_something_else_is_not_measured(pages: str) -> None:
    with pytest.raises(NotMeasured, match=r"its losses are 2\.4e-01 from PyTorch's"):
        await of("honest", pages, [2.0, 3.0, 5.2631])


@pytest.mark.anyio
async def test_a_library_that_fails_is_named_with_its_own_words(pages: str) -> None:
    with pytest.raises(NotMeasured, match="no such kernel"):
        await of("failing", pages, [2.0, 3.0])


@pytest.mark.anyio
async def test_a_library_that_hangs_is_given_up_and_its_browser_is_gone(
    pages: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from benchmarks.process import family
    from benchmarks.web.browser import is_chromium

    monkeypatch.setattr("benchmarks.web.session._PATIENCE_S", 1.0)
    with pytest.raises(NotMeasured, match="not done after 1 s"):
        await of("hanging", pages, [2.0, 3.0])
    assert not [pid for pid in family(os.getpid()) if is_chromium(pid)]


def test_our_engines_train_what_pytorch_trains(tmp_path: Path) -> None:
    from benchmarks.web.bundle import VITE

    if not VITE.is_file():
        missing("web/node_modules is missing: run `npm ci` in web/")
    file = tmp_path / "figures.json"
    command = [sys.executable, "-m", "benchmarks.web", "--quick", "--peers", "none", "--window", "0.2"]
    done = subprocess.run([*command, "--json", str(file)], capture_output=True, text=True, timeout=230, check=False)
    assert done.returncode == 0, done.stderr
    report = Report.from_json(json.loads(file.read_text()))
    assert report.text() in done.stdout
    off = {figure.what.partition(":")[0]: figure.median for figure in report.figures if "from PyTorch" in figure.what}
    assert set(off) == {f"{model}, Potluck, {engine}" for model in ("MLP", "CNN") for engine in ("webgpu", "cpu")}
    assert max(off.values()) < 1e-3
    assert not [figure.what for figure in report.figures if any(map(math.isnan, figure.values))]
