"""Series of scores, worked by hand."""

from __future__ import annotations

import math

import pytest
import torch

from federation.convergence import Point, agreement, best, distance, diverged, plateau, reached, verdict
from federation.spec import StoppingSpec

INF = math.inf


def accuracies(*values: float | None) -> list[Point]:
    return [Point(version, version, accuracy=value) for version, value in enumerate(values)]


def losses(*values: float | None) -> list[Point]:
    return [Point(version, version, loss=value) for version, value in enumerate(values)]


@pytest.mark.parametrize(
    ("points", "version"),
    [
        (accuracies(0.1, 0.5, 0.4), 1),
        (accuracies(None, 0.5, None, 0.5), 1),
        (losses(2.3, 0.9, 1.0, None), 1),
        ([Point(0, 0, 0.5, 0.9), Point(1, 1, 0.5, 0.8)], 1),
        ([Point(0, 0, None, 0.1), Point(1, 1, 0.2, 0.9)], 1),
        ([Point(0, 0, 0.1, 2.3), Point(1, 1, 0.9, INF)], 0),
    ],
    ids=["accuracy", "older", "loss", "lower loss", "accuracy before loss", "not broken"],
)
def test_the_best_version(points: list[Point], version: int) -> None:
    top = best(points)
    assert top is not None
    assert top.version == version


def test_nothing_measured_is_no_best() -> None:
    assert best([]) is None
    assert best(accuracies(None, None)) is None
    assert best(losses(INF)) is None


def test_the_target_is_reached_by_the_latest_measured_version_alone() -> None:
    assert reached(accuracies(0.1, 0.96), 0.95) == Point(1, 1, accuracy=0.96)
    assert reached(accuracies(0.1, 0.95, None), 0.95) == Point(1, 1, accuracy=0.95)
    assert reached(accuracies(0.96, 0.94), 0.95) is None
    assert reached([Point(1, 1, 0.96, INF)], 0.95) is None
    assert reached([], 0.1) is None


@pytest.mark.parametrize(
    ("points", "patience", "min_delta", "stuck"),
    [
        (accuracies(0.1, 0.5, 0.6), 2, 0.0, False),
        (accuracies(0.6, 0.5, 0.6), 2, 0.0, True),
        (accuracies(0.6, 0.5, 0.6001), 2, 0.0, False),
        (accuracies(0.6, 0.5, 0.605), 2, 0.01, True),
        (accuracies(0.6, 0.625, 0.5), 2, 0.015625, False),
        (accuracies(0.6, 0.5), 2, 0.0, False),
        (accuracies(0.6, None, 0.5), 2, 0.0, True),
        (accuracies(0.6, 0.7, None, None), 2, 0.0, False),
        (accuracies(None, 0.5, 0.5), 2, 0.0, False),
        (losses(1.0, 0.9, 0.8), 2, 0.0, False),
        (losses(0.8, 0.9, 0.8), 2, 0.0, True),
        (losses(1.0, 0.95, 0.9), 2, 0.2, True),
        ([], 1, 0.0, False),
    ],
)
def test_a_plateau(points: list[Point], patience: int, min_delta: float, stuck: bool) -> None:
    assert plateau(points, patience, min_delta) is stuck


@pytest.mark.parametrize(
    ("values", "versions"),
    [
        ([1.0, 0.5, 2.5, 2.5, 2.5], [2, 3, 4]),
        ([1.0, 0.5, 2.5, 1.9, 2.5], []),
        ([1.0, 0.5, 2.5, 2.5], []),
        ([1.0, 0.5, 2.5, None, 2.5, 2.5, None], [2, 4, 5]),
        ([0.01, 0.3, 0.3, 0.3], []),
        ([0.01, 0.5, 0.5, 0.5], [1, 2, 3]),
        ([1.0, INF], [1]),
        ([INF, 1.0], []),
        ([2.0, 2.0, 2.0], []),
        ([], []),
    ],
    ids=["three", "one below", "two", "gaps", "floor", "above the floor", "not finite", "mended", "no best", "nothing"],
)
def test_divergence(values: list[float | None], versions: list[int]) -> None:
    assert [point.version for point in diverged(losses(*values))] == versions


def test_verdicts_say_why_and_what_to_do() -> None:
    far = losses(1.0, 0.5, 9.0, 9.0, 9.0)
    paused = verdict(far, StoppingSpec())
    assert paused is not None
    assert paused.action == "pause"
    assert "in rounds 2 to 4" in paused.reason
    assert "control_task roll_back with version=1, then resume" in paused.reason
    stopped = verdict(far, StoppingSpec(on_divergence="stop"))
    assert stopped is not None
    assert (stopped.action, "control_task" in stopped.reason) == ("finish", False)
    assert verdict(far, StoppingSpec(on_divergence="go_on")) is None

    no_way_back = verdict(far, StoppingSpec(), rolls_back=False)
    assert no_way_back is not None
    assert no_way_back.action == "pause"
    assert no_way_back.reason.endswith(
        "version 1. To mend it: cancel it, and lower training.learning_rate in a new task"
    )

    broken = verdict(losses(INF), StoppingSpec())
    assert broken is not None
    assert "version 0 is not finite" in broken.reason

    hit = verdict(accuracies(0.1, 0.96), StoppingSpec(target_accuracy=0.95))
    assert hit is not None
    assert (hit.action, hit.reason) == ("finish", "target accuracy 0.95 reached in round 1, by version 1")

    stuck = verdict(accuracies(0.6, 0.5, 0.6), StoppingSpec(patience=2, min_delta=0.01))
    assert stuck is not None
    assert stuck.reason == "no improvement over 2 rounds by more than 0.01; the best is version 0"
    assert verdict(accuracies(0.6, 0.5, 0.6), StoppingSpec()) is None


def test_distances_between_versions() -> None:
    zero, one = {"w": torch.zeros(2, 2), "b": torch.zeros(1)}, {"w": torch.ones(2, 2), "b": torch.zeros(1)}
    assert distance(zero, one) == 2.0
    assert distance(one, one) == 0.0


def test_agreement_is_one_for_equal_updates_and_nothing_for_opposite_ones() -> None:
    assert agreement(3.0, [3.0, 3.0], [0.5, 0.5]) == 1.0
    assert agreement(0.0, [3.0, 3.0], [0.5, 0.5]) == 0.0
    assert agreement(math.sqrt(2) / 2, [1.0, 1.0], [0.5, 0.5]) == pytest.approx(math.sqrt(0.5)), "at right angles"
    assert agreement(0.0, [0.0, 0.0], [0.5, 0.5]) is None
