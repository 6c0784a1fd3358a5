"""Where the scores lead: is it learning, has it stopped, does it go wrong, and what does the model not know."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from itertools import pairwise

from federation.convergence import LEAST_LOSS, Point, best, diverged, plateau, reached
from orchestrator.diagnosis.facts import Finding, Quote
from orchestrator.diagnosis.training import Training

PATIENCE = 4
"""Versions without improvement that are a plateau, where the spec has no `stopping.patience`."""
OVERFIT_ROUNDS = 3
RISEN = 2.0
"""A loss that is so many times the first one rises."""
FALLEN = 0.05
"""An accuracy that is so much below the best one has fallen."""
LEAST_RISE = 1.02
"""A server's loss that has risen by less, as a factor, is noise."""
WEAK_CLASS, WEAK_GAP = 0.5, 0.3
"""A class is weak below this share of the accuracy over all, and this far below it."""
MOST_CLASSES = 5
_BY_CLASS = re.compile(r"accuracy\.class_(\d+)")


def course(training: Training) -> Iterator[Finding]:
    """Whether it converges, stands still or diverges: exactly one finding, once a version was made and scored."""
    measured = [p for p in training.points if p.accuracy is not None or p.loss is not None]
    if not training.totals["closed"]:
        yield _nothing_yet(training)
    elif not measured or (len(measured) == 1 and measured[0].version == 0):
        text = "Versions have been made, but nobody has scored one yet, so nothing can be said of what was learned."
        yield Finding(
            "unscored", "info", text, "evaluate_model scores a version; evaluation.nodes lets the nodes do so"
        )
    elif late := diverged(training.points):
        yield _diverged(training, late)
    else:
        yield _learning(training, measured)


def way_back(training: Training) -> int | None:
    """The version to roll back to, where training has diverged: the best of those before it did."""
    late = diverged(training.points)
    top = _before(training, late) if late else None
    return None if top is None else top.version


def over_fitting(training: Training) -> Iterator[Finding]:
    """The nodes' training loss falls, while what counts gets worse: the loss on examples that nobody trains on."""
    pairs = []
    for version in training.line[1:]:
        mine = training.scores.get(version, {})
        outside = mine.get(("server", "loss"), mine.get(("nodes", "eval_loss")))
        inside = mine.get(("nodes", "train_loss"))
        if outside is not None and inside is not None:
            pairs.append((version, outside, inside))
    late = pairs[-OVERFIT_ROUNDS:]
    if len(late) < OVERFIT_ROUNDS:
        return
    rises = all(after[1] > before[1] for before, after in pairwise(late)) and late[-1][1] > LEAST_RISE * late[0][1]
    if rises and all(after[2] < before[2] for before, after in pairwise(late)):
        q, (first, last) = Quote(), (late[0], late[-1])
        metric = "loss" if ("server", "loss") in training.scores[last[0]] else "eval_loss"
        text = (
            f"Over-fitting: from {q.version(first[0])} to {q.version(last[0])} the nodes' training loss fell from "
            f"{q('train_loss', first[2], f'version {first[0]}')} to {q('train_loss', last[2], f'version {last[0]}')}, "
            f"while the loss on held-out examples rose from {q(metric, first[1], f'version {first[0]}')} to "
            f"{q(metric, last[1], f'version {last[0]}')}."
        )
        mend = "fewer training.epochs, some training.weight_decay, or stopping.patience; "
        yield q.finding("over_fitting", "warning", text, f"{mend}control_task roll_back goes back to the best version")


