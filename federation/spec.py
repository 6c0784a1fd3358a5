"""The task spec: what is to be trained, on what, by whom and how. Its JSON Schema is `potluck://schema/task`."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, Field, ValidationError, model_validator

from federation.aggregation.methods import METHODS, options_of
from federation.data_spec import DataSpec, TextSpec
from federation.errors import ErrorCode, Refused
from federation.model_spec import HF, ModelSpec, OptionValue
from federation.spec_part import Part

Rule = Literal[
    "fedavg",
    "fedprox",
    "scaffold",
    "fednova",
    "fedavgm",
    "fedadagrad",
    "fedadam",
    "fedyogi",
    "krum",
    "multi_krum",
    "geometric_median",
    "centered_clipping",
    "norm_clipping",
    "median",
    "trimmed_mean",
    "bulyan",
    "lora_exact",
    "lora_stack",
    "ffa",
]


class TrainingSpec(Part):
    """Local training on a node: plain minibatch SGD, or Adam."""

    optimizer: Literal["sgd", "adam"] = "sgd"
    epochs: int = Field(default=1, ge=1, le=1000, description="Passes over the node's examples in one round.")
    max_steps: int | None = Field(default=None, ge=1, description="Stop after so many steps; default: no limit.")
    batch_size: int = Field(default=32, ge=1, le=65_536)
    learning_rate: float = Field(default=0.05, gt=0, le=100)
    momentum: float = Field(default=0.0, ge=0, lt=1)
    weight_decay: float = Field(default=0.0, ge=0, le=1)
    accumulation: int = Field(
        default=1, ge=1, le=1024, description="hf: work a batch off in so many pieces, which takes less memory."
    )
    gradient_checkpointing: bool = Field(
        default=False, description="hf: compute activations again in the backward pass, which takes less memory."
    )

    @model_validator(mode="after")
    def _a_piece_has_an_example(self) -> Self:
        if self.accumulation > self.batch_size:
            said = f"accumulation {self.accumulation} is more than batch_size {self.batch_size}"
            raise ValueError(f"{said}: a batch has at most as many pieces as examples")
        return self


class AggregationSpec(Part):
    """The aggregation rule and its options."""

    rule: Rule = Field(default="fedavg", description="The method, by its name in the literature; docs/rules.md.")
    options: dict[Annotated[str, Field(max_length=64)], OptionValue] = Field(
        default_factory=dict, max_length=16, description="The rule's own options, e.g. {f: 2}."
    )
    mixing: Literal["none", "nnm", "bucketing"] = Field(
        default="none", description="Before a robust rule: nearest-neighbour mixing, or means of random buckets."
    )
    bucket_size: int = Field(default=2, ge=2, le=100, description="bucketing: updates in a bucket.")
    weighting: Literal["examples", "uniform", "capped"] | None = Field(
        default=None,
        description="Weight of an update: its examples, the same for all, or its examples up to the median; "
        "default: examples, for robust rules and scaffold uniform.",
    )
    max_examples: int = Field(
        default=1_000_000, ge=1, le=10**9, description="An update that claims more examples is refused."
    )
    max_update_norm: float | None = Field(
        default=None, gt=0, description="An update whose L2 norm exceeds this is refused; default: no bound."
    )

    @property
    def weighting_or_default(self) -> Literal["examples", "uniform", "capped"]:
        """Robust rules count heads: an attacker would choose its own number of examples. So does SCAFFOLD's c, the mean
        over clients: whatever the weights of updates, where it comes to rest is where the clients' plain mean is."""
        heads = METHODS[self.rule].robust or self.control_variates
        return self.weighting or ("uniform" if heads else "examples")

    @property
    def control_variates(self) -> bool:
        """Whether nodes and server keep control variates, and updates bring their changes."""
        return self.rule == "scaffold"

    @property
    def proximal(self) -> float:
        """μ of the proximal term that the method asks of nodes; 0 where it asks for none."""
        if self.rule not in ("fedprox", "fednova"):
            return 0.0
        return float(options_of(self.rule, self.options).mu)


