"""The tab on which a task's model is asked: a drawing, a picture or a text, and what its versions say."""

from __future__ import annotations

from typing import Any

import gradio as gr

from dashboard.charts.drawing import Chart
from dashboard.desk import Desk, Refusal
from dashboard.markup import notice, refused
from dashboard.opening import on_open
from dashboard.sign_in import Session
from dashboard.try_it.canvas import canvas
from dashboard.try_it.steps import UNASKED, Steps, offered
from dashboard.try_it.trials import Trial
from dashboard.visitor import principal_of

_SILENT: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}


def try_it_tab(desk: Desk, session: Session) -> None:
    """The tab's content."""
    steps = Steps(desk)
    told = gr.HTML(notice("One moment: the tasks are being read.", tone="busy"), elem_id="try-said", js_on_load=None)
    with gr.Column(visible=False) as body:
        task = gr.Dropdown([], label="Task", interactive=True, elem_id="try-task")
        with gr.Row(elem_classes="row", visible=False) as seeing:
            with gr.Column(elem_classes="glass", min_width=290, scale=1):
                heading = gr.Markdown("### Draw a digit")
                with gr.Column() as drawing_place:
                    drawing = canvas()
                with gr.Column() as text_place:
                    text = gr.Textbox(label="Text", lines=3, max_length=4000, elem_id="try-text")
                    classifying = gr.Button("What is it?", variant="primary", elem_id="try-classify")
                picture = gr.Image(
                    type="pil",
                    sources=["upload", "clipboard"],
                    label="Or bring a picture",
                    height=220,
                    elem_id="try-picture",
                )
            with gr.Column(elem_classes="glass", min_width=290, scale=2):
                answer = gr.HTML(UNASKED, elem_id="try-answer", js_on_load=None)
                bars = Chart("try-classes", "What the newest version thinks it is")
                versions = Chart("try-versions", "How sure each version is")
        with gr.Column(elem_classes="glass", visible=False) as writing:
            gr.Markdown("### Let it write")
            prompt = gr.Textbox(label="How the text begins", lines=2, max_length=4000, elem_id="prompt")
            with gr.Row(elem_classes="row"):
                most = gr.Slider(8, 256, 48, step=8, label="Most tokens", elem_id="try-tokens", min_width=200)
                version = gr.Number(0, label="Version, beside version 0", elem_id="try-version", min_width=160)
                write = gr.Button("Write", variant="primary", scale=0, min_width=120, elem_id="write")
            texts = gr.HTML(elem_id="texts", js_on_load=None)

    steps.lay(bars, versions)
    asked = [answer, bars.data, versions.data]
    layout = [seeing, drawing_place, text_place, picture, heading, writing, version]

    async def opened(request: gr.Request, token: str | None, picked: Any) -> list[Any]:
        try:
            trials = await steps.trials(principal_of(request, token))
        except Refusal as refusal:
            skipped = [gr.skip() for _ in range(1 + len(layout))]
            return [gr.update(value=refused(refusal), visible=True), gr.update(visible=False), *skipped]
        choices, words = offered(trials)
        known = {id for _, id in choices}
        task_id = picked if picked in known else choices[0][1] if choices else None
        chosen = next((each for each in trials if each.task_id == task_id), None)
        kept = [gr.skip() for _ in layout] if picked is not None and picked == task_id else laid_out(chosen)
        return [
            gr.update(value=words, visible=bool(words)),
            gr.update(visible=bool(choices)),
            gr.update(choices=choices, value=task_id),
            *kept,
        ]

    async def picked(request: gr.Request, token: str | None, task_id: Any) -> list[Any]:
        try:
            trials = await steps.trials(principal_of(request, token))
        except Refusal as refusal:
            return [gr.update(value=refused(refusal), visible=True), *[gr.skip() for _ in layout]]
        return [gr.skip(), *laid_out(next((each for each in trials if each.task_id == task_id), None))]

    on_open(session, opened, [task], [told, body, task, *layout])
    task.input(picked, [session.token, task], [told, *layout], **_SILENT)
    task.input(steps.drawn, [session.token, task, drawing], asked, **_SILENT)
    drawing.input(steps.drawn, [session.token, task, drawing], asked, trigger_mode="always_last", **_SILENT)
    picture.input(steps.brought, [session.token, task, picture], asked, **_SILENT)
    gr.on(
        [classifying.click, text.submit], steps.classified, [session.token, task, text], asked, api_visibility="private"
    )
    gr.on(
        [write.click, prompt.submit],
        steps.written,
        [session.token, task, prompt, most, version],
        [texts],
        api_visibility="private",
        show_progress_on=texts,
    )


def laid_out(chosen: Trial | None) -> list[Any]:
    """What of the page is for this task: pictures, texts, or nothing."""
    way = "none" if chosen is None else chosen.way
    title = {
        "draw": "### Draw a digit" if chosen and chosen.digits else "### Draw",
        "picture": "### Bring a picture",
    }
    most_recent = 0 if chosen is None else chosen.version
    return [
        gr.update(visible=way in ("draw", "picture", "classify")),
        gr.update(visible=way == "draw"),
        gr.update(visible=way == "classify"),
        gr.update(visible=way in ("draw", "picture"), value=None),
        title.get(way, "### Write a text"),
        gr.update(visible=way == "write"),
        gr.update(value=most_recent, label=f"Version, 0 to {most_recent}, beside version 0"),
    ]
