"""Who came, who came late and who did not: void rounds, quorums, stragglers, drop-outs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from statistics import median

from orchestrator.diagnosis.facts import Finding, Quote, Severity
from orchestrator.diagnosis.names import quoted
from orchestrator.diagnosis.training import Training, View

ENDED_WITH_IT = "the task was cancelled"
"""The reason of a round that its task's end cut short, as the coordinator writes it."""
MOST_NAMED = 5
"""Rounds or nodes that one finding names."""
SLOW, SLOW_S = 2.0, 1.0
"""A straggler takes so many times as long as the median of the others, and so many seconds longer."""
UNFAIR = 0.7


def void_rounds(training: Training) -> Iterator[Finding]:
    """Rounds that made no version, each with the reason. One that was cut short by the task's own end is no harm."""
    void, total = training.void, int(training.totals["void"])
    ended = [each for each in void if str(each.get("reason") or "") == ENDED_WITH_IT]
    lost = total - len(ended)
    if lost <= 0:
        return
    q = Quote()
    said = [_why_void(q, each) for each in void if each not in ended][-MOST_NAMED:]
    count, rounds = (
        q("number of void rounds", total, "task"),
        q("number of rounds", int(training.totals["rounds"]), "task"),
    )
    text = f"Rounds that made no version: {count} of {rounds}"
    if len(said) + len(ended) < total and said:
        said[0] = f"the latest: {said[0]}"
    said += [f"{q.round(int(each['round']))} ended with the task" for each in ended]
    mend = "a longer deadline_s, a smaller cohort.quorum, or cohort.over_selection above one"
    severity: Severity = "problem" if 2 * lost >= int(training.totals["rounds"]) else "warning"
    yield q.finding("void_rounds", severity, f"{'; '.join([text, *said])}.", mend)


def _why_void(q: Quote, each: View) -> str:
    """The stored reason; and in numbers, where its quorum was missed."""
    where, reason = f"round {each['round']}", str(each.get("reason") or "")
    said = q.round(int(each["round"])) + (f" ({quoted(reason, 200)})" if reason else "")
    if each.get("quorum") is not None and each["submitted"] < each["quorum"]:
        need = f"{q('quorum', each['quorum'], where)} updates of its quorum"
        said += f", as {q('submitted', each['submitted'], where)} of the {need} came"
    return said


def waiting(training: Training) -> Iterator[Finding]:
    """A round that cannot begin, since too few nodes are at hand; or that is held up by some of its cohort."""
    if training.simulated or training.view["state"] != "running" or not training.rounds:
        return
    last, q = training.rounds[-1], Quote()
    number, where = int(last["round"]), f"round {last['round']}"
    if last["state"] == "open":
        cohort = training.spec.get("cohort") or {}
        needed = max(int(cohort.get(name) or 1) for name in ("min_nodes", "size", "quorum"))
        here = sum(bool(each.get("at_hand")) for each in training.members)
        if here < needed:
            text = (
                f"{q.round(number).capitalize()} waits for nodes: {q('number of nodes at hand', here, 'task')} of the "
                f"{q('nodes that a round waits for', needed, 'spec')} that it needs are at hand."
            )
            yield q.finding("waiting_for_nodes", "info", text, "let more nodes join, or ask for fewer (cohort.size)")
    elif last["state"] == "collecting" and last["submitted"] < last["selected"]:
        missing = [str(each["node_id"]) for each in training.members if each["in_cohort"] and not each["submitted"]]
        text = (
            f"{q.round(number).capitalize()} has {q('submitted', last['submitted'], where)} updates of "
            f"{q('selected', last['selected'], where)} asked for."
        )
        if missing:
            rest = len(missing) - MOST_NAMED
            text += f" It waits for {', '.join(training.name(node) for node in missing[:MOST_NAMED])}"
            text += f" and {q('number of others', rest, where)} others." if rest > 0 else "."
        enough = last.get("quorum") is not None and last["submitted"] >= last["quorum"]
        mend = "aggregate_round closes it over what has arrived; the quorum is in" if enough else ""
        yield q.finding("collecting", "info", text, mend)


def drop_outs(training: Training) -> Iterator[Finding]:
    """Nodes that were selected and did not deliver."""
    gone = [each for each in training.members if each.get("dropped_out")]
    if not gone:
        return
    q = Quote()
    gone.sort(key=lambda each: -int(each["dropped_out"]))
    said = []
    for each in gone[:MOST_NAMED]:
        where = f"node {each['node_id']}"
        said.append(
            f"{training.name(str(each['node_id']))} {q('dropped_out', each['dropped_out'], where)} of "
            f"{q('selected', each['selected'], where)}"
        )
    text = f"Drop-outs, in rounds that had asked for an update: {', '.join(said)}."
    if len(gone) > MOST_NAMED:
        text += f" In all {q('number of nodes that dropped out', len(gone), 'task')} nodes did so."
    mend = "cohort.over_selection above one makes up for them; a longer deadline_s or lease_s waits for them; "
    yield q.finding("drop_outs", "warning", text, mend + "aggregate_round closes a round without them")


def stragglers(training: Training) -> Iterator[Finding]:
    """Nodes whose updates come much later than the others'; of simulated clients nothing of the kind is known."""
    if training.simulated:
        return
    took: dict[str, list[tuple[float, int]]] = defaultdict(list)
    for each in training.over:
        if each.get("deadline_at") is None:
            continue
        began = float(each["deadline_at"]) - float(training.spec["deadline_s"])
        for update in each["updates"]:
            took[str(update["node_id"])].append((float(update["accepted_at"]) - began, int(each["round"])))
    typical = {node: median(seconds for seconds, _ in times) for node, times in took.items()}
    for node in sorted(typical, key=lambda node: -typical[node])[:MOST_NAMED]:
        others = [seconds for other, seconds in typical.items() if other != node]
        usual = median(others) if others else typical[node]
        if typical[node] > SLOW * usual and typical[node] > usual + SLOW_S:
            q, (slowest, number) = Quote(), max(took[node])
            where = f"node {node} in round {number}"
            text = (
                f"{training.name(node)} is a straggler: its update took {q('seconds to deliver', slowest, where)} s in "
                f"{q.round(number)}, where the others' median is {q('median seconds to deliver', usual, 'task')} s."
            )
            mend = "cohort.over_selection with a smaller cohort.size, or cohort.selection speed, keeps rounds from "
            yield q.finding("straggler", "warning", text, mend + "waiting; training.max_steps bounds everyone's work")


def fairness(training: Training) -> Iterator[Finding]:
    """Whether some nodes take part far more often than others."""
    rows = [r for r in training.metrics if r["source"] == "server" and r["name"] == "participation_fairness"]
    if rows and float(rows[-1]["value"]) < UNFAIR:
        q, last = Quote(), rows[-1]
        value = q("participation_fairness", float(last["value"]), f"version {last['version']}")
        text = f"Participation is uneven: Jain's index is {value} at {q.version(int(last['version']))}, where "
        text += "equal parts would make it one."
        yield q.finding("uneven_participation", "info", text, "more rounds even it out; cohort.selection uniform")
