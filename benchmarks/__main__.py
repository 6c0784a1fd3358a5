"""Every benchmark, one after the other, each in a process of its own, and one table of the bars at the end.

    python -m benchmarks [--quick] [--only NAME …] [--without NAME …] [--json FILE]
    python -m benchmarks --studies [--quick]

A benchmark that fails does not keep the others from running; the exit code is then 1. Bars that are not met do not
change the exit code: on a busy machine they need not be. Studies of what is learned take up to half an hour each, and
are no part of the ordinary run.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.bars import BARS
from benchmarks.report import Report, machine, verdicts

NAMES = (
    "round_latency",
    "raw_lane",
    "fold",
    "fold_while_serving",
    "noop_call",
    "idle_nodes",
    "checkpoint_cost",
    "churn",
    "rules",
    "lora_merge",
    "lora_server",
    "simulation_speed",
    "flower_rounds",
    "web",
)
STUDIES = ("mcmahan", "flute_lr", "robustness", "heterogeneity", "lora")
LONGEST_S = 3600


def run_one(name: str, quick: bool, folder: Path) -> Report | None:
    """Runs one benchmark, its table printed as it comes; None when it failed."""
    file = folder / f"{name}.json"
    command = [sys.executable, "-m", f"benchmarks.{name}", "--json", str(file), *(["--quick"] if quick else [])]
    try:
        done = subprocess.run(command, timeout=LONGEST_S, check=False)
    except subprocess.TimeoutExpired:
        print(f"{name} was ended after {LONGEST_S} s", file=sys.stderr)
        return None
    if done.returncode or not file.exists():
        print(f"{name} failed (exit code {done.returncode})", file=sys.stderr)
        return None
    return Report.from_json(json.loads(file.read_text()))


def run_studies(quick: bool) -> int:
    """Every study with its own defaults, its table printed as it comes; 1 when one failed."""
    commands = [[sys.executable, "-m", f"benchmarks.{name}", *(["--quick"] if quick else [])] for name in STUDIES]
    return max(int(subprocess.run(command, check=False).returncode != 0) for command in commands)


def main() -> int:
    """The exit code: 1 when a benchmark failed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--quick", action="store_true", help="smaller and shorter, to see that all work")
    how.add_argument("--full", action="store_true", help="the figures that count; the default")
    parser.add_argument("--only", nargs="+", choices=NAMES, default=NAMES, metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--without", nargs="+", choices=NAMES, default=(), metavar="NAME")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write all figures there")
    parser.add_argument("--studies", action="store_true", help=f"instead: {', '.join(STUDIES)}")
    arguments = parser.parse_args()
    if arguments.studies:
        return run_studies(arguments.quick)
    before = machine()
    chosen = [name for name in NAMES if name in arguments.only and name not in arguments.without]
    with tempfile.TemporaryDirectory(prefix="potluck-bench-") as folder:
        reports = {name: run_one(name, arguments.quick, Path(folder)) for name in chosen}
    done = [report for report in reports.values() if report is not None]
    judged = {bar: value for report in done for bar, value in report.judged.items()}
    print(f"\n== every bar{' (quick)' if arguments.quick else ''}; before: {before}")
    print(verdicts({bar: judged[bar] for bar in BARS if bar in judged}))
    missing = [bar.what for name, bar in BARS.items() if name not in judged]
    if missing:
        print("  not measured: " + "; ".join(missing))
    if arguments.json:
        document = {"machine": before, "quick": arguments.quick, "reports": [report.as_json() for report in done]}
        arguments.json.write_text(json.dumps(document, indent=1))
    return int(len(done) < len(chosen))


if __name__ == "__main__":
    sys.exit(main())
