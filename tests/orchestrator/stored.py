"""What the database says, asked in SQL: the judge of what a summary claims."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

_NUMBER = re.compile(r"([-−]?)(\d+(?:\.(\d+))?)(?: (%|kB|MB|GB|B)\b|(?= %))?")
_SCALE = {"kB": 1e3, "MB": 1e6, "GB": 1e9, "B": 1.0}
OVER = "state in ('closed', 'void')"


class Stored:
    """A task's rows. The server may go on: SQLite lets others read."""

    def __init__(self, data_dir: Path, task_id: str) -> None:
        self._db = sqlite3.connect(f"file:{data_dir / 'potluck.db'}?mode=ro", uri=True)
        self.task_id = task_id
        (text,) = self._row("select spec from tasks where task_id = ?")
        self.spec: dict[str, Any] = json.loads(text)

    def value(self, metric: str, where: str, said: float) -> float:
        """What is stored under a claim's name and place; `said` only where the claim is that something exists."""
        if where == "task":
            return self._of_task(metric)
        if where == "spec":
            return self._of_spec(metric)
        if found := re.fullmatch(r"version (\d+)", where):
            return self._of_version(metric, int(found[1]), said)
        if found := re.fullmatch(r"round (\d+)", where):
            return self._of_round(metric, int(found[1]))
        if found := re.fullmatch(r"node (\S+) in round (\d+)", where):
            return self._of_update(metric, found[1], int(found[2]))
        if found := re.fullmatch(r"node (\S+)", where):
            return self._of_node(metric, found[1])
        raise AssertionError(f"{metric} is claimed of {where!r}")

    def _of_task(self, metric: str) -> float:
        def counted(condition: str) -> str:
            return f"select count(*) from rounds where task_id = ? and {condition}"

        looked_at = f"select min(20, count(*)) from rounds where task_id = ? and {OVER}"
        took = "round(closed_at - collecting_at, 3)"
        small = "select count(*) from rounds r where task_id = ? and state = 'closed' and 2 >= (select count(*) from "
        listed = " and r.round > (select max(l.round) - 50 from rounds l where l.task_id = r.task_id)"
        small += "assignments a where a.task_id = r.task_id and a.round = r.round and a.submitted_at is not null)"
        asked = {
            "number of closed rounds": counted("state = 'closed'"),
            "number of void rounds": counted("state = 'void'"),
            "number of rounds": counted("1"),
            "number of rounds that are over": counted(OVER),
            "number of rounds looked at": looked_at,
            "number of rounds listed": "select min(50, count(*)) from rounds where task_id = ?",
            "number of rounds with at most two updates": small + listed,
            "number of nodes at hand": "select count(*) from members where task_id = ?",  # all of them, in these tests
            "number of nodes": "select count(*) from members where task_id = ?",
            "sum of bytes_up": f"select sum(bytes_up) from rounds where task_id = ? and {OVER}",
            "sum of bytes_down": f"select sum(bytes_down) from rounds where task_id = ? and {OVER}",
            "sum of seconds": f"select sum({took}) from rounds where task_id = ? and {OVER}",
            "number of excluded updates": "select count(*) from updates where task_id = ? and reason like 'excluded%'",
            "number of nodes that delivered": "select count(distinct node_id) from updates where task_id = ?",
            "attackers": "select json_extract(simulation, '$.wish.attackers') from tasks where task_id = ?",
            "num_rounds": "select json_extract(spec, '$.rounds') from tasks where task_id = ?",
        }
        if metric == "median seconds to deliver":
            return self._median_of_others()
        if metric == "number of nodes with little data":
            fewest = self._rows("select min(num_examples) from updates where task_id = ? group by node_id")
            return sum(few < 50 for (few,) in fewest)
        return float(self._row(asked[metric])[0])

    def _of_spec(self, metric: str) -> float:
        if metric == "nodes that a round waits for":
            cohort = self.spec["cohort"]
            return float(max(cohort["min_nodes"], cohort["size"] or 1, cohort["quorum"] or 1))
        found: Any = self.spec
        for name in metric.split("."):
            found = found[name]
        return float(found)

    def _of_version(self, metric: str, version: int, said: float) -> float:
        if metric == "version":
            return float(self._row("select version from model_versions where task_id = ? and version = ?", version)[0])
        if metric == "class":
            metric, named = f"accuracy.class_{said:.0f}", said
            query = "select 1 from metrics where task_id = ? and version = ? and name = ?"
            assert self._row(query, version, metric)
            return named
        query = "select value from metrics where task_id = ? and version = ? and name = ? and node_id = ''"
        return float(self._row(f"{query} order by metric_id desc", version, metric)[0])

    def _of_round(self, metric: str, number: int) -> float:
        if metric == "submitted":
            query = "select count(submitted_at) from assignments where task_id = ? and round = ?"
        else:
            query = f"select {metric} from rounds where task_id = ? and round = ?"
        return float(self._row(query, number)[0])

    def _of_update(self, metric: str, node: str, number: int) -> float:
        if metric == "seconds to deliver":
            began = "select collecting_at from rounds r where r.task_id = u.task_id and r.round = u.round"
            metric = f"accepted_at - ({began})"
        query = f"select {metric} from updates u where task_id = ? and round = ? and node_id = ?"
        return float(self._row(query, number, node)[0])

    def _of_node(self, metric: str, node: str) -> float:
        weights = "select sum(weight) from updates u where u.task_id = updates.task_id"
        asked = {
            "selected": "select count(*) from assignments where task_id = ? and node_id = ?",
            "weight_share": f"select sum(weight) / ({weights}) from updates where task_id = ? and node_id = ?",
            "dropped_out": "select count(*) - count(submitted_at) from assignments where task_id = ? and node_id = ?",
            "number of excluded updates": "select count(*) from updates where task_id = ? and node_id = ? "
            "and reason like 'excluded%'",
        }
        return float(self._row(asked[metric], node)[0])

    def _median_of_others(self) -> float:
        query = "select node_id, accepted_at - collecting_at from updates join rounds using (task_id, round) "
        took: dict[str, list[float]] = {}
        for node, seconds in self._rows(f"{query} where updates.task_id = ?"):
            took.setdefault(node, []).append(seconds)
        typical = sorted(median(each) for each in took.values())
        return median(typical[:-1])

    def _rows(self, query: str, *arguments: Any) -> list[Any]:
        return self._db.execute(query, (self.task_id, *arguments)).fetchall()

    def _row(self, query: str, *arguments: Any) -> Any:
        rows = self._rows(query, *arguments)
        assert rows, f"the database has nothing to {query} {arguments}"
        return rows[0]


