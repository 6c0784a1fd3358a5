"""Watches a task by listening: a line a round, what it thinks of it, and what it would do about it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from statistics import median
from typing import Any

from federation.errors import Refused
from federation.rounds import nodes_needed
from federation.spec import CohortSpec
from orchestrator.diagnosis.diagnose import findings
from orchestrator.diagnosis.learning import way_back
from potluck.agent.consent import Pending
from potluck.agent.person import Person
from potluck.agent.proposals import Proposal, close_early, held_up, proposals, resume
from potluck.agent.server import Server, View
from potluck.agent.state import State, Store
from potluck.live_table import human_bytes

OVER = ("closed", "void")
ENDED = ("finished", "cancelled", "paused")
PATIENT, LEAST_S = 3.0, 5.0
"""A round that has its quorum is waited for so many times as long as rounds take, and so many seconds at least."""


class Follower:
    """Follows one task to where it stops."""

    def __init__(self, server: Server, person: Person, state: State, store: Store) -> None:
        self._server, self._person, self._state, self._store = server, person, state, store
        self._here: int | None = None
        self._held: int | None = None  # the round that was last seen to be held up

    async def to_the_end(self) -> tuple[View, Proposal | None]:
        """The task when nothing more happens by itself; and a successor that was agreed to, if any."""
        task = await self._look(lambda _: True)
        if (pending := self._state.pending) is not None:
            self._person.say(f"  agreed before, and not done: {pending.what}")
            if (successor := await self._carry_out(task)) is not None:
                return await self._look(lambda _: True), successor
            task = await self._look(lambda _: True)
        found = task["state"] == "paused"
        while True:
            seen = await self._server.once(self._state.task_id, self._is_news, within_s=self._patience(task))
            if seen is None:  # a round is held up
                task = await self._look(lambda _: True)
                proposal = close_early(task, self._patience(task) or 0.0)
                await self._settle(task, [proposal] if proposal else [])
                continue
            task = seen
            wanted = await self._tell(task)
            if found and not wanted:  # it was paused before we came
                wanted = [resume(task)]
            found = False
            if (successor := await self._settle(task, wanted)) is not None:
                return await self._look(lambda _: True), successor
            task = await self._look(lambda _: True) if wanted else task
            if task["state"] in ENDED:
                return task, None

    async def _look(self, holds: Callable[[View], bool]) -> View:
        seen = await self._server.once(self._state.task_id, holds)
        assert seen is not None  # noqa: S101 - it was given all the time there is
        return seen

    def _is_news(self, task: View) -> bool:
        """Whether there is something to tell or to do."""
        over = [int(each["round"]) for each in task["rounds"] if each["state"] in OVER]
        if task["state"] in ENDED or any(number > self._state.told for number in over):
            return True
        self._tell_nodes(task)
        held = task["round"] if held_up(task) else None
        news, self._held = held is not None and held != self._held, held
        return news

    def _patience(self, task: Mapping[str, Any]) -> float | None:
        """Seconds to wait for the rest of a round's updates; None: for ever, nothing is held up, or was refused."""
        key = f"aggregate-{task['task_id']}-{task['round']}"
        if not held_up(task) or key in self._state.settled:
            return None
        took = [float(each["seconds"]) for each in task["rounds"] if each["seconds"] is not None]
        return max(LEAST_S, PATIENT * median(took)) if took else float(task["spec"]["deadline_s"]) / 2

    def _tell_nodes(self, task: View) -> None:
        here = sum(bool(each["at_hand"]) for each in task["nodes"] or ())
        waits = bool(task["rounds"]) and task["rounds"][-1]["state"] == "open" and not task["simulation"]
        if waits and here != self._here:
            self._here = here
            needed = nodes_needed(CohortSpec.model_validate(task["spec"]["cohort"]))
            self._person.say(f"waiting for nodes: {here} at hand, {needed} are needed")

    async def _tell(self, task: View) -> list[Proposal]:
        """Tells what is new; what it would do about it."""
        training = await self._server.training(task)
        found = findings(training)
        first = int(task["rounds"][0]["round"]) if task["rounds"] else 1
        if first > self._state.told + 1:
            self._person.say(f"rounds {self._state.told + 1} to {first - 1} passed meanwhile, and are listed no longer")
        for each in task["rounds"]:
            if each["round"] > self._state.told and each["state"] in OVER:
                self._person.say(round_line(each, task["num_rounds"]))
                self._state.told = int(each["round"])
        for finding in found:
            if finding.kind not in self._state.said and finding.severity != "info":
                self._state.said.append(finding.kind)
                self._person.say(f"  {finding.severity}: {finding.text}")
                if finding.mend:
                    self._person.say(f"    to mend it: {finding.mend}")
        self._store.save(self._state)
        back, state = way_back(training), self._state
        return proposals(task, found, settled=state.settled, generation=state.generation, way_back=back)

    async def _settle(self, task: View, wanted: list[Proposal]) -> Proposal | None:
        """Asks for each proposal, and does what is agreed to; a successor is left to whoever makes tasks."""
        for proposal in wanted:
            self._person.say(f"  I see: {proposal.why}")
            granted = await self._person.ask(f"May I {proposal.what}? {_shown(proposal)}")
            self._state.settled.append(proposal.key)
            self._state.pending = Pending.of(proposal, task) if granted else None
            self._store.save(self._state)
            if (successor := await self._carry_out(task)) is not None:
                return successor
        return None

    async def _carry_out(self, task: View) -> Proposal | None:
        """Makes the calls that were agreed to and are not known to be made. A successor stays pending until it is made
        the run's task."""
        if (pending := self._state.pending) is None:
            return None
        for tool, arguments in pending.calls[pending.done :]:
            try:
                if not pending.is_past(arguments, task):
                    await self._server.call(tool, **arguments)
                    self._person.does(f"{tool} {_words(arguments)}")
            except Refused as refused:  # it may have ended meanwhile; the next look shows
                self._person.say(f"  {tool} was refused: {refused}")
                pending.successor = None
                break
            pending.done += 1
            self._store.save(self._state)
        if pending.successor is not None:
            return pending.proposal
        self._state.pending = None
        self._store.save(self._state)
        return None


def round_line(each: Mapping[str, Any], rounds: int) -> str:
    """One round in a line; the nodes' own scores are marked so."""
    said = []
    for name, form in (("accuracy", ".3f"), ("loss", ".4f")):
        if each[name] is not None:
            said.append(f"{name} {each[name]:{form}}")
        elif each[f"node_{name}"] is not None:
            said.append(f"the nodes' {name} {each[f'node_{name}']:{form}}")
    said.append(f"{each['submitted']} of {each['selected']} updates")
    if each["seconds"] is not None:
        said.append(f"{each['seconds']:.2f} s")
    said.append(f"{human_bytes(each['bytes_up'] or 0)} up")
    void = f" is void ({each['reason']})" if each["state"] == "void" else ""
    return f"round {each['round']} of {rounds}{void}: {', '.join(said)}"


def _shown(proposal: Proposal) -> str:
    calls = "; ".join(f"{tool} {_words(arguments)}" for tool, arguments in proposal.calls)
    return f"({calls})" if calls else ""


def _words(arguments: Mapping[str, Any]) -> str:
    return " ".join(f"{name}={value}" for name, value in arguments.items())
