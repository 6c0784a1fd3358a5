"""What happens on the tab Try it."""

from __future__ import annotations

from typing import Any

import gradio as gr
from PIL import Image

from dashboard.charts.drawing import Chart
from dashboard.desk import Desk, Line, Refusal
from dashboard.markup import empty, notice, refused
from dashboard.principal import Principal
from dashboard.try_it.answers import Answers, ask, bars, over_versions, verdict
from dashboard.try_it.drawing import Unusable, as_digit, as_picture, ink_of, thumbnail
from dashboard.try_it.trials import Trial, trial
from dashboard.visitor import principal_of
from dashboard.words import said, tame

UNASKED = empty("No answer yet.", "The model answers as soon as there is something to look at.")
_LATEST = 30
"""Tasks offered: the newest."""


class Steps:
    """The steps of one page's tab. They keep nothing of a visitor."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._bars: Chart
        self._line: Chart

    def lay(self, bars: Chart, line: Chart) -> None:
        """Where the charts are."""
        self._bars, self._line = bars, line

    async def trials(self, principal: Principal) -> list[Trial]:
        """The newest tasks, and how each can be tried.

        Raises:
            Refusal: the visitor may not look.
        """
        async with self._desk.line(principal) as line:
            tasks = (await line.call("list_tasks"))["tasks"][:_LATEST]
            cards = {card["id"]: card for card in await line.read("potluck://datasets")}
            return [
                trial(task, (await line.call("get_task", task_id=task["task_id"]))["spec"], cards) for task in tasks
            ]

    async def drawn(self, request: gr.Request, token: str | None, task_id: Any, drawing: Any) -> list[Any]:
        """A stroke has ended, or the square was cleared."""
        if not drawing or not task_id:
            return self._asked(None)
        try:
            async with self._desk.line(principal_of(request, token)) as line:
                chosen = await self._one(line, str(task_id))
                ink = ink_of(drawing)
                shown = as_digit(ink, chosen.shape[1]) if chosen.digits else _scaled(ink, chosen.shape)
                return self._asked(chosen, await ask(line, chosen, shown.ravel().tolist()), thumbnail(shown))
        except (Refusal, Unusable) as no:
            return self._asked(None, no=no)

    async def brought(self, request: gr.Request, token: str | None, task_id: Any, picture: Any) -> list[Any]:
        """A picture was brought."""
        if not isinstance(picture, Image.Image) or not task_id:
            return self._asked(None)
        try:
            async with self._desk.line(principal_of(request, token)) as line:
                chosen = await self._one(line, str(task_id))
                shown = as_picture(picture, chosen.shape)
                if chosen.digits and shown.max() > 0.1:
                    shown = as_digit(shown[0], chosen.shape[1])[None]
                return self._asked(chosen, await ask(line, chosen, shown.ravel().tolist()), thumbnail(shown))
        except (Refusal, Unusable) as no:
            return self._asked(None, no=no)

    async def classified(self, request: gr.Request, token: str | None, task_id: Any, words: Any) -> list[Any]:
        """A text is to be classified."""
        if not str(words or "").strip() or not task_id:
            return self._asked(None)
        try:
            async with self._desk.line(principal_of(request, token)) as line:
                chosen = await self._one(line, str(task_id))
                return self._asked(chosen, await ask(line, chosen, str(words)))
        except Refusal as no:
            return self._asked(None, no=no)

    async def written(
        self, request: gr.Request, token: str | None, task_id: Any, prompt: Any, most: Any, version: Any
    ) -> str:
        """A language model goes on from a prompt, a version beside version 0."""
        if not str(prompt or "").strip():
            return notice("Write first how the text begins.", "A line or two is enough.")
        try:
            async with self._desk.line(principal_of(request, token)) as line:
                chosen = await self._one(line, str(task_id))
                wanted = min(int(version if version is not None else chosen.version), chosen.version)
                sides = ""
                for each in dict.fromkeys((0, wanted)):
                    answer = await line.call(
                        "predict",
                        task_id=chosen.task_id,
                        inputs=[str(prompt)],
                        version=each,
                        max_tokens=int(most or 64),
                    )
                    sides += _side(each, str(prompt), answer["texts"][0])
                return f'<div class="sides">{sides}</div>'
        except Refusal as refusal:
            return refused(refusal)

    async def _one(self, line: Line, task_id: str) -> Trial:
        view = await line.call("get_task", task_id=task_id)
        cards = {card["id"]: card for card in await line.read("potluck://datasets")}
        return trial(view, view["spec"], cards)

    def _asked(
        self, chosen: Trial | None, answers: Answers | None = None, seen: str = "", no: Exception | None = None
    ) -> list[Any]:
        """Updates of the verdict and of both charts."""
        if chosen is None or answers is None:
            words = refused(no) if isinstance(no, Refusal) else notice(str(no)) if no else UNASKED
            return [words, self._bars.drawn(None, "No answer yet."), self._line.drawn(None, "No answer yet.")]
        words = verdict(answers, chosen)
        if seen:
            words += f'<figure class="seen"><img src="{seen}" alt="What the model is shown" width="84" height="84">'
            words += "<figcaption>What the model is shown</figcaption></figure>"
        if answers.refusal is not None:
            left = len(answers.asked) - len(answers.probabilities)
            words += refused(answers.refusal) + f'<p class="small">{left} older versions were not asked.</p>'
        one = "There is one version so far; the line begins with the second."
        return [
            words,
            self._bars.drawn(bars(answers, chosen), "No answer yet."),
            self._line.drawn(over_versions(answers, chosen), one),
        ]


def offered(trials: list[Trial]) -> tuple[list[tuple[str, str]], str]:
    """What can be chosen, and in words what cannot and why."""
    choices = [
        (f"{tame(each.name, 60)} (version {each.version})", each.task_id) for each in trials if each.way != "none"
    ]
    others = [each for each in trials if each.way == "none"]
    words = "".join(
        f'<p class="small">{said(each.name, 80)} cannot be tried here: {said(each.why)}.</p>' for each in others
    )
    if not choices:
        words = (
            empty("There is no model to try yet.", "A task that is created has one; the tab New task makes it.") + words
        )
    return choices, words


def _scaled(ink: Any, shape: tuple[int, ...]) -> Any:
    return as_picture(Image.fromarray((255 * ink).astype("uint8")), shape)[0]


def _side(version: int, prompt: str, text: dict[str, Any]) -> str:
    title = "Version 0: the base model" if version == 0 else f"Version {version}"
    ends = {"eos": "it came to an end", "length": "cut at the number of tokens", "time": "cut after 30 seconds"}
    end = ends.get(str(text.get("finished")), "")
    return (
        f'<section class="card"><h4>{title}</h4><p class="written"><span class="prompt">{said(prompt, 4000)}</span> '
        f'{said(text.get("text", ""), 8000)}</p><p class="small">{text.get("tokens", 0)} tokens; {end}.</p></section>'
    )