def prose(text: str) -> str:
    """The text without its code spans, in which names, reasons and rules stand."""
    return re.sub(r"`[^`\n]*`", " ", text)


def said_numbers(text: str) -> Iterator[tuple[str, float, float]]:
    """Every number in the prose: as it is written, its value, and half a unit of its last place."""
    for sign, digits, places, unit in _NUMBER.findall(prose(text)):
        percent = f"{digits} %" in text
        scale = 0.01 if percent else _SCALE.get(unit, 1.0)
        yield digits, (-1 if sign else 1) * float(digits) * scale, 0.5 * 10 ** -len(places) * scale


def check(summary: dict[str, Any], data_dir: Path, task_id: str) -> Stored:
    """Every claim is what the database says, and every number in the text is one of them."""
    stored = Stored(data_dir, task_id)
    values = []
    for claim in summary["claims"]:
        value = stored.value(claim["metric"], claim["where"], claim["value"])
        slack = 1e-3 if "seconds" in claim["metric"] else 1e-12  # times are told to the millisecond
        assert abs(claim["value"] - value) <= slack * max(1.0, abs(value)), claim
        assert claim["claim"] in summary["text"]
        values.append(value)
    assert values
    for said, value, slack in said_numbers(summary["text"]):
        assert any(abs(value - known) <= slack * 1.0001 for known in values), (said, summary["text"])
    return stored
