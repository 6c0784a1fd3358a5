"""What the coordinator asks of the world: models and data behind one interface, and limits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import torch

from federation.base_pin import BasePin
from federation.clock import Clock
from federation.coordinator.liveness import Liveness
from federation.coordinator.notices import Notices
from federation.evaluation import Evaluation
from federation.lanes import Lanes
from federation.server_key import ServerKey
from federation.simulation.engine import EngineName
from federation.simulation.options import Wish
from federation.spec import Problem, TaskSpec
from federation.spool import Spool
from federation.store.database import Database
from federation.tokens import Tokens

MIB = 1 << 20


class Workload(Protocol):
    """Models and data sets, as far as the coordinator must know them. Its methods are synchronous and may be slow."""

    def check(self, spec: TaskSpec) -> list[Problem]:
        """Everything that keeps the spec from being trained."""
        ...

    def settle(self, spec: TaskSpec) -> TaskSpec:
        """The task with its data pinned to the bit, where they are on the Hub; else as it is."""
        ...

    def pin(self, spec: TaskSpec) -> BasePin | None:
        """The base model of a task that trains adapters; None where the whole model is trained."""
        ...

    def schema_for(self, spec: TaskSpec, base: BasePin | None = None) -> tuple[tuple[int, ...], int]:
        """Shape of one example and number of classes; of texts, tokens of an example and the vocabulary."""
        ...

    def initial_weights(self, spec: TaskSpec, base: BasePin | None = None) -> dict[str, torch.Tensor]:
        """Version 0 of the global model."""
        ...

    def trained(self, spec: TaskSpec) -> frozenset[str]:
        """Names of the model's tensors that training changes; the others are buffers and frozen weights."""
        ...

    def evaluate(
        self, spec: TaskSpec, weights: Mapping[str, torch.Tensor], base: BasePin | None = None
    ) -> Evaluation | None:
        """The score on the data set's own test examples; None where it has none."""
        ...

    def predict(
        self, spec: TaskSpec, weights: Mapping[str, torch.Tensor], inputs: list[Any], base: BasePin | None = None
    ) -> tuple[list[int], list[list[float]]]:
        """Labels and class probabilities of the inputs; texts, where a language model classifies."""
        ...

    def write(
        self, spec: TaskSpec, weights: Mapping[str, torch.Tensor], prompts: list[str], base: BasePin, bounds: Bounds
    ) -> list[Written]:
        """How a language model goes on from each prompt."""
        ...


@dataclass(frozen=True)
class Bounds:
    """How much a language model may write: tokens a text, and seconds for all of them."""

    max_tokens: int
    seconds: float


@dataclass(frozen=True)
class Written:
    """A text that a language model wrote, its length in tokens, and why it ended."""

    text: str
    tokens: int
    finished: Literal["eos", "length", "time"]


class Simulator(Protocol):
    """How tasks are simulated on this machine. `plan` is synchronous and may be slow."""

    def plan(self, spec: TaskSpec, wish: Wish) -> EngineName:
        """The engine that the wish comes to; refused where the spec cannot be simulated in that way."""
        ...

    def command(self) -> tuple[Sequence[str], Path]:
        """What to start, and the folder of its modules, for a process as `federation.simulation.child` describes it."""
        ...


@dataclass(frozen=True)
class Limits:
    """Bounds on what one call may ask. Sizes in bytes, times in seconds."""

    max_wait_s: float = 30
    heartbeat_s: float = 10
    presence_s: float = 30  # how long a node counts as at hand after its last call
    challenge_s: float = 120
    upload_lifetime_s: float = 3600
    inline_max_bytes: int = 64 << 10
    chunk_max_bytes: int = 5 * MIB // 2  # in base64 within the SDK's 4 MiB body cap
    read_max_bytes: int = 512 << 10  # in base64 within the clients' 1 MiB event cap
    header_allowance: int = MIB  # what an update's file may exceed the model's by
    node_quota_share: float = 0.25  # of the spool's quota, for one node's open uploads together
    max_simulations: int = 1  # processes that simulate at a time
    max_prompts: int = 8  # in a call of `predict`
    new_tokens: int = 64  # that it writes for a prompt, by default
    max_new_tokens: int = 512  # and at most
    writing_s: float = 30  # for which it may write
    max_language_calls: int = 8  # of predict and evaluate_model on language models that may wait or be at work


@dataclass(frozen=True)
class Shared:
    """What every part of the coordinator stands on."""

    data_dir: Path
    database: Database
    spool: Spool
    workload: Workload
    key: ServerKey
    tokens: Tokens
    lanes: Lanes
    liveness: Liveness
    notices: Notices
    limits: Limits
    clock: Clock  # Unix time, for what people read
    monotonic: Clock  # for what has to last so many seconds
