"""The model that a node received, built: one of the catalogue, or adapters on a base model that never travels."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from torch import nn

from federation.base_pin import BasePin
from federation.errors import ErrorCode, Refused
from federation.model_spec import HF
from federation.spec import TaskSpec
from federation.weights import Tensors, load
from resources.datasets.text.tokenizer import Tokenizer
from resources.models.catalogue import create_model, models

ANY_PRETRAINED = f"{HF}*"
"""What a node says that it can build, where it can build pretrained models."""


@dataclass(frozen=True)
class Received:
    """A model as it came: training changes `module`, and an update is what changed in its state since `start`."""

    module: nn.Module
    start: Tensors


class Models:
    """Builds what the server sends.

    Args:
        root: folder of base models, by name; default: the environment's POTLUCK_MODELS.
        rank: of the adapters that this node trains, at most the task's; default: the task's.
    """

    def __init__(self, root: Path | None = None, rank: int | None = None) -> None:
        configured = os.environ.get("POTLUCK_MODELS")
        self.root = root or (Path(configured) if configured else None)
        self.rank = rank

    def known(self) -> list[str]:
        """What this node can build, by the ids that a handshake names."""
        pretrained = [ANY_PRETRAINED] if find_spec("transformers") and find_spec("peft") else []
        return [card.id for card in models()] + pretrained

    def check(self, spec: TaskSpec) -> None:
        """Refused (incompatible_node) where this node is to train ranks that the task does not have."""
        if self.rank is None:
            return
        if not spec.model.pretrained:
            problem = f"the task trains {spec.model.id} as a whole, and no adapters."
            raise Refused(ErrorCode.INCOMPATIBLE_NODE, problem, "leave --rank out")
        most = spec.model.adapters.r
        if not 1 <= self.rank <= most:
            problem = f"this node is to train adapters of rank {self.rank}, and the task's have rank {most}."
            raise Refused(ErrorCode.INCOMPATIBLE_NODE, problem, f"pass --rank with a number from 1 to {most}")

    def receive(self, spec: TaskSpec, assignment: Mapping[str, Any], file: Path) -> Received:
        """The model in `file`, a version of the task's. Refused where the base model is not the task's."""
        if spec.model.pretrained:
            return self._adapters(spec, assignment, file)
        model = create_model(
            spec.model.id,
            input_shape=tuple(int(side) for side in assignment["input_shape"]),
            num_classes=int(assignment["num_classes"]),
            options=spec.model.options,
        )
        model.load_state_dict(load(file))
        return Received(model, load(file))

    def tokenizer(self, spec: TaskSpec, assignment: Mapping[str, Any]) -> Tokenizer:
        """The base model's own, the very one that was pinned."""
        from resources.models.language.tokenizers import load_tokenizer

        tokenizer: Tokenizer = load_tokenizer(self.base_folder(spec, assignment), spec.model.gguf)
        return tokenizer

    def base_folder(self, spec: TaskSpec, assignment: Mapping[str, Any]) -> Path:
        """The base model of the task, the very one that was pinned; fetched from the Hub where it is not here."""
        from resources.models.language.bases import fetch

        return fetch(spec.model, self.root, BasePin(**assignment["base"]))

    def _adapters(self, spec: TaskSpec, assignment: Mapping[str, Any], file: Path) -> Received:
        from resources.models.language.adapter_model import load_adapter_model

        self.check(spec)
        module = load_adapter_model(
            spec.model,
            self.base_folder(spec, assignment),
            load(file),
            rule=spec.aggregation.rule,
            rank=self.rank,
            gradient_checkpointing=spec.training.gradient_checkpointing,
            num_labels=int(assignment["num_classes"]) if spec.model.classifies else None,
        )
        return Received(module, module.start)
