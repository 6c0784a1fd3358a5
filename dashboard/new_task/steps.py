"""What happens at each step of writing a task. A step answers with updates for the whole of the form."""

from __future__ import annotations

import asyncio
from typing import Any

import gradio as gr

from dashboard.desk import Desk, Line, Refusal
from dashboard.markup import notice, refused
from dashboard.new_task.budget import budget, deed
from dashboard.new_task.controls import Controls
from dashboard.new_task.draft import Draft, draft_of
from dashboard.new_task.form import Form
from dashboard.new_task.paths import Spec
from dashboard.new_task.placing import Placed, placed
from dashboard.new_task.plan import plan
from dashboard.new_task.problems import listed, remarks
from dashboard.new_task.reference import reference
from dashboard.new_task.written import Unreadable, read, write
from dashboard.principal import Principal
from dashboard.visitor import principal_of
from dashboard.words import said


class Steps:
    """The steps of one page's form. They keep nothing of a visitor: the draft comes from the browser each time."""

    def __init__(self, desk: Desk, controls: Controls) -> None:
        self._desk = desk
        self._controls = controls
        self._known: Form | None = None

    async def may_plan(self, principal: Principal) -> bool:
        """Whether this visitor may have tasks planned, and start them."""
        async with self._desk.line(principal) as line:
            return "create_task" in await line.tools()

    async def shown(self, principal: Principal, draft: Draft, given: tuple[Any, ...] | None = None) -> list[Any]:
        """Everything, for this draft."""
        return await self._after(principal, draft, given=given, whole=await _written(draft.spec))

    async def edited(self, request: gr.Request, token: str | None, kept: Any, notation: Any, *given: Any) -> list[Any]:
        """A control was changed."""
        principal, draft = principal_of(request, token), draft_of(kept)
        try:
            form = await self._form(principal)
            draft = draft.changed(form.edited(draft.spec, self._controls.values(given)))
            return await self._after(principal, draft, given=given, whole=await _written(draft.spec, notation))
        except Refusal as refusal:
            return self._hindered(refused(refusal))

    async def rewritten(self, request: gr.Request, token: str | None, kept: Any, said: str, *given: Any) -> list[Any]:
        """The spec was edited as text."""
        principal, draft = principal_of(request, token), draft_of(kept)
        try:
            draft = draft.changed(await asyncio.to_thread(read, said or ""))
            return await self._after(principal, draft, given=given, whole=None)
        except Unreadable as unreadable:
            return self._hindered(notice("This text is not a spec yet.", str(unreadable), tone="bad"))
        except Refusal as refusal:
            return self._hindered(refused(refusal))

    def renoted(self, kept: Any, notation: Any) -> Any:
        """The other notation was chosen."""
        return gr.update(value=write(draft_of(kept).spec, notation), language=notation.lower())

    def _hindered(self, words: str) -> list[Any]:
        """Why everything stays as it is."""
        waiting = [gr.skip() for _ in range(len(self._controls.outputs) + 4)]
        return [gr.skip(), gr.skip(), gr.update(value=words, visible=True), *waiting]

    async def planned(self, request: gr.Request, token: str | None, kept: Any, goal: str) -> list[Any]:
        """Plain words become a plan, and the plan fills the form."""
        return await self._planned(principal_of(request, token), draft_of(kept), goal, change=False)

    async def replanned(self, request: gr.Request, token: str | None, kept: Any, goal: str) -> list[Any]:
        """Plain words change what the form says."""
        return await self._planned(principal_of(request, token), draft_of(kept), goal, change=True)

    async def _planned(self, principal: Principal, draft: Draft, goal: str, *, change: bool) -> list[Any]:
        unchanged = [gr.skip() for _ in range(len(self._controls.outputs) + 7)]
        if not (goal or "").strip():
            return [
                notice("Say first what is to be learned.", "One sentence is enough; the examples show how."),
                *unchanged,
            ]
        try:
            answer = await self._desk.call(principal, "plan_task", goal=goal, spec=draft.spec if change else None)
        except Refusal as refusal:
            return [refused(refusal), *unchanged]
        draft = draft.changed(dict(answer.get("spec") or draft.spec))
        try:
            return [plan(answer), *await self._after(principal, draft, whole=await _written(draft.spec))]
        except Refusal as refusal:
            return [refused(refusal), *unchanged]

    async def taken(self, request: gr.Request, token: str | None, kept: Any, path: str, id: str) -> list[Any]:
        """A model or data set that a search found was chosen."""
        principal, draft = principal_of(request, token), draft_of(kept)
        try:
            form = await self._form(principal)
            draft = draft.changed(form.edited(draft.spec, form.shown(draft.spec) | {path: id}))
            return await self._after(principal, draft, whole=await _written(draft.spec))
        except Refusal as refusal:
            return self._hindered(refused(refusal))

    async def started(self, request: gr.Request, token: str | None, kept: Any) -> list[Any]:
        """Start was pressed: once or more, it is one task."""
        principal, draft = principal_of(request, token), draft_of(kept)
        try:
            answer = await self._desk.call(principal, "create_task", spec=draft.spec, request_id=draft.request_id)
        except Refusal as refusal:
            return [gr.skip(), gr.skip(), gr.skip(), refused(refusal), gr.skip()]
        draft = draft.made(str(answer["task_id"]))
        return [draft.kept(), gr.skip(), gr.update(visible=False), _made(draft), gr.update(visible=True)]

    async def another(self, request: gr.Request, token: str | None, kept: Any) -> list[Any]:
        """The same spec again, as a draft of another task."""
        principal, draft = principal_of(request, token), Draft(draft_of(kept).spec)
        try:
            return ["", *await self._after(principal, draft, whole=await _written(draft.spec))]
        except Refusal as refusal:
            return [gr.skip(), *self._hindered(refused(refusal))]

    async def _form(self, principal: Principal) -> Form:
        if self._known is None:
            async with self._desk.line(principal) as line:
                self._known = Form(await reference(line))
        return self._known

    async def _after(
        self, principal: Principal, draft: Draft, *, given: tuple[Any, ...] | None = None, whole: str | None
    ) -> list[Any]:
        """The draft, its text, the controls, and the server's opinion of it."""
        form = await self._form(principal)
        async with self._desk.line(principal) as line:
            may_start = "create_task" in await line.tools()
            opinion, verdict = await self._opinion(form, line, draft.spec)
        ready = may_start and verdict is not None and draft.task_id is None
        return [
            draft.kept(),
            gr.skip() if whole is None else whole,
            gr.update(value="", visible=False),
            *self._controls.filled(form, draft.spec, given),
            *self._controls.marked(opinion),
            (verdict or "") + _hindrances(opinion) + _needed(may_start, draft, verdict is not None),
            gr.update(visible=ready),
            _made(draft) if draft.task_id else "",
            gr.update(visible=draft.task_id is not None),
        ]

    async def _opinion(self, form: Form, line: Line, spec: Spec) -> tuple[Placed, str | None]:
        """Where the problems go, and what a valid spec costs and does; None for one that is not valid."""
        try:
            answer = await line.call("validate_task", spec=spec)
        except Refusal as refusal:
            found = {"field": "(spec)", "problem": refusal.problem, "mend": refusal.mend}
            return Placed({}, [found]), None
        problems = answer.get("problems") or ()
        if not answer.get("valid"):
            return placed(form, spec, problems), None
        shown = form.shown(spec)
        warning = remarks(answer.get("warnings") or ())
        return Placed({}, []), budget(answer.get("budget") or {}, shown) + warning + deed(shown)


async def _written(spec: Spec, notation: Any = "YAML") -> str:
    """The spec as text. PyYAML takes its time, which the server's other callers do not wait for."""
    return await asyncio.to_thread(write, spec, notation)


def _hindrances(opinion: Placed) -> str:
    beside = sum(map(len, opinion.beside.values()))
    words = ""
    if beside:
        fields = "a field has a value" if beside == 1 else f"{beside} fields have values"
        words = notice(
            "Not yet", f"In the form {fields} that cannot be: it says which, and how to mend it.", tone="bad"
        )
    return words + listed("To be mended", opinion.listed)


def _needed(may_start: bool, draft: Draft, valid: bool) -> str:
    if may_start or draft.task_id:
        return ""
    what = "It would run as it stands." if valid else "It would not run yet."
    return notice(
        f"{what} To start it you need an operator's token.",
        "Paste it at the top of the page. Whoever runs this server has it: potluck token --data-dir DIR prints it.",
    )


def _made(draft: Draft) -> str:
    return (
        '<div class="notice" role="status" data-tone="good"><strong>The task is there.</strong>'
        f'<p>Its id: <code id="task-id">{said(draft.task_id)}</code>. It waits for nodes.</p></div>'
    )
