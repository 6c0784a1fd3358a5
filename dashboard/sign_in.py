"""Who is looking: a token that is pasted here, or a sign-in at Hugging Face; without either, whoever may look."""

from __future__ import annotations

from dataclasses import dataclass

import gradio as gr

from dashboard.desk import Desk, Refusal
from dashboard.visitor import principal_of


@dataclass(frozen=True)
class Session:
    """What every event of a page takes along.

    Attributes:
        token: state that holds the pasted token, or nothing. It stays in the server's memory, one for each open page.
    """

    token: gr.State


def sign_in(desk: Desk, *, hub_sign_in: bool) -> Session:
    """The strip at the top of the page."""
    session = Session(gr.State(None))

    async def show(request: gr.Request, token: str | None) -> str:
        async with desk.line(principal_of(request, token)) as line:
            tools = await line.tools()
        role = "operator" if "create_task" in tools else "viewer" if "list_tasks" in tools else "nobody"
        return f"You are looking as **{role}**."

    async def enter(request: gr.Request, pasted: str) -> tuple[str | None, str, str]:
        try:
            return pasted.strip() or None, await show(request, pasted.strip() or None), ""
        except Refusal as refusal:
            return None, str(refusal), ""

    with gr.Row():
        who = gr.Markdown(elem_id="who")
        pasted = gr.Textbox(label="Token", type="password", scale=0, min_width=220, elem_id="token")
        entering = gr.Button("Sign in", scale=0, elem_id="sign-in")
        if hub_sign_in:
            gr.LoginButton(scale=0)
    gr.on([entering.click, pasted.submit], enter, [pasted], [session.token, who, pasted], api_visibility="private")
    return session
