"""A benchmark's outcome: figures with their spread, verdicts against the bars, remarks; as a table and as JSON."""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import statistics
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from benchmarks.bars import BARS


class NotMeasured(Exception):
    """A benchmark cannot run here; the message says why."""


@dataclass(frozen=True)
class Figure:
    """One thing measured, once or several times."""

    what: str
    values: tuple[float, ...]
    unit: str

    @property
    def median(self) -> float:
        """Of the values."""
        return statistics.median(self.values)


@dataclass
class Report:
    """What one benchmark found. `judged` maps names of `BARS` to values; `comparison` is a table of the figures, its
    head first, for benchmarks that set contenders side by side."""

    name: str
    figures: list[Figure] = field(default_factory=list)
    judged: dict[str, float] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
    comparison: list[list[str]] = field(default_factory=list)

    def add(self, what: str, values: float | Iterable[float], unit: str) -> float:
        """Keeps a figure; answers its median."""
        several = (float(values),) if isinstance(values, int | float) else tuple(map(float, values))
        figure = Figure(what, several or (math.nan,), unit)
        self.figures.append(figure)
        return figure.median

    def judge(self, bar: str, value: float) -> None:
        """Holds a value against a bar."""
        if bar not in BARS:
            raise KeyError(f"no bar is called {bar!r}")
        self.judged[bar] = value

    def remark(self, text: str) -> None:
        """Something that a reader of the figures has to know."""
        self.remarks.append(text)

    def compare(self, head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """Shows the figures as this table instead of one below the other."""
        self.comparison = [list(head), *map(list, rows)]

    def text(self) -> str:
        """All of it, for people."""
        rows: list[Sequence[str]] = [
            (f.what, number(f.median), number(min(f.values)), number(max(f.values)), str(len(f.values)), f.unit)
            for f in self.figures
        ]
        head: Sequence[str] = ("what", "median", "min", "max", "n", "unit")
        if self.comparison:
            head, rows = self.comparison[0], list(self.comparison[1:])
        parts = [f"== {self.name}", table(head, rows)]
        if self.judged:
            parts.append(verdicts(self.judged))
        parts += [f"  {remark}" for remark in self.remarks]
        return "\n".join(parts)

    def as_json(self) -> dict[str, Any]:
        """All of it, for programs."""
        figures = [{"what": f.what, "unit": f.unit, "values": f.values} for f in self.figures]
        return {"name": self.name, "figures": figures, "judged": self.judged, "remarks": self.remarks} | (
            {"comparison": self.comparison} if self.comparison else {}
        )

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> Self:
        """What `as_json` made."""
        figures = [Figure(each["what"], tuple(each["values"]), each["unit"]) for each in raw["figures"]]
        return cls(raw["name"], figures, dict(raw["judged"]), list(raw["remarks"]), raw.get("comparison", []))


def machine() -> str:
    """What the figures were taken on."""
    load = ", ".join(f"{each:.2f}" for each in os.getloadavg())
    return f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}, load {load}"


def verdicts(judged: dict[str, float]) -> str:
    """The judged figures with bar, goal and what they reach."""
    rows = []
    for name, value in judged.items():
        bar = BARS[name]
        sign = "≥" if bar.more_is_better else "≤"
        bounds = (f"{sign} {number(bar.bar)}", f"{sign} {number(bar.goal)}")
        rows.append((bar.what, number(value), bar.unit, *bounds, bar.verdict(value)))
    return table(("judged", "value", "unit", "bar", "goal", "reached"), rows)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as they need to be; all but the first to the right when they hold numbers."""
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    lines = []
    for row in [head, ["-" * width for width in widths], *rows]:
        cells = [
            cell.ljust(width) if column == 0 or not _numeric(rows, column) else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  " + "  ".join(cells).rstrip())
    return "\n".join(lines)


def number(value: float) -> str:
    """Three digits that matter, without exponents for what people read."""
    if not math.isfinite(value):
        return "–"
    if value == 0 or abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.{max(0, 2 - math.floor(math.log10(abs(value))))}f}"


def spread(values: Sequence[float]) -> str:
    """The median, with the least and the most behind it where there are several."""
    several = f" ({number(min(values))}–{number(max(values))})" if len(values) > 1 else ""
    return number(statistics.median(values)) + several


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` of them lie (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, math.ceil(share * len(ordered)) - 1))] if ordered else math.nan


def command(run: Callable[[argparse.Namespace], Report], doc: str, **defaults: tuple[Any, Any, str]) -> None:
    """The command line of a benchmark.

    Args:
        run: measures; it is handed the arguments.
        doc: the module's docstring.
        defaults: options by name: the value of a full run, that of a quick one, and a word of help.
    """
    parser = argparse.ArgumentParser(description=doc.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="smaller and shorter, to see that it works")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures there")
    for name, (full, _, words) in defaults.items():
        kind = type(full) if isinstance(full, int | float) else str
        parser.add_argument("--" + name.replace("_", "-"), type=kind, help=f"{words} ({full})")
    arguments = parser.parse_args()
    for name, (full, quick, _) in defaults.items():
        if getattr(arguments, name) is None:
            setattr(arguments, name, quick if arguments.quick else full)
    try:
        report = run(arguments)
    except NotMeasured as problem:
        raise SystemExit(f"not measured: {problem}") from problem
    print(report.text(), flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(report.as_json(), indent=1))
    sys.stdout.flush()


def _numeric(rows: Sequence[Sequence[str]], column: int) -> bool:
    return all(row[column].lstrip("≥≤ -")[:1].isdigit() or row[column] == "–" for row in rows)
