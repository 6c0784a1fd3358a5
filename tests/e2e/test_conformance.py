"""The official conformance suites, against the server as it is and with their fixtures."""

from __future__ import annotations

from pathlib import Path

import pytest
from machine import Machine

from benchmarks.conformance import SUITES, expected_failures, run


@pytest.mark.timeout(300)
@pytest.mark.usefixtures("npm")
def test_the_server_as_it_is_passes_every_scenario_that_needs_no_fixtures(machine: Machine, tmp_path: Path) -> None:
    machine.start_server()
    for suite in SUITES:
        rows = {row.scenario: row for row in run(suite, machine.url, tmp_path / suite.package).rows}
        assert set(suite.without_fixtures) <= rows.keys()
        for scenario in suite.without_fixtures:
            assert rows[scenario].failed == (), scenario
            assert rows[scenario].passed, scenario


@pytest.mark.timeout(300)
@pytest.mark.usefixtures("npm")
def test_with_the_suites_fixtures_nothing_fails_that_is_not_expected_to(machine: Machine, tmp_path: Path) -> None:
    machine.start_server("--conformance")
    for suite in SUITES:
        ran = run(suite, machine.url, tmp_path / suite.package)
        assert ran.exit_code == 0, ran.output
        assert {row.scenario for row in ran.rows if row.failed} <= expected_failures(), ran.output
        assert len(ran.rows) >= 30
    assert "Traceback" not in machine.said()
