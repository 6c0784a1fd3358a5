"""The levers' events: ask, then do or leave it; and what is only looked up on demand, an export and a summary."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import gradio as gr

from dashboard.desk import Desk, Refusal
from dashboard.markup import refused
from dashboard.sign_in import Session
from dashboard.visitor import principal_of
from dashboard.watch.levers import ACTIONS, Action, Pending, done, exported, move, question
from dashboard.watch.parts import Parts
from dashboard.watch.report import summarized
from dashboard.watch.shown import CURRENT

_QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}


def steering(desk: Desk, session: Session, page: Parts) -> None:
    """Wires the levers."""
    parts, summary, export = page.shown, page.summary, page.export
    for place, actions in ((page.question, ACTIONS[:-1]), (page.rolling, ACTIONS[-1:])):
        pending = gr.State(None)
        with place:
            words = gr.HTML("", js_on_load=None)
            with gr.Row(elem_classes="levers") as answers:
                yes = gr.Button("Yes, do it", variant="primary", size="sm")
                no = gr.Button("No, leave it", size="sm")
        shown = [pending, place, words, answers]
        chosen = [session.token, parts["tasks"], parts["versions"]]
        for action in actions:
            parts[f"lever-{action}"].click(_ask(desk, action), chosen, shown, **_QUIET)
        yes.click(_do(desk), [session.token, pending], shown, **_QUIET)
        gr.on([no.click, parts["tasks"].input, parts["versions"].input], _leave, None, shown, **_QUIET)
    on_demand = {**_QUIET, "show_progress": "minimal"}
    parts["export"].click(
        _looked_up(desk, "export_model", exported),
        [session.token, parts["tasks"], parts["versions"]],
        export,
        **on_demand,
    )
    parts["summarize"].click(
        _looked_up(desk, "summarize_training", summarized), [session.token, parts["tasks"]], summary, **on_demand
    )
    gr.on([parts["tasks"].input, session.token.change], lambda: ("", ""), None, [summary, export], **_QUIET)
    parts["versions"].input(lambda: "", None, export, **_QUIET)


Told = tuple[Pending | None, Any, str, Any]


def _ask(desk: Desk, action: Action) -> Callable[[gr.Request, str | None, str | None, int], Awaitable[Told]]:
    async def ask(request: gr.Request, token: str | None, task_id: str | None, version: int) -> Told:
        try:
            task = await desk.call(principal_of(request, token), "get_task", task_id=task_id)
        except Refusal as refusal:
            return None, gr.update(visible=True), refused(refusal), gr.update(visible=False)
        pending = Pending(action, str(task_id), int(task["round"]), max(0, version))
        words = f'<p role="alert">{question(pending, task)}</p>'
        return pending, gr.update(visible=True), words, gr.update(visible=True)

    return ask


def _do(desk: Desk) -> Callable[[gr.Request, str | None, Pending | None], Awaitable[Told]]:
    async def do(request: gr.Request, token: str | None, pending: Pending | None) -> Told:
        if pending is None:
            return _leave()
        try:
            async with desk.line(principal_of(request, token)) as line:
                await move(line, pending)
        except Refusal as refusal:
            return None, gr.update(visible=True), refused(refusal), gr.update(visible=False)
        gr.Info(done(pending), title="Done")
        return _leave()

    return do


def _leave() -> Told:
    return None, gr.update(visible=False), "", gr.update(visible=False)


def _looked_up(desk: Desk, tool: str, show: Callable[[dict[str, Any]], str]) -> Callable[..., Awaitable[str]]:
    async def look(request: gr.Request, token: str | None, task_id: str, version: int | None = None) -> str:
        given = {} if version in (None, CURRENT) else {"version": version}
        try:
            return show(await desk.call(principal_of(request, token), tool, task_id=task_id, **given))
        except Refusal as refusal:
            return refused(refusal)

    return look
