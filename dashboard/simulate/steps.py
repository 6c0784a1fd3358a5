"""What happens on the tab Simulate."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import gradio as gr

from dashboard.charts.drawing import Chart
from dashboard.desk import Desk, Refusal
from dashboard.live import Crowded, Live, Place
from dashboard.markup import Tone, empty, notice, paragraph, refused
from dashboard.new_task.draft import new_id
from dashboard.new_task.problems import listed
from dashboard.new_task.reference import Reference, reference
from dashboard.principal import Principal
from dashboard.simulate.comparison import curves, download, standings
from dashboard.simulate.cut import in_words, picture
from dashboard.simulate.runs import MOST, run, simulations
from dashboard.simulate.settings import Settings
from dashboard.visitor import principal_of
from dashboard.words import said

_ID = re.compile(r"task-[a-z2-7]{1,40}")
"""What a page sends is not checked by Gradio, and all pages share the stream that listens for what they name."""
_MERGE_S = 0.5
"""Between two readings: notices that come in between are one."""


@dataclass(frozen=True)
class Wanted:
    """What a page asks to see side by side, and as whom.

    Attributes:
        picked: ids of runs.
        target: the accuracy that is asked for.
        begun: the run that was begun on this page, `{task_id, name, new}`.
    """

    principal: Principal
    picked: tuple[str, ...] = ()
    target: Any = None
    begun: Any = None


_STANDING: Mapping[str, tuple[str, Tone]] = {
    "created": ("It waits for its turn on the server.", "busy"),
    "running": ("It runs on the server.", "busy"),
    "paused": ("It is paused.", "wait"),
    "finished": ("It is finished: its curve and its figures stand below.", "good"),
    "cancelled": ("It was cancelled.", "wait"),
}


class Steps:
    """The steps of one page's tab. They keep nothing of a visitor."""

    def __init__(self, desk: Desk, live: Live) -> None:
        self._desk = desk
        self._live = live
        self._known: Reference | None = None
        self._cut: Chart
        self._accuracy: Chart
        self._loss: Chart

    def lay(self, cut: Chart, accuracy: Chart, loss: Chart) -> None:
        """Where the charts are."""
        self._cut, self._accuracy, self._loss = cut, accuracy, loss

    async def choices(self, principal: Principal) -> dict[str, dict[str, Any]]:
        """What the controls offer, by name."""
        async with self._desk.line(principal) as line:
            await simulations(line)  # refused to whoever may not look, whatever is known from others' visits
        known = await self._reference(principal)
        rules = [name for name, card in known.rules.items() if "classifier" in card["goes_with"]]
        images = [id for id, card in known.datasets.items() if card["holds"] == "images"]
        return {
            "data": {"choices": [(known.datasets[id]["title"], id) for id in images]},
            "model": {"choices": [(card["title"], id) for id, card in known.models.items()]},
            "rule": {"choices": [(f"{name}: {known.rules[name]['title']}", name) for name in rules]},
        }

    async def checked(self, request: gr.Request, token: str | None, *given: Any) -> list[Any]:
        """The settings changed: the cut's picture, what is wrong, and whether it can be run. A new request begins."""
        principal, settings = principal_of(request, token), Settings(*given)
        rule = (await self._reference(principal)).rules.get(str(settings.rule))
        try:
            async with self._desk.line(principal) as line:
                may_run = "run_simulation" in await line.tools()
                answer = await line.call("validate_task", spec=settings.spec(rule))
        except Refusal as refusal:
            return [gr.skip(), "", refused(refusal), gr.update(visible=False), new_id()]
        cut = answer.get("partition")
        drawn = self._cut.drawn(picture(cut)) if cut else gr.skip()
        words = paragraph(in_words(cut)) if cut else ""
        if answer["valid"] and not cut:
            drawn = self._cut.drawn(
                None, "This data set is not on the server: its cut is not known before it is fetched."
            )
        wrong = listed("To be mended", answer["problems"], id="simulate-wrong")
        if not may_run:
            wrong += notice(
                "To run it you need an operator’s token.",
                "Sign in at the top of the page. The picture follows you anyway.",
            )
        return [drawn, words, wrong, gr.update(visible=may_run and answer["valid"]), new_id()]

    def fitting(self, kind: Any) -> Any:
        """α belongs to the Dirichlet cut."""
        return gr.update(visible=kind == "dirichlet")

    def attacked(self, attack: Any) -> Any:
        """Attackers belong to an attack."""
        return gr.update(visible=bool(attack))

    async def withstanding(self, request: gr.Request, token: str | None, rule: Any) -> Any:
        """f belongs to rules that withstand attackers."""
        known = await self._reference(principal_of(request, token))
        return gr.update(visible=bool(known.rules.get(str(rule), {}).get("robust")), value=None)

    async def ran(self, request: gr.Request, token: str | None, request_id: str, picked: Any, *given: Any) -> list[Any]:
        """Run was pressed; the run joins those that are compared."""
        principal, settings = principal_of(request, token), Settings(*given)
        rule = (await self._reference(principal)).rules.get(str(settings.rule))
        try:
            async with self._desk.line(principal) as line:
                answer = await line.call(
                    "run_simulation",
                    spec=settings.spec(rule),
                    request_id=request_id or new_id(),
                    **settings.arguments(),
                )
                every = await simulations(line)
        except Refusal as refusal:
            return [refused(refusal), gr.skip(), None]
        chosen = [answer["task_id"], *(id for id in picked or () if id != answer["task_id"])][:MOST]
        begun = {"task_id": answer["task_id"], "name": settings.name, "new": answer["new"]}
        words = standing(begun, every)
        return [words, gr.update(choices=_choices(every), value=chosen, visible=True), begun]

    async def cancelled(self, request: gr.Request, token: str | None, picked: Any) -> list[Any]:
        """Those of the chosen runs that are not over are cancelled."""
        ended = []
        try:
            async with self._desk.line(principal_of(request, token)) as line:
                for id in picked or ():
                    at = await run(line, id)
                    if at.going:
                        await line.call("control_task", task_id=id, action="cancel")
                        ended.append(at.name)
        except Refusal as refusal:
            return [refused(refusal), None]
        return [notice("Cancelled", ", ".join(ended)) if ended else notice("None of these is running."), None]

    async def following(
        self, request: gr.Request, token: str | None, picked: Any, target: Any, begun: Any, opened: bool = True
    ) -> AsyncGenerator[list[Any]]:
        """The chosen runs, again whenever one of them has got further, until the page closes; asked for others while it
        goes on, the stream shows those. Nothing, where the tab has not been opened.

        The last of what it says changes nothing: Gradio repeats that when a stream has ended.
        """
        name, nothing = place_of(request), [gr.skip()] * 8
        chosen = tuple(id for id in (picked or ())[:MOST] if isinstance(id, str) and _ID.fullmatch(id))
        wish = Wanted(principal_of(request, token), chosen, target, begun)
        if not opened or self._live.ask(name, wish):
            yield nothing
            return
        try:
            async with aclosing(self._while_placed(name, wish)) as stream:
                async for told in stream:
                    yield told
            yield nothing
        except Refusal as refusal:
            yield [refused(refusal), *self._emptied()]

    async def _while_placed(self, name: str, wish: Wanted) -> AsyncGenerator[list[Any]]:
        try:
            with self._live.place(name, wish.principal.address, wish) as place:
                async with aclosing(self._followed(place)) as stream:
                    async for told in stream:
                        yield told
        except Crowded as crowded:
            _, *rest = await self.seen(wish)
            yield [refused(crowded), *rest]

    async def _followed(self, place: Place) -> AsyncGenerator[list[Any]]:
        sent: list[Any] = [None] * 8
        answered: Wanted | None = None
        while place.taken:
            wish: Wanted = place.take()
            try:
                now = await self.seen(wish)
            except Exception:
                if place.wish is wish:
                    raise
                continue  # of what nobody asks for any more
            if not place.taken or place.wish is not wish:
                continue
            self._live.want(place, [f"potluck://tasks/{id}" for id in wish.picked])
            anew, answered = wish is not answered, wish
            yield [gr.skip() if new == old and not anew else new for new, old in zip(now, sent, strict=True)]
            sent = now
            if not (await place.news() and await place.rest(_MERGE_S)):
                return

    async def seen(self, wish: Wanted) -> list[Any]:
        """The list of runs, and those chosen side by side."""
        async with self._desk.line(wish.principal) as line:
            may_cancel = "control_task" in await line.tools()
            every = await simulations(line)
            known = {task["task_id"] for task in every}
            chosen = [id for id in wish.picked if id in known][:MOST]
            runs = [await run(line, id) for id in chosen]
        none = (
            "" if every else empty("No simulation has run yet.", "Choose settings above and run one; then run another.")
        )
        if every and not runs:
            none = paragraph("Choose runs to see them side by side.")
        goal = float(wish.target) if isinstance(wish.target, int | float) else 0.9
        going = any(run.going for run in runs)
        waiting = "The first score comes with the first round." if runs else "No run is chosen."
        return [
            none,
            gr.update(choices=_choices(every), visible=bool(every)),
            gr.update(visible=going and may_cancel),
            self._accuracy.drawn(curves(runs, "accuracy"), waiting),
            self._loss.drawn(curves(runs, "loss"), waiting),
            standings(runs, goal) + "".join(_trouble(run) for run in runs) if runs else "",
            download(runs) if runs else "",
            standing(wish.begun, every) if wish.begun else gr.skip(),
        ]

    def _emptied(self) -> list[Any]:
        """What stays for whoever may see no runs: none, in all places but the first."""
        undrawn = [chart.drawn(None, "") for chart in (self._accuracy, self._loss)]
        return [gr.update(choices=[], value=[], visible=False), gr.update(visible=False), *undrawn, "", "", ""]

    async def _reference(self, principal: Principal) -> Reference:
        if self._known is None:
            async with self._desk.line(principal) as line:
                self._known = await reference(line)
        return self._known


def place_of(request: gr.Request) -> str:
    """The name of this tab's ear."""
    return f"{request.session_hash} simulates"


def standing(begun: Mapping[str, Any], every: Sequence[Mapping[str, Any]]) -> str:
    """Where the run stands that was begun on this page."""
    state = next((task["state"] for task in every if task["task_id"] == begun["task_id"]), "running")
    title, tone = _STANDING.get(state, _STANDING["running"])
    again = "" if begun["new"] else " These very settings were run before: it is the same run."
    return notice(title, f"{begun['name']}.{again}", tone)


def _choices(every: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(_line(task), task["task_id"]) for task in every]


def _line(task: Mapping[str, Any]) -> str:
    score = task.get("accuracy")
    reached = "" if score is None else f", {100 * score:.1f} %"
    return f"{task['name']} ({task['state']}, round {task['round']} of {task['num_rounds']}{reached})"


def _trouble(run: Any) -> str:
    return f'<p class="small">{said(run.name)}: {said(run.reason, 400)}</p>' if run.reason else ""
