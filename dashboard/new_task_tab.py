"""The tab on which a task is made: said in words, refined in a form, checked as it is written, and started once."""

from __future__ import annotations

from functools import partial
from typing import Any

import gradio as gr

from dashboard.desk import Desk, Refusal
from dashboard.markup import notice, refused
from dashboard.new_task.controls import controls
from dashboard.new_task.draft import FETCH, KEEP, draft_of
from dashboard.new_task.finding import finding
from dashboard.new_task.plan import EXAMPLES
from dashboard.new_task.steps import Steps
from dashboard.opening import on_open
from dashboard.sign_in import Session
from dashboard.tabs import go_to
from dashboard.visitor import principal_of

_SILENT: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}


def new_task_tab(desk: Desk, session: Session) -> None:
    """The tab's content."""
    kept = gr.Textbox(visible="hidden", elem_id="draft")
    kept.change(None, [kept], None, js=KEEP)
    said = gr.HTML(notice("One moment: the form is being read from the server.", tone="busy"), elem_id="new-task-said")
    with gr.Column(visible=False) as body:
        with gr.Column(elem_classes="glass", visible=False) as saying:
            gr.Markdown("### Say it in plain words")
            goal = gr.Textbox(
                label="What is to be learned, by whom, on whose data?",
                placeholder=EXAMPLES[0],
                lines=2,
                max_length=2000,
                elem_id="goal",
            )
            with gr.Row(elem_classes="row"):
                planning = gr.Button("Plan it", variant="primary", scale=0, min_width=120, elem_id="plan")
                changing = gr.Button("Change the form by these words", scale=0, min_width=320, elem_id="replan")
            _examples(goal)
            planned = gr.HTML(elem_id="planned")
        found = finding(desk, session)
        made = controls()
        with gr.Accordion("The whole spec, for experts", open=False, elem_classes=["glass", "group"]):
            notation = gr.Radio(["YAML", "JSON"], value="YAML", label="Notation", elem_id="notation")
            whole = gr.Code(language="yaml", label="Spec", interactive=True, lines=12, elem_id="spec")
            unread = gr.HTML(visible=False, elem_id="spec-unread")
        with gr.Column(elem_classes="glass"):
            gr.Markdown("### Start")
            checked = gr.HTML(elem_id="checked")
            starting = gr.Button("Start this task", variant="primary", visible=False, elem_id="start")
            started = gr.HTML(elem_id="started")
            with gr.Row(visible=False, elem_classes="row") as onwards:
                gr.Button("Watch it", scale=0, min_width=120, elem_id="watch-it").click(None, js=go_to("Federation"))
                gr.Button("Invite nodes", scale=0, min_width=120, elem_id="invite").click(None, js=go_to("Join"))
                another = gr.Button("Write another task", scale=0, min_width=160, elem_id="another")

    steps = Steps(desk, made)
    verdict = [checked, starting, started, onwards]
    everything = [kept, whole, unread, *made.outputs, *verdict]

    async def opened(request: gr.Request, token: str | None, browser: Any) -> list[Any]:
        try:
            shown = await steps.shown(principal_of(request, token), draft_of(browser))
        except Refusal as refusal:
            return [
                gr.update(value=refused(refusal), visible=True),
                gr.update(visible=False),
                *_nothing([saying, *everything]),
            ]
        may = await steps.may_plan(principal_of(request, token))
        words = "To plan in words and to start, sign in as an operator at the top of the page. You can still write a "
        words += "task here and see whether it would run."
        told = gr.update(value=notice("You are looking as a viewer.", words), visible=not may)
        return [told, gr.update(visible=True), gr.update(visible=may), *shown]

    on_open(session, opened, [kept], [said, body, saying, *everything], js=FETCH)

    edits = [control.input for control in made.inputs]
    gr.on(
        edits,
        steps.edited,
        [session.token, kept, notation, *made.inputs],
        everything,
        trigger_mode="always_last",
        **_SILENT,
    )
    whole.input(
        steps.rewritten, [session.token, kept, whole, *made.inputs], everything, trigger_mode="always_last", **_SILENT
    )
    notation.input(steps.renoted, [kept, notation], [whole], **_SILENT)
    plan_outputs = [planned, *everything]
    gr.on(
        [planning.click, goal.submit],
        steps.planned,
        [session.token, kept, goal],
        plan_outputs,
        api_visibility="private",
        show_progress_on=planned,
    )
    changing.click(
        steps.replanned,
        [session.token, kept, goal],
        plan_outputs,
        api_visibility="private",
        show_progress_on=planned,
    )
    found.taken(steps.taken, [session.token, kept], everything)
    starting.click(
        steps.started, [session.token, kept], [kept, *verdict], api_visibility="private", show_progress_on=started
    )
    another.click(steps.another, [session.token, kept], [planned, *everything], **_SILENT)


def _nothing(outputs: list[Any]) -> list[Any]:
    return [gr.skip() for _ in outputs]


def _examples(goal: gr.Textbox) -> None:
    """Goals to begin with."""
    with gr.Row(elem_classes="row"):
        for words in EXAMPLES:
            button = gr.Button(words, size="sm", variant="secondary", elem_classes="example")
            button.click(partial(str, words), None, [goal], **_SILENT)
