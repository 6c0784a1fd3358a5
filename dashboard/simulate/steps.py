"""What happens on the tab Simulate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gradio as gr

from dashboard.charts.drawing import Chart
from dashboard.desk import Desk, Refusal
from dashboard.markup import empty, notice, paragraph, refused
from dashboard.new_task.draft import new_id
from dashboard.new_task.problems import listed
from dashboard.new_task.reference import Reference, reference
from dashboard.principal import Principal
from dashboard.sign_in import Session
from dashboard.simulate.comparison import curves, download, standings
from dashboard.simulate.cut import in_words, picture
from dashboard.simulate.runs import MOST, run, simulations
from dashboard.simulate.settings import Settings
from dashboard.visitor import principal_of
from dashboard.words import said


class Steps:
    """The steps of one page's tab. They keep nothing of a visitor."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._known: Reference | None = None
        self._cut: Chart
        self._accuracy: Chart
        self._loss: Chart

    def lay(self, cut: Chart, accuracy: Chart, loss: Chart) -> None:
        """Where the charts are."""
        self._cut, self._accuracy, self._loss = cut, accuracy, loss

    async def choices(self, principal: Principal) -> dict[str, dict[str, Any]]:
        """What the controls offer, by name."""
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

    async def ran(
        self, request: gr.Request, token: str | None, request_id: str, picked: Any, target: Any, *given: Any
    ) -> list[Any]:
        """Run was pressed; the run joins those that are compared."""
        principal, settings = principal_of(request, token), Settings(*given)
        rule = (await self._reference(principal)).rules.get(str(settings.rule))
        try:
            answer = await self._desk.call(
                principal,
                "run_simulation",
                spec=settings.spec(rule),
                request_id=request_id or new_id(),
                **settings.arguments(),
            )
        except Refusal as refusal:
            return [refused(refusal), *[gr.skip()] * 7]
        again = "" if answer["new"] else " These very settings were run before: it is the same run."
        words = notice("It runs on the server.", f"{settings.name}.{again}", "busy")
        others = [id for id in picked or () if id != answer["task_id"]]
        return [words, *await self.seen(principal, [answer["task_id"], *others][:MOST], target)]

    async def looked(self, request: gr.Request, token: str | None, picked: Any, target: Any) -> list[Any]:
        """Other runs were chosen, or there is news of them."""
        try:
            return await self.seen(principal_of(request, token), picked, target)
        except Refusal as refusal:
            return [refused(refusal), *[gr.skip()] * 6]

    async def cancelled(self, request: gr.Request, token: str | None, picked: Any, target: Any) -> list[Any]:
        """Those of the chosen runs that are not over are cancelled."""
        principal, ended = principal_of(request, token), []
        try:
            async with self._desk.line(principal) as line:
                for id in picked or ():
                    at = await run(line, id)
                    if at.going:
                        await line.call("control_task", task_id=id, action="cancel")
                        ended.append(at.name)
            words = notice("Cancelled", ", ".join(ended), "wait") if ended else notice("None of these is running.")
            return [words, *await self.seen(principal, picked, target)]
        except Refusal as refusal:
            return [refused(refusal), *[gr.skip()] * 7]

    async def seen(self, principal: Principal, picked: Any, target: Any) -> list[Any]:
        """The list of runs, and those chosen side by side."""
        async with self._desk.line(principal) as line:
            may_cancel = "control_task" in await line.tools()
            every = await simulations(line)
            known = {task["task_id"] for task in every}
            chosen = [id for id in picked or () if id in known][:MOST]
            if not chosen and every and picked is None:
                chosen = [task["task_id"] for task in every[:2]]
            runs = [await run(line, id) for id in chosen]
        choices = [(_line(task), task["task_id"]) for task in every]
        none = (
            "" if every else empty("No simulation has run yet.", "Choose settings above and run one; then run another.")
        )
        if every and not runs:
            none = paragraph("Choose runs to see them side by side.")
        goal = float(target) if isinstance(target, int | float) else 0.9
        going = any(run.going for run in runs)
        return [
            none,
            gr.update(choices=choices, value=chosen, visible=bool(every)),
            gr.update(visible=going and may_cancel),
            self._accuracy.drawn(curves(runs, "accuracy") if runs else None, "No run is chosen."),
            self._loss.drawn(curves(runs, "loss") if runs else None, "No run is chosen."),
            standings(runs, goal) + "".join(_trouble(run) for run in runs) if runs else "",
            download(runs) if runs else "",
        ]

    def follow(self, session: Session, chosen: Any, target: Any, shown: list[Any]) -> None:
        """Keeps the comparison fresh while somebody looks."""
        ticking = gr.Timer(2)
        ticking.tick(
            self.looked, [session.token, chosen, target], shown, api_visibility="private", show_progress="hidden"
        )

    async def _reference(self, principal: Principal) -> Reference:
        if self._known is None:
            async with self._desk.line(principal) as line:
                self._known = await reference(line)
        return self._known


def _line(task: Mapping[str, Any]) -> str:
    score = task.get("accuracy")
    reached = "" if score is None else f", {100 * score:.1f} %"
    return f"{task['name']} ({task['state']}, round {task['round']} of {task['num_rounds']}{reached})"


def _trouble(run: Any) -> str:
    return f'<p class="small">{said(run.name)}: {said(run.reason, 400)}</p>' if run.reason else ""
