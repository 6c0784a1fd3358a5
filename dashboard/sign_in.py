"""Who is looking: a token that is pasted here, or a sign-in at Hugging Face; without either, whoever may look."""

from __future__ import annotations

import time
from dataclasses import dataclass
from html import escape
from typing import Any, Literal

import gradio as gr

from dashboard.desk import Desk, Refusal
from dashboard.markup import chip, refused
from dashboard.principal import Principal
from dashboard.visitor import principal_of
from dashboard.words import said

Role = Literal["operator", "viewer", "node", "nobody"]

_MAY: dict[Role, str] = {
    "operator": "You may watch, start tasks, steer them and hand out tokens.",
    "viewer": "You may watch and try models out. Sign in with an operator’s token to start tasks and steer them.",
    "node": "This token is for machines that train. Sign in with a viewer’s or an operator’s token to look around.",
    "nobody": "This server shows nothing to strangers. Sign in with a token that its operator gave you.",
}


@dataclass(frozen=True)
class Session:
    """What every event of a page takes along.

    Attributes:
        token: state that holds the pasted token, or nothing. It stays in the server's memory, one for each open page.
            It changes when somebody signs in or out: listen to `token.change` and to the page's `load`.
    """

    token: gr.State


def role_of(tools: frozenset[str]) -> Role:
    """A role in words, by the tools that come with it."""
    if "create_task" in tools:
        return "operator"
    if "list_tasks" in tools:
        return "viewer"
    return "node" if "handshake" in tools else "nobody"


def sign_in(desk: Desk, *, hub_sign_in: bool) -> Session:
    """The strip at the top of the page."""
    session = Session(gr.State(None))

    async def greet(request: gr.Request, token: str | None, signed: str = "") -> tuple[Any, ...]:
        principal = principal_of(request, token)
        async with desk.line(principal) as line:
            role = role_of(await line.tools())
        entered = bool(principal.token)
        return (
            strip(role, principal, signed or ("yes" if entered else "no")),
            gr.update(visible=not entered),
            gr.update(visible=entered),
        )

    async def look(request: gr.Request, token: str | None) -> tuple[Any, ...]:
        try:
            return await greet(request, token)
        except Refusal as refusal:
            return refused(refusal), gr.update(visible=True), gr.update(visible=False)

    async def enter(request: gr.Request, pasted: str) -> tuple[Any, ...]:
        token = pasted.strip()
        if not token:
            return gr.skip(), "", *[gr.skip()] * 2, _said("Paste a token first.")
        try:
            return token, "", *(await greet(request, token)), ""
        except Refusal as refusal:
            return None, "", *(await greet(request, None, "refused")), refused(refusal)

    async def leave(request: gr.Request) -> tuple[Any, ...]:
        return None, *(await look(request, None)), ""

    with gr.Row(elem_id="bar"):
        who = gr.HTML(strip("nobody", Principal(), ""), elem_id="who", js_on_load=None)
        with gr.Row(elem_id="entrance", visible=True) as entrance:
            pasted = gr.Textbox(
                label="Token",
                type="password",
                placeholder="Paste a token",
                show_label=False,
                container=False,
                min_width=120,
                elem_id="token",
                html_attributes=gr.InputHTMLAttributes(autocomplete="off"),
            )
            entering = gr.Button("Sign in", size="sm", min_width=80, elem_id="sign-in")
            if hub_sign_in:
                gr.LoginButton("Sign in with Hugging Face", size="sm", min_width=200)
        leaving = gr.Button("Sign out", size="sm", min_width=80, visible=False, elem_id="sign-out")
        gr.HTML(
            '<button type="button" id="theme" class="sm">Colours: auto</button>', js_on_load=None, elem_id="theming"
        )
    trouble = gr.HTML("", elem_id="entrance-trouble", js_on_load=None)
    shown = [who, entrance, leaving]
    quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    gr.on([entering.click, pasted.submit], enter, [pasted], [session.token, pasted, *shown, trouble], **quiet)
    leaving.click(leave, None, [session.token, *shown, trouble], **quiet)
    if (blocks := gr.context.Context.root_block) is not None:
        blocks.load(look, [session.token], shown, **quiet)
    return session


def strip(role: Role, principal: Principal, signed: str) -> str:
    """The page's title, and who is looking. `signed` tells the page's script whether to keep the token for
    this tab: `yes`, `no`, `refused`, or nothing before that is known."""
    name = f" as {said(principal.hub_user, 60)} (Hugging Face)" if principal.hub_user else ""
    tone: Literal["good", "wait", ""] = "good" if role == "operator" else "wait" if role in ("nobody", "node") else ""
    return (
        f'<header class="title" data-now="{time.time():.3f}" data-signed="{signed}">{_LOGO}<div><h1>Potluck</h1>'
        f'<p class="small">Federated learning that people and agents steer together</p></div>'
        f'<p class="role">{chip(role, tone)}{name} <span class="small">{escape(_MAY[role])}</span></p></header>'
    )


def _said(words: str) -> str:
    return f'<p class="small" role="alert">{escape(words)}</p>'


_LOGO = (
    '<svg class="logo" viewBox="0 0 64 64" width="44" height="44" fill="none" aria-hidden="true">'
    '<rect width="64" height="64" rx="16" fill="#2f55c8"/>'
    '<path d="M14 34h36v5c0 8-6 13-13 13H27c-7 0-13-5-13-13z" fill="#fff"/>'
    '<path d="M9 34h46" stroke="#fff" stroke-width="5" stroke-linecap="round"/>'
    '<circle cx="20" cy="22" r="5" fill="#ffd166"/><circle cx="32" cy="15" r="5" fill="#7ee0c0"/>'
    '<circle cx="44" cy="22" r="5" fill="#ffb3c7"/></svg>'
)