class CohortSpec(Part):
    """Who takes part in a round."""

    size: int | None = Field(default=None, ge=1, le=100_000, description="Nodes whose updates a round wants.")
    fraction: float | None = Field(default=None, gt=0, le=1, description="The same as a share of the nodes at hand.")
    min_nodes: int = Field(default=1, ge=1, le=100_000, description="A round waits until so many nodes are at hand.")
    over_selection: float = Field(
        default=1.0, ge=1, le=10, description="Select this many times more nodes than wanted, to make up for drop-outs."
    )
    quorum: int | None = Field(
        default=None, ge=1, description="Fewest updates that make a round; default: half of those wanted."
    )
    selection: Literal["uniform", "examples", "speed", "power_of_choice"] = Field(
        default="uniform",
        description="Who is drawn: anyone; by number of examples; who finishes before the deadline; of the candidates "
        "those with the highest loss as they last reported it (eval_loss, else train_loss; unknown is highest).",
    )
    candidates: int | None = Field(
        default=None, ge=1, le=100_000, description="power_of_choice: nodes to choose from; default: twice the cohort."
    )

    @model_validator(mode="after")
    def _candidates_to_choose_from(self) -> Self:
        if self.candidates is None:
            return self
        if self.selection != "power_of_choice":
            raise ValueError(f"candidates belong to selection power_of_choice, not to {self.selection}")
        if self.size is not None and self.candidates < self.size:
            raise ValueError(f"{self.candidates} candidates are too few to choose {self.size} nodes from")
        return self

    @model_validator(mode="after")
    def _one_of_size_and_fraction(self) -> Self:
        if (self.size is None) == (self.fraction is None):
            raise ValueError("give either size or fraction")
        if self.size is not None and self.quorum is not None and self.quorum > self.size:
            raise ValueError(f"quorum {self.quorum} can never be met by a cohort of {self.size}")
        return self


class EvaluationSpec(Part):
    """Who scores the global model, and how often."""

    server: bool = Field(default=True, description="On the data set's own test examples, where it has any.")
    nodes: bool = Field(default=True, description="Each node on its held-out share of the model it received.")
    every: int = Field(default=1, ge=1, description="The server scores every so many rounds, and the last.")
    examples: int | None = Field(
        default=None, ge=1, description="The server scores on so many test examples; default: all, for texts 64."
    )


class StoppingSpec(Part):
    """When a task ends before its last round. Scores are the server's, else the nodes' mean."""

    target_accuracy: float | None = Field(
        default=None, gt=0, le=1, description="Finish when a version is as accurate as this; default: never."
    )
    patience: int | None = Field(
        default=None, ge=1, le=100_000, description="Finish after so many versions without improvement; default: never."
    )
    min_delta: float = Field(
        default=0.0, ge=0, le=1e6, description="patience: an improvement by less than this is none."
    )
    on_divergence: Literal["pause", "stop", "go_on"] = Field(
        default="pause", description="When the loss is not finite, or three times in a row four times the best."
    )


class TaskSpec(Part):
    """One federation's task."""

    name: str = Field(min_length=1, max_length=80, pattern=r"^[^\x00-\x1f\x7f]+$")
    description: str = Field(default="", max_length=2000)
    model: ModelSpec
    data: DataSpec
    training: TrainingSpec = TrainingSpec()
    aggregation: AggregationSpec = AggregationSpec()
    cohort: CohortSpec = CohortSpec(size=1)
    evaluation: EvaluationSpec = EvaluationSpec()
    stopping: StoppingSpec = StoppingSpec()
    codec: Literal["none"] = Field(default="none", description="How updates are compressed on the wire.")
    rounds: int = Field(default=5, ge=1, le=100_000)
    deadline_s: float = Field(default=600, gt=0, le=7 * 86_400, description="Seconds a round may take, at most.")
    lease_s: float = Field(
        default=60, ge=1, le=3600, description="Seconds without a heartbeat after which a node counts as lost."
    )
    keep_rounds: int = Field(default=2, ge=0, le=1000, description="Closed rounds whose update blobs are kept.")
    seed: int = Field(default=0, ge=0, lt=2**63)

    @property
    def text(self) -> TextSpec:
        """How a pretrained model's texts become examples."""
        return self.data.text or TextSpec()

    @model_validator(mode="before")
    @classmethod
    def _adapters_are_merged_exactly(cls, raw: Any) -> Any:
        """By default: the mean of factors is not the mean of their products."""
        match raw:
            case {"model": {"id": str(id)}, **rest} if id.startswith(HF):
                chosen = rest.get("aggregation", {})
                if isinstance(chosen, Mapping) and "rule" not in chosen:
                    return {**raw, "aggregation": {**chosen, "rule": "lora_exact"}}
        return raw

    @model_validator(mode="before")
    @classmethod
    def _adapters_are_trained_by_adam(cls, raw: Any) -> Any:
        """By default: SGD at a rate for whole models hardly moves factors of which one begins at zero."""
        match raw:
            case {"model": {"id": str(id)}, **rest} if id.startswith(HF):
                chosen = rest.get("training", {})
                if isinstance(chosen, Mapping) and "optimizer" not in chosen:
                    usual = {"optimizer": "adam", "learning_rate": 1e-3, "batch_size": 8}
                    return {**raw, "training": {**usual, **chosen}}
        return raw

    @model_validator(mode="before")
    @classmethod
    def _pretrained_models_take_texts(cls, raw: Any) -> Any:
        """The section `text` is there with its defaults: nodes read them, and `own` texts need no shape."""
        match raw:
            case {"model": {"id": str(id)}, "data": {**data}} if id.startswith(HF) and data.get("text") is None:
                return {**raw, "data": {**data, "text": {}}}
        return raw

    @model_validator(mode="after")
    def _texts_and_pretrained_models_belong_together(self) -> Self:
        if not self.model.pretrained:
            if self.data.text is not None:
                raise ValueError("data.text belongs to pretrained models: a model.id that begins with hf:")
            for name in ("accumulation", "gradient_checkpointing"):
                if getattr(self.training, name) != TrainingSpec.model_fields[name].default:
                    raise ValueError(f"training.{name} belongs to pretrained models: a model.id that begins with hf:")
        elif not self.model.classifies and self.stopping.target_accuracy is not None:
            raise ValueError("a model that writes has a loss and no accuracy: leave stopping.target_accuracy out")
        elif self.data.id == "own" and self.model.classifies != (self.data.num_classes is not None):
            raise ValueError("data.num_classes belongs to model.task sequence_classification, and there it is needed")
        return self

    @property
    def unpinned(self) -> TaskSpec:
        """The spec as it was before its data were pinned."""
        return self.model_copy(update={"data": self.data.model_copy(update={"pin": None})})

    @property
    def partition_seed(self) -> int:
        """The seed that cuts the training set."""
        seed = self.data.partition.seed
        return self.seed if seed is None else seed


