"""Between a spec and what the controls show.

The spec is what counts: a control changes the one field that it stands for, and what has no control stays as it is.
"""

from __future__ import annotations

import json
from typing import Any

from dashboard.new_task.fields import Field, fields, pretrained
from dashboard.new_task.following import follow
from dashboard.new_task.paths import MISSING, Spec, found, put, without
from dashboard.new_task.reference import Reference
from dashboard.new_task.schema import Described, described, described_by, named_by

_USUAL_FOR_ADAPTERS = {"training.optimizer": "adam", "aggregation.rule": "lora_exact"}
_WITH_ADAM = {"training.learning_rate": 1e-3, "training.batch_size": 8}
"""With an optimizer that was left out."""

_CHOOSERS = {"aggregation.options": "aggregation.rule", "model.options": "model.id"}
"""What decides which options a section has."""


class Form:
    """The form for a server's schema, rules and cards."""

    def __init__(self, reference: Reference) -> None:
        self.reference = reference

    def shown(self, spec: Spec) -> dict[str, Any]:
        """What every control shows, by its path: the spec's value, or what the server takes where it is left out."""
        values: dict[str, Any] = {}
        for field in fields():
            path = self.path(spec, field)
            values[field.path] = None if path is None else self._displayed(spec, field, path)
        return values

    def path(self, spec: Spec, field: Field) -> str | None:
        """Where the control's value stands in the spec; None for an option's control that stands for none."""
        if field.slot is None:
            return field.path
        section, place = field.slot
        names = list(self._options(spec, section))
        return f"{section}.{names[place]}" if place < len(names) else None

    def describe(self, spec: Spec, field: Field) -> Described:
        """What the schema says of the field that the control stands for."""
        if field.slot is None:
            return described(self.reference.schema, field.path)
        section, place = field.slot
        options = list(self._options(spec, section).values())
        return described_by(options[place]) if place < len(options) else Described((), None, True, "")

    def label(self, spec: Spec, field: Field) -> str:
        """What the control is called: an option's, as its rule or model describes it."""
        if field.slot is None:
            return field.label
        section, place = field.slot
        options = list(self._options(spec, section).items())
        if place >= len(options):
            return field.label
        name, says = options[place]
        return named_by(says, name)

    def visible(self, spec: Spec) -> set[str]:
        """Paths of the controls that have a meaning."""
        values = self.shown(spec)
        return {field.path for field in fields() if self.path(spec, field) is not None and field.when(values)}

    def choices(self, spec: Spec, field: Field) -> list[tuple[str, Any]]:
        """What a choice offers, and how it reads; what the spec says is among them, even where it is refused."""
        described = self.describe(spec, field)
        current = self.shown(spec)[field.path]
        offered: list[tuple[str, Any]] = [(choice, choice) for choice in self._fitting(spec, field, described.choices)]
        if described.optional and not field.custom:
            offered.insert(0, ("default", ""))
        if current not in ("", None) and current not in [value for _, value in offered]:
            offered.append((f"{current}", current))
        return offered

    def edited(self, spec: Spec, values: dict[str, Any]) -> Spec:
        """The spec after controls have changed to `values`; what depends on a changed field follows it."""
        before = self.shown(spec)
        for field in fields():
            path = self.path(spec, field)
            if path is None or field.path not in values or same(values[field.path], before[field.path]):
                continue
            spec = self._set(spec, field, path, values[field.path])
            spec = follow(spec, field.path, self.reference)
        return spec

    def _set(self, spec: Spec, field: Field, path: str, value: Any) -> Spec:
        if path.startswith("cohort.") and found(spec, "cohort") is MISSING:
            spec = put(spec, "cohort.size", 1)
        if path == "training.optimizer" and pretrained({"model.id": found(spec, "model.id")}):
            shown = self.shown(spec)
            for other in _WITH_ADAM:
                spec = put(spec, other, shown[other])
        if field.kind == "list":
            value = parsed_list(value)
        if field.kind == "choice" and value == "":
            value = None
        if field.slot is not None and value is None and self.describe(spec, field).optional:
            return without(spec, path)
        return put(spec, path, value)

    def _displayed(self, spec: Spec, field: Field, path: str) -> Any:
        value = found(spec, path)
        if value is MISSING:
            value = self._default(spec, field)
        if field.kind == "list":
            return listed(value)
        if field.kind == "number" and not isinstance(value, int | float):
            return None
        if field.kind in ("text", "long_text"):
            return "" if value in (None, MISSING) else str(value)
        if field.kind == "choice":
            return "" if value is MISSING or value is None else str(value)
        return bool(value) if field.kind == "flag" else value

    def _default(self, spec: Spec, field: Field) -> Any:
        path = field.path
        if path == "cohort.size" and found(spec, "cohort") is MISSING:
            return 1
        if str(found(spec, "model.id")).startswith("hf:"):
            if path in _USUAL_FOR_ADAPTERS:
                return _USUAL_FOR_ADAPTERS[path]
            if path in _WITH_ADAM and found(spec, "training.optimizer") is MISSING:
                return _WITH_ADAM[path]
        return self.describe(spec, field).default

    def _options(self, spec: Spec, section: str) -> Any:
        chooser = _CHOOSERS[section]
        chosen = found(spec, chooser)
        if chosen is MISSING and chooser == "aggregation.rule":
            chosen = "lora_exact" if str(found(spec, "model.id")).startswith("hf:") else "fedavg"
        return self.reference.options(section, chosen)

    def _fitting(self, spec: Spec, field: Field, choices: tuple[str, ...]) -> list[str]:
        """Of the choices, those that go together with the rest of the spec."""
        known = self.reference
        kind = "adapter" if str(found(spec, "model.id")).startswith("hf:") else "classifier"
        match field.path:
            case "model.id":
                return list(known.models)
            case "data.id":
                holds = "texts" if kind == "adapter" else "images"
                return [*(id for id, card in known.datasets.items() if card.get("holds") == holds), "own"]
            case "aggregation.rule":
                return [rule for rule in choices if kind in known.rules.get(rule, {}).get("goes_with", {})]
            case "aggregation.mixing" | "aggregation.weighting":
                said = (found(spec, "aggregation.rule"), found(spec, "aggregation.mixing"))
                rule = str(said[0]) if str(said[0]) in known.rules else "lora_exact" if kind == "adapter" else "fedavg"
                allowed = known.rules[rule]["goes_with"].get(kind, {})
                if field.path.endswith("mixing"):
                    return [mixing for mixing in choices if mixing in allowed]
                taken = allowed.get("none" if said[1] is MISSING else str(said[1]), ())
                return [weighting for weighting in choices if weighting in taken]
        return list(choices)


def same(one: Any, other: Any) -> bool:
    """Whether a control that shows the one says the same as the other: text and numbers that are there, or neither."""
    if isinstance(one, bool) != isinstance(other, bool):
        return False
    return bool((one in ("", None) and other in ("", None)) or one == other)


def parsed_list(text: Any) -> Any:
    """Names or numbers with commas between them: `[1, 28, 28]` or `1, 28, 28`; one word by itself stays a word."""
    words = str(text or "").strip().removeprefix("[").removesuffix("]").replace('"', "")
    parts = [part.strip() for part in words.split(",") if part.strip()]
    if not parts:
        return None
    if all(part.isdecimal() for part in parts):
        return [int(part) for part in parts]
    return parts[0] if len(parts) == 1 and parts[0] in ("auto", "all-linear") else parts


def listed(value: Any) -> str:
    """As `parsed_list` reads it."""
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return "" if value is None or value is MISSING else value if isinstance(value, str) else json.dumps(value)
