"""Where training leads: pure functions over the scores of a task's versions.

A series has one point for each version on the way to the current one, oldest first. Versions that a roll-back has left
behind are not on that way, so they count neither for nor against it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from federation.spec import StoppingSpec

if TYPE_CHECKING:  # for its annotations alone: whoever reads scores need not wait for torch
    import torch

DIVERGED_FACTOR = 4.0
"""A loss so many times the best one has diverged, if it stays there."""
DIVERGED_ROUNDS = 3
"""For so many measured rounds in a row."""
LEAST_LOSS = 0.1
"""A best loss below this counts as this (nats): four times next to nothing is nothing to worry about."""


@dataclass(frozen=True)
class Point:
    """A version's scores; None is not measured, a loss that is not finite is infinite."""

    version: int
    round: int
    accuracy: float | None = None
    loss: float | None = None

    @property
    def broken(self) -> bool:
        """Whether its loss is not finite."""
        return self.loss is not None and not math.isfinite(self.loss)


@dataclass(frozen=True)
class Verdict:
    """What to do after a round, and why, in words for people."""

    action: Literal["finish", "pause"]
    reason: str


def best(points: Sequence[Point]) -> Point | None:
    """The most accurate version, the lower loss and then the older one first; without accuracies, of lowest loss."""
    sound = [point for point in points if not point.broken]
    scored = [point for point in sound if point.accuracy is not None] or [p for p in sound if p.loss is not None]
    if not scored:
        return None

    def order(point: Point) -> tuple[float, float, int]:
        loss = math.inf if point.loss is None else point.loss
        return (-(point.accuracy or 0.0), loss, point.version)

    return min(scored, key=order)


def reached(points: Sequence[Point], target: float) -> Point | None:
    """The latest measured version, if it is as accurate as `target`."""
    measured = [point for point in points if point.accuracy is not None]
    last = measured[-1] if measured else None
    return last if last is not None and not last.broken and (last.accuracy or 0.0) >= target else None


def plateau(points: Sequence[Point], patience: int, min_delta: float) -> bool:
    """Whether the best of the last `patience` versions is no better than the best before them by `min_delta`.

    Better is more accurate, or of lower loss where no accuracy is measured; being as good is not better. Versions
    after the last measured one say nothing; nor do the last ones, if none of them was measured.
    """
    gains = _gains(points)
    while gains and gains[-1] is None:
        gains.pop()
    late, early = [[g for g in part if g is not None] for part in (gains[-patience:], gains[:-patience])]
    if not early or not late:
        return False
    gain = max(late) - max(early)
    return gain <= 0 or gain < min_delta


def diverged(
    points: Sequence[Point], factor: float = DIVERGED_FACTOR, rounds: int = DIVERGED_ROUNDS, floor: float = LEAST_LOSS
) -> list[Point]:
    """The latest measured versions, if they have diverged: one loss that is not finite, or `rounds` in a row above
    `factor` times the best before them (or `floor`, if that is more). Else none."""
    measured = [point for point in points if point.loss is not None]
    if measured and measured[-1].broken:
        return measured[-1:]
    late, early = measured[-rounds:], [point.loss or 0.0 for point in measured[:-rounds] if not point.broken]
    if len(late) < rounds or not early:
        return []
    limit = factor * max(floor, min(early))
    return late if all((point.loss or 0.0) > limit for point in late) else []


def verdict(points: Sequence[Point], stopping: StoppingSpec, *, rolls_back: bool = True) -> Verdict | None:
    """Whether the task ends or pauses here: target, then divergence, then plateau. None: it goes on.

    `rolls_back`: whether it may be advised to go on from an older version.
    """
    if stopping.target_accuracy is not None and (hit := reached(points, stopping.target_accuracy)) is not None:
        return Verdict(
            "finish",
            f"target accuracy {stopping.target_accuracy:g} reached in round {hit.round}, by version {hit.version}",
        )
    if stopping.on_divergence != "go_on" and (late := diverged(points)):
        reason = _divergence(late, best(points), pause=stopping.on_divergence == "pause", rolls_back=rolls_back)
        return Verdict("pause" if stopping.on_divergence == "pause" else "finish", reason)
    if stopping.patience is not None and plateau(points, stopping.patience, stopping.min_delta):
        top = best(points)
        reason = f"no improvement over {stopping.patience} rounds by more than {stopping.min_delta:g}"
        return Verdict("finish", f"{reason}; the best is version {top.version}" if top else reason)
    return None


def distance(one: Mapping[str, torch.Tensor], other: Mapping[str, torch.Tensor]) -> float:
    """‖one - other‖₂ over all tensors of two models of the same shape, summed in float64."""
    squares = sum(float((one[name].double() - other[name].double()).square().sum()) for name in sorted(one))
    return math.sqrt(squares)


def agreement(norm_of_mean: float, norms: Sequence[float], weights: Sequence[float]) -> float | None:
    """‖Σ w_i Δ_i‖ / Σ w_i ‖Δ_i‖: 1 where all updates point the same way, towards 0 where they cancel out (drift).

    With equal weights and norms it is 1 / sqrt(n · gradient diversity), as Yin et al. 2018 (arXiv:1706.05699) define
    that. Only for a weighted mean of updates; None where nobody moved.
    """
    mean_of_norms = sum(w * norm for w, norm in zip(weights, norms, strict=True))
    return norm_of_mean / mean_of_norms if mean_of_norms > 0 else None


def _gains(points: Sequence[Point]) -> list[float | None]:
    """What a version is worth, more is better; None is not measured."""
    if any(point.accuracy is not None for point in points):
        return [point.accuracy for point in points]
    return [None if point.loss is None else -point.loss for point in points]


def _divergence(late: Sequence[Point], top: Point | None, *, pause: bool, rolls_back: bool) -> str:
    if late[-1].broken:
        what = f"the loss of version {late[-1].version} is not finite"
    else:
        what = f"the loss was above {DIVERGED_FACTOR:g} times the best in rounds {late[0].round} to {late[-1].round}"
    back = "" if top is None else f"; the best is version {top.version}"
    if not pause:
        return f"training has diverged: {what}{back}"
    if not rolls_back:
        mend = "cancel it, and lower training.learning_rate in a new task"
    else:
        go_back = "roll_back to an earlier version" if top is None else f"roll_back with version={top.version}"
        mend = f"control_task {go_back}, then resume; if it diverges again, lower training.learning_rate in a new task"
    return f"training has diverged: {what}{back}. To mend it: {mend}"
