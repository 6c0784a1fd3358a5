"""The form's controls on the page, and what an event sends them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import gradio as gr

from dashboard.new_task.fields import GROUPS, Field
from dashboard.new_task.form import Form, same
from dashboard.new_task.paths import Spec
from dashboard.new_task.placing import Placed
from dashboard.new_task.problems import beside


@dataclass
class Controls:
    """One control and one place for its problems a field, in the same order.

    Attributes:
        places: columns that hold both, and are hidden where the field has no meaning.
    """

    fields: list[Field] = field(default_factory=list)
    inputs: list[Any] = field(default_factory=list)
    marks: list[gr.HTML] = field(default_factory=list)
    places: list[gr.Column] = field(default_factory=list)

    @property
    def outputs(self) -> list[Any]:
        """What `filled` and `checked` are for."""
        return [*self.inputs, *self.places, *self.marks]

    def values(self, given: tuple[Any, ...]) -> dict[str, Any]:
        """What the controls hold, by path."""
        return {field.path: value for field, value in zip(self.fields, given, strict=True)}

    def filled(self, form: Form, spec: Spec, given: tuple[Any, ...] | None = None) -> list[Any]:
        """Updates of controls and places. What shows the right value already is left alone: somebody may be typing."""
        shown, visible = form.shown(spec), form.visible(spec)
        holds = None if given is None else self.values(given)
        updates = []
        for each in self.fields:
            changes: dict[str, Any] = {}
            if each.kind == "choice":
                changes["choices"] = form.choices(spec, each)
            if holds is None or not same(holds[each.path], shown[each.path]):
                changes["value"] = shown[each.path]
            if holds is None or each.slot is not None:
                says, label = form.describe(spec, each), form.label(spec, each)
                if each.slot is not None:
                    changes["label"] = label
                changes["info"] = says.info if says.info.rstrip(".") not in ("", label) else None
            updates.append(gr.update(**changes) if changes else gr.skip())
        return [*updates, *(gr.update(visible=each.path in visible) for each in self.fields)]

    def marked(self, found: Placed) -> list[Any]:
        """Updates of the places for problems."""
        return [
            gr.update(value=said, visible=bool(said))
            for said in (beside(found.beside.get(field.path, ())) for field in self.fields)
        ]


def controls() -> Controls:
    """Lays the form out, empty; `Controls.filled` says what it shows."""
    made = Controls()
    for group in GROUPS:
        with gr.Accordion(group.title, open=group.open, elem_classes=["glass", "group"]), gr.Row(elem_classes="fields"):
            for each in group.fields:
                with gr.Column(min_width=210, elem_classes="field") as place:
                    made.inputs.append(_control(each))
                    made.marks.append(gr.HTML(visible=False, elem_id=f"problem-{_id(each)}"))
                made.places.append(place)
                made.fields.append(each)
    return made


def _id(field: Field) -> str:
    return field.path.replace(".", "-").replace("#", "-").replace("_", "-")


def _control(field: Field) -> Any:
    known: dict[str, Any] = {"label": field.label, "interactive": True, "elem_id": f"field-{_id(field)}"}
    match field.kind:
        case "choice":
            return gr.Dropdown(choices=[], allow_custom_value=field.custom, **known)
        case "number":
            return gr.Number(**known)
        case "flag":
            return gr.Checkbox(**known)
        case "long_text":
            return gr.Textbox(lines=2, max_lines=6, **known)
    return gr.Textbox(max_lines=1, **known)