def parse_spec(raw: Mapping[str, Any]) -> TaskSpec:
    """The spec in `raw`, or a refusal that names every field that is wrong."""
    try:
        return TaskSpec.model_validate(raw)
    except ValidationError as error:
        mend = "correct these fields; the schema is potluck://schema/task"
        raise Refused(ErrorCode.INVALID_SPEC, in_a_sentence(spec_problems(error)), mend) from None


class Problem(BaseModel):
    """One thing wrong with a spec, and how to mend it."""

    field: str = Field(description="dotted path in the spec, e.g. training.learning_rate")
    problem: str
    mend: str


def in_a_sentence(problems: Iterable[Problem]) -> str:
    """Every problem after its field, up to one full stop."""
    return "; ".join(f"{each.field}: {each.problem.removesuffix('.')}" for each in problems) + "."


def spec_problems(error: ValidationError) -> list[Problem]:
    """A pydantic error as problems with dotted fields, one a field."""
    problems: dict[str, Problem] = {}
    for detail in error.errors(include_url=False, include_input=False):
        loc, said = detail["loc"], detail["msg"].removeprefix("Value error, ")
        field = ".".join(_short(str(part)) for part in _path(loc)) or "(spec)"
        if len(loc) > len(_path(loc)):  # each type that an option's value is not has an error of its own
            said = "The name is longer than 64 characters" if loc[-1] == "[key]" else _NO_OPTION
        problems.setdefault(field, Problem(field=field, problem=said, mend=_mend(detail["type"])))
    return list(problems.values())


_NO_OPTION = "Input should be a finite number, true or false, or a text of at most 256 characters"


def _path(loc: tuple[int | str, ...]) -> tuple[int | str, ...]:
    """A place in the spec: an option ends with its name, after which pydantic adds what was tried."""
    return loc[: loc.index("options") + 2] if "options" in loc else loc


def _short(name: str) -> str:
    return name if len(name) <= 64 else f"{name[:40]}…"


def _mend(kind: str) -> str:
    match kind:
        case "extra_forbidden":
            return "remove the field or correct its spelling; potluck://schema/task lists every field"
        case "model_type":
            return "write a section with fields, e.g. model: {id: mlp}"
        case "missing":
            return "add the field; potluck://schema/task describes it"
        case _:
            return "give a value that potluck://schema/task allows"


def derive_seed(*parts: int | str) -> int:
    """A 63-bit seed that depends on every part: SHA-256 over their text, so that nearby seeds are unrelated."""
    digest = hashlib.sha256("\x1f".join(str(part) for part in parts).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
