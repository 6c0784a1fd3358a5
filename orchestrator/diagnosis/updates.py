"""What the updates show: drift, outliers, what a rule left out, who dominates, and how much there was to learn from."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from statistics import median
from typing import Any

from orchestrator.diagnosis.facts import Finding, Quote
from orchestrator.diagnosis.training import Training

DRIFT = 0.5
"""Below this agreement the updates of a round mostly cancel out."""
AGAINST, AGAINST_SHARE = 0.0, 0.5
LONG = 3.0
"""An update so many times as long as the round's median is an outlier."""
DOMINATES = 0.5
LITTLE = 50
"""Examples below which a node has hardly anything to learn from."""
LORA_ERROR = 0.1
MOST_NAMED = 5
_LEFT_OUT = "who is left out every time may attack, or have data unlike the others': mixing nnm helps the latter"


def drift(training: Training) -> Iterator[Finding]:
    """How far the updates of a round point the same way, and who points elsewhere."""
    rows = [r for r in training.metrics if r["source"] == "server" and r["name"] == "update_agreement"]
    if rows and float(rows[-1]["value"]) < DRIFT:
        q, last = Quote(), rows[-1]
        where = f"version {last['version']}"
        text = f"Client drift: the updates that made {q.version(int(last['version']))} mostly cancel out, their "
        text += f"agreement is {q('update_agreement', float(last['value']), where)}"
        first = rows[0]
        if first is not last:
            before = q("update_agreement", float(first["value"]), f"version {first['version']}")
            text += f" (it was {before} at {q.version(int(first['version']))})"
        mend = "fewer training.epochs or a training.max_steps, or aggregation.rule fedprox or scaffold"
        yield q.finding("client_drift", "warning", text + ".", mend)
    yield from _against(training)


def _against(training: Training) -> Iterator[Finding]:
    cosines: dict[str, list[tuple[float, int]]] = defaultdict(list)
    for number, update in _updates(training):
        if update.get("cosine") is not None and not str(update.get("reason") or "").startswith("excluded"):
            cosines[str(update["node_id"])].append((float(update["cosine"]), number))
    apart = []
    for node, found in cosines.items():
        against = sum(cosine < AGAINST for cosine, _ in found)
        if against and against >= AGAINST_SHARE * len(found):
            apart.append((min(found), node))
    if not apart:
        return
    q = Quote()
    said = [
        f"{training.name(node)} (cosine {q('cosine', cosine, f'node {node} in round {number}')} in {q.round(number)})"
        for (cosine, number), node in sorted(apart)[:MOST_NAMED]
    ]
    text = f"Updates that point away from the step that the round took: {', '.join(said)}."
    mend = "their data differ from the others', or they do not train honestly: look at their train_loss; "
    yield q.finding("update_against", "info", text, mend + "robust rules (aggregation.rule) bound what liars do")


def outliers(training: Training) -> Iterator[Finding]:
    """Updates far longer than those beside them."""
    found: dict[str, tuple[float, int, float]] = {}
    for each in training.over:
        norms = [float(update["norm"]) for update in each["updates"]]
        if len(norms) < 3:
            continue
        usual = median(norms)
        for update in each["updates"]:
            ratio = float(update["norm"]) / usual if usual > 0 else 0.0
            left_out = str(update.get("reason") or "").startswith("excluded")
            if ratio > LONG and not left_out:
                found[str(update["node_id"])] = (float(update["norm"]), int(each["round"]), usual)
    for node, (norm, number, usual) in sorted(found.items(), key=lambda item: -item[1][0])[:MOST_NAMED]:
        q = Quote()
        text = (
            f"{training.name(node)} sent an update of norm {q('norm', norm, f'node {node} in round {number}')} in "
            f"{q.round(number)}, where the median is {q('median norm', usual, f'round {number}')}."
        )
        mend = "aggregation.max_update_norm refuses such updates, aggregation.rule norm_clipping shortens them"
        yield q.finding("large_update", "warning", text, mend)


