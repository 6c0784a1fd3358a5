"""The section `data` of a task spec: which data set, whose examples are whose, and what texts become."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from federation.spec_part import Identifier, Part

Dimension = Annotated[int, Field(ge=1, le=65_536)]


class PartitionSpec(Part):
    """How the training examples are shared out, so that no two nodes hold the same one."""

    kind: Literal["iid", "dirichlet", "shards", "natural"] = Field(
        default="iid",
        description="iid; dirichlet (label skew, Hsu et al. 2019); shards (label shards, McMahan et al. 2017); "
        "natural (the data set's own users).",
    )
    parts: int = Field(default=4, ge=1, le=10_000, description="Into how many shares the training set is cut.")
    alpha: float = Field(default=0.5, gt=0, le=1e6, description="dirichlet: the smaller, the more skewed.")
    shards_per_part: int = Field(default=2, ge=1, le=1000, description="shards: label shards that a share holds.")
    min_examples: int = Field(default=10, ge=1, le=100_000, description="Fewest examples a share may hold.")
    users: Literal["all", "largest"] = Field(
        default="all", description="natural: all users, dealt out; or each share is one user, the largest ones."
    )
    seed: int | None = Field(default=None, ge=0, lt=2**63, description="Seed of the cut; default: the task's seed.")

    @model_validator(mode="after")
    def _the_largest_users_are_natural_shares(self) -> Self:
        if self.users == "largest" and self.kind != "natural":
            raise ValueError(f"users: largest belongs to kind natural: {self.kind} cuts by no users")
        return self


class TextSpec(Part):
    """How texts become examples for a language model."""

    max_length: int = Field(default=128, ge=8, le=32_768, description="Tokens of an example.")
    template: Literal["plain", "chat"] = Field(
        default="plain", description="plain: the texts as they are; chat: by the tokenizer's own chat template."
    )
    packing: bool = Field(default=True, description="Several texts in one example, without padding.")


class DataSpec(Part):
    """The data set, its partition, and the share that each node holds out."""

    id: Identifier = Field(description="A data set of the catalogue, e.g. digits; `own`: each node brings its own.")
    partition: PartitionSpec = PartitionSpec()
    holdout: float = Field(
        default=0.1, ge=0, le=0.5, description="Share of a node's examples kept from training, for evaluation."
    )
    input_shape: Annotated[tuple[Dimension, ...], Field(min_length=1, max_length=4)] | None = Field(
        default=None, description="own: shape of one example, e.g. [1, 28, 28]; channels first, values 0..1."
    )
    num_classes: int | None = Field(default=None, ge=2, le=100_000, description="own: number of classes.")
    text: TextSpec | None = Field(default=None, description="Texts, for models hf:...; how they become examples.")

    @model_validator(mode="after")
    def _own_data_states_its_shape(self) -> Self:
        stated = (self.input_shape is not None, self.num_classes is not None)
        if self.text is not None and self.input_shape is not None:
            raise ValueError("input_shape belongs to numbers; texts have text.max_length")
        if self.id == "own" and self.text is not None:
            return self
        if self.id == "own" and not all(stated):
            raise ValueError("data.id `own` needs input_shape and num_classes: the server cannot see the data")
        if self.id != "own" and any(stated):
            raise ValueError("input_shape and num_classes belong to data.id `own`; a catalogued data set has its own")
        return self
