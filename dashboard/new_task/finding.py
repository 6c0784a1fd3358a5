"""Looking for models and data sets; a hit fills the form."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from dashboard.desk import Desk, Refusal
from dashboard.markup import empty, notice, refused, table
from dashboard.sign_in import Session
from dashboard.visitor import principal_of
from dashboard.words import said as shown

_WHERE = {"models": ("search_models", "model.id"), "data sets": ("search_datasets", "data.id")}


@dataclass(frozen=True)
class Finding:
    """The part of the page that looks for things."""

    what: gr.Radio
    hits: gr.Radio

    def taken(self, take: Callable[..., Awaitable[list[Any]]], inputs: Sequence[Any], outputs: Sequence[Any]) -> None:
        """Calls `take` with a field's path and the id that goes there, whenever a hit is chosen."""

        async def chosen(request: gr.Request, token: str | None, kept: Any, what: str, id: str | None) -> list[Any]:
            return [gr.skip() for _ in outputs] if not id else await take(request, token, kept, _WHERE[what][1], id)

        self.hits.input(
            chosen, [*inputs, self.what, self.hits], list(outputs), api_visibility="private", show_progress="hidden"
        )


def finding(desk: Desk, session: Session) -> Finding:
    """Lays it out."""
    with gr.Accordion("Find models and data sets", open=False, elem_classes=["glass", "group"]):
        with gr.Row(elem_classes="row"):
            query = gr.Textbox(label="Words", placeholder="e.g. digits, small llama", max_length=200, elem_id="query")
            what = gr.Radio(list(_WHERE), value="models", label="Among", elem_id="among", min_width=160)
            hub = gr.Checkbox(label="Ask the Hugging Face Hub too", elem_id="hub", min_width=160)
            search = gr.Button("Search", scale=0, min_width=110, elem_id="search")
        hits = gr.Radio([], label="Choose one to put it into the form", visible=False, elem_id="hits")
        said = gr.HTML(elem_id="found")

    async def look(request: gr.Request, token: str | None, words: str, among: str, ask_hub: bool) -> list[Any]:
        tool, _ = _WHERE[among]
        try:
            answer = await desk.call(principal_of(request, token), tool, query=words or "", hub=bool(ask_hub), limit=12)
        except Refusal as refusal:
            return [gr.update(choices=[], visible=False), refused(refusal)]
        return found(answer)

    gr.on(
        [search.click, query.submit],
        look,
        [session.token, query, what, hub],
        [hits, said],
        api_visibility="private",
        show_progress_on=said,
    )
    what.input(
        lambda: [gr.update(choices=[], value=None, visible=False), ""], None, [hits, said], api_visibility="private"
    )
    return Finding(what, hits)


def found(answer: Mapping[str, Any]) -> list[Any]:
    """Hits that can be trained, to choose from; the others with the reason why not."""
    hits = list(answer.get("hits") or ())
    choices = [(_line(hit), _id(hit)) for hit in hits if hit.get("trainable")]
    others = [tuple(shown(hit.get(name) or "–", 300) for name in ("title", "size", "licence", "reason")) for hit in hits
              if not hit.get("trainable")]  # fmt: skip
    said = ""
    if answer.get("hub_unavailable"):
        said += notice("The Hub could not be asked; these are the catalogue's.", str(answer["hub_unavailable"]))
    if not hits:
        said += empty("Nothing fits these words.", "Fewer words find more; the Hub has more than the catalogue.")
    if others:
        said += "<p class=small>Not to be trained here:</p>"
        said += table(
            "Hits that cannot be trained here", ("Name", "Size", "Licence", "Why not"), others, frozenset(range(4))
        )
    return [gr.update(choices=choices, value=None, visible=bool(choices)), said]


def _id(hit: Mapping[str, Any]) -> str:
    id = str(hit.get("id"))
    return f"hf:{id}" if hit.get("source") == "hub" and not id.startswith("hf:") else id


def _line(hit: Mapping[str, Any]) -> str:
    parts = [hit.get("title"), hit.get("size"), hit.get("licence"), hit.get("reason")]
    return " · ".join(str(part)[:160] for part in parts if part)
