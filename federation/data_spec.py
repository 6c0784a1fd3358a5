"""The section `data` of a task spec: which data set, whose examples are whose, and what texts become."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from federation.hub_data import HF, ColumnsSpec, DataId, DataPin, HubName, SplitsSpec
from federation.spec_part import Part

Dimension = Annotated[int, Field(ge=1, le=65_536)]
Side = Annotated[int, Field(ge=1, le=1024)]


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

    id: DataId = Field(
        description="A data set of the catalogue, e.g. digits; hf:<repository on the Hugging Face Hub>; `own`: each "
        "node brings its own."
    )
    partition: PartitionSpec = PartitionSpec()
    holdout: float = Field(
        default=0.1, ge=0, le=0.5, description="Share of a node's examples kept from training, for evaluation."
    )
    input_shape: Annotated[tuple[Dimension, ...], Field(min_length=1, max_length=4)] | None = Field(
        default=None, description="own: shape of one example, e.g. [1, 28, 28]; channels first, values 0..1."
    )
    num_classes: int | None = Field(default=None, ge=2, le=100_000, description="own: number of classes.")
    text: TextSpec | None = Field(default=None, description="Texts, for models hf:...; how they become examples.")
    config: HubName | None = Field(
        default=None, description="hf: which of its configurations; default: `default`, or the only one."
    )
    revision: Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_./-]{0,99}$")] | None = Field(
        default=None, description="hf: branch, tag or commit; pinned to the commit when the task is created."
    )
    columns: ColumnsSpec | None = Field(default=None, description="hf: what is what; default: as far as it is plain.")
    splits: SplitsSpec | None = Field(default=None, description="hf: what is trained and scored on.")
    image_size: tuple[Side, Side] | None = Field(
        default=None, description="hf: height and width that every image is scaled to, and cropped about its centre."
    )
    pin: DataPin | None = Field(
        default=None, description="hf: the files to the bit; the server writes it when the task is created."
    )

    @property
    def on_the_hub(self) -> bool:
        """Whether it is a data set of the Hugging Face Hub."""
        return self.id.startswith(HF)

    @model_validator(mode="after")
    def _what_belongs_to_data_sets_on_the_hub(self) -> Self:
        if not self.on_the_hub:
            for name in ("config", "revision", "columns", "splits", "image_size", "pin"):
                if getattr(self, name) is not None:
                    raise ValueError(f"{name} belongs to data sets on the Hub: a data.id that begins with hf:")
        return self

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