def classes(training: Training) -> Iterator[Finding]:
    """Classes that the model hardly knows, though it knows the others: what skewed shares look like from outside."""
    scored = [v for v in training.line if any(_BY_CLASS.fullmatch(name) for _, name in training.scores.get(v, {}))]
    if not scored or not training.totals["closed"]:
        return
    version = scored[-1]
    mine = training.scores[version]
    by_class = {int(found[1]): value for (_, name), value in mine.items() if (found := _BY_CLASS.fullmatch(name))}
    overall = mine.get(("server", "accuracy"), sum(by_class.values()) / len(by_class))
    weak = sorted((a, c) for c, a in by_class.items() if a < WEAK_CLASS * overall and overall - a > WEAK_GAP)
    if not weak or version == 0:
        return
    q, partition = Quote(), training.spec["data"].get("partition") or {}
    where = f"version {version}"
    said = [f"{q(f'accuracy.class_{c}', a, where)} of class {q('class', c, where)}" for a, c in weak[:MOST_CLASSES]]
    against = q("accuracy", overall, where) + " over all" if ("server", "accuracy") in mine else "more of the others"
    text = f"In {q.version(version)} the model gets right only {', '.join(said)}, against {against}."
    mend = "see that some node in each cohort has these classes: raise cohort.size"
    if training.spec["data"]["id"] != "own" and partition.get("kind") in ("dirichlet", "shards"):
        text += f" The shares are cut by label (`{partition['kind']}`"
        if partition["kind"] == "dirichlet":
            text += f", alpha {q('data.partition.alpha', float(partition['alpha']), 'spec')}"
        text += "), so few nodes may have these classes."
        mend += ", or a larger data.partition.alpha" if partition["kind"] == "dirichlet" else ""
    yield q.finding("label_skew", "warning", text, f"{mend}; more rounds; aggregation.rule fedprox or scaffold")


def _nothing_yet(training: Training) -> Finding:
    q, view = Quote(), training.view
    text = "No round has made a version yet: there is nothing to judge."
    if view["state"] == "created" and not training.simulated:
        return q.finding("not_started", "info", text, "control_task start opens the first round")
    return q.finding("no_version_yet", "info", text)


def _diverged(training: Training, late: list[Point]) -> Finding:
    q, top, last = Quote(), _before(training, late), late[-1]
    where = f"version {last.version}"
    if last.broken:
        text = f"Training has diverged: the loss of {q.version(last.version)} is not finite."
    else:
        text = (
            f"Training has diverged: from {q.version(late[0].version)} to {q.version(last.version)} the loss stayed "
            f"far above the best, and now is {q(training.loss_name, float(last.loss or 0.0), where)}."
        )
    mend = "lower training.learning_rate, or set aggregation.max_update_norm, in a new task"
    if top is not None:
        text += f" The best before was {q.version(top.version)}{_scored(q, training, top)}."
        mend = f"control_task roll_back with version={q('version', top.version, f'version {top.version}')}, then "
        mend += "resume; if it diverges again, lower training.learning_rate in a new task"
    return q.finding("diverging", "problem", text, mend)


def _before(training: Training, late: list[Point]) -> Point | None:
    return best([point for point in training.points if point.version not in [each.version for each in late]])


def _learning(training: Training, measured: list[Point]) -> Finding:
    q, first, last, top = Quote(), measured[0], measured[-1], best(measured)
    stopping = training.spec.get("stopping") or {}
    target, patience = stopping.get("target_accuracy"), stopping.get("patience")
    moved = _moved(q, training, first, last)
    if target is not None and reached(measured, float(target)) is not None:
        text = f"The target accuracy of {q('stopping.target_accuracy', float(target), 'spec')} is reached: {moved}."
        return q.finding("target_reached", "good", text)
    stands = plateau(measured, int(patience or PATIENCE), float(stopping.get("min_delta") or 0.0))
    if stands and top is not None and _far_below(last, top):
        text = f"Getting worse: no version since {q.version(top.version)} is better; {_moved(q, training, top, last)}."
        mend = (
            "control_task roll_back makes the best version the current one; lower training.learning_rate in a new task"
        )
        return q.finding("worsening", "warning", text, mend)
    if stands and top is not None:
        text = f"Plateau: no version since {q.version(top.version)} is better{_scored(q, training, top)}; {moved}."
        mend = "stop here (control_task cancel; the versions stay), or try another training.learning_rate, more data "
        return q.finding("plateau", "warning", text, f"{mend}or a larger model in a new task")
    if len(measured) == 1:
        text = f"One version is scored so far, {q.version(first.version)}{_scored(q, training, first)}."
        return q.finding("too_early", "info", text)
    return _going(q, training, measured, moved)


