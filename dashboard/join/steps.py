"""What happens on the tab Join."""

from __future__ import annotations

from typing import Any

import gradio as gr

from dashboard.desk import Desk, Refusal
from dashboard.join.address import base_of, is_local
from dashboard.join.hosts import snippets
from dashboard.join.lines import PLACEHOLDER, install, lines
from dashboard.markup import empty, notice, refused
from dashboard.new_task.draft import new_id
from dashboard.principal import Principal
from dashboard.visitor import principal_of
from dashboard.words import moment, said, tame

LIFETIMES = {"an hour": 3600, "a day": 86_400, "a week": 7 * 86_400, "for ever": None}
_OVER = ("finished", "cancelled")


class Steps:
    """The steps of one page's tab. A token that is made lives in the page's state, and nowhere else here."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def tasks(self, principal: Principal) -> tuple[list[tuple[str, str]], bool]:
        """Tasks that nodes can join, and whether the visitor may invite.

        Raises:
            Refusal: the visitor may not look.
        """
        async with self._desk.line(principal) as line:
            may_invite = "issue_token" in await line.tools()
            tasks = (await line.call("list_tasks"))["tasks"]
        open = [task for task in tasks if not task.get("simulated") and task["state"] not in _OVER]
        return [(f"{tame(task['name'], 60)} ({task['state']})", task["task_id"]) for task in open], may_invite

    async def lines(self, request: gr.Request, token: str | None, task_id: Any, made: Any) -> list[Any]:
        """The join lines for the task, a word about them, and what to install first."""
        if not task_id:
            return [
                gr.update(visible=False),
                empty("No task is open to nodes.", "The tab New task makes one."),
                gr.skip(),
            ]
        try:
            view = await self._desk.call(principal_of(request, token), "get_task", task_id=str(task_id))
        except Refusal as refusal:
            return [gr.update(visible=False), refused(refusal), gr.skip()]
        secret = str((made or {}).get("token") or PLACEHOLDER)
        words = ""
        if secret == PLACEHOLDER:
            words = notice(
                f"{PLACEHOLDER} stands for a token that lets a machine join.",
                "Ask whoever runs this server for one. Operators sign in and make an invitation on this page.",
            )
        if str(view["spec"]["model"]["id"]).startswith("hf:"):
            words += notice("Browser tabs cannot train language models.", "Join this task with the line below.")
        base = base_of(request)
        if is_local(base):
            words += notice(
                "This address leads to this machine alone.", "Open the page by the address that others dial."
            )
        commands = lines(base, str(task_id), view["spec"], secret)
        return [gr.update(value=commands, visible=True), words, install(view["spec"])]

    async def invited(
        self, request: gr.Request, token: str | None, id: str, most: Any, lifetime: Any, label: Any
    ) -> list[Any]:
        """An invitation for nodes was asked for: the token, its link and its QR code."""
        try:
            made = await self._desk.call(
                principal_of(request, token),
                "issue_token",
                request_id=id or new_id(),
                role="node",
                label=str(label or "")[:80],
                max_nodes=int(most) if most else None,
                expires_in_s=LIFETIMES.get(str(lifetime), 86_400),
                base_url=base_of(request),
            )
        except Refusal as refusal:
            return [gr.skip(), refused(refusal), gr.skip(), gr.skip()]
        return [_kept(made), _invitation(made), gr.update(visible=True), new_id()]

    async def agents(self, request: gr.Request, token: str | None, id: str, role: Any) -> list[Any]:
        """A token for an agent was asked for."""
        role = "operator" if role == "operator" else "viewer"
        try:
            made = await self._desk.call(
                principal_of(request, token), "issue_token", request_id=id or new_id(), role=role, label="an agent"
            )
        except Refusal as refusal:
            return [gr.skip(), refused(refusal), gr.skip(), gr.skip()]
        words = notice(
            f"A new {role}’s token is in the snippets below.",
            f"It is shown on this page only now. Its id is {made['token_id']}; Revoke ends it.",
            "good",
        )
        return [_kept(made), words, gr.update(visible=True), new_id()]

    async def revoked(self, request: gr.Request, token: str | None, made: Any) -> list[Any]:
        """A token that was made on this page is ended."""
        if not made:
            return [None, "", gr.update(visible=False)]
        try:
            await self._desk.call(
                principal_of(request, token), "issue_token", request_id=new_id(), revoke=made["token_id"]
            )
        except Refusal as refusal:
            return [gr.skip(), refused(refusal), gr.skip()]
        return [
            None,
            notice("The token is revoked.", "Whoever holds it is refused from now on."),
            gr.update(visible=False),
        ]

    def hosts(self, request: gr.Request, made: Any) -> list[str]:
        """Every host's snippet."""
        secret = (made or {}).get("token")
        base = base_of(request)
        return [each.code for each in (snippets(base, secret) if secret else snippets(base))]


def _kept(made: dict[str, Any]) -> dict[str, Any]:
    return {"token_id": made["token_id"], "token": made["token"]}


def _invitation(made: dict[str, Any]) -> str:
    """The QR code, the link, and for how many and how long. The picture is the server's own."""
    link, nodes = said(made["link"], 2000), made["max_nodes"]
    many = f"for {nodes:,} nodes" if nodes else "for any number of nodes"
    until = f"until {moment(made['expires_at'])}" if made["expires_at"] else "for ever"
    href = str(made["link"]).replace('"', "%22").replace("<", "%3C")
    return (
        f'<div class="invitation" id="invitation"><div class="qr" role="img" aria-label="QR code of the link">'
        f"{made['qr_svg']}</div><div><p><strong>Scan it with a phone, or open it: the tab trains.</strong></p>"
        f'<p><a href="{href}" target="_blank" rel="noopener" id="invitation-link">{link}</a></p>'
        f'<p class="small">It holds {many}, {until}. Whoever has the link has the token. It is shown only now; '
        f"the id of the token is {said(made['token_id'])}.</p></div></div>"
    )
