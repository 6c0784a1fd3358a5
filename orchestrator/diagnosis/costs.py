"""What the training moved, and what it lets the server see. docs/security.md says the same in full."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.diagnosis.facts import Finding, Quote
from orchestrator.diagnosis.training import Training

TELLING = 2
"""Of a mean of two updates, each of the two nodes can tell the other's."""


def traffic(training: Training) -> Iterator[Finding]:
    """Bytes up and down, and seconds, of the rounds that are over."""
    totals = training.totals
    up, down, over = int(totals["bytes_up"]), int(totals["bytes_down"]), int(totals["closed"]) + int(totals["void"])
    if not over or not up + down:
        return
    q = Quote()
    text = (
        f"{q('sum of bytes_up', up, 'task')} went up and {q('sum of bytes_down', down, 'task')} down in "
        f"{q('number of rounds that are over', over, 'task')} rounds of "
        f"{q('sum of seconds', float(totals['seconds']), 'task')} s in all."
    )
    if training.simulated:
        text += " They are what files would have taken; in a simulation none travelled."
    yield q.finding("traffic", "info", text)


def privacy(training: Training) -> Iterator[Finding]:
    """What the server can and cannot see, as far as it is true of this task."""
    if training.simulated:
        text = "A simulation: the server itself reads the data and computes the clients; no node takes part."
        yield Finding("privacy", "info", text)
        return
    q = Quote()
    text = (
        "Examples stay with the nodes; the server sees each node's update in the clear, with counts, norms and scores. "
        "There is no secure aggregation and no differential privacy, and updates can in part be inverted."
    )
    keep = training.spec.get("keep_rounds")
    if keep is not None:
        text += f" Update files are deleted {q('keep_rounds', int(keep), 'spec')} rounds after theirs."
    yield q.finding("privacy", "info", text, "keep_rounds, and an operator whom the nodes trust")
    small = [each for each in training.closed if each["submitted"] <= TELLING]
    if small:
        q, last = Quote(), small[-1]
        number = int(last["round"])
        count = q("number of rounds with at most two updates", len(small), "task")
        span = f" among the latest {q('number of rounds listed', len(training.rounds), 'task')}" if training.cut else ""
        text = (
            f"Small cohorts: rounds that closed over one or two updates{span}: {count}; the latest, {q.round(number)}, "
            f"over {q('submitted', last['submitted'], f'round {number}')}. Of two, each node can reckon the other's "
            "update from the new model."
        )
        yield q.finding("small_cohort", "warning", text, "a larger cohort.size, and a cohort.quorum of more than two")
