"""The section `model` of a task spec: which model, and which adapters of a pretrained one."""

from __future__ import annotations

import math
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from federation.spec_part import Part

OptionValue = int | float | bool | Annotated[str, Field(max_length=256)]
ModuleName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.]{0,199}$")]
ModelId = Annotated[str, Field(pattern=r"^([a-z0-9][a-z0-9_.-]{0,63}|hf:[A-Za-z0-9_./-]{1,200})$")]
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,199}$")]
HF = "hf:"
"""What the id of a pretrained language model begins with."""


class LoraSpec(Part):
    """Low-rank adapters (Hu et al. 2021, arXiv:2106.09685): a layer's W becomes W + scaling · B A."""

    r: int = Field(default=8, ge=1, le=256, description="Rank; a node may train fewer (potluck join --rank).")
    alpha: float = Field(default=16, gt=0, le=4096, description="Scaling is alpha / r, whatever rank a node trains.")
    dropout: float = Field(default=0.0, ge=0, le=0.9, description="Of the adapters' inputs, in training.")
    target_modules: Literal["auto", "all-linear"] | Annotated[list[ModuleName], Field(min_length=1, max_length=64)] = (
        Field(
            default="auto",
            description="Names, or ends of names, of linear layers; auto: the attention's projections; "
            "all-linear: every one but the output layer.",
        )
    )
    use_rslora: bool = Field(default=False, description="Scaling alpha / sqrt(r) (Kalajdzievski 2023).")

    @property
    def scaling(self) -> float:
        """The factor of B A; one for all nodes, so that ranks may differ."""
        return self.alpha / (math.sqrt(self.r) if self.use_rslora else self.r)


class ModelSpec(Part):
    """Which model of the catalogue and its options, or which pretrained language model and its adapters."""

    id: ModelId = Field(
        description="A model of the catalogue, e.g. mlp (see search_models); or hf:<repository on the Hugging Face "
        "Hub, or folder below the models folder>."
    )
    options: dict[Annotated[str, Field(max_length=64)], OptionValue] = Field(
        default_factory=dict, max_length=32, description="The model's own options, e.g. {hidden: 64}."
    )
    task: Literal["causal_lm", "sequence_classification"] | None = Field(
        default=None, description="hf: what the model is to do; default: causal_lm."
    )
    revision: Annotated[str, Field(pattern=r"^[A-Za-z0-9_./-]{1,100}$")] | None = Field(
        default=None, description="hf: branch, tag or commit; pinned to the commit when the task is created."
    )
    gguf: FileName | None = Field(default=None, description="hf: a GGUF file to take the weights from.")
    dtype: Literal["float32", "bfloat16"] | None = Field(
        default=None, description="hf: of the frozen base weights; default: float32. Adapters are float32."
    )
    lora: LoraSpec | None = Field(default=None, description="hf: the adapters; default: all of its defaults.")

    @property
    def pretrained(self) -> bool:
        """Whether it is a pretrained language model, of which only adapters are trained."""
        return self.id.startswith(HF)

    @property
    def adapters(self) -> LoraSpec:
        """Of a pretrained model."""
        return self.lora or LoraSpec()

    @property
    def classifies(self) -> bool:
        """Whether it answers with classes; else with text."""
        return not self.pretrained or self.task == "sequence_classification"

    @model_validator(mode="after")
    def _fields_fit_the_id(self) -> Self:
        if self.pretrained and self.options:
            raise ValueError("options belong to models of the catalogue; a model hf:... has lora, dtype, revision")
        if self.pretrained and any(part in ("", ".", "..") for part in self.id.removeprefix(HF).split("/")):
            raise ValueError(
                "after hf: comes owner/name, or a folder's path below the models folder, as in hf:mine/tiny"
            )
        if not self.pretrained:
            for name in ("task", "revision", "gguf", "dtype", "lora"):
                if getattr(self, name) is not None:
                    raise ValueError(f"{name} belongs to pretrained models: an id that begins with hf:")
        return self
