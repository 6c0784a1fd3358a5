"""The tab that brings others in: browsers and machines as nodes, agents as callers."""

from __future__ import annotations

from typing import Any

import gradio as gr

from dashboard.desk import Desk, Refusal
from dashboard.join.hosts import snippets
from dashboard.join.lines import WHENCE, install
from dashboard.join.steps import LIFETIMES, Steps
from dashboard.markup import notice, paragraph, refused
from dashboard.new_task.draft import new_id
from dashboard.opening import on_open
from dashboard.sign_in import Session
from dashboard.visitor import principal_of

_SILENT: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}


def join_tab(desk: Desk, session: Session) -> None:
    """The tab's content."""
    steps = Steps(desk)
    invitation, agent = gr.State(None), gr.State(None)
    invitation_id, agent_id = gr.State(new_id), gr.State(new_id)
    told = gr.HTML(notice("One moment: the tasks are being read.", tone="busy"), elem_id="join-said", js_on_load=None)
    with gr.Column(visible=False) as body:
        with gr.Column(elem_classes="glass", visible=False) as inviting:
            gr.Markdown("### Invite nodes")
            with gr.Row(elem_classes="row"):
                most = gr.Number(10, label="For how many nodes", elem_id="invite-nodes", min_width=120)
                lifetime = gr.Dropdown(
                    list(LIFETIMES), value="a day", label="Valid for", elem_id="invite-for", min_width=120
                )
                label = gr.Textbox(label="Whom it is for", max_length=80, elem_id="invite-label", min_width=160)
                make = gr.Button(
                    "Make an invitation", variant="primary", scale=0, min_width=220, elem_id="make-invitation"
                )
            invited = gr.HTML(elem_id="invited", js_on_load=None)
            revoke = gr.Button(
                "Revoke this invitation", scale=0, min_width=230, visible=False, elem_id="revoke-invitation"
            )
        with gr.Column(elem_classes="glass"):
            gr.Markdown("### Join with a machine")
            task = gr.Dropdown([], label="Task", interactive=True, elem_id="join-task")
            about = gr.HTML(elem_id="join-about", js_on_load=None)
            gr.HTML(paragraph(WHENCE), js_on_load=None)
            once = gr.Code(install(), language="shell", label="Once", lines=1, interactive=False, elem_id="install")
            line = gr.Code(language="shell", label="Then", interactive=False, visible=False, elem_id="join-line")
        with gr.Column(elem_classes="glass"):
            gr.Markdown(
                "### Let an agent in\n\nEvery capability is an MCP tool. Paste your program's snippet; it can then "
                "look, and with an operator’s token steer."
            )
            with gr.Row(elem_classes="row", visible=False) as granting:
                role = gr.Radio(
                    [("it may look (viewer)", "viewer"), ("it may steer (operator)", "operator")],
                    value="viewer", label="What the agent may do", elem_id="agent-role",
                )  # fmt: skip
                grant = gr.Button("Make a token for it", scale=0, min_width=210, elem_id="make-token")
                end = gr.Button("Revoke this token", scale=0, min_width=200, visible=False, elem_id="revoke-token")
            granted = gr.HTML(elem_id="granted", js_on_load=None)
            codes = _codes()

    async def opened(request: gr.Request, token: str | None, picked: Any, made: Any, of_agent: Any) -> list[Any]:
        principal = principal_of(request, token)
        try:
            choices, may_invite = await steps.tasks(principal)
        except Refusal as refusal:
            skipped = [gr.skip() for _ in range(6 + len(codes))]
            return [gr.update(value=refused(refusal), visible=True), gr.update(visible=False), *skipped]
        known = [id for _, id in choices]
        task_id = picked if picked in known else known[0] if known else None
        return [
            gr.update(visible=False),
            gr.update(visible=True),
            gr.update(visible=may_invite),
            gr.update(visible=may_invite),
            gr.update(choices=choices, value=task_id, visible=bool(choices)),
            *await steps.lines(request, token, task_id, made if may_invite else None),
            *steps.hosts(request, of_agent if may_invite else None),
        ]

    shown = [told, body, inviting, granting, task, line, about, once, *codes]
    on_open(session, opened, [task, invitation, agent], shown)
    session.token.change(
        lambda: (None, "", gr.update(visible=False)) * 2, None,
        [invitation, invited, revoke, agent, granted, end], **_SILENT,
    )  # fmt: skip
    relined: Any = ([session.token, task, invitation], [line, about, once])
    task.input(steps.lines, *relined, **_SILENT)
    invitation.change(steps.lines, *relined, **_SILENT)
    agent.change(steps.hosts, [agent], codes, **_SILENT)
    make.click(
        steps.invited,
        [session.token, invitation_id, most, lifetime, label],
        [invitation, invited, revoke, invitation_id],
        api_visibility="private",
    )  # fmt: skip
    revoke.click(steps.revoked, [session.token, invitation], [invitation, invited, revoke], api_visibility="private")
    grant.click(
        steps.agents, [session.token, agent_id, role], [agent, granted, end, agent_id], api_visibility="private"
    )
    end.click(steps.revoked, [session.token, agent], [agent, granted, end], api_visibility="private")


def _codes() -> list[gr.Code]:
    """A place for every host's snippet."""
    codes = []
    for each in snippets(""):
        with gr.Accordion(each.host, open=False):
            gr.HTML(f'<p class="small">Goes into: {each.where}</p>', js_on_load=None)
            name = f"host-{each.host.lower().replace(' ', '-')}"
            codes.append(gr.Code(language=each.language, label=each.host, interactive=False, elem_id=name))
    return codes
