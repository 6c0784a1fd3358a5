"""The study of adapters as tables: losses by method, and which of them can be told from the exact mean's."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from benchmarks.lora_cells import BASE, EXACT, LOCAL, OWN_A, POOLED, POOLED_SHORT
from benchmarks.lora_rounds import Outcome
from benchmarks.study import markdown

METHODS = (BASE, LOCAL, "fedavg", EXACT, "lora_stack", "ffa", "fedavg" + OWN_A, EXACT + OWN_A, POOLED_SHORT, POOLED)
HEAD = (
    "method",
    "held-out loss (by seed)",
    f"minus `{EXACT}`, 95 % interval",
    "",
    "higher, of seeds × speakers",
    "loss by round",
    "`lora_error` by round",
)
_T = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365, 8: 2.306, 9: 2.262}
"""Student's t, 97.5 %, by degrees of freedom."""

BySeed = Mapping[int, Outcome]


@dataclass(frozen=True)
class Difference:
    """A mean of paired differences, and half of its 95 % t-interval; NaN of fewer than two."""

    mean: float
    half: float

    @property
    def told_apart(self) -> bool:
        """Whether the interval leaves zero out."""
        return abs(self.mean) > self.half

    def __str__(self) -> str:
        return f"{self.mean:+.4f}" if math.isnan(self.half) else f"{self.mean:+.4f} ± {self.half:.4f}"


def difference(one: Sequence[float], other: Sequence[float]) -> Difference:
    """Of `one` minus `other`, pair by pair."""
    pairs = [a - b for a, b in zip(one, other, strict=True)]
    if len(pairs) < 2:
        return Difference(fmean(pairs) if pairs else math.nan, math.nan)
    return Difference(fmean(pairs), _T[min(len(pairs) - 1, max(_T))] * stdev(pairs) / math.sqrt(len(pairs)))


def table(outcomes: Sequence[Outcome]) -> str:
    """A row a method, of the seeds that are over."""
    of = {method: finished(outcomes, method) for method in METHODS}
    return markdown(HEAD, [_row(method, of[method], of[EXACT]) for method in METHODS])


def finished(outcomes: Sequence[Outcome], method: str) -> BySeed:
    """A method's cells that are over, by seed."""
    return {each.cell.seed: each for each in outcomes if each.over and each.cell.method == method}


def paired(outcomes: Sequence[Outcome], one: str, other: str) -> Difference:
    """A method's losses minus another's, over the seeds that both have."""
    mine, theirs = finished(outcomes, one), finished(outcomes, other)
    seeds = sorted(mine.keys() & theirs.keys())
    return difference([mine[seed].loss for seed in seeds], [theirs[seed].loss for seed in seeds])


def verdict(told: Difference) -> str:
    """In words."""
    if math.isnan(told.half):
        return "one seed: no interval" if not math.isnan(told.mean) else "–"
    return ("higher" if told.mean > 0 else "lower") if told.told_apart else "not distinguishable"


def _row(method: str, mine: BySeed, exact: BySeed) -> list[str]:
    if not mine:
        return [method, *["–"] * (len(HEAD) - 1)]
    losses = [mine[seed].loss for seed in sorted(mine)]
    by_seed = f" ({', '.join(f'{loss:.4f}' for loss in losses)})" if method != BASE and len(losses) > 1 else ""
    row = [method, f"{fmean(losses):.4f}{by_seed}"]
    seeds = sorted(mine.keys() & exact.keys())
    if method == EXACT or not seeds:
        row += ["–", "–", "–"]
    else:
        told = difference([mine[seed].loss for seed in seeds], [exact[seed].loss for seed in seeds])
        pairs = [pair for seed in seeds for pair in zip(mine[seed].losses, exact[seed].losses, strict=True)]
        row += [str(told), verdict(told), f"{sum(a > b for a, b in pairs)} of {len(pairs)}"]
    rows = [each for outcome in mine.values() for each in outcome.rows]
    losses_by_round = _by_round([(each.round, each.loss) for each in rows])
    return [*row, losses_by_round, _by_round([(each.round, each.lora_error) for each in rows])]


def _by_round(values: Sequence[tuple[int, float | None]]) -> str:
    """Means over seeds."""
    rounds: dict[int, list[float]] = {}
    for number, value in values:
        if value is not None:
            rounds.setdefault(number, []).append(value)
    return ", ".join(f"{fmean(rounds[number]):.3f}" for number in sorted(rounds)) or "–"
