"""What a change to one field of a spec makes meaningless elsewhere, and what takes its place."""

from __future__ import annotations

from dashboard.new_task.paths import MISSING, Spec, found, put, without
from dashboard.new_task.reference import Reference

_OF_ADAPTERS = (
    *("model.task", "model.revision", "model.gguf", "model.dtype", "model.lora", "data.text"),
    *("training.accumulation", "training.gradient_checkpointing", "training.optimizer", "training.learning_rate"),
)


def follow(spec: Spec, changed: str, known: Reference) -> Spec:
    """The spec after the field at `changed` has changed: options that the new rule or model does not have are gone, as
    are fields of the other kind of model; nothing else is touched."""
    match changed:
        case "model.id":
            spec = _of_model(spec, known)
        case "data.id":
            spec = _of_data(spec)
        case "aggregation.rule":
            spec = _of_rule(spec, known)
        case "data.partition.kind" if found(spec, changed) != "natural":
            spec = without(spec, "data.partition.users")
        case "cohort.selection" if found(spec, changed) != "power_of_choice":
            spec = without(spec, "cohort.candidates")
        case "cohort.size" if found(spec, changed) is not None:
            spec = without(spec, "cohort.fraction")
        case "cohort.fraction" if found(spec, changed) is not None:
            spec = without(spec, "cohort.size")
    return spec


def _of_model(spec: Spec, known: Reference) -> Spec:
    id, data = str(found(spec, "model.id")), found(spec, "data.id")
    texts = id.startswith("hf:")
    spec = _only(spec, "model.options", set(known.options("model.options", id)))
    if not texts:
        for path in _OF_ADAPTERS:
            had = found(spec, path)
            if path.startswith("training.") and not _had_adapters(spec, known):
                continue
            spec = spec if had is MISSING else without(spec, path)
    holds = known.datasets.get(str(data), {}).get("holds")
    if holds is not None and (holds == "texts") != texts:
        fitting = [id for id, card in known.datasets.items() if (card.get("holds") == "texts") == texts]
        spec = put(spec, "data.id", fitting[0]) if fitting else spec
        spec = without(spec, "data.partition.kind")
        spec = without(without(spec, "data.partition.users"), "stopping.target_accuracy") if texts else spec
    rule = found(spec, "aggregation.rule")
    kind = "adapter" if texts else "classifier"
    if rule is not MISSING and kind not in known.rules.get(str(rule), {}).get("goes_with", {}):
        spec = without(spec, "aggregation.rule")
    return _of_data(_of_rule(spec, known))


def _had_adapters(spec: Spec, known: Reference) -> bool:
    return known.datasets.get(str(found(spec, "data.id")), {}).get("holds") == "texts"


def _of_data(spec: Spec) -> Spec:
    """Own data states its shape; other data has one."""
    own = found(spec, "data.id") == "own"
    if own and not str(found(spec, "model.id")).startswith("hf:"):
        for path, usual in (("data.input_shape", [1, 28, 28]), ("data.num_classes", 10)):
            spec = put(spec, path, usual) if found(spec, path) in (MISSING, None) else spec
    elif not own:
        spec = without(without(spec, "data.input_shape"), "data.num_classes")
    return spec


def _of_rule(spec: Spec, known: Reference) -> Spec:
    texts = str(found(spec, "model.id")).startswith("hf:")
    rule = found(spec, "aggregation.rule")
    rule = ("lora_exact" if texts else "fedavg") if rule is MISSING else rule
    spec = _only(spec, "aggregation.options", set(known.options("aggregation.options", rule)))
    allowed = known.rules.get(str(rule), {}).get("goes_with", {}).get("adapter" if texts else "classifier", {})
    mixing = found(spec, "aggregation.mixing")
    if mixing is not MISSING and str(mixing) not in allowed:
        spec, mixing = without(spec, "aggregation.mixing"), MISSING
    weighting = found(spec, "aggregation.weighting")
    if weighting not in (MISSING, None) and weighting not in allowed.get(
        "none" if mixing is MISSING else str(mixing), ()
    ):
        spec = without(spec, "aggregation.weighting")
    return spec


def _only(spec: Spec, section: str, names: set[str]) -> Spec:
    options = found(spec, section)
    for name in options if isinstance(options, dict) else ():
        spec = spec if name in names else without(spec, f"{section}.{name}")
    return spec