def _going(q: Quote, training: Training, measured: list[Point], moved: str) -> Finding:
    """Up, down, or nowhere, of two versions or more."""
    first, last, top = measured[0], measured[-1], best(measured)
    if top is not None and top.version not in (last.version, first.version) and _worse(last, top):
        text = f"Past its best: {q.version(top.version)} was better{_scored(q, training, top)}; {moved}."
        mend = "control_task roll_back makes an older version the current one"
        return q.finding("past_best", "info", text, mend)
    if _worse(last, first):
        mend = "lower training.learning_rate or training.epochs"
        return q.finding("not_learning", "warning", f"Not learning: {moved}.", mend)
    if (last.loss or 0.0) > RISEN * max(first.loss or math.inf, LEAST_LOSS):
        mend = "lower training.learning_rate; see whether it goes on (stopping.on_divergence)"
        return q.finding("loss_rises", "warning", f"The loss rises, whatever the accuracy does: {moved}.", mend)
    if not _worse(first, last):
        return q.finding("no_change", "info", f"No change so far: {moved}.")
    if training.classes and last.accuracy is not None and last.accuracy < _guessing(training.classes):
        mend = (
            "more rounds; if it stays so, another training.learning_rate (a loss far above the first is one too high)"
        )
        return q.finding("guessing", "warning", f"Hardly better than guessing: {moved}.", mend)
    return q.finding("converging", "good", f"Converging: {moved}.")


def _moved(q: Quote, training: Training, first: Point, last: Point) -> str:
    """From where to where the scores went, each with its version."""
    whose = "" if training.source == "server" else ", as the nodes measured on examples held out"
    if training.loss_name == "train_loss":
        whose = ", as the nodes measured while training"
    said = []
    for name, metric in (("accuracy", training.accuracy_name), ("loss", training.loss_name)):
        before, after = getattr(first, name), getattr(last, name)
        if after is None or last.broken:
            continue
        where = f"version {last.version}"
        came = f"the {name} "
        if before is None or first.broken or first.version == last.version:
            said.append(f"{came}is {q(metric, after, where)}")
        else:
            said.append(f"{came}went from {q(metric, before, f'version {first.version}')} to {q(metric, after, where)}")
    for name in ("perplexity", "eval_perplexity"):
        value = training.scores.get(last.version, {}).get((training.source, name))
        if value is not None:
            said.append(f"the perplexity is {q(name, value, f'version {last.version}')}")
            break
    joined = " and ".join(said) if len(said) < 3 else f"{', '.join(said[:-1])} and {said[-1]}"
    if first.version == last.version:
        return f"{joined} in {q.version(last.version)}{whose}"
    return f"{joined} between {q.version(first.version)} and {q.version(last.version)}{whose}"


def _scored(q: Quote, training: Training, point: Point) -> str:
    """`, with an accuracy of 0.9`, or the loss; nothing where neither is known."""
    where = f"version {point.version}"
    if point.accuracy is not None:
        return f", with an accuracy of {q(training.accuracy_name, point.accuracy, where)}"
    if point.loss is not None and not point.broken:
        return f", with a loss of {q(training.loss_name, point.loss, where)}"
    return ""


def _far_below(last: Point, top: Point) -> bool:
    """Whether the last version is worse than the best by more than noise."""
    if last.accuracy is not None and top.accuracy is not None and top.accuracy - last.accuracy > FALLEN:
        return True
    return last.loss is not None and top.loss is not None and last.loss > RISEN * max(top.loss, LEAST_LOSS)


def _guessing(classes: int) -> float:
    """An accuracy that is little above that of guessing among so many classes."""
    chance = 1 / classes
    return chance + chance * (1 - chance) / 2


def _worse(one: Point, other: Point) -> bool:
    if one.accuracy is not None and other.accuracy is not None:
        return one.accuracy < other.accuracy
    return one.loss is not None and other.loss is not None and one.loss > other.loss
