"""The official MCP conformance suites against a real server: `python -m benchmarks.conformance` (`make conformance`).

Twice each: against the server as it is, and in its conformance mode, which adds the tools, resources and prompts
that the suites call. Prints a table, which docs/conformance.md keeps (`--write`).
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import yaml

from benchmarks.npm import FOLDER, NODE, environment, node_modules
from potluck.processes import Children

BASELINE = FOLDER / "expected-failures.yaml"
_PAGE = Path(__file__).parents[1] / "docs" / "conformance.md"
_MARK = "## The last run"
_TIMEOUT_S = 150


@dataclass(frozen=True)
class Suite:
    """An edition of the suite, which revision it tests, and which scenarios need nothing that no product has."""

    title: str
    package: str
    flags: tuple[str, ...]
    without_fixtures: tuple[str, ...]


SUITES = (
    Suite(
        "0.1.16, 2025-11-25",
        "conformance-2025",
        ("--suite", "all"),
        (
            "server-initialize",
            "ping",
            "tools-list",
            "prompts-list",
            "resources-list",
            "logging-set-level",
            "completion-complete",
            "resources-subscribe",
            "resources-unsubscribe",
            "server-sse-multiple-streams",
            "dns-rebinding-protection",
        ),
    ),
    Suite(
        "0.2.0-alpha.12, 2026-07-28",
        "conformance-2026",
        ("--requirements", "2026-07-28"),
        (
            "tools-list",
            "prompts-list",
            "resources-list",
            "completion-complete",
            "caching",
            "http-header-validation",
            "sep-2164-resource-not-found",
            "server-sse-multiple-streams",
            "dns-rebinding-protection",
            "input-required-result-unsupported-methods",
        ),
    ),
)


@dataclass(frozen=True)
class Row:
    """What became of a scenario: its checks that passed, and why others did not."""

    scenario: str
    passed: int
    failed: tuple[str, ...]
    warned: tuple[str, ...]


@dataclass(frozen=True)
class Run:
    """A suite's verdict on a server."""

    exit_code: int
    rows: tuple[Row, ...]
    output: str


def run(suite: Suite, url: str, out: Path) -> Run:
    """Runs every scenario of a suite against `url` (its base). Raises NotInstalled without the packages."""
    program = node_modules() / suite.package / "dist" / "index.js"
    command = [NODE, str(program), "server", "--url", f"{url}/mcp", *suite.flags, "-o", str(out)]
    ran = subprocess.run(
        [*command, "--expected-failures", str(BASELINE)] if suite.package == "conformance-2026" else command,
        capture_output=True,
        text=True,
        env=environment(),
        timeout=_TIMEOUT_S,
        check=False,
    )
    rows = []
    for file in sorted(out.glob("server-*/checks.json"), key=lambda file: file.stat().st_mtime_ns):
        name = re.fullmatch(r"server-(.+)-\d{4}-\d\d-\d\dT[\d-]+Z", file.parent.name)
        assert name is not None, file
        checks = json.loads(file.read_text())
        told = {
            status: tuple(
                f"{check['id']}: {check.get('errorMessage', '')}" for check in checks if check["status"] == status
            )
            for status in ("FAILURE", "WARNING")
        }
        passed = sum(check["status"] == "SUCCESS" for check in checks)
        rows.append(Row(name[1], passed, told["FAILURE"], told["WARNING"]))
    return Run(ran.returncode, tuple(rows), ran.stdout + ran.stderr)


def expected_failures() -> set[str]:
    """The scenarios of the baseline file."""
    return set(yaml.safe_load(BASELINE.read_text())["server"])


def table(suite: Suite, product: Run, conformance: Run) -> str:
    """Markdown: a line a scenario."""
    lines = ["| scenario | the server as it is | in conformance mode |", "| --- | --- | --- |"]
    bare = {row.scenario: row for row in product.rows}
    for row in conformance.rows:
        own = _cell(bare[row.scenario]) if row.scenario in suite.without_fixtures else "needs fixtures"
        lines.append(f"| `{row.scenario}` | {own} | {_cell(row)} |")
    return "\n".join(lines)


def _cell(row: Row) -> str:
    if row.failed:
        return "expected" if row.scenario in expected_failures() else "**failed**"
    return f"passed ({row.passed})" + (f", {len(row.warned)} recommendations not followed" if row.warned else "")


def _measure(folder: Path) -> tuple[str, bool]:
    """Tables of all suites, and whether everything went as expected."""
    runs: dict[bool, list[Run]] = {}
    for conformance in (False, True):
        with Children(folder / f"logs-{conformance}") as children:
            data = folder / f"data-{conformance}"
            flags = ["--conformance"] if conformance else []
            children.start("server", ["serve", "--port", "0", "--data-dir", str(data), *flags], {})
            while not (data / "server.json").exists():
                children.check()
                time.sleep(0.1)
            url = json.loads((data / "server.json").read_text())["url"]
            runs[conformance] = [run(each, url, folder / f"{each.package}-{conformance}") for each in SUITES]
    parts = []
    for suite, product, full in zip(SUITES, runs[False], runs[True], strict=True):
        parts += [f"### {suite.title}", table(suite, product, full)]
    return "\n\n".join(parts), all(each.exit_code == 0 for each in runs[True])


def main() -> None:
    """Prints the tables; exit code 1 when something failed that is not in the baseline, or the other way round."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="keep the tables in docs/conformance.md")
    write = parser.parse_args().write
    with tempfile.TemporaryDirectory(prefix="potluck-conformance-") as folder:
        tables, as_expected = _measure(Path(folder))
    print(tables)
    if write:
        before = _PAGE.read_text(encoding="utf-8").partition(_MARK)[0]
        _PAGE.write_text(f"{before}{_MARK}\n\n{tables}\n", encoding="utf-8")
    sys.exit(0 if as_expected else 1)


if __name__ == "__main__":
    main()
