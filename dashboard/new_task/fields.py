"""Which fields of a task spec have a control, in which group, and when they have a meaning."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["choice", "number", "flag", "text", "long_text", "list"]
Values = Mapping[str, Any]
"""What controls show, by path."""

RULE_OPTIONS, MODEL_OPTIONS = 4, 2
"""Controls for the options of a rule and of a model: as many as any of them has."""


@dataclass(frozen=True)
class Field:
    """One control.

    Attributes:
        path: dotted, in the spec; of an option's control its place, e.g. `aggregation.options#0`, since the rule says
            what the option is.
        custom: a choice that takes other values too.
        when: whether it has a meaning beside these values.
    """

    path: str
    label: str
    kind: Kind
    custom: bool = False
    when: Callable[[Values], bool] = lambda values: True

    @property
    def slot(self) -> tuple[str, int] | None:
        """Of an option's control: the section, and the option's place among the sorted names."""
        section, hash, place = self.path.partition("#")
        return (section, int(place)) if hash else None


@dataclass(frozen=True)
class Group:
    """Fields under one heading."""

    title: str
    fields: tuple[Field, ...]
    open: bool = False


def pretrained(values: Values) -> bool:
    """Whether the model is a language model, of which adapters are trained."""
    return str(values.get("model.id") or "").startswith("hf:")


def _classical(values: Values) -> bool:
    return not pretrained(values)


def _cut(*kinds: str) -> Callable[[Values], bool]:
    return lambda values: values.get("data.id") != "own" and values.get("data.partition.kind") in kinds


def _shared_out(values: Values) -> bool:
    return values.get("data.id") != "own"


def _own_numbers(values: Values) -> bool:
    return values.get("data.id") == "own" and not pretrained(values)


def _own_classes(values: Values) -> bool:
    return values.get("data.id") == "own" and (
        not pretrained(values) or values.get("model.task") == "sequence_classification"
    )


def _sgd(values: Values) -> bool:
    return values.get("training.optimizer") == "sgd"


def _is(path: str, wanted: str) -> Callable[[Values], bool]:
    return lambda values: values.get(path) == wanted


def _given(path: str) -> Callable[[Values], bool]:
    return lambda values: values.get(path) is not None


GROUPS: tuple[Group, ...] = (
    Group(
        "Data and partition",
        (
            Field("name", "Name", "text"),
            Field("description", "Description", "long_text"),
            Field("data.id", "Data set", "choice", custom=True),
            Field("data.partition.kind", "How it is shared out", "choice", when=_shared_out),
            Field("data.partition.parts", "Shares", "number", when=_shared_out),
            Field("data.partition.alpha", "Dirichlet α", "number", when=_cut("dirichlet")),
            Field("data.partition.shards_per_part", "Label shards a share", "number", when=_cut("shards")),
            Field("data.partition.users", "Users", "choice", when=_cut("natural")),
            Field("data.partition.min_examples", "Fewest examples a share", "number", when=_shared_out),
            Field("data.input_shape", "Shape of an example", "list", when=_own_numbers),
            Field("data.num_classes", "Classes", "number", when=_own_classes),
            Field("data.holdout", "Held out on nodes", "number"),
            Field("data.text.max_length", "Tokens of an example", "number", when=pretrained),
            Field("data.text.template", "Template", "choice", when=pretrained),
            Field("data.text.packing", "Pack texts", "flag", when=pretrained),
        ),
        open=True,
    ),
    Group(
        "Model",
        (
            Field("model.id", "Model", "choice", custom=True),
            *(Field(f"model.options#{place}", "Option", "number", when=_classical) for place in range(MODEL_OPTIONS)),
            Field("model.task", "What it is to do", "choice", when=pretrained),
            Field("model.dtype", "Precision of the base", "choice", when=pretrained),
            Field("model.lora.r", "LoRA rank r", "number", when=pretrained),
            Field("model.lora.alpha", "LoRA alpha", "number", when=pretrained),
            Field("model.lora.dropout", "LoRA dropout", "number", when=pretrained),
            Field("model.lora.target_modules", "Layers with adapters", "list", when=pretrained),
            Field("model.lora.use_rslora", "Scale by √r", "flag", when=pretrained),
        ),
        open=True,
    ),
    Group(
        "Training on a node",
        (
            Field("training.optimizer", "Optimiser", "choice"),
            Field("training.learning_rate", "Learning rate", "number"),
            Field("training.epochs", "Epochs a round", "number"),
            Field("training.batch_size", "Batch size", "number"),
            Field("training.momentum", "Momentum", "number", when=_sgd),
            Field("training.weight_decay", "Weight decay", "number"),
            Field("training.max_steps", "Most steps a round", "number"),
            Field("training.accumulation", "Pieces of a batch", "number", when=pretrained),
            Field("training.gradient_checkpointing", "Gradient checkpointing", "flag", when=pretrained),
        ),
    ),
    Group(
        "Cohort and selection",
        (
            Field("cohort.size", "Nodes a round", "number"),
            Field("cohort.fraction", "… or share of the nodes", "number"),
            Field("cohort.min_nodes", "Wait for nodes", "number"),
            Field("cohort.selection", "Who is drawn", "choice"),
            Field("cohort.candidates", "Candidates", "number", when=_is("cohort.selection", "power_of_choice")),
            Field("cohort.over_selection", "Over-selection", "number"),
            Field("cohort.quorum", "Quorum", "number"),
            Field("deadline_s", "Deadline of a round (s)", "number"),
        ),
    ),
    Group(
        "Aggregation",
        (
            Field("aggregation.rule", "Rule", "choice"),
            *(Field(f"aggregation.options#{place}", "Option", "number") for place in range(RULE_OPTIONS)),
            Field("aggregation.mixing", "Mixing before the rule", "choice"),
            Field(
                "aggregation.bucket_size", "Updates in a bucket", "number", when=_is("aggregation.mixing", "bucketing")
            ),
            Field("aggregation.weighting", "Weight of an update", "choice"),
            Field("aggregation.max_update_norm", "Largest update (L2)", "number"),
        ),
    ),
    Group(
        "Rounds and stopping",
        (
            Field("rounds", "Rounds", "number"),
            Field("stopping.target_accuracy", "Stop at accuracy", "number"),
            Field("stopping.patience", "Patience (versions)", "number"),
            Field("stopping.min_delta", "Least improvement", "number", when=_given("stopping.patience")),
            Field("stopping.on_divergence", "When it diverges", "choice"),
            Field("evaluation.every", "Score every … rounds", "number"),
            Field("evaluation.server", "The server scores", "flag"),
            Field("evaluation.nodes", "Nodes score", "flag"),
            Field("seed", "Seed", "number"),
        ),
    ),
)


def fields() -> Iterator[Field]:
    """Every control, in the order of the page."""
    for group in GROUPS:
        yield from group.fields