def left_out(training: Training) -> Iterator[Finding]:
    """What a robust rule excluded or clipped, and how often."""
    for word, kind in (("excluded", "excluded_updates"), ("clipped", "clipped_updates")):
        counts: dict[str, int] = defaultdict(int)
        for _, update in _updates(training):
            counts[str(update["node_id"])] += str(update.get("reason") or "").startswith(word)
        often = sorted((-count, node) for node, count in counts.items() if count)
        if not often:
            continue
        q, looked = Quote(), len(training.over)
        said = [
            f"{training.name(node)} {q(f'number of {word} updates', -count, f'node {node}')}"
            for count, node in often[:MOST_NAMED]
        ]
        total = q(f"number of {word} updates", -sum(count for count, _ in often), "task")
        rule = training.spec["aggregation"]["rule"]
        text = f"The rule `{rule}` {word} updates {total} times in the rounds looked at, the latest "
        text += f"{q('number of rounds looked at', looked, 'task')}: {', '.join(said)}"
        rest = len(often) - MOST_NAMED
        text += f" and {q('number of others', rest, 'task')} others." if rest > 0 else "."
        persistent = any(-count == looked for count, _ in often) and looked > 1 and word == "excluded"
        if word == "clipped":
            text += " A clipped update counts, shortened; honest ones are clipped too."
        mend = _LEFT_OUT if word == "excluded" else ""
        yield q.finding(kind, "warning" if persistent else "info", text, mend)


def dominance(training: Training) -> Iterator[Finding]:
    """A node that decides by itself what the model becomes."""
    heavy = [each for each in training.members if float(each.get("weight_share") or 0.0) > DOMINATES]
    if not heavy or len(training.members) < 3:
        return
    q, most = Quote(), heavy[0]
    share = q("weight_share", float(most["weight_share"]), f"node {most['node_id']}")
    text = f"{training.name(str(most['node_id']))} dominates: it has {share} of the weight of all updates."
    mend = "aggregation.weighting capped, or uniform; see that its num_examples are true (aggregation.max_examples)"
    yield q.finding("dominant_node", "warning", text, mend)


def little_data(training: Training) -> Iterator[Finding]:
    """Nodes with hardly any examples: each of their updates is noise."""
    latest: dict[str, tuple[int, int]] = {}
    for number, update in _updates(training):
        latest[str(update["node_id"])] = (int(update["num_examples"]), number)
    few = sorted((count, node, number) for node, (count, number) in latest.items() if count < LITTLE)
    if not few:
        return
    q = Quote()
    said = [
        f"{training.name(node)} {q('num_examples', count, f'node {node} in round {number}')}"
        for count, node, number in few[:MOST_NAMED]
    ]
    text = f"Little data: {q('number of nodes with little data', len(few), 'task')} of "
    text += (
        f"{q('number of nodes that delivered', len(latest), 'task')} nodes trained on few examples: {', '.join(said)}."
    )
    if len(training.over) < int(training.totals["closed"]) + int(training.totals["void"]):
        text = (
            text[:-1] + f"; looked at: the latest {q('number of rounds looked at', len(training.over), 'task')} rounds."
        )
    mend = "fewer data.partition.parts or a larger data.partition.min_examples; own data: ask for more; "
    yield q.finding("little_data", "info", text, mend + "aggregation.weighting examples weighs them by what they have")


def adapters(training: Training) -> Iterator[Finding]:
    """What averaging adapters cost in exactness."""
    rows = [r for r in training.metrics if r["source"] == "server" and r["name"] == "lora_error"]
    if rows and float(rows[-1]["value"]) > LORA_ERROR:
        q, last = Quote(), rows[-1]
        error = q("lora_error", float(last["value"]), f"version {last['version']}")
        text = f"The adapters of {q.version(int(last['version']))} are not the mean of what the nodes learned: "
        text += f"the relative error is {error}."
        mend = "aggregation.rule lora_stack keeps the mean exactly; lora_exact is its best approximation of the rank, "
        yield q.finding("lora_error", "warning", text, mend + "closer with a larger model.lora.r")


def _updates(training: Training) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for each in training.over:
        for update in each["updates"]:
            yield int(each["round"]), update
